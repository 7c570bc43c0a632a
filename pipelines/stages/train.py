"""train: shards into the best weights, followed live in MLflow."""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import banet
from banet.config import Params
from banet.data.archive import SHARP
from banet.data.shards import ShardFolder, publish
from banet.data.training import TrainingSet
from banet.files import write_atomically
from banet.image import Image
from banet.metrics import psnr
from banet.model import BANet, save_weights
from banet.restore import restore
from banet.tracking.load import load_model
from banet.tracking.runs import (
    RunLogger,
    TrainingData,
    finish_run,
    git_tags,
    log_pictures,
    metric_history,
    open_run,
)
from banet.tracking.store import Store, connect, main_checkout
from pipelines.stages.face import params, run_command, stage_parser
from pipelines.stages.outputs import CANDIDATE, CURVE, REPORTS, RUN, TRAINING, TrainedBy, TrainingReport, write_json

EXPERIMENT = "banet"
CHECKPOINTS = ".runs"  # at the root of the main checkout: a run that was cut off goes on from any workspace
PICTURES = 4  # restored validation images logged with a run
# Parts of the package that do not change what is learned.
LEARNS_NOTHING = ("cli.py", "commands", "scoring", "study", "tracking")
CURVES = ("loss", "lr", "validation_psnr")


@dataclass(frozen=True, slots=True)
class Follow:
    """Tells MLflow and the terminal of the progress; runs in Ray's controller."""

    log: RunLogger

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Pass on the metrics of a step."""
        self.log(step, metrics)
        validation = f"  validation {metrics['validation_psnr']:.2f} dB" if "validation_psnr" in metrics else ""
        print(f"step {step}  loss {metrics['loss']:.4f}{validation}", flush=True)  # noqa: T201


def train(chosen: Params, *, shards: Path, storage: Path, store: Store, out: Path, reports: Path) -> TrainingReport:
    """Train, keep the weights that validate best, and record the run.

    Args:
        chosen: what to train, on what, how.
        shards: folder of the training benchmark's shards.
        storage: folder for checkpoints; a finished run's are removed.
        store: MLflow's.
        out: gets the weights, their configuration and the run's id.
        reports: gets the training curve and the report.

    Raises:
        DataError: missing or damaged shards.
        ConfigError: held-out sequences that do not exist.
        ResourceError: less than the run needs.
        ServiceError: the object store for the shards does not answer.
    """
    from banet.train.ray_worker import TrainingJob, launch  # Ray takes seconds to import

    folder = ShardFolder(shards.absolute())
    data = _training_set(chosen, folder)
    seen = folder.folder if chosen.cluster.shards is None else publish(folder, chosen.cluster.shards)
    name = fingerprint(chosen, folder.summary.digest)
    run_id = open_run(
        store,
        experiment=EXPERIMENT,
        name=f"{chosen.model.name}-{chosen.recipe.name}-{chosen.benchmark.name}",
        fingerprint=name,
        params=asdict(chosen),
        tags=git_tags(Path.cwd()),
        data=TrainingData(name=chosen.benchmark.name, digest=folder.summary.digest, source=str(folder.folder)),
    )
    recipe = replace(chosen.recipe, init_from=_initial_weights(chosen.recipe.init_from, storage / f"{name}-init"))
    job = TrainingJob(
        shards=str(seen),
        benchmark=chosen.benchmark,
        model=chosen.model,
        recipe=recipe,
        cluster=chosen.cluster,
    )
    try:
        result = launch(job, storage=storage, name=name, on_progress=Follow(RunLogger(store.uri, run_id)))
    except BaseException:
        finish_run(store, run_id, "FAILED")
        raise
    validation = [folder.read(row, (data.variant, SHARP)).images for row in data.validation_rows()]
    report = TrainingReport(
        steps=result.steps,
        best_step=result.best_step,
        validation_psnr=result.best_psnr,
        blurred_validation_psnr=float(np.mean([psnr(images[data.variant], images[SHARP]) for images in validation])),
        parameters=sum(parameter.numel() for parameter in result.model.parameters()),
    )
    save_weights(result.model, out)
    write_json(out / RUN, TrainedBy(run_id=run_id, data_digest=folder.summary.digest))
    write_json(reports / TRAINING, report)
    write_atomically(reports / CURVE, training_curve(store, run_id))
    log_pictures(store, run_id, _pictures(result.model, data.variant, validation), step=result.best_step)
    finish_run(store, run_id)
    for leftover in (storage / name, storage / f"{name}-init"):
        shutil.rmtree(leftover, ignore_errors=True)
    return report


def fingerprint(chosen: Params, data_digest: str) -> str:
    """Name of a run: equal for runs that would give the same weights, whatever cluster they run on."""
    of = [asdict(section) for section in (chosen.benchmark, chosen.model, chosen.recipe)]
    digest = hashlib.sha256(json.dumps([of, data_digest], sort_keys=True).encode())
    package = Path(banet.__file__).parent
    for source in sorted(package.rglob("*.py")):
        inside = source.relative_to(package)
        if inside.parts[0] not in LEARNS_NOTHING:
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def training_curve(store: Store, run_id: str) -> str:
    """The run's curve as CSV: step, loss, lr, validation_psnr (empty where it was not measured)."""
    columns = {name: metric_history(store, run_id, name) for name in CURVES}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("step", *CURVES))
    for step in sorted(columns["loss"]):
        writer.writerow((step, *(columns[name].get(step, "") for name in CURVES)))
    return text.getvalue()


def _training_set(chosen: Params, folder: ShardFolder) -> TrainingSet:
    """The training set, after all that can be wrong with it has been looked for: Ray would say it less plainly."""
    folder.verify()
    data = TrainingSet(
        folder=folder.folder,
        variant=chosen.benchmark.variant,
        held_out=chosen.benchmark.validation.sequences,
        seed=chosen.recipe.seed,
    )
    for phase in chosen.recipe.phases:
        data.require_crop(phase.crop)
    folder.read(data.validation_rows()[0], (data.variant, SHARP))  # the variant is there
    return data


def _initial_weights(source: str | None, folder: Path) -> str | None:
    if source is None:
        return None
    save_weights(load_model(source), folder)
    return str(folder.absolute())


def _pictures(model: BANet, variant: str, validation: list[dict[str, Image]]) -> dict[str, Image]:
    pictures: dict[str, Image] = {}
    for i in np.linspace(0, len(validation) - 1, min(PICTURES, len(validation)), dtype=int):
        images = validation[i]
        pictures |= {
            f"validation_{i:04d}_blurred": images[variant],
            f"validation_{i:04d}_restored": restore(model, images[variant]),
            f"validation_{i:04d}_sharp": images[SHARP],
        }
    return pictures


def main() -> None:
    """Read the arguments and train."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shards", type=Path, required=True, help="folder of the training benchmark's shards")
    parser.add_argument("--out", type=Path, default=CANDIDATE, help="folder for the weights")
    parser.add_argument("--reports", type=Path, default=REPORTS, help="folder for curve and report")
    arguments = parser.parse_args()
    train(
        params(),
        shards=arguments.shards,
        storage=main_checkout(Path.cwd()) / CHECKPOINTS,
        store=connect(),
        out=arguments.out,
        reports=arguments.reports,
    )


if __name__ == "__main__":
    run_command(main)
