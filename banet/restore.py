"""Restoring images of any size with a trained network."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from banet.errors import DataError
from banet.image import Image, require_image, to_image, to_tensor

SMALLEST = 8  # pixels a side


def restore(model: nn.Module, image: Image) -> Image:
    """Return the restored image: uint8 RGB (H, W, 3) in, the same out, from 8x8 up, in one pass over the whole image.

    Raises:
        DataError: not a uint8 RGB image, or smaller than 8x8.
    """
    require_image(image)
    if min(image.shape[:2]) < SMALLEST:
        H, W = image.shape[:2]
        raise DataError(f"the image is {H}x{W} (height x width), the network restores from {SMALLEST}x{SMALLEST} up")
    parameter = next(model.parameters(), torch.empty(0))
    with torch.inference_mode():
        return to_image(model(to_tensor(image).to(device=parameter.device, dtype=parameter.dtype)))


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Let a GPU compute convolutions in the arithmetic of their type, and always alike, as scores need it.

    By default it takes TF32 for float32, which keeps ten bits of each factor.
    """
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def restore_in_parts(model: nn.Module, image: Image, *, parts: tuple[int, int] = (2, 4)) -> Image:
    """Restore an image part by part and put the parts together: SA* and BA* of Table 9, on eight sub-images.

    The parts do not overlap, and differ by one pixel a side at most. Each is restored as an image of its own, so that
    attention sees no further than its part, and the seams may show.

    Args:
        model: as for `restore`.
        image: uint8 RGB (H, W, 3).
        parts: into how many the shorter and the longer side are cut; 720x1280 and 1280x720 give eight parts each
            whose longer side is 360, by default. The width of a square image counts as its longer side.

    Raises:
        DataError: not a uint8 RGB image, or too small for parts of 8x8.
    """
    require_image(image)
    H, W = image.shape[:2]
    rows, columns = parts if H <= W else parts[::-1]
    if min(parts) < 1 or min(H // rows, W // columns) < SMALLEST:
        raise DataError(
            f"the image is {H}x{W} (height x width): it cannot be cut into {rows}x{columns} parts of at least "
            f"{SMALLEST}x{SMALLEST}: cut it into fewer, or restore it whole"
        )
    restored = np.empty_like(image)
    for top, bottom in pairwise(H * i // rows for i in range(rows + 1)):
        for left, right in pairwise(W * i // columns for i in range(columns + 1)):
            restored[top:bottom, left:right] = restore(model, image[top:bottom, left:right])
    return restored
