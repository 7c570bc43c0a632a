"""Folders of two methods' images: method a's are bright, b's dark, and the blurred ones green."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from banet.data.images.codec import write_image

COLOURS = {"a": (250, 200, 200), "b": (20, 20, 90), "blurred": (0, 200, 0)}

Folders = Callable[[int], Path]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Makes as many images of each kind in the folders a, b, blurred; the first pixel's blue counts them."""

    def make(images: int) -> Path:
        for kind, colour in COLOURS.items():
            for i in range(images):
                image = np.full((12, 16, 3), colour, dtype=np.uint8)
                image[0, 0, 2] = i
                write_image(tmp_path / kind / f"scene{i}.png", image)
        return tmp_path

    return make
