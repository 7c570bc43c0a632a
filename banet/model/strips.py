"""Strip pooling and spreading, Eqs. (2) to (4), in the form of the released networks or literally.

Averaging over strips and spreading strips over the image are both products with a small matrix along one axis. The
matrices are made from the size at run time: an exported network stays correct at sizes other than that of the export.

Shapes: ``B`` batch, ``C`` channels, ``H`` rows, ``W`` columns, ``L`` length of an axis (H or W), ``n`` strips of one
kernel, ``N`` strips of all kernels together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from banet.errors import DataError

ROWS, COLUMNS = 2, 3  # dimensions of a BCHW tensor

Windows = Literal["adaptive", "fixed"]


@dataclass(frozen=True, slots=True, eq=False)
class GlobalStrips:
    """n strips across the whole axis, for every kernel n, as in training."""

    kernels: tuple[int, ...]
    windows: Tensor  # (N, L), row i averages over strip i
    places: Tensor  # (L, N), one-hot: the strip of each kernel that covers a place

    @property
    def steps(self) -> tuple[int, ...]:
        """Distance between neighbouring strips: they are adjacent."""
        return (1,) * len(self.kernels)

    def average(self, x_BCHW: Tensor, dim: int) -> tuple[Tensor, ...]:
        """Average over the strips: for columns (B, C, H, n), Eq. (2); for rows (B, C, n, W), Eq. (3)."""
        return torch.split(_product(self.windows, x_BCHW, dim), list(self.kernels), dim)

    def spread(self, y: Tensor, dim: int, kernel: int) -> Tensor:
        """Repeat the n strips of one kernel along the axis: (B, C, H, W)."""
        return _product(torch.split(self.places, list(self.kernels), 1)[kernel], y, dim)

    def spread_sum(self, strips: Sequence[Tensor], dim: int) -> Tensor:
        """Return the sum of `spread` over the kernels, in one product."""
        return _product(self.places, torch.cat(list(strips), dim), dim)


@dataclass(frozen=True, slots=True, eq=False)
class LocalStrips:
    """n strips across a window around each place: strips as long as in the training crops.

    The idea of the test-time local converter (Chu et al., "Improving Image Restoration by Revisiting Global Information
    Aggregation") for strips: one strip is centred on the place, its neighbours are a strip's width away on either
    side. At the border the strips are shifted inside.
    """

    kernels: tuple[int, ...]
    window: int  # features

    @property
    def steps(self) -> tuple[int, ...]:
        """Distance between neighbouring strips: the width of a strip."""
        return tuple(round(self.window / n) for n in self.kernels)

    def average(self, x_BCHW: Tensor, dim: int) -> tuple[Tensor, ...]:
        """Average over the strip around each place: (B, C, H, W) per kernel."""
        L = x_BCHW.shape[dim]
        sums = F.pad(x_BCHW.float().cumsum(dim), (1, 0) if dim == COLUMNS else (0, 0, 1, 0))
        place_L = torch.arange(L, device=x_BCHW.device)
        averages = []
        for n in self.kernels:
            width = -(-self.window // n)
            first_L = (place_L - width // 2).clamp(0, L - width)
            total = sums.index_select(dim, first_L + width) - sums.index_select(dim, first_L)
            averages.append((total / width).to(x_BCHW.dtype))
        return tuple(averages)

    def spread(self, y: Tensor, dim: int, kernel: int) -> Tensor:
        """Return y, which has a value for every place already."""
        return y

    def spread_sum(self, strips: Sequence[Tensor], dim: int) -> Tensor:
        """Sum over the kernels."""
        return torch.stack(list(strips)).sum(0)


@dataclass(frozen=True, slots=True, eq=False)
class StripGrid:
    """The strips along both axes of features of one size; made once per forward pass, shared by all modules."""

    columns: GlobalStrips | LocalStrips  # bands of columns: the vertical tensors of Eq. (2)
    rows: GlobalStrips | LocalStrips  # bands of rows: the horizontal tensors of Eq. (3)

    def average(self, x_BCHW: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return, per kernel, the vertical tensor (B, C, H, n) and the horizontal tensor (B, C, n, W)."""
        vertical, horizontal = self.columns.average(x_BCHW, COLUMNS), self.rows.average(x_BCHW, ROWS)
        return list(zip(vertical, horizontal, strict=True))

    def spread(self, yv: Tensor, yh: Tensor, kernel: int) -> Tensor:
        """Eq. (4) for one kernel: the sum of both tensors, each repeated over the image, (B, C, H, W)."""
        return self.columns.spread(yv, COLUMNS, kernel) + self.rows.spread(yh, ROWS, kernel)

    def spread_sum(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Return the sum of Eq. (4) over all kernels, (B, C, H, W), without materialising the map of each."""
        total = self.columns.spread_sum([yv for yv, _ in pairs], COLUMNS)
        return total.add_(self.rows.spread_sum([yh for _, yh in pairs], ROWS))


def strip_grid(
    features_BCHW: Tensor, kernels: tuple[int, ...], *, windows: Windows = "adaptive", local_window: int | None = None
) -> StripGrid:
    """Make the strips for features of one size.

    Args:
        features_BCHW: their size, type and device are used.
        kernels: the strip numbers n.
        windows: "adaptive", strip i spans [floor(i L / n), ceil((i+1) L / n)) and nearest interpolation assigns places
            to strips, as in the released networks; or "fixed", Eqs. (2) to (4) literally. They are equal where L mod n
            is 0 or 1 (docs/paper.md).
        local_window: at test time, the length, in features, of the window around each place that strips divide, on an
            axis longer than it; None: strips across the whole axis.

    Raises:
        DataError: "fixed", and fewer rows or columns than strips: the stride of Eq. (2) would be 0.
    """

    def axis(dim: int) -> GlobalStrips | LocalStrips:
        L = features_BCHW.shape[dim]
        if local_window is not None and local_window < L:
            return LocalStrips(kernels, local_window)
        make = _fixed if windows == "fixed" else _adaptive
        made = [make(L, n, features_BCHW.device) for n in kernels]
        windows_NL = torch.cat([averages_nL for averages_nL, _ in made]).to(features_BCHW.dtype)
        places_LN = torch.cat([places_Ln for _, places_Ln in made], 1).to(features_BCHW.dtype)
        return GlobalStrips(kernels, windows_NL, places_LN)

    return StripGrid(columns=axis(COLUMNS), rows=axis(ROWS))


def _adaptive(L: int, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    strip_n = torch.arange(n, device=device)
    first_n, end_n = strip_n * L // n, -(-(strip_n + 1) * L // n)
    # In float32, like nearest interpolation: at some lengths the result is not floor(n j / L).
    step = torch.tensor(float(n), device=device) / L
    place_L = torch.arange(L, device=device, dtype=torch.float32) * step
    return _averages(first_n, end_n, L), _one_hot(place_L.long().clamp(max=n - 1), n)


def _fixed(L: int, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    if n > L:
        raise DataError(
            f"{n} strips by Eq. (2) need features of at least {n} rows and columns, got {L}: use an image of "
            f"{2 * n}x{2 * n} pixels or more, or set strip_windows to adaptive"
        )
    first_n = torch.arange(n, device=device) * (L // n)
    kernel = L - (n - 1) * (L // n)
    place_L = torch.arange(L, device=device)
    return _averages(first_n, first_n + kernel, L), _one_hot(place_L * n // L, n)


def _averages(first_n: Tensor, end_n: Tensor, L: int) -> Tensor:
    """Return the matrix (n, L) whose rows average over [first, end)."""
    place_L = torch.arange(L, device=first_n.device)
    inside_nL = (place_L >= first_n[:, None]) & (place_L < end_n[:, None])
    return inside_nL / (end_n - first_n)[:, None]


def _one_hot(strip_L: Tensor, n: int) -> Tensor:
    return (strip_L[:, None] == torch.arange(n, device=strip_L.device)).float()


def is_channels_last(x_BCHW: Tensor) -> bool:
    """Whether the memory layout is BHWC, and not BCHW too (as with one channel or one pixel)."""
    return x_BCHW.is_contiguous(memory_format=torch.channels_last) and not x_BCHW.is_contiguous()


def _product(matrix_MN: Tensor, x_BCHW: Tensor, dim: int) -> Tensor:
    """Multiply by a matrix along rows or columns, N places in, M out; the memory format is kept."""
    if not is_channels_last(x_BCHW):
        y_BCHW: Tensor = matrix_MN @ x_BCHW if dim == ROWS else x_BCHW @ matrix_MN.T
        return y_BCHW
    x_BHWC = x_BCHW.permute(0, 2, 3, 1)
    if dim == COLUMNS:
        return torch.matmul(matrix_MN, x_BHWC).permute(0, 3, 1, 2)
    B, H, W, C = x_BHWC.shape
    return torch.matmul(matrix_MN, x_BHWC.reshape(B, H, W * C)).view(B, -1, W, C).permute(0, 3, 1, 2)
