"""The table by image gives the figures by image and the worst ten."""

import math
from pathlib import Path

import pytest

from banet.errors import DataError
from banet.scoring.scores import ImageScores, Scores
from banet.scoring.table import write_table
from pipelines.report.data.image_rows import ImageRow, read_images
from pipelines.report.tables.results import worst_table


def image(key: str, before: float, after: float, stratum: str | None = None) -> ImageRow:
    return ImageRow(key=key, stratum=stratum, blurred_psnr=before, restored_psnr=after)


def test_rows_of_the_variant_in_their_order(reports: Path) -> None:
    rows = read_images(reports / "evaluate/mini", "blur")
    assert len(rows) == 36
    assert rows[1] == image("coffee_short/000001", 26.1, 26.6, "short")
    assert read_images(reports / "evaluate/mini", "blur_noise_free")[1].blurred_psnr == pytest.approx(28.1)


def test_a_table_that_is_missing_damaged_or_of_another_variant(reports: Path) -> None:
    folder = reports / "evaluate/mini"
    with pytest.raises(DataError, match=r"has no row of the variant blur_gamma: run the evaluate@mini stage again$"):
        read_images(folder, "blur_gamma")
    (folder / "images.parquet").write_bytes(b"PAR1")
    with pytest.raises(
        DataError, match=r"images\.parquet is not a table of scores .*: run the evaluate@mini stage again$"
    ):
        read_images(folder, "blur")
    (folder / "images.parquet").unlink()
    with pytest.raises(DataError, match=r"images\.parquet is missing: run the evaluate@mini stage first$"):
        read_images(folder, "blur")


def test_restored_images_alone_have_no_gain(tmp_path: Path) -> None:
    scores = Scores(psnr=30.0, ssim_matlab3d=0.9, ssim_channel=0.9)
    alone = ImageScores(key="a", sequence="a", stratum=None, variant="blur", blurred=None, restored=scores)
    write_table(tmp_path / "images.parquet", [alone])
    with pytest.raises(DataError, match="has no row of the variant blur"):
        read_images(tmp_path, "blur")


def test_identical_images_neither_gain_nor_are_drawn() -> None:
    same, perfect = image("a", math.inf, math.inf), image("b", 30.0, math.inf)
    assert (same.gain, perfect.gain) == (0.0, math.inf)
    assert not same.finite
    assert not perfect.finite


def test_the_worst_ten_come_worst_first() -> None:
    rows = [image(f"s/{i:02d}", 20.0, 20.0 + (7 * i) % 12, "long" if i % 2 else None) for i in range(12)]
    table = worst_table("mini", rows)
    assert table.caption == "mini: the 10 images of lowest PSNR restored, of 12"
    assert table.headings == ("image", "blur", "blurred dB", "restored dB", "gain dB")
    assert [row.figures[2] for row in table.rows] == [f"{20 + i:.2f}" for i in range(10)]
    assert (table.rows[0].label, table.rows[0].figures) == ("s/00", ("-", "20.00", "20.00", "+0.00"))
    assert table.rows[1].figures == ("long", "20.00", "21.00", "+1.00")


def test_a_benchmark_without_strata_has_no_such_column() -> None:
    table = worst_table("hide", [image("b", 30.0, math.inf), image("a", 25.0, 24.0)])
    assert table.headings == ("image", "blurred dB", "restored dB", "gain dB")
    assert [(row.label, *row.figures) for row in table.rows] == [
        ("a", "25.00", "24.00", "-1.00"),
        ("b", "30.00", "inf", "+inf"),
    ]
