"""A model on a benchmark: each image once, before and after, the same whichever way it is spread or interrupted."""

import math
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from banet.data.manifest import Benchmark
from banet.data.shards.index import PairRow
from banet.data.shards.reader import Pair, ShardFolder
from banet.errors import ResourceError
from banet.image import Image
from banet.metrics.realblur import realblur_score
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights
from banet.scoring.aggregate import compare
from banet.scoring.baselines import Filter
from banet.scoring.evaluation import Scoring, score_benchmark, score_image
from banet.scoring.resume import FinishedBlocks
from banet.scoring.scores import score
from banet.scoring.table import write_table

MakeShards = Callable[..., Path]
SIMPLE = Filter(sigma=1.0, amount=-1.0)


@pytest.fixture
def scoring(make_shards: MakeShards, benchmark: Benchmark, tmp_path: Path) -> Scoring:
    """Ten images, in two blocks."""
    torch.manual_seed(0)
    config = BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)
    save_weights(BANet(config), tmp_path / "weights")
    shards = make_shards(("a_long", "b_short"), pairs=5, split="test", size=(24, 20))
    return Scoring(
        weights=tmp_path / "weights", shards=shards, benchmark=benchmark, variants=("blur",), baseline_filter=SIMPLE
    )


def test_images_are_scored_before_and_after_in_the_order_of_the_rows(
    make_shards: MakeShards, benchmark: Benchmark
) -> None:
    shards = ShardFolder(make_shards(("a_long", "b_short", "c"), pairs=2, split="test", size=(16, 20)))
    rows = shards.rows("test")
    seen: list[Image] = []

    def restoring(image: Image) -> Image:
        seen.append(image)
        return 255 - image  # the tiny shards' blur is the negative of their sharp image

    found = [score_image(restoring, shards, row, benchmark, "blur", SIMPLE) for row in rows[::-1]]
    assert [s.key for s in found] == [row.key for row in rows[::-1]]
    assert [s.stratum for s in found] == [None, None, "short", "short", "long", "long"]
    assert {s.variant for s in found} == {"blur"}
    for s, row, image in zip(found, rows[::-1], seen, strict=True):
        pair = shards.read(row, ("blur", "sharp"))
        assert s.sequence == row.sequence
        assert np.array_equal(image, pair.images["blur"])  # what is restored is the blurred image, once
        assert s.blurred == score(pair.images["blur"], pair.images["sharp"])
        assert s.filtered == score(SIMPLE(pair.images["blur"]), pair.images["sharp"])
        assert s.restored.psnr == math.inf
        assert (s.restored.ssim_matlab3d, s.restored.ssim_channel) == pytest.approx((1, 1))
        assert s.realblur is None


def test_a_model_that_does_nothing_gains_nothing(make_shards: MakeShards, benchmark: Benchmark) -> None:
    shards = ShardFolder(make_shards(pairs=1, split="test", size=(16, 20)))
    rows = shards.rows("test")
    found = compare([score_image(lambda image: image, shards, row, benchmark, "blur") for row in rows])
    assert (found.images, found.gain) == (3, 0)
    assert found.blurred == found.restored


def test_realblur_has_both_scores_of_the_restored_image(make_shards: MakeShards, realblur: Benchmark) -> None:
    shards = ShardFolder(make_shards(("a",), pairs=2, split="test", size=(24, 20)))
    row = shards.rows("test")[1]
    found = score_image(lambda image: image // 2, shards, row, realblur, "blur")
    images = shards.read(row, ("blur", "sharp")).images
    direct = realblur_score(images["blur"] // 2, images["sharp"])
    assert found.realblur is not None
    assert (found.realblur.psnr, found.realblur.ssim, found.realblur.aligned) == (
        direct.psnr,
        direct.ssim,
        direct.aligned,
    )
    assert found.restored == score(images["blur"] // 2, images["sharp"])


def test_every_variant_is_scored_and_the_filter_on_the_first(scoring: Scoring) -> None:
    rows = ShardFolder(scoring.shards).rows("test")
    told: list[tuple[int, int]] = []
    found = score_benchmark(
        replace(scoring, variants=("blur", "sharp")), rows, on_progress=lambda *done: told.append(done)
    )
    assert [(s.variant, s.key) for s in found] == [(v, row.key) for v in ("blur", "sharp") for row in rows]
    assert [s.filtered is None for s in found] == [False] * 10 + [True] * 10
    assert told == [(8, 20), (16, 20), (20, 20)]


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("layout", ["gopro", "realblur"])
def test_the_table_is_the_same_to_the_byte_however_it_is_spread(
    layout: str, scoring: Scoring, realblur: Benchmark, tmp_path: Path
) -> None:
    chosen = replace(scoring, benchmark=realblur) if layout == "realblur" else scoring
    rows = ShardFolder(scoring.shards).rows("test")
    for workers in (1, 2):
        write_table(tmp_path / f"{workers}.parquet", score_benchmark(chosen, rows, workers=workers))
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(scoring: Scoring) -> None:
    with pytest.raises(ResourceError, match="cuda cannot be used, torch finds no GPU here"):
        score_benchmark(replace(scoring, device="cuda"), ShardFolder(scoring.shards).rows("test"))


KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from banet.data.shards.reader import ShardFolder
from banet.scoring.evaluation import score_benchmark
from banet.scoring.resume import FinishedBlocks

scoring = pickle.loads(Path(sys.argv[1]).read_bytes())

def report(done, total):
    os.kill(os.getpid(), signal.SIGKILL)

rows, kept = ShardFolder(scoring.shards).rows("test"), FinishedBlocks(Path(sys.argv[2]))
score_benchmark(scoring, rows, kept=kept, on_progress=report)
"""


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_where_it_stood(
    scoring: Scoring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ShardFolder(scoring.shards).rows("test")
    write_table(tmp_path / "whole.csv", score_benchmark(scoring, rows))
    (tmp_path / "scoring").write_bytes(pickle.dumps(scoring))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "scoring"), str(tmp_path / "kept")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["block-00000.parquet"]

    kept = FinishedBlocks(tmp_path / "kept")
    told: list[tuple[int, int]] = []
    read: list[str] = []
    own = ShardFolder.read

    def noted(folder: ShardFolder, row: PairRow, kinds: tuple[str, ...]) -> Pair:
        read.append(row.key)
        return own(folder, row, kinds)

    monkeypatch.setattr(ShardFolder, "read", noted)
    found = score_benchmark(scoring, rows, kept=kept, on_progress=lambda *done: told.append(done))
    assert read == [row.key for row in rows[8:]]  # the rest alone
    assert told == [(8, 10), (10, 10)]  # from what is done already
    write_table(tmp_path / "resumed.csv", found)
    assert (tmp_path / "resumed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_damaged_or_foreign_block_is_scored_again(scoring: Scoring, tmp_path: Path) -> None:
    rows = ShardFolder(scoring.shards).rows("test")
    kept = FinishedBlocks(tmp_path / "kept")
    whole = score_benchmark(scoring, rows, kept=kept)
    first = tmp_path / "kept" / "block-00000.parquet"
    good = first.read_bytes()
    for content in (b"damaged", (tmp_path / "kept" / "block-00001.parquet").read_bytes()):
        first.write_bytes(content)
        assert score_benchmark(scoring, rows, kept=kept) == whole
        assert first.read_bytes() == good
