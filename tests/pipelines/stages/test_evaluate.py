"""evaluate: resumed when it was cut off, by the variant and protocol that fit, every mean from the table."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from banet.config import Params
from banet.data.images.codec import read_image
from banet.data.shards.index import PairRow
from banet.data.shards.reader import Pair, ShardFolder
from banet.inference import restore
from banet.metrics.psnr import psnr
from banet.model.weights import load_weights
from banet.scoring.aggregate import aligned_means, compare, compare_filtered, compare_strata
from banet.scoring.resume import IMAGES_PER_BLOCK
from banet.scoring.table import read_table
from banet.tracking.store import Store
from pipelines.stages.evaluate import evaluate, scored_variants
from pipelines.stages.evaluation_report import EvaluationReport
from pipelines.stages.register import register
from pipelines.stages.stage_results import read_json

if TYPE_CHECKING:
    from tests.pipelines.stages.conftest import Line

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # MLflow's own queries
    pytest.mark.filterwarnings("ignore:The .*wildcard.*:DeprecationWarning"),
]


@pytest.mark.slow
def test_an_evaluation_that_was_cut_off_goes_on_and_leaves_nothing_beside_its_result(
    line: "Line",
    own_params: Params,
    weights: Path,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(IMAGES_PER_BLOCK, "gopro", 4)  # one block per variant
    model = register(own_params, weights=weights, store=store, reports=tmp_path)
    runs, whole, resumed = tmp_path / "runs", tmp_path / "whole", tmp_path / "resumed"
    evaluate(line.benchmark, model=model, shards=line.shards, storage=runs, store=store, out=whole)
    assert list(runs.iterdir()) == []
    read: list[tuple[str, str]] = []
    own, cut_off = ShardFolder.read, True

    def reading(self: ShardFolder, row: PairRow, kinds: tuple[str, ...]) -> Pair:
        if row.split == "test":
            if kinds[0] == "blur_noise_free" and cut_off:
                raise KeyboardInterrupt
            read.append((row.key, kinds[0]))
        return own(self, row, kinds)

    monkeypatch.setattr(ShardFolder, "read", reading)
    with pytest.raises(KeyboardInterrupt):
        evaluate(line.benchmark, model=model, shards=line.shards, storage=runs, store=store, out=resumed)
    assert not resumed.exists()
    assert len(list(runs.glob("scores-tiny-*/block-*.parquet"))) == 1  # the blurred images; then it was cut off
    read.clear()
    cut_off = False
    evaluate(line.benchmark, model=model, shards=line.shards, storage=runs, store=store, out=resumed)
    keys = [row.key for row in ShardFolder(line.shards).rows("test")]
    assert read[:4] == [(key, "blur_noise_free") for key in keys]  # the rest alone
    assert {kind for _, kind in read[4:]} == {"blur"}  # pictures for the report
    assert len(read) == 10  # four of them, though they are samples and the worst at once, and two for attention
    assert list(runs.iterdir()) == []
    for name in ("images.csv", "images.parquet"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    before, after = (read_json(EvaluationReport, out / "metrics.json", stage="evaluate") for out in (whole, resumed))
    assert replace(after, latency=None) == replace(before, latency=None)


@pytest.mark.slow
def test_pictures_of_the_worst_time_and_the_run_that_made_the_model(
    line: "Line",
    own_params: Params,
    weights: Path,
    store: Store,
    tmp_path: Path,
) -> None:
    model = register(own_params, weights=weights, store=store, reports=tmp_path)
    out, started = tmp_path / "out", time.perf_counter()
    evaluate(line.benchmark, model=model, shards=line.shards, storage=tmp_path / "runs", store=store, out=out)
    seconds = time.perf_counter() - started
    found = read_json(EvaluationReport, out / "metrics.json", stage="evaluate")
    scores = {row.key: row.restored.psnr for row in read_table(out / "images.csv") if row.variant == found.variant}
    assert [(sample.key, sample.restored_psnr) for sample in found.worst] == sorted(
        scores.items(), key=lambda item: item[1]
    )[:10]
    network = load_weights(weights)
    for sample in (*found.samples, *found.worst):
        blurred, restored, sharp = (read_image(out / name) for name in (sample.blurred, sample.restored, sample.sharp))
        assert np.array_equal(restored, restore(network, blurred))
        assert psnr(restored, sharp) == sample.restored_psnr == scores[sample.key]
        assert psnr(blurred, sharp) == sample.blurred_psnr
    assert found.data_digest == ShardFolder(line.shards).summary.digest
    row = ShardFolder(line.shards).rows("test")[0]
    assert found.latency is not None
    assert found.latency.size == (row.height, row.width)
    assert 0 < found.latency.median_ms < 1000 * seconds
    run = f"evaluate/{line.benchmark.name}/blur"
    there = {file.path for file in store.client().list_artifacts(model.run_id, run)}
    assert there == {
        f"{run}/{name}" for name in ("metrics.json", "scores.json", "images.csv", "images.parquet", "samples")
    }
    logged_folder = Path(store.client().download_artifacts(model.run_id, run, str(tmp_path)))
    pictures = {str(path.relative_to(logged_folder)) for path in (logged_folder / "samples").rglob("*.*")}
    assert pictures == {str(path.relative_to(out)) for path in (out / "samples").rglob("*.*")}
    assert {sample.restored for sample in found.worst} <= pictures
    logged = store.client().get_run(model.run_id).data.metrics
    assert logged[f"{line.benchmark.name}/blur/latency_ms"] == found.latency.median_ms


@pytest.mark.slow
def test_the_variant_that_the_model_was_trained_on_is_scored_and_said(
    line: "Line",
    own_params: Params,
    weights: Path,
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert scored_variants(line.benchmark, None) == ("blur", "blur_noise_free")
    assert scored_variants(line.benchmark, "blur_gamma") == ("blur", "blur_noise_free")
    assert scored_variants(replace(line.benchmark, noise_free=None), "blur_noise_free") == ("blur_noise_free",)
    model = register(own_params, weights=weights, store=store, reports=tmp_path)
    out = tmp_path / "out"
    evaluate(
        line.benchmark,
        model=model,
        shards=line.shards,
        storage=tmp_path / "runs",
        store=store,
        out=out,
        trained_on="blur_noise_free",
    )
    found = read_json(EvaluationReport, out / "metrics.json", stage="evaluate")
    assert (found.variant, found.trained_variant) == ("blur_noise_free", "blur_noise_free")
    assert "scored on blur_noise_free, which the model was trained on" in capsys.readouterr().err
    rows = read_table(out / "images.csv")
    assert {row.variant for row in rows} == {"blur_noise_free"}
    assert compare(rows).gain == found.gain


@pytest.mark.slow
def test_realblur_is_aligned_and_every_mean_comes_from_the_table(
    line: "Line",
    own_params: Params,
    weights: Path,
    store: Store,
    tmp_path: Path,
) -> None:
    model = register(own_params, weights=weights, store=store, reports=tmp_path)
    benchmark = replace(line.benchmark, name=own_params.benchmark.name, layout="realblur", root="R", lists={})
    out = tmp_path / "out"
    evaluate(benchmark, model=model, shards=line.shards, storage=tmp_path / "runs", store=store, out=out)
    found = read_json(EvaluationReport, out / "metrics.json", stage="evaluate")
    rows = [row for row in read_table(out / "images.csv") if row.variant == found.variant]
    assert found.realblur == aligned_means(rows)
    assert found.realblur is not None
    assert found.realblur.images == 4
    assert (found.restored, found.strata) == (compare(rows).restored, compare_strata(rows))
    assert found.best_filter is not None
    assert found.best_filter.scores == compare_filtered(rows).restored  # type: ignore[union-attr]
    logged = store.client().get_run(model.run_id).data.metrics
    assert logged[f"{benchmark.name}/blur/restored_aligned_psnr"] == found.realblur.psnr
