"""Strips and their way back, against literal sums and against torch's own pooling and interpolation."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from banet.errors import DataError
from banet.model.strips import COLUMNS, ROWS, StripGrid, strip_grid

KERNELS = (1, 3, 5, 7)
SIZES = [(8, 8), (4, 5), (1, 1), (128, 128), (21, 64), (36, 65)]


def features(size: tuple[int, int], memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
    x = torch.randn(2, 6, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x.contiguous(memory_format=memory_format)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", SIZES)
def test_adaptive_strips_are_those_of_adaptive_pooling_and_nearest_interpolation(
    size: tuple[int, int], memory_format: torch.memory_format
) -> None:
    x = features(size, memory_format)
    grid = strip_grid(x, KERNELS)
    H, W = size
    pairs = grid.average(x)
    expected = torch.zeros_like(x)
    for kernel, (n, (yv, yh)) in enumerate(zip(KERNELS, pairs, strict=True)):
        torch.testing.assert_close(yv, F.adaptive_avg_pool2d(x, (H, n)))
        torch.testing.assert_close(yh, F.adaptive_avg_pool2d(x, (n, W)))
        spread = F.interpolate(yv, (H, W)) + F.interpolate(yh, (H, W))
        torch.testing.assert_close(grid.spread(yv, yh, kernel), spread)
        expected += spread
    total = grid.spread_sum(pairs)
    torch.testing.assert_close(total, expected)
    if min(size) > 1:
        assert total.is_contiguous(memory_format=memory_format)


@pytest.mark.slow
def test_a_place_gets_the_strip_of_nearest_interpolation_at_every_length() -> None:
    for n in (3, 5, 7, 9):
        strips = torch.arange(float(n)).view(1, 1, 1, n)
        for length in range(1, 2049):
            grid = strip_grid(torch.empty(1, 1, 1, length), (n,))
            ours = grid.columns.spread(strips, COLUMNS, 0).flatten()
            assert torch.equal(ours, F.interpolate(strips, (1, length)).flatten()), (n, length)


def literal_equations(x: Tensor, n: int) -> Tensor:
    """Eqs. (2) to (4) of the paper, sum by sum, without a convolution between."""
    H, W = x.shape[2:]
    S_h, S_v = W // n, H // n
    K_h, K_v = W - (n - 1) * S_h, H - (n - 1) * S_v
    y = torch.empty_like(x)
    for i in range(H):
        for j in range(W):
            column, row = math.floor(n * j / W), math.floor(n * i / H)
            vertical = sum(x[:, :, i, column * S_h + k] for k in range(K_h)) / K_h
            horizontal = sum(x[:, :, row * S_v + k, j] for k in range(K_v)) / K_v
            y[:, :, i, j] = vertical + horizontal
    return y


@pytest.mark.parametrize("size", [(7, 7), (9, 13), (16, 24), (12, 20)])
def test_fixed_strips_are_equations_2_to_4(size: tuple[int, int]) -> None:
    x = features(size)
    grid = strip_grid(x, KERNELS, windows="fixed")
    for kernel, (n, pair) in enumerate(zip(KERNELS, grid.average(x), strict=True)):
        torch.testing.assert_close(grid.spread(*pair, kernel), literal_equations(x, n))


@pytest.mark.parametrize("n", [3, 5, 7])
def test_both_windows_are_one_where_a_length_leaves_no_or_one_place_over(n: int) -> None:
    for length in range(n, 60):
        x = features((length, length))
        adaptive, fixed = (strip_grid(x, (n,), windows=w).average(x)[0][0] for w in ("adaptive", "fixed"))
        assert torch.allclose(adaptive, fixed) == (length % n in (0, 1)), length


def test_equation_2_needs_as_many_columns_as_strips() -> None:
    with pytest.raises(DataError, match=r"7 strips by Eq\. \(2\) need .* at least 7 rows and columns, got 6: .* 14x14"):
        strip_grid(features((9, 6)), KERNELS, windows="fixed")
    strip_grid(features((7, 7)), KERNELS, windows="fixed")


def literal_local(x: Tensor, n: int, window: int, dim: int) -> Tensor:
    """The mean over the strip around each place, one place at a time."""
    x = x.transpose(dim, 3)
    W, width = x.shape[3], math.ceil(window / n)
    y = torch.empty_like(x)
    for j in range(W):
        first = min(max(j - width // 2, 0), W - width)
        y[..., j] = x[..., first : first + width].mean(3)
    return y.transpose(dim, 3)


def test_local_strips_average_around_each_place() -> None:
    x = features((30, 41)).float()
    grid = strip_grid(x, KERNELS, local_window=20)
    for n, (yv, yh) in zip(KERNELS, grid.average(x), strict=True):
        torch.testing.assert_close(yv, literal_local(x, n, 20, COLUMNS))
        torch.testing.assert_close(yh, literal_local(x, n, 20, ROWS))
    assert grid.columns.steps == (20, 7, 4, 3)
    pairs = grid.average(x)
    maps = [grid.spread(*pair, kernel) for kernel, pair in enumerate(pairs)]
    torch.testing.assert_close(grid.spread_sum(pairs), sum(maps, torch.zeros_like(x)))


def test_strips_are_local_only_along_an_axis_longer_than_the_window() -> None:
    def shapes(grid: StripGrid) -> list[list[int]]:
        return [list(y.shape[2:]) for y in grid.average(x)[1]]

    x = features((20, 33))
    assert shapes(strip_grid(x, KERNELS, local_window=20)) == [[20, 33], [3, 33]]
    assert shapes(strip_grid(x, KERNELS, local_window=33)) == [[20, 3], [3, 33]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_neither_overflows_nor_drifts(dtype: torch.dtype) -> None:
    x = 1000 + 100 * features((180, 320)).float()  # the sum over a row would not fit into float16
    for window in (None, 64):
        half = strip_grid(x.to(dtype), KERNELS, local_window=window)
        full = strip_grid(x, KERNELS, local_window=window)
        for ours, exact in zip(half.average(x.to(dtype)), full.average(x), strict=True):
            for y, z in zip(ours, exact, strict=True):
                torch.testing.assert_close(y.float(), z, rtol=0.01, atol=0)


def test_gradients_are_those_of_the_products() -> None:
    x = features((6, 9)).requires_grad_()
    for grid in (strip_grid(x, (1, 3)), strip_grid(x, (1, 3), windows="fixed")):
        assert torch.autograd.gradcheck(lambda x, grid=grid: grid.spread_sum(grid.average(x)), (x,))
