"""Random crops, flips and quarter turns (Sec. 4.1), shared by all images of a pair."""

from dataclasses import dataclass

import cv2
import numpy as np

from banet.errors import DataError
from banet.image import Image

ROTATIONS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}
"""OpenCV's names for quarter turns, counter-clockwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """A square crop at (top, left), flipped, then turned."""

    top: int  # pixels
    left: int  # pixels
    crop: int  # side, pixels
    flip_horizontal: bool
    flip_vertical: bool
    quarter_turns: int  # counter-clockwise, 0 to 3

    def __call__(self, image: Image) -> Image:
        """Return the crop, uint8 (crop, crop, 3), contiguous."""
        return self.turn(image[self.top : self.top + self.crop, self.left : self.left + self.crop])

    def turn(self, patch: Image) -> Image:
        """Flip and turn a crop; the result is contiguous."""
        # by OpenCV, because copying numpy's turned views pixel by pixel would take as long as reading the patch
        if self.flip_horizontal and self.flip_vertical:
            patch = cv2.flip(patch, -1)
        elif self.flip_horizontal or self.flip_vertical:
            patch = cv2.flip(patch, int(self.flip_horizontal))
        if self.quarter_turns:
            patch = cv2.rotate(patch, ROTATIONS[self.quarter_turns])
        return np.ascontiguousarray(patch)


def draw_augmentation(rng: np.random.Generator, height: int, width: int, crop: int, *, where: str) -> Augmentation:
    """Draw a crop uniformly over all positions, flips with probability 1/2, and 0 to 3 quarter turns.

    Raises:
        DataError: the image, named by `where`, is smaller than the crop.
    """
    require_crop(height, width, crop, where=where)
    top, left, horizontal, vertical, turns = rng.integers(0, [height - crop + 1, width - crop + 1, 2, 2, 4])
    return Augmentation(
        top=int(top),
        left=int(left),
        crop=crop,
        flip_horizontal=bool(horizontal),
        flip_vertical=bool(vertical),
        quarter_turns=int(turns),
    )


def require_crop(height: int, width: int, crop: int, *, where: str) -> None:
    """Check that an image is large enough for a crop.

    Raises:
        DataError: the image, named by `where`, is smaller than the crop.
    """
    if crop > min(height, width):
        raise DataError(f"{where} is {height}x{width}, smaller than the training crop {crop}: lower recipe.phases crop")
