"""Images as the public functions take and return them: RGB, uint8, (H, W, 3)."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from banet.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 8  # pixels, of what the network restores
_TENSOR = "(x.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy() makes it of (3, H, W) in [0, 1]"

Image = npt.NDArray[np.uint8]
"""An RGB image, uint8, (H, W, 3)."""


def require_image(image: object, what: str = "the image") -> Image:
    """Return the image as an array if `numpy.asarray` makes it uint8 RGB (H, W, 3): an array, a PIL image of mode RGB.

    Raises:
        DataError: another type or shape; nothing is guessed from the values.
    """
    mode = getattr(image, "mode", "RGB")
    if mode != "RGB" and type(image).__module__.startswith("PIL."):  # YCbCr, LAB and HSV would look like RGB
        deep = "scale it to 0 to 255, then " if str(mode).startswith(("I", "F")) else ""
        raise DataError(f"{what} is a PIL image of mode {mode}, not RGB: {deep}image.convert('RGB')")
    try:
        array = np.asarray(image)
    except Exception as error:  # a tensor on a GPU, a list of unequal rows, a PIL image of a damaged file
        said = " ".join(str(error).split())
        raise DataError(f"{what} must be uint8 RGB of shape (H, W, 3), numpy makes no array of it ({said})") from None
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        found = f"{array.dtype} of shape {array.shape}"
        if type(image).__module__.startswith("torch"):
            found, remedy = f"a torch tensor, {found}", _TENSOR
        else:
            remedy = _remedy(array)
        raise DataError(f"{what} must be uint8 RGB of shape (H, W, 3), got {found}: {remedy}")
    return array


def require_same_size(restored: object, sharp: object) -> tuple[Image, Image]:
    """Return both images as `require_image` does; raise DataError unless they are of one size, too."""
    restored, sharp = require_image(restored, "the restored image"), require_image(sharp, "the sharp image")
    if restored.shape != sharp.shape:
        sizes = " and the sharp one ".join(f"{image.shape[0]}x{image.shape[1]}" for image in (restored, sharp))
        raise DataError(f"the restored image is {sizes} (height x width): score images of one size")
    return restored, sharp


def to_image(x_1CHW: "Tensor") -> Image:
    """Float (1, 3, H, W) to uint8 (H, W, 3): clamped to [0, 1], half rounded up as the papers' scripts do."""
    levels = (x_1CHW.detach().float().clamp(0, 1) * 255 + 0.5).floor().byte()
    return levels.squeeze(0).permute(1, 2, 0).cpu().numpy()


def _remedy(array: npt.NDArray[Any]) -> str:
    """Say what the wrong array seems to be, and how to correct it."""
    remedies = []
    match array.shape:
        case _ if 0 in array.shape:
            return "it is empty"
        case ():
            return "that is no image: give its pixels, not a file's name or bytes"
        case (_, _, 3):
            pass
        case (_, _) | (_, _, 1):
            remedies.append("grey: repeat it to three channels")
        case (_, _, 2):
            remedies.append("grey with transparency: repeat the first channel to three")
        case (_, _, 4):
            remedies.append("four channels (RGBA?): drop the fourth")
        case (3, _, _):
            remedies.append("channels first: put them last, transpose(1, 2, 0)")
        case (_, _, _, _):
            remedies.append("a batch: give one image at a time")
        case _:
            return "that is not an image"
    if array.dtype == np.uint16:
        remedies.append("16 bit: scale it to 0 to 255, round it and convert it to uint8")
    elif array.dtype.kind == "f":
        remedies.append("float: multiply it by 255 if it is in [0, 1], round it and convert it to uint8")
    elif array.dtype != np.uint8:
        remedies.append("bring it to levels from 0 to 255 and convert it to uint8")
    return "; ".join(remedies)
