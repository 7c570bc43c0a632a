"""`banet score`: what it prints and writes, and its status for each mistake."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from banet.cli import main
from banet.data.images.codec import read_image, write_image
from banet.data.shards.reader import ShardFolder, read_pairs
from banet.image import Image
from banet.metrics.realblur import opencv_version
from banet.scoring.aggregate import means
from banet.scoring.methods import METHODS, read_methods
from banet.scoring.pictures import sample_rows
from banet.scoring.score_folders import compare_folders, score_comparison
from banet.scoring.table import read_table

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Three pairs: one identical, one constant."""
    rng = np.random.default_rng(0)
    sharp = [np.kron(rng.integers(40, 200, (5, 6, 3), dtype=np.uint8), np.ones((6, 6, 1), np.uint8)) for _ in "ab"]
    grey = np.full_like(sharp[0], 90)
    for i, (restored, true) in enumerate(((sharp[0], sharp[0]), (sharp[1] - 9, sharp[1]), (grey + 10, grey))):
        write_image(tmp_path / "restored" / f"{i}.png", restored)
        write_image(tmp_path / "sharp" / f"{i}.png", true)
    return ["score", "--restored", str(tmp_path / "restored"), "--sharp", str(tmp_path / "sharp"), "--protocol"]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_the_means_are_those_of_the_table(
    folders: list[str], ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*folders, "gopro", "--out", str(tmp_path / f"scores{ending}")]) == 0
    rows = read_table(tmp_path / f"scores{ending}")
    assert [row.key for row in rows] == ["0", "1", "2"]
    mean = means(row.restored for row in rows)
    assert capsys.readouterr().out.splitlines() == [
        "mean over 3 images",
        f"PSNR dB            {mean.psnr:.2f}",
        f"SSIM matlab3d     {mean.ssim_matlab3d:.4f}",
        f"SSIM channel      {mean.ssim_channel:.4f}",
        "1 of them equals its sharp one: an infinite PSNR is no part of the mean",
    ]


def test_realblur_says_how_many_were_not_aligned_and_by_what(
    folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*folders, "realblur"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:-1] for line in lines[4:7]] == [
        ["PSNR", "aligned", "dB"],
        ["SSIM", "aligned"],
        ["not", "aligned"],
    ]
    assert lines[6].split()[-1] == "1"  # the constant one
    assert lines[8].startswith("images that could not be aligned")
    assert lines[9].startswith(f"aligned by OpenCV {opencv_version()}")


