"""Restoring images of any size with a trained network."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from banet.errors import DataError
from banet.image import SMALLEST, Image, require_image, to_image

P = TypeVar("P", np.uint8, np.float32)


def restore(model: nn.Module, image: Image) -> Image:
    """Return the restored image: uint8 RGB (H, W, 3) in, the same out, from 8x8 up, in one pass over the whole image.

    Raises:
        DataError: not a uint8 RGB image, or smaller than 8x8.
    """
    with torch.inference_mode():
        return to_image(model(network_input(model, image)))


def restore_array(model: nn.Module, image: npt.NDArray[P]) -> npt.NDArray[P]:
    """Return a restored image of RGB (H, W, 3): as `restore` does for uint8, not clamped for float32 in [0, 1].

    Raises:
        DataError: another shape, or smaller than 8x8.
    """
    image = require_array(image)
    if image.dtype == np.uint8:
        return restore(model, image)  # type: ignore[arg-type,return-value]  # numpy's types do not tell them apart
    parameter = next(model.parameters(), torch.empty(0))
    x_BCHW = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)
    with torch.inference_mode():
        y_BCHW = model(x_BCHW.to(device=parameter.device, dtype=parameter.dtype))
    return y_BCHW[0].permute(1, 2, 0).float().cpu().numpy()  # type: ignore[no-any-return]


def network_input(model: nn.Module, image: Image) -> Tensor:
    """Return the image as the model takes it: (1, 3, H, W) in [0, 1], of the type and on the device of its weights.

    Raises:
        DataError: not a uint8 RGB image, or smaller than 8x8.
    """
    image = require_array(require_image(image))
    parameter = next(model.parameters(), torch.empty(0))
    return to_tensor(image).to(device=parameter.device, dtype=parameter.dtype)


def require_array(image: npt.NDArray[P]) -> npt.NDArray[P]:
    """Return an image that is float32 (H, W, 3) or what `require_image` makes of it; raise DataError below 8x8."""
    if not (isinstance(image, np.ndarray) and image.dtype == np.float32 and image.ndim == 3 and image.shape[2] == 3):
        image = require_image(image)  # type: ignore[assignment]
    H, W = image.shape[:2]
    if min(H, W) < SMALLEST:
        raise DataError(f"the image is {H}x{W} (height x width), the network restores from {SMALLEST}x{SMALLEST} up")
    return image


def fastest_device(*, gpus: bool = True) -> str:
    """Return "cuda" if torch finds a GPU and GPUs may be used, else "cpu"."""
    return "cuda" if gpus and torch.cuda.is_available() else "cpu"


@contextmanager
def deterministic_convolutions() -> Iterator[None]:
    """Make a GPU compute convolutions deterministically and in full precision, as scores need.

    By default it uses TF32 for float32, which keeps ten bits of each factor.
    """
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def restore_sub_images(model: nn.Module, image: Image, *, grid: tuple[int, int] = (2, 4)) -> Image:
    """Restore sub-images separately and put them together: SA* and BA* of Table 9, on eight sub-images.

    The sub-images do not overlap; their sides differ by at most one pixel. Attention sees one sub-image at a time, and
    the seams may show.

    Args:
        model: as for `restore`.
        image: uint8 RGB (H, W, 3).
        grid: how many sub-images along the shorter and the longer side. By default, 720x1280 and 1280x720 give eight
            sub-images of 360x320 and 320x360. The width of a square image counts as its longer side.

    Raises:
        DataError: not a uint8 RGB image, or too small for sub-images of 8x8.
    """
    return restore_array_in_parts(model, require_image(image), grid=grid)


def restore_array_in_parts(
    model: nn.Module, image: npt.NDArray[P], *, grid: tuple[int, int] = (2, 4)
) -> npt.NDArray[P]:
    """Return what `restore_sub_images` does, of an image that `restore_array` takes."""
    H, W = image.shape[:2]
    rows, columns = grid if H <= W else grid[::-1]
    if min(grid) < 1 or min(H // rows, W // columns) < SMALLEST:
        raise DataError(
            f"the image is {H}x{W} (height x width): it cannot be cut into {rows}x{columns} sub-images of at "
            f"least {SMALLEST}x{SMALLEST}: cut it into fewer, or restore it whole"
        )
    restored = np.empty_like(image)
    for top, bottom in pairwise(H * i // rows for i in range(rows + 1)):
        for left, right in pairwise(W * i // columns for i in range(columns + 1)):
            restored[top:bottom, left:right] = restore_array(model, image[top:bottom, left:right])
    return restored


def to_tensor(image: Image) -> Tensor:
    """uint8 (H, W, 3) to float32 (1, 3, H, W) in [0, 1]."""
    own = np.array(image, order="C")  # images from shards are read-only views of a file, about which torch warns
    return torch.from_numpy(own).permute(2, 0, 1).unsqueeze(0).float() / 255
