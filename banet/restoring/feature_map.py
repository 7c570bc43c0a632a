"""The features between two modules: one buffer, in memory or in a file, that is rewritten in place piece by piece."""

import errno
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from banet.errors import ResourceError


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of places: rows [top, bottom), columns [left, right)."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    def halves(self, side: int) -> tuple["Area", "Area"]:
        """Cut the longer side in two, so that equal parts of at most `side` places can follow."""
        longer = max(self.height, self.width)
        parts = max(2, -(-longer // side))
        first = longer * (parts // 2) // parts
        if longer == self.height:
            middle = self.top + first
            return Area(self.top, middle, self.left, self.right), Area(middle, self.bottom, self.left, self.right)
        middle = self.left + first
        return Area(self.top, self.bottom, self.left, middle), Area(self.top, self.bottom, middle, self.right)

    def widened(self, by: int, whole: "Area") -> "Area":
        """Return the area with `by` more places on every side, as far as `whole` goes."""
        return Area(
            max(self.top - by, whole.top),
            min(self.bottom + by, whole.bottom),
            max(self.left - by, whole.left),
            min(self.right + by, whole.right),
        )

    def within(self, outer: "Area") -> "Area":
        """Return the same area counted from the corner of `outer`."""
        top, left = outer.top, outer.left
        return Area(self.top - top, self.bottom - top, self.left - left, self.right - left)

    def doubled(self) -> "Area":
        """Return the pixels below these places."""
        return Area(2 * self.top, 2 * self.bottom, 2 * self.left, 2 * self.right)

    def cut(self, x_BCHW: Tensor) -> Tensor:
        """Return these places of a tensor, a view."""
        return x_BCHW[:, :, self.top : self.bottom, self.left : self.right]


class FeatureMap:
    """Features (1, C, H, W) that are overwritten while they are read.

    The buffer has `margin` more rows and columns than the features. A pass reads the old features at one corner of it
    and writes the new ones to the opposite corner. What is overwritten is therefore nothing that a later piece reads,
    if a piece reads at most `margin` places around what it writes, and pieces come from cutting the whole in two again
    and again, the halves taken in the order that `backwards` says.

    Args:
        size: (C, H, W).
        margin: the widest halo of a pass, places.
        like: the type and device of the features.
        folder: holds the buffer in a file without a name, which ends with this object; None: the memory of the device.

    Raises:
        ResourceError: the folder has too little space.
    """

    def __init__(self, size: tuple[int, int, int], *, margin: int, like: Tensor, folder: Path | None = None) -> None:
        C, H, W = size
        shape = (H + margin, W + margin, C)
        self._device = like.device
        self._file: mmap.mmap | None = None
        if folder is None:
            self._store_HWC = torch.empty(shape, dtype=like.dtype, device=like.device)
        else:
            self._file = _file_in(folder, math.prod(shape) * like.itemsize)
            self._store_HWC = torch.frombuffer(self._file, dtype=like.dtype).view(shape)
        self._old, self._new = margin, 0

    @property
    def backwards(self) -> bool:
        """Whether the next pass takes lower and right halves first."""
        return self._new > self._old

    def turn(self) -> None:
        """Begin the next pass: what was written becomes what is read."""
        self._old, self._new = self._new, self._old

    def read(self, area: Area) -> Tensor:
        """Return old features, (1, C, H, W) in channels_last."""
        x_BCHW = area.cut(self._at(self._old)).to(self._device)
        return x_BCHW.contiguous(memory_format=torch.channels_last)

    def write(self, area: Area, x_BCHW: Tensor) -> None:
        """Set new features."""
        area.cut(self._at(self._new)).copy_(x_BCHW)

    def release(self) -> None:
        """Take the pages of the file out of this process's memory; the system writes them when it wants."""
        if self._file is not None and hasattr(self._file, "madvise"):  # not on Windows
            self._file.madvise(mmap.MADV_DONTNEED)

    def _at(self, shift: int) -> Tensor:
        return self._store_HWC[shift:, shift:].permute(2, 0, 1).unsqueeze(0)


def _file_in(folder: Path, size: int) -> mmap.mmap:
    reserve: Callable[[int, int, int], None] | None = getattr(os, "posix_fallocate", None)  # not on macOS
    try:
        if shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(size)
            if reserve is not None:  # or a full disk would end the process where it writes
                reserve(file.fileno(), 0, size)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        need = f"{size / 2**30:.1f} GiB for features between modules"
        raise ResourceError(
            f"{folder} cannot hold {need} ({error.strerror}): free space there, or allow more memory"
        ) from None
