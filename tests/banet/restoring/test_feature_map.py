"""Rewriting in place: every piece reads old features alone, in both directions, in memory and in a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from banet.errors import ResourceError
from banet.restoring.feature_map import Area, FeatureMap

HALO = 3


def pieces(area: Area, side: int, *, backwards: bool) -> Iterator[Area]:
    if max(area.height, area.width) <= side:
        yield area
        return
    halves = area.halves(side)
    for half in reversed(halves) if backwards else halves:
        yield from pieces(half, side, backwards=backwards)


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 40), width=st.integers(1, 40), side=st.integers(1, 12))
def test_cutting_in_two_covers_an_area_once_with_equal_parts(height: int, width: int, side: int) -> None:
    whole = Area(5, 5 + height, 7, 7 + width)
    seen = torch.zeros(1, 1, 5 + height, 7 + width)
    sizes = set()
    for piece in pieces(whole, side, backwards=False):
        piece.cut(seen).add_(1)
        sizes |= {(piece.height, piece.width)}
        assert max(piece.height, piece.width) <= side
    assert whole.cut(seen).eq(1).all()
    assert seen.sum() == height * width
    assert max(h for h, _ in sizes) - min(h for h, _ in sizes) <= max(1, side // 2)


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("side", [1, 4, 9, 100])
def test_passes_in_place_equal_passes_over_a_copy(side: int, in_file: bool, tmp_path: Path) -> None:
    """Each pass adds, at every place, what is HALO places away on either side: wrong if that were new already."""
    size, whole = (2, 23, 31), Area(0, 23, 0, 31)
    features = FeatureMap(size, margin=HALO, like=torch.empty(0), folder=tmp_path if in_file else None)
    expected = torch.rand(1, *size, generator=torch.Generator().manual_seed(0))
    features.write(whole, expected)
    directions = []
    for _ in range(3):
        features.turn()
        directions.append(features.backwards)
        for piece in pieces(whole, side, backwards=features.backwards):
            seen = piece.widened(HALO, whole)
            features.write(piece, piece.within(seen).cut(around(features.read(seen))))
            features.release()
        expected = around(expected)
    features.turn()
    torch.testing.assert_close(features.read(whole), expected, rtol=0, atol=0)
    assert directions in ([True, False, True], [False, True, False])
    assert list(tmp_path.iterdir()) == []


def around(x_BCHW: torch.Tensor) -> torch.Tensor:
    """Zeros are beyond the border, as for convolutions."""
    padded = torch.nn.functional.pad(x_BCHW, (HALO,) * 4)
    corners = [padded[:, :, i : i + x_BCHW.shape[2], j : j + x_BCHW.shape[3]] for i in (0, 6) for j in (0, 6)]
    return x_BCHW + torch.stack(corners).sum(0)


def test_a_folder_with_too_little_space_is_told_before_it_is_filled(tmp_path: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        FeatureMap((1000, 10**5, 10**5), margin=HALO, like=torch.empty(0), folder=tmp_path)
    reason = "cannot hold 37255.1 GiB for features between modules (No space left on device)"
    assert f"{tmp_path} {reason}" in str(caught.value)
    with pytest.raises(ResourceError, match=r"missing cannot hold .*No such file or directory"):
        FeatureMap((1, 1, 1), margin=HALO, like=torch.empty(0), folder=tmp_path / "missing")