def test_a_folder_against_itself_is_identical(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--restored", folders[4], "--sharp", folders[4], "--protocol", "gopro"]) == 0
    out = capsys.readouterr().out
    assert "PSNR dB              inf\n" in out
    assert "every image equals its sharp one: PSNR is infinite" in out


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--out", "scores.json"], "scores.json: a table of scores ends in .csv or .parquet"),
        (["--out", "none/scores.csv"], "it must be a file in a folder that exists"),
        (["--restored", "none"], "none is not a folder"),
    ],
)
def test_a_mistake_is_one_line_and_2(
    folders: list[str], change: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option, name = change
    options = {**dict(zip(folders[1::2], [*folders[2::2], "gopro"], strict=True)), option: str(tmp_path / name)}
    assert main(["score", *(text for pair in options.items() for text in pair)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert reason in error


KILLED = """
import os, signal, sys
from banet.cli import main
from banet.scoring.resume import FinishedBlocks

keep, done = FinishedBlocks.keep, []

def keep_two_and_die(self, number, rows):
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    keep(self, number, rows)
    done.append(number)

FinishedBlocks.keep = keep_two_and_die
main(sys.argv[1:])
"""


@pytest.fixture
def many(tmp_path: Path) -> list[str]:
    """Twenty pairs: three blocks."""
    rng = np.random.default_rng(1)
    for i in range(20):
        for folder in ("restored", "sharp"):
            image = rng.integers(0, 256, (24, 30, 3), dtype=np.uint8)
            write_image(tmp_path / folder / f"{i:02d}.png", image)
    options = ["--restored", str(tmp_path / "restored"), "--sharp", str(tmp_path / "sharp"), "--protocol", "gopro"]
    return ["score", *options, "--workers", "1", "--out"]


def start(code: list[str], arguments: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


@pytest.mark.slow
@pytest.mark.parametrize("changed", [None, "03.png"])
def test_a_killed_command_goes_on_and_scores_a_changed_image_again(
    many: list[str], changed: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start(["-c", KILLED], [*many, str(tmp_path / "killed.csv")]) as process:
        assert process.wait(timeout=120) == -signal.SIGKILL
    assert not (tmp_path / "killed.csv").exists()
    (kept,) = (tmp_path / "cache/banet").iterdir()
    assert sorted(path.name for path in kept.iterdir()) == ["block-00000.parquet", "block-00001.parquet"]
    if changed is not None:
        write_image(tmp_path / "restored" / changed, np.full((24, 30, 3), 90, np.uint8))
    read, told = [], []

    def reading(path: Path) -> Image:
        read.append(path.relative_to(tmp_path).as_posix())
        return read_image(path)

    monkeypatch.setattr("banet.scoring.score_folders.read_image", reading)
    monkeypatch.setattr("banet.progress.ProgressBar.to", lambda _, *done: told.append(done))
    assert main([*many, str(tmp_path / "resumed.csv")]) == 0
    if changed is None:
        assert sorted(read) == sorted(f"{folder}/{i}.png" for folder in ("restored", "sharp") for i in range(16, 20))
        assert told == [(16, 20), (20, 20)]
    else:
        assert len(read) == 40
    assert [path for path in (tmp_path / "cache/banet").iterdir() if path != kept] == []
    fresh = score_comparison(compare_folders(tmp_path / "restored", tmp_path / "sharp", "gopro"))
    assert read_table(tmp_path / "resumed.csv") == fresh
    assert kept.exists() == (changed is not None)  # of the images as they were; it goes after a month


@pytest.mark.slow
def test_two_at_once_write_the_same_table_and_leave_nothing(many: list[str], tmp_path: Path) -> None:
    processes = [start(["-m", "banet.cli"], [*many, str(tmp_path / f"{i}.csv")]) for i in range(2)]
    for process in processes:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        assert all(line.startswith("score: ") for line in error.splitlines())  # progress, where it took seconds
    assert (tmp_path / "0.csv").read_bytes() == (tmp_path / "1.csv").read_bytes()
    assert len(read_table(tmp_path / "0.csv")) == 20
    assert list((tmp_path / "cache/banet").iterdir()) == []


def test_a_home_that_cannot_be_written_is_told_and_scored_without(
    folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert main([*folders, "gopro"]) == 0
    assert "(XDG_CACHE_HOME)" in capsys.readouterr().err


MANIFEST = """
name: tiny
layout: folders
splits: {train: {blurred: a, sharp: b}, test: {blurred: c, sharp: d}}
"""


@pytest.fixture
def checkout(tmp_path: Path, make_shards: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a manifest, its shards, and what a method made of the test images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/benchmarks").mkdir(parents=True)
    (tmp_path / "data/benchmarks/tiny.yaml").write_text(MANIFEST)
    shards = make_shards(("a", "b"), split="test", size=(24, 30), name="data/shards/tiny")
    for pair in read_pairs(shards, split="test"):
        write_image(tmp_path / "results" / f"{pair.key.replace('/', '-')}.bmp", pair.images["blur"])
    return tmp_path


BENCHMARK = ["score", "--restored", "results", "--benchmark", "tiny"]


def test_a_method_is_scored_by_its_benchmarks_manifest_and_kept(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*BENCHMARK, "--method", "MIMO-UNet+", "--out", "scores.csv"]) == 0
    out = capsys.readouterr().out
    (method,) = read_methods(METHODS, "tiny")
    shards = ShardFolder(checkout / "data/shards/tiny")
    assert (method.name, method.data_digest) == ("MIMO-UNet+", shards.summary.digest)
    assert list(method.rows) == read_table(checkout / "scores.csv")
    rows = shards.rows("test")
    assert [row.key for row in method.rows] == [row.key for row in rows]
    assert f"PSNR dB{means(row.restored for row in method.rows).psnr:17.2f}" in out
    assert out.splitlines()[-1] == "kept in data/methods/tiny/MIMO-UNet+ for the report: dvc repro report"
    for place in sample_rows(rows):
        sample = method.sample(rows[place].key)
        assert sample is not None
        assert np.array_equal(read_image(sample), shards.read(rows[place], ("blur",)).images["blur"])
    assert len(list((method.folder / "samples").rglob("*.png"))) == 6
    assert list((checkout / "cache/banet").iterdir()) == []


def test_shards_elsewhere_are_read_and_without_a_name_nothing_is_kept(checkout: Path) -> None:
    (checkout / "data/shards/tiny").rename(checkout / "elsewhere")
    assert main([*BENCHMARK, "--shards", "elsewhere"]) == 0
    assert not (checkout / "data/methods").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--restored", "results"], "what are the images compared with? name the sharp images by --benchmark NAME, or"),
        (["--restored", "results", "--sharp", "results"], "what are the images compared with?"),
        ([*BENCHMARK[1:], "--sharp", "results"], "--benchmark has its sharp images and its protocol"),
        ([*BENCHMARK[1:], "--protocol", "gopro"], "--benchmark has its sharp images and its protocol"),
        (["--restored", "results", "--sharp", "results", "--protocol", "gopro", "--method", "A"], "--method is for a"),
        (["--restored", "results", "--sharp", "results", "--protocol", "gopro", "--shards", "x"], "--shards is for a"),
        ([*BENCHMARK[1:], "--method", "a/b"], "--method 'a/b' has a character unsuitable for a folder"),
        ([*BENCHMARK[1:], "--shards", "empty"], "empty holds no shards"),
        (
            ["--restored", "results", "--benchmark", "gopro"],
            "there is no benchmark 'gopro': data/benchmarks knows tiny",
        ),
        (["--restored", "none", "--benchmark", "tiny", "--method", "A"], "none is not a folder"),
    ],
)
@pytest.mark.usefixtures("checkout")
def test_mixed_or_missing_options_are_one_line_and_2(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "data/methods").exists()
