"""What a pair of images must be before it is scored."""

import numpy as np
import numpy.typing as npt

from banet.errors import DataError

Image = npt.NDArray[np.uint8]
"""RGB, (H, W, 3), 0 to 255."""


def require_same_size(restored: Image, sharp: Image) -> None:
    """Raise DataError unless both images are 8-bit RGB, (H, W, 3), not empty, and of one size."""
    for name, image in (("restored", restored), ("sharp", sharp)):
        if image.dtype != np.uint8:
            raise DataError(f"the {name} image has samples of type {image.dtype}: convert them to uint8, 0 to 255")
        if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise DataError(f"the {name} image has shape {image.shape}: an RGB image of shape (H, W, 3) is needed")
    if restored.shape != sharp.shape:
        sizes = " and the sharp one ".join(f"{image.shape[0]}x{image.shape[1]}" for image in (restored, sharp))
        raise DataError(f"the restored image is {sizes} (height x width): score images of one size")
