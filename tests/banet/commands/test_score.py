"""`banet score`: what it prints and writes, and its status for each mistake."""

from pathlib import Path

import numpy as np
import pytest

from banet.cli import main
from banet.data.codec import write_image
from banet.metrics.realblur import opencv_version
from banet.scoring.means import means
from banet.scoring.table import read_table


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
    paths = [str(tmp_path / text) if i else text for i, text in enumerate(change)]
    assert main([*folders, "gopro", *paths]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert reason in error


@pytest.mark.parametrize("change", [["--protocol", "hide"], ["--workers", "0"], ["--workers", "two"]])
def test_a_wrong_option_is_2(folders: list[str], change: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main([*folders, "gopro", *change])
    assert raised.value.code == 2
