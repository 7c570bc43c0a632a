"""The table is read again to the last digit, and every mean with it."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from banet.errors import DataError
from banet.scoring.aggregate import aligned_means, compare, compare_filtered, compare_strata
from banet.scoring.scores import AlignedScores, ImageScores, Scores
from banet.scoring.table import read_table, write_table

Row = Callable[..., ImageScores]


@pytest.fixture
def rows(row: Row) -> list[ImageScores]:
    """Everything that can stand in a row; digits that no short number has."""
    plain = [row(f"s/{i}", 20 + i / 3, 22 + math.sqrt(i), stratum=("a", "b")[i % 2]) for i in range(7)]
    aligned = AlignedScores(psnr=100 / 3, ssim=2 / 3, aligned=False, opencv="5.0.0")
    return [
        *(replace(made, filtered=Scores(psnr=21.1, ssim_matlab3d=1 / 7, ssim_channel=0.1 + 0.2)) for made in plain),
        replace(row('1e5/a, "quoted"', 20, math.inf), variant="", realblur=aligned),
        replace(row("007", math.inf, 21), realblur=replace(aligned, psnr=math.inf, aligned=True)),
    ]


@pytest.mark.parametrize("name", ["images.csv", "images.parquet"])
def test_every_mean_is_computed_again_from_the_file(rows: list[ImageScores], name: str, tmp_path: Path) -> None:
    write_table(tmp_path / name, rows)
    found = read_table(tmp_path / name)
    assert found == rows
    assert compare(found) == compare(rows)
    assert compare_strata(found) == compare_strata(rows)
    assert compare_filtered(found) == compare_filtered(rows)
    assert aligned_means(found) == aligned_means(rows)


@pytest.mark.parametrize("name", ["images.csv", "images.parquet"])
def test_a_table_of_restored_images_alone_has_no_other_columns(row: Row, name: str, tmp_path: Path) -> None:
    alone = [row("a/1", None, 20), row("a/2", None, 21)]
    write_table(tmp_path / name, alone)
    assert read_table(tmp_path / name) == alone
    if name.endswith("csv"):
        assert (tmp_path / name).read_text().splitlines()[0] == (
            '"key","sequence","stratum","variant","restored_psnr","restored_ssim_matlab3d","restored_ssim_channel"'
        )


@pytest.mark.parametrize("name", ["images.csv", "images.parquet"])
def test_names_that_look_like_numbers_stay_texts(row: Row, name: str, tmp_path: Path) -> None:
    aligned = AlignedScores(psnr=20.0, ssim=1.0, aligned=True, opencv="5.0")
    numbers = [replace(row(key, 20, 21, stratum="1e3"), variant="2", realblur=aligned) for key in ("007", "1.50")]
    write_table(tmp_path / name, numbers)
    assert read_table(tmp_path / name) == numbers


@pytest.mark.parametrize("content", [b"", b"nothing", b'"key","restored_psnr"\n"a",x\n'])
@pytest.mark.parametrize("name", ["images.csv", "images.parquet"])
def test_another_file_is_refused_in_one_line(content: bytes, name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{name} is not a table of scores"):
        read_table(tmp_path / name)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name} is not a table of scores") as raised:
        read_table(tmp_path / name)
    assert "\n" not in str(raised.value)
