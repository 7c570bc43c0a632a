"""The README's picture: one of the demo's test images blurred, restored and sharp, from left to right.

    python benchmarks/readme_picture.py        (after `make demo`; writes docs/example.png)

Takes the sample whose PSNR the network raised most, of those that the evaluate stage left and that make a small file.
"""

import sys
from pathlib import Path

import numpy as np

from banet.data.images.codec import encode_png, read_image
from banet.errors import BanetError, DataError
from banet.files import write_atomically
from banet.image import Image
from banet.metrics.psnr import psnr

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "reports/evaluate/mini/samples"
PICTURE = ROOT / "docs/example.png"
KINDS = ("blurred", "restored", "sharp")  # from left to right
GAP = 4  # white pixels between two images
MOST_BYTES = 150_000  # of the file: it is loaded with every view of the README


def write_picture(samples: Path, out: Path) -> Path:
    """Write the picture and return the restored image that it shows.

    Args:
        samples: folder of SEQUENCE/FRAME_{blurred,restored,sharp}.png, as the evaluate stage leaves it.
        out: the PNG.

    Raises:
        DataError: no samples, unreadable ones, or none whose picture is small enough.
    """
    found = sorted(samples.glob("*/*_restored.png"))
    if not found:
        raise DataError(f"{samples} holds no restored images: run `make demo` first")
    for restored in sorted(found, key=lambda path: -_gain(_images(path))):
        content = encode_png(side_by_side(_images(restored)), compression=9)
        if len(content) <= MOST_BYTES:
            write_atomically(out, content)
            return restored
    raise DataError(f"no picture of {samples} takes at most {MOST_BYTES} bytes: evaluate a benchmark of smaller images")


def side_by_side(images: list[Image]) -> Image:
    """Put images of one size beside each other, with white gaps: uint8 RGB (H, W, 3)."""
    gap = np.full((len(images[0]), GAP, 3), 255, dtype=np.uint8)
    parts = [part for image in images for part in (gap, image)]
    return np.concatenate(parts[1:], axis=1)


def _images(restored: Path) -> list[Image]:
    name = restored.name.removesuffix("_restored.png")
    return [read_image(restored.with_name(f"{name}_{kind}.png")) for kind in KINDS]


def _gain(images: list[Image]) -> float:
    """How much higher the restored image's PSNR is than the blurred one's, dB."""
    blurred, restored, sharp = images
    return psnr(restored, sharp) - psnr(blurred, sharp)


if __name__ == "__main__":
    try:
        print(f"{PICTURE}: {write_picture(SAMPLES, PICTURE).relative_to(ROOT)}")
    except BanetError as error:
        sys.exit(f"error: {error}")
