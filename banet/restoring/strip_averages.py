"""Strips across a whole picture whose features are seen piece by piece.

Shapes: ``B`` batch, always 1, ``C`` channels, ``H`` rows and ``W`` columns of the whole features, ``n`` strips.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from banet.model.strips import COLUMNS, GlobalStrips
from banet.restoring.feature_map import Area


@dataclass(frozen=True, slots=True, eq=False)
class AveragedStrips(GlobalStrips):
    """Strips of a piece, whose averages over the whole picture are known."""

    averages: tuple[Tensor, ...]

    def average(self, x_BCHW: Tensor, dim: int) -> tuple[Tensor, ...]:
        """Return the averages over the whole picture; x is not used."""
        return self.averages


class StripAverages:
    """Averages over strips along one axis, from all pieces of the features.

    Args:
        strips: of the whole picture.
        dim: the axis that they divide: for columns averages are (B, C, H, n), Eq. (2), for rows (B, C, n, W), Eq. (3).
        features_BCHW: their size and device are used.
    """

    def __init__(self, strips: GlobalStrips, dim: int, features_BCHW: Tensor) -> None:
        B, C, H, W = features_BCHW.shape
        self._strips, self._dim = strips, dim
        shapes = ((B, C, H, n) if dim == COLUMNS else (B, C, n, W) for n in strips.kernels)
        self._sums = [torch.zeros(shape, dtype=torch.float64, device=features_BCHW.device) for shape in shapes]

    def add(self, x_BCHW: Tensor, piece: Area) -> None:
        """Add the features of one piece."""
        windows = self._strips.windows[:, self._along(piece)].float()
        parts = replace(self._strips, windows=windows).average(x_BCHW.float(), self._dim)
        for total, part in zip(self._sums, parts, strict=True):
            self._cut(total, piece).add_(part)

    def of(self, piece: Area) -> AveragedStrips:
        """Return the strips of one piece, after all pieces were added."""
        places = self._strips.places[self._along(piece)]
        averages = (self._cut(total, piece).to(places.dtype) for total in self._sums)
        contiguous = tuple(y.contiguous(memory_format=torch.channels_last) for y in averages)
        return AveragedStrips(self._strips.kernels, self._strips.windows, places, contiguous)

    def _along(self, piece: Area) -> slice:
        return slice(piece.left, piece.right) if self._dim == COLUMNS else slice(piece.top, piece.bottom)

    def _cut(self, y: Tensor, piece: Area) -> Tensor:
        return y[:, :, piece.top : piece.bottom] if self._dim == COLUMNS else y[..., piece.left : piece.right]
