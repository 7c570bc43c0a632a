"""`banet evaluate`: the scores of any weights on a benchmark, the same as scoring them image by image."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from banet.cli import main
from banet.commands.tables import format_published
from banet.data.images.codec import read_image
from banet.data.manifest import MANIFESTS, read_benchmark
from banet.data.shards.reader import ShardFolder, read_pairs
from banet.errors import ServiceError
from banet.image import Image
from banet.inference import restore, restore_sub_images
from banet.metrics.psnr import psnr
from banet.model.network import BANet, with_local_strips
from banet.model.network_config import BANetConfig
from banet.model.weights import load_weights, save_weights
from banet.scoring.evaluation import Scoring
from banet.scoring.scores import AlignedScores, ImageScores, Scores
from banet.scoring.table import read_table
from banet.tracking.registry import register
from banet.tracking.store import connect

ROOT = Path(__file__).parents[3]
PLUS = BANetConfig(name="banet_plus", channels=192, fusion_channels=192)
TINY = BANetConfig(name="tiny", stem_channels=4, channels=4, modules=1, fusion_channels=2)
MANIFEST = """
name: tiny
layout: folders
splits: {train: {blurred: a, sharp: b}, test: {blurred: c, sharp: d}}
"""


@pytest.fixture
def checkout(tmp_path: Path, make_shards: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a manifest, its shards and weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    (tmp_path / "data/benchmarks").mkdir(parents=True)
    (tmp_path / "data/benchmarks/tiny.yaml").write_text(MANIFEST)
    make_shards(("a", "b"), split="test", size=(36, 44), name="data/shards/tiny")
    save_weights(BANet(TINY), tmp_path / "weights")
    return tmp_path


def mean_psnr(checkout: Path, restoring: Callable[[Image], Image]) -> float:
    pairs = read_pairs(checkout / "data/shards/tiny", split="test")
    return float(np.mean([psnr(restoring(pair.images["blur"]), pair.images["sharp"]) for pair in pairs]))


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.parametrize("options", [(), ("--sub-images",), ("--local-crop", "16")])
def test_the_means_are_those_of_the_images(
    checkout: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    network = load_weights(checkout / "weights")
    expected = {
        (): lambda image: restore(network, image),
        ("--sub-images",): lambda image: restore_sub_images(network, image),
        ("--local-crop", "16"): lambda image: restore(with_local_strips(network, 16), image),
    }[options]
    assert main(["evaluate", "weights", "tiny", "--out", "scores.csv", *options]) == 0
    rows = read_table(checkout / "scores.csv")
    assert [row.key for row in rows] == [row.key for row in ShardFolder(checkout / "data/shards/tiny").rows("test")]
    wanted = mean_psnr(checkout, expected)
    assert np.mean([row.restored.psnr for row in rows]) == pytest.approx(wanted)
    printed = re.search(r"^PSNR dB +(\S+)$", capsys.readouterr().out, re.MULTILINE)
    assert printed is not None
    assert printed[1] == f"{wanted:.2f}"
    assert list((checkout / ".runs").glob("*")) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:The ``noload`` loader strategy")
def test_a_registered_versions_run_gets_means_tables_and_pictures(checkout: Path) -> None:
    store = connect()
    model = register(store, checkout / "weights", name="banet-tiny", run_id="")
    assert main(["evaluate", f"models:/banet-tiny/{model.version}", "tiny"]) == 0
    assert main(["evaluate", f"models:/banet-tiny/{model.version}", "tiny", "--sub-images"]) == 0
    found = store.client().get_run(model.run_id).data.metrics
    assert found["tiny/blur/restored_psnr"] != found["tiny/blur/sub_images8/restored_psnr"]
    assert found["tiny/blur/gain"] == pytest.approx(found["tiny/blur/restored_psnr"] - found["tiny/blur/blurred_psnr"])
    network, pairs = load_weights(checkout / "weights"), list(read_pairs(checkout / "data/shards/tiny", split="test"))
    for place, restoring in (("tiny/blur", restore), ("tiny/blur/sub_images8", restore_sub_images)):
        folder = Path(store.client().download_artifacts(model.run_id, f"evaluate/{place}", str(checkout)))
        rows = read_table(folder / "images.parquet")
        assert rows == read_table(folder / "images.csv")
        assert np.mean([row.restored.psnr for row in rows]) == pytest.approx(found[f"{place}/restored_psnr"])
        for pair in pairs:
            picture = read_image(folder / "samples" / f"{pair.key}_restored.png")
            assert np.array_equal(picture, restoring(network, pair.images["blur"]))


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), r"^here: PSNR \S+ dB, SSIM matlab3d \S+, over 8 of 1111 .*; published for BANet: 32.54 dB, 0.957 \("),
        (("--sub-images",), None),
    ],
)
def test_a_network_of_the_papers_is_shown_beside_the_published_scores(
    checkout: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], line: str | None
) -> None:
    """A tiny one in the place of BANet: the names and the whole configuration decide."""
    for folder in ("data/published", "data/benchmarks"):
        shutil.copytree(ROOT / folder, checkout / folder, dirs_exist_ok=True)
    (checkout / "conf/model").mkdir(parents=True)
    config = replace(TINY, name="banet")
    (checkout / "conf/model/banet.yaml").write_text(yaml.safe_dump(asdict(config) | {"kernels": [1, 3, 5, 7]}))
    save_weights(BANet(config), checkout / "weights")
    assert main(["evaluate", "weights", "gopro", "--shards", "data/shards/tiny", *options]) == 0
    found = re.search("^here: .*", capsys.readouterr().out, re.MULTILINE)
    assert (found is None) == (line is None)
    assert line is None or (found is not None and re.match(line, found[0]))


def rows(aligned: bool) -> list[ImageScores]:
    realblur = AlignedScores(psnr=31.5, ssim=0.9, aligned=True, opencv="5") if aligned else None
    scores = Scores(psnr=30.0, ssim_matlab3d=0.95, ssim_channel=0.9)
    return [
        ImageScores(
            key="a/1",
            sequence="a",
            stratum=None,
            variant="blur",
            blurred=None,
            restored=scores,
            realblur=realblur,
        )
    ]


@pytest.mark.parametrize(
    ("benchmark", "registered", "config", "expected"),
    [
        ("gopro", None, BANetConfig(), "here: PSNR 30.00 dB, .* for BANet: 32.54 dB, 0.957 .*Table 1: GoPro test set"),
        ("gopro", "banet-gopro", PLUS, "published for BANet+: 33.03 dB"),
        ("gopro", "banet-mine", PLUS, None),
        ("gopro", None, replace(PLUS, modules=9), None),
        ("gopro", None, replace(PLUS, name="imported"), None),
        ("hide", "banet-gopro", BANetConfig(), "published for BANet: 30.16 dB, 0.930"),
        ("realblur_r", "banet-realblur_r", PLUS, "here: PSNR aligned 31.50 dB, SSIM aligned 0.9000.* 39.90 dB, 0.972"),
        ("realblur_j", "banet-gopro", BANetConfig(), None),
        ("mini", None, BANetConfig(), None),
    ],
)
def test_only_what_the_paper_reports_of_the_same_network_and_training_is_shown(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    benchmark: str,
    registered: str | None,
    config: BANetConfig,
    expected: str | None,
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "config.json").write_text(json.dumps(asdict(config)))
    manifest = read_benchmark(MANIFESTS, benchmark)
    scoring = Scoring(weights=tmp_path, shards=tmp_path, benchmark=manifest, variants=manifest.variants[:1])
    line = format_published(scoring, rows(benchmark.startswith("realblur")), registered)
    assert (line is None) == (expected is None)
    assert expected is None or (line is not None and re.search(expected.replace("+", r"\+"), line))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:The ``noload`` loader strategy")
def test_a_store_that_fails_at_the_end_costs_no_scores(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = register(connect(), checkout / "weights", name="banet-tiny", run_id="")
    arguments = ["evaluate", f"models:/banet-tiny/{model.version}", "tiny", "--out", "scores.csv"]

    def fails(*_: object, **__: object) -> None:
        raise ServiceError("the store has gone")

    with monkeypatch.context() as patch:
        patch.setattr("banet.tracking.evaluations.log_files", fails)
        assert main(arguments) == 1
    rows = read_table(checkout / "scores.csv")
    monkeypatch.setattr("banet.scoring.evaluation.score_image", fails)  # nothing is scored again
    assert main(arguments) == 0
    assert read_table(checkout / "scores.csv") == rows
    assert list((checkout / ".runs").iterdir()) == []
    assert connect().client().get_run(model.run_id).data.metrics["tiny/blur/restored_psnr"] > 0


def test_a_gpu_that_is_asked_for_and_not_there_is_said(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert main(["evaluate", "weights", "tiny", "--device", "cuda"]) == 2
    assert "cuda cannot be used, torch finds no GPU here: score on the CPU" in capsys.readouterr().err
    assert not list(checkout.glob("*.csv"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere", "tiny"), r"nowhere"),
        (("weights", "other"), r"there is no benchmark 'other': data/benchmarks knows tiny"),
        (("weights", "tiny", "--shards", "empty"), r"empty holds no shards \(summary.json is missing\)"),
        (("weights", "tiny", "--variant", "blur_gamma"), r"--variant blur_gamma: tiny has blur"),
        (("weights", "tiny", "--out", "scores.txt"), r"scores.txt: a table of scores ends in"),
        (("weights", "tiny", "--out", "no/scores.csv"), r"no/scores.csv: it must be a file in a folder that exists"),
        (("models:/banet-none/1", "tiny"), r"banet-none"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:The ``noload`` loader strategy")
def test_bad_input_is_one_line(
    checkout: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert main(["evaluate", *arguments]) == 2
    error = capsys.readouterr().err
    assert re.match(rf"error: .*{said}", error)
    assert error.count("\n") == 1
