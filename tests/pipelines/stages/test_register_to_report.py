"""register, evaluate, promote, report: one after the other on the tiny line, without Ray."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from banet.config import Params
from banet.data.shards.reader import ShardFolder, read_pairs
from banet.data.stream.training_set import TrainingSet
from banet.errors import DataError, ModelError
from banet.inference import restore
from banet.metrics.psnr import psnr
from banet.model.network import BANet
from banet.model.weights import load_weights, save_weights
from banet.tracking.pyfunc_package import workspace_sources
from banet.tracking.registry import champion
from banet.tracking.store import Store
from banet.tracking.version_files import RegisteredModel
from pipelines.stages.evaluate import evaluate
from pipelines.stages.promote import compare, promote
from pipelines.stages.register import register
from pipelines.stages.report import report
from pipelines.stages.stage_results import RUN, Promotion, TrainedBy, write_json

if TYPE_CHECKING:
    from tests.pipelines.stages.conftest import Line

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # MLflow's own queries
    pytest.mark.filterwarnings("ignore:The .*wildcard.*:DeprecationWarning"),
]


def candidate(weights: Path, brightness: float) -> Path:
    """Weights that add the same to every pixel: 0 is the identity, anything else is worse."""
    model = load_weights(weights)
    torch.nn.init.zeros_(model.output.weight)
    torch.nn.init.constant_(model.get_parameter("output.bias"), brightness)
    save_weights(model, weights)
    return weights


@pytest.mark.slow
def test_the_champion_moves_only_to_a_better_candidate(
    line: "Line",
    own_params: Params,
    weights: Path,
    store: Store,
    tmp_path: Path,
) -> None:
    name = f"banet-{own_params.benchmark.name}"

    def turn(brightness: float) -> tuple[RegisteredModel, Promotion]:
        model = register(own_params, weights=candidate(weights, brightness), store=store, reports=tmp_path)
        return model, promote(own_params, candidate=model, shards=line.shards, store=store, reports=tmp_path)

    middling, first = turn(0.05)
    assert (first.moved, first.previous_version, first.previous_psnr) == (True, None, None)
    assert champion(store, name) == middling
    _, worse = turn(0.2)
    assert (worse.moved, worse.previous_version) == (False, middling.version)
    assert worse.previous_psnr is not None
    assert worse.candidate_psnr < worse.previous_psnr == first.candidate_psnr
    assert worse.difference is not None
    assert worse.difference.mean == pytest.approx(worse.candidate_psnr - worse.previous_psnr)
    assert worse.difference.low <= worse.difference.mean <= worse.difference.high < 0
    tags = store.client().get_model_version(name, str(worse.candidate_version)).tags
    assert tags["not_promoted_reason"] == worse.reason
    assert "is not better beyond chance than 1 on the held-out sequences: -" in worse.reason
    best, better = turn(0.0)
    assert (better.moved, better.previous_version) == (True, middling.version)
    assert better.difference is not None
    assert better.difference.low > 0
    assert better.data_digest == ShardFolder(line.shards).summary.digest
    assert champion(store, name) == best
    again, same = turn(0.0)
    assert again == best
    assert not same.moved
    assert "is the champion already" in same.reason
    assert json.loads((tmp_path / "promotion.json").read_text())["previous_version"] == best.version
    blurred = [
        psnr(pair.images["blur"], pair.images["sharp"])
        for pair in read_pairs(line.shards, split="train")
        if pair.sequence.startswith("coffee")
    ]
    assert same.candidate_psnr == pytest.approx(np.mean(blurred))


def test_a_gain_that_chance_explains_moves_nothing(line: "Line", own_params: Params) -> None:
    held_out = own_params.benchmark.validation.sequences
    data = TrainingSet(folder=line.shards, variant="blur", held_out=held_out, seed=0)
    rows = data.validation_rows()
    champion_scores = [20.0] * len(rows)
    one_sequence_better = [22.0 if row.sequence == rows[0].sequence else 19.9 for row in rows]
    found = compare(one_sequence_better, champion_scores, data)
    assert found.mean > 0.9
    assert not found.better
    assert compare([20.1] * len(rows), champion_scores, data).better
    exact = [math.inf, *[20.5] * (len(rows) - 1)]  # restored to the last bit: no part of it
    assert compare(exact, champion_scores, data).images == len(rows) - 1
    with pytest.raises(DataError, match=r"every held-out image is restored exactly"):
        compare([math.inf] * len(rows), champion_scores, data)


@pytest.mark.slow
def test_evaluate_scores_what_the_registry_holds_and_report_shows_it(
    line: "Line",
    own_params: Params,
    weights: Path,
    store: Store,
    tmp_path: Path,
) -> None:
    name = own_params.benchmark.name
    benchmark = replace(line.benchmark, name=name)
    model = register(own_params, weights=weights, store=store, reports=tmp_path)
    out = tmp_path / "evaluate" / name
    evaluate(benchmark, model=model, shards=line.shards, storage=tmp_path / "runs", store=store, out=out)
    metrics = json.loads((out / "metrics.json").read_text())
    network = load_weights(weights)
    pairs = list(read_pairs(line.shards, split="test"))
    restored = [psnr(restore(network, pair.images["blur"]), pair.images["sharp"]) for pair in pairs]
    assert metrics["restored"]["psnr"] == pytest.approx(np.mean(restored))
    assert metrics["images"] == 4
    few = json.loads((out / "scores.json").read_text())
    assert few == {
        **{name: metrics["restored"][name] for name in ("psnr", "ssim_matlab3d", "ssim_channel")},
        **{"gain": metrics["gain"], "aligned_psnr": None, "aligned_ssim": None},
        "latency_ms": metrics["latency"]["median_ms"],
    }
    assert len(list((out / "samples").rglob("*_attention.jpg"))) == 2
    assert metrics["gain"] == pytest.approx(metrics["restored"]["psnr"] - metrics["blurred"]["psnr"])
    assert {stratum: part["images"] for stratum, part in metrics["strata"].items()} == {"long": 2, "short": 2}
    assert metrics["noise_free"]["blurred"]["psnr"] >= metrics["blurred"]["psnr"]
    assert metrics["noise_free"]["images"] == metrics["images"]
    assert metrics["best_filter"]["chosen_on"] == "train"
    assert metrics["best_filter"]["gain"] == pytest.approx(
        metrics["best_filter"]["scores"]["psnr"] - metrics["blurred"]["psnr"]
    )
    table = pq.read_table(out / "images.parquet").to_pylist()
    main = [row for row in table if row["variant"] == "blur"]
    assert [row["key"] for row in main] == [pair.key for pair in pairs]
    assert np.mean([row["restored_psnr"] for row in main]) == pytest.approx(metrics["restored"]["psnr"])
    logged = store.client().get_run(model.run_id).data.metrics
    assert logged[f"{name}/blur/restored_psnr"] == pytest.approx(metrics["restored"]["psnr"])

    promote(own_params, candidate=model, shards=line.shards, store=store, reports=tmp_path)
    version = store.client().get_model_version(model.name, str(model.version))
    found = Path(mlflow.artifacts.download_artifacts(artifact_uri=version.source, tracking_uri=store.uri))
    card = (found / "MODEL_CARD.md").read_text()
    for fact in (model.digest, metrics["worst"][0]["key"], f"{metrics['restored']['psnr']:.2f}", "| long ", "Speed: "):
        assert fact in card
    assert version.description == card.partition("\n## Origin\n")[0]
    assert "is the first champion" in card
    assert "MODEL_CARD.md" in {file.path for file in store.client().list_artifacts(model.run_id)}
    curve = "step,loss,lr,validation_psnr\n1,0.1,0.001,\n2,0.05,0.001,21.5\n"
    (tmp_path / "training.csv").write_text(curve)
    trained = {"steps": 2, "best_step": 2, "validation_psnr": 21.5, "blurred_validation_psnr": 21.0, "parameters": 9}
    (tmp_path / "train.json").write_text(json.dumps(trained))
    report(own_params, reports=tmp_path)
    assert f"{metrics['restored']['psnr']:.2f}" in (tmp_path / "table.txt").read_text()
    page = (tmp_path / "index.html").read_text()
    assert page.count("data:image/png;base64,") >= 3 * len(metrics["samples"])


def test_a_version_that_is_gone_or_other_weights_are_refused(
    line: "Line",
    own_params: Params,
    weights: Path,
    store: Store,
    tmp_path: Path,
) -> None:
    model = register(own_params, weights=weights, store=store, reports=tmp_path)
    out = tmp_path / "out"
    for other in (replace(model, version=99), replace(model, digest="0" * 64)):
        with pytest.raises(ModelError, match="dvc repro --force --single-item register"):
            evaluate(line.benchmark, model=other, shards=line.shards, storage=tmp_path / "runs", store=store, out=out)
    assert not out.exists()


@pytest.mark.slow
def test_a_version_with_other_code_is_not_evaluated_and_competes_with_its_own(
    line: "Line",
    own_params: Params,
    weights: Path,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = workspace_sources()
    half = "\n\n_plain = restore\n\n\ndef restore(model, image):\n    return _plain(model, image) // 2\n"
    darker = {**own, "banet/inference.py": own["banet/inference.py"] + half}
    with monkeypatch.context() as patch:
        for module in ("registry", "pyfunc_package"):
            patch.setattr(f"banet.tracking.{module}.workspace_sources", lambda: darker)
        stale = register(own_params, weights=candidate(weights, 0.0), store=store, reports=tmp_path)
    out = tmp_path / "out"
    with pytest.raises(ModelError, match=r"other code than this workspace \(banet/inference\.py differ\)") as error:
        evaluate(line.benchmark, model=stale, shards=line.shards, storage=tmp_path / "runs", store=store, out=out)
    assert "\n" not in str(error.value)
    assert not out.exists()
    first = promote(own_params, candidate=stale, shards=line.shards, store=store, reports=tmp_path)
    fixed = register(own_params, weights=weights, store=store, reports=tmp_path)
    assert (fixed.version, fixed.digest) == (stale.version + 1, stale.digest)
    better = promote(own_params, candidate=fixed, shards=line.shards, store=store, reports=tmp_path)
    assert (better.moved, better.previous_psnr) == (True, first.candidate_psnr)
    assert better.candidate_psnr > first.candidate_psnr + 3  # the weights are the same


def test_an_interrupted_evaluation_leaves_what_was_there(
    line: "Line",
    own_params: Params,
    weights: Path,
    store: Store,
    tmp_path: Path,
) -> None:
    model = register(own_params, weights=weights, store=store, reports=tmp_path)
    shards = Path(shutil.copytree(line.shards, tmp_path / "shards"))
    (shards / "test-00000.parquet").write_bytes(b"nothing")
    out = tmp_path / "out"
    out.mkdir()
    (out / "metrics.json").write_text("good")
    with pytest.raises(DataError, match=r"test-00000\.parquet"):
        evaluate(line.benchmark, model=model, shards=shards, storage=tmp_path / "runs", store=store, out=out)
    assert (out / "metrics.json").read_text() == "good"


@pytest.mark.slow
def test_register_needs_what_train_made(own_params: Params, store: Store, tmp_path: Path) -> None:
    save_weights(BANet(own_params.model), tmp_path / "weights")
    with pytest.raises(DataError, match=r"run\.json cannot be read \(No such file.*\): run the train stage first"):
        register(own_params, weights=tmp_path / "weights", store=store, reports=tmp_path)
    write_json(tmp_path / "weights" / RUN, TrainedBy(run_id="0" * 32, data_digest="0" * 64))
    model = register(own_params, weights=tmp_path / "weights", store=store, reports=tmp_path)
    tags = store.client().get_model_version(model.name, str(model.version)).tags
    assert tags["data_digest"] == "0" * 64
    assert json.loads(tags["params"])["recipe"]["loss"] == {"fft_weight": 0.01, "fft_norm": "backward"}
