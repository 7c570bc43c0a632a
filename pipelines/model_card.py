"""The model card of a registered version: what it was made from, how it scores, where it fails, and on what terms."""

from collections.abc import Sequence
from pathlib import Path

from banet.config import Params
from banet.data.manifest import MANIFESTS, read_benchmark
from banet.lineage.trace import Lineage, format_lineage
from pipelines.report.tables.formats import NO_VALUE, Table, TableRow, decibels, gain, markdown
from pipelines.report.tables.latency_notes import time_line
from pipelines.report.tables.results import strata_table
from pipelines.stages.evaluation_report import EVALUATIONS, METRICS, EvaluationReport
from pipelines.stages.stage_results import read_json

ORIGIN = "\n## Origin\n"


def read_evaluations(reports: Path, benchmarks: Sequence[str], name: str, version: int) -> list[EvaluationReport]:
    """Read the evaluations of one version that are there; those of other versions are left out."""
    files = (reports / EVALUATIONS / benchmark / METRICS for benchmark in benchmarks)
    found = (read_json(EvaluationReport, file, stage="evaluate") for file in files if file.is_file())
    return [each for each in found if (each.model, each.version) == (name, version)]


def model_card(chosen: Params, lineage: Lineage, evaluations: Sequence[EvaluationReport]) -> str:
    """Write the card as Markdown; what is not known is said so."""
    version = lineage["version"]
    uri = f"models:/{version['name']}/{version['version']}"
    trained_on, network, recipe = chosen.benchmark.name, chosen.model, chosen.recipe
    data = lineage["data"]
    scored = "\n".join(_scores(each) for each in evaluations) or "This version was not evaluated.\n"
    return "\n".join(
        [
            f"# {version['name']} version {version['version']}\n",
            f"A network of the BANet family ({network.name}, {network.channels} channels, {network.modules} modules) "
            f"that removes motion blur from photographs, trained on {trained_on} ({chosen.benchmark.variant}) with "
            f"the recipe {recipe.name}, seed {recipe.seed}.\n",
            *_warning(trained_on),
            "## Use\n",
            f"`banet deblur PHOTO.jpg SHARP.png --model {uri}`, or `mlflow.pyfunc.load_model({uri!r})`, which takes "
            "uint8 RGB arrays, or PNG or JPEG bytes, of any size.\n",
            "## Scores\n",
            scored,
            "## Data and terms\n",
            *(_terms(name) for name in dict.fromkeys((trained_on, *(each.benchmark for each in evaluations)))),
            f"\nChecks of the training data: {data['checks'] or 'not recorded'}. Digest of its shards: "
            f"`{data['digest'] or 'not recorded'}`.",
            *([f"Weights from {version['origin']}; licence: {version['licence']}."] if "origin" in version else []),
            ORIGIN,
            f"```\n{format_lineage(lineage)}\n```\n",
        ]
    )


def _scores(evaluation: EvaluationReport) -> str:
    by_blur = strata_table(evaluation)
    means = Table(
        caption=f"{evaluation.benchmark} ({evaluation.variant}), {evaluation.images} held-out images",
        headings=("", "PSNR dB", "SSIM matlab3d", "SSIM channel"),
        rows=tuple(
            TableRow(label=label, figures=(decibels(of.psnr), f"{of.ssim_matlab3d:.4f}", f"{of.ssim_channel:.4f}"))
            for label, of in (("blurred", evaluation.blurred), ("restored", evaluation.restored))
        ),
        notes=(f"Gain: {gain(evaluation.gain)} dB.",),
    )
    worst = Table(
        caption=f"Failures: the images of {evaluation.benchmark} with the lowest restored PSNR; their pictures are "
        f"in the run's artifacts, evaluate/{evaluation.benchmark}/.",
        headings=("image", "blurred dB", "restored dB"),
        rows=tuple(
            TableRow(label=each.key, figures=(decibels(each.blurred_psnr), decibels(each.restored_psnr)))
            for each in evaluation.worst
        )
        or (TableRow(label="not recorded", figures=(NO_VALUE, NO_VALUE)),),
    )
    speed = "Speed: " + (time_line(evaluation.latency) if evaluation.latency else "not measured.")
    return "\n".join(markdown(table) for table in (means, by_blur, worst) if table) + f"\n{speed}\n"


def _terms(name: str) -> str:
    if not (MANIFESTS / f"{name}.yaml").is_file():
        return f"- {name}: no manifest here; its owner says what may be done with it."
    benchmark = read_benchmark(MANIFESTS, name)
    citation = f" {benchmark.citation}." if benchmark.citation else ""
    return f"- {benchmark.title or name}: licence {benchmark.licence or 'not stated: ask its owner'}.{citation}"


def _warning(trained_on: str) -> list[str]:
    if trained_on != "mini":
        return []
    return [
        "**For trying out only.** The blur of `mini` is synthesised from about eight photographs; the scores cannot be "
        "compared with any paper's and say nothing about photographs in general.\n"
    ]
