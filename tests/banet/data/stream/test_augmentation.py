"""Crops are uniform over their exact places, all eight symmetries appear, and a pair is treated as one."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banet.data.stream.augmentation import Augmentation, draw_augmentation
from banet.data.stream.order import augmentation_rng
from banet.errors import DataError

properties = settings(deadline=None, derandomize=True, database=None)  # the same cases in every run


def coded(height: int, width: int) -> np.ndarray:
    """An image whose every pixel names its place."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, 7 * y + x], axis=2).astype(np.uint8)


def test_places_flips_and_turns_are_jointly_uniform_over_the_streams_of_samples() -> None:
    height, width, crop = 4, 5, 3
    cells = (height - crop + 1) * (width - crop + 1) * 2 * 2 * 4
    draws = 150 * cells
    found = Counter(draw_augmentation(augmentation_rng(0, k), height, width, crop, where="x") for k in range(draws))
    assert len(found) == cells  # every cell appears, so the edges do
    chi_square = sum((count - 150) ** 2 / 150 for count in found.values())
    freedom = cells - 1
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


def test_places_are_uniform_where_their_number_is_no_power_of_two() -> None:
    places = 11
    draws = 500 * places
    tops = Counter(draw_augmentation(augmentation_rng(1, k), places + 2, 3, 3, where="x").top for k in range(draws))
    assert sorted(tops) == list(range(places))
    chi_square = sum((count - 500) ** 2 / 500 for count in tops.values())
    assert abs(chi_square - (places - 1)) < 5 * np.sqrt(2 * (places - 1))


def test_all_eight_symmetries_appear_equally_often() -> None:
    image = coded(3, 3)
    results = Counter(
        Augmentation(top=0, left=0, crop=3, flip_horizontal=h, flip_vertical=v, quarter_turns=turns)(image).tobytes()
        for h in (False, True)
        for v in (False, True)
        for turns in range(4)
    )
    assert len(results) == 8
    assert set(results.values()) == {2}


@pytest.mark.parametrize("k", range(20))
def test_a_crop_is_a_window_of_the_image_turned(k: int) -> None:
    image = coded(9, 13)
    draw = draw_augmentation(augmentation_rng(0, k), 9, 13, 5, where="x")
    patch = draw(image)
    assert patch.shape == (5, 5, 3)
    assert patch.dtype == np.uint8
    assert patch.flags.c_contiguous
    window = image[draw.top : draw.top + 5, draw.left : draw.left + 5]
    assert sorted(map(tuple, patch.reshape(-1, 3))) == sorted(map(tuple, window.reshape(-1, 3)))
    undone = np.rot90(patch, -draw.quarter_turns)
    undone = undone[::-1] if draw.flip_vertical else undone
    undone = undone[:, ::-1] if draw.flip_horizontal else undone
    assert np.array_equal(undone, window)


def test_flips_and_turns_by_hand() -> None:
    image = np.arange(4, dtype=np.uint8).reshape(2, 2, 1).repeat(3, axis=2)  # 0 1 / 2 3

    def patch(*, h: bool = False, v: bool = False, turns: int = 0) -> list[list[int]]:
        draw = Augmentation(top=0, left=0, crop=2, flip_horizontal=h, flip_vertical=v, quarter_turns=turns)
        return draw(image)[..., 0].tolist()  # type: ignore[no-any-return]

    assert patch(h=True) == [[1, 0], [3, 2]]
    assert patch(v=True) == [[2, 3], [0, 1]]
    assert patch(turns=1) == [[1, 3], [0, 2]]  # counter-clockwise
    assert patch(h=True, turns=1) == [[0, 2], [1, 3]]  # flipped first


def test_a_crop_as_large_as_the_image_is_the_image() -> None:
    draw = draw_augmentation(augmentation_rng(0, 0), 6, 6, 6, where="x")
    assert (draw.top, draw.left) == (0, 0)


@pytest.mark.parametrize("size", [(5, 20), (20, 5)])
def test_a_crop_larger_than_the_image_is_refused_by_name(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=rf"rocket/000001 is {size[0]}x{size[1]}, smaller than the training crop 6"):
        draw_augmentation(augmentation_rng(0, 0), *size, 6, where="rocket/000001")


@properties
@given(crop=st.integers(1, 12), extra=st.tuples(st.integers(0, 40), st.integers(0, 40)), seed=st.integers(0, 2**63))
def test_any_draw_lies_inside_and_can_be_undone(crop: int, extra: tuple[int, int], seed: int) -> None:
    height, width = crop + extra[0], crop + extra[1]
    image = coded(height, width)
    draw = draw_augmentation(augmentation_rng(seed, 0), height, width, crop, where="x")
    assert 0 <= draw.top <= height - crop
    assert 0 <= draw.left <= width - crop
    undone = np.rot90(draw(image), -draw.quarter_turns)
    undone = undone[::-1] if draw.flip_vertical else undone
    undone = undone[:, ::-1] if draw.flip_horizontal else undone
    assert np.array_equal(undone, image[draw.top : draw.top + crop, draw.left : draw.left + crop])


@settings(properties, max_examples=20)
@given(crop=st.integers(1, 5), rows=st.integers(1, 6), columns=st.integers(1, 6), seed=st.integers(0, 2**63))
def test_every_exact_place_and_every_flip_and_turn_appears(crop: int, rows: int, columns: int, seed: int) -> None:
    size = (rows + crop - 1, columns + crop - 1)
    draws = [draw_augmentation(augmentation_rng(seed, k), *size, crop, where="x") for k in range(1000)]
    # of 36 places one stays away once in 10^10 times, of 16 combinations never
    assert {(draw.top, draw.left) for draw in draws} == {(y, x) for y in range(rows) for x in range(columns)}
    assert len({(draw.flip_horizontal, draw.flip_vertical, draw.quarter_turns) for draw in draws}) == 16


@properties
@given(crop=st.integers(1, 8), seed=st.integers(0, 2**63), k=st.integers(0, 10**12))
def test_one_draw_treats_all_images_of_a_pair_alike(crop: int, seed: int, k: int) -> None:
    image = coded(9, 13)
    draw = draw_augmentation(augmentation_rng(seed, k), 9, 13, crop, where="x")
    assert np.array_equal(draw(255 - image), 255 - draw(image))
