"""What is reported of a restoration, and what is warned of."""

import csv

import numpy as np
import pytest

from banet.restoring.change import measure_change, table

GREY = np.full((200, 150, 3), 100, np.uint8)


def test_numbers_and_places() -> None:
    after = GREY.copy()
    after[64:128, 64:] += 10  # the last block of a row is 86 wide
    after[70, 70] += 5
    change = measure_change(GREY, after, 255)
    assert change.mean == pytest.approx(np.abs(after.astype(int) - GREY).mean())
    assert (change.largest, change.blocks[0][:2]) == (15, (64, 64))
    assert change.blocks[0][2] == pytest.approx(10, abs=0.01)
    assert change.shift == pytest.approx(10, abs=0.01)
    assert change.warning() == ""


@pytest.mark.parametrize("shape", [(200, 150), (40, 60), (127, 128)])
def test_sharpening_is_not_warned_of(shape: tuple[int, int]) -> None:
    """Strong, but without a mean: lines of 60 of 255."""
    before = np.full((*shape, 3), 100, np.uint8)
    after = before.copy()
    after[:, 5:40:31], after[:, 6:40:31] = 130, 70
    assert measure_change(before, after, 255).warning() == ""


def test_a_block_of_another_colour_is_warned_of_with_its_place() -> None:
    after = GREY.copy()
    after[64:128, :64, 1] += 40  # green alone
    text = measure_change(GREY, after, 255).warning()
    assert "the colour of a whole block of 64x64 pixels by 40 of 255" in text
    assert "(row 64, column 0)" in text
    assert text.count("\n") == 0


@pytest.mark.parametrize("kind", ["rows", "columns", "both"])
@pytest.mark.parametrize("most", [255, 65535])
def test_a_checkerboard_is_warned_of(kind: str, most: int) -> None:
    rows, columns = np.indices((200, 150))
    signs = (-1) ** {"rows": rows, "columns": columns, "both": rows + columns}[kind][..., None]
    before = np.full((200, 150, 1), 100 * most // 255, np.uint16)
    change = measure_change(before, (before + 8 * (most // 255) * signs).astype(np.uint16), most)
    assert change.checkerboard == pytest.approx(8, abs=0.01)
    assert "a checkerboard of 8 of 255" in change.warning()


def test_the_table_has_a_row_per_picture() -> None:
    after = GREY.copy()
    after[:64, :64] += 40
    rows = list(csv.DictReader(table({"a, b.png": measure_change(GREY, after, 255)}).splitlines()))
    assert [row["picture"] for row in rows] == ["a, b.png"]
    assert float(rows[0]["largest"]) == 40
    assert rows[0]["most changed"].startswith("0:0:40.0 ")
    assert "whole block" in rows[0]["warning"]
