"""The best simple filter: a network that does not beat Gaussian and unsharp filters has learned nothing."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from banet.image import Image
from banet.metrics.psnr import psnr

SIGMAS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)  # pixels
AMOUNTS = (0.1, 0.2, 0.4, 0.7, 1.0, 1.5)  # of the detail added back by unsharp masking


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Unsharp masking by `amount`; an amount of -1 is the Gaussian filter itself."""

    sigma: float  # pixels
    amount: float

    def __str__(self) -> str:
        if self.amount == -1:
            return f"Gaussian sigma={self.sigma:g}"
        return f"unsharp sigma={self.sigma:g} amount={self.amount:g}"

    def __call__(self, image: Image) -> Image:
        """Return the filtered image, uint8 RGB (H, W, 3)."""
        x = image.astype(np.float32)
        smooth = np.asarray(cv2.GaussianBlur(x, (0, 0), self.sigma), dtype=np.float32)
        filtered: Image = np.clip(x + self.amount * (x - smooth) + 0.5, 0, 255).astype(np.uint8)
        return filtered


def best_filter(pairs: Iterable[tuple[Image, Image]]) -> Filter:
    """Return the filter with the highest mean PSNR on some (blurred, sharp) pairs, which should be training pairs."""
    seen = list(pairs)
    candidates = [Filter(sigma=sigma, amount=amount) for sigma, amount in itertools.product(SIGMAS, (-1.0, *AMOUNTS))]
    return max(candidates, key=lambda candidate: np.mean([psnr(candidate(blurred), sharp) for blurred, sharp in seen]))
