"""Restoring images of any size with a trained network."""

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
