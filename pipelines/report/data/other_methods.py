"""Other methods whose restored images were scored here: their means over the images of a benchmark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from banet.scoring.aggregate import AlignedMeans, Means, aligned_means, means
from banet.scoring.methods import Method
from pipelines.report.data.image_rows import ImageRow


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherMethod:
    """One method on one benchmark."""

    method: Method
    means: Means
    aligned: AlignedMeans | None  # where the protocol is RealBlur's
    gain: float | None  # dB over the blurred inputs, over the images where both are finite; None if there are none

    @property
    def name(self) -> str:
        """Labels its rows and its pictures."""
        return self.method.name

    def psnr(self, key: str) -> float | None:
        """PSNR of one image, dB; None if it was not scored."""
        return next((row.restored.psnr for row in self.method.rows if row.key == key), None)


def other_method(method: Method, images: Sequence[ImageRow]) -> OtherMethod:
    """Average a method's scores; its gain is relative to the blurred `images` of an evaluation."""
    blurred = {row.key: row.blurred_psnr for row in images}
    gains = [row.restored.psnr - blurred[row.key] for row in method.rows if row.key in blurred]
    finite = [value for value in gains if math.isfinite(value)]
    return OtherMethod(
        method=method,
        means=means(row.restored for row in method.rows),
        aligned=aligned_means(method.rows),
        gain=sum(finite) / len(finite) if finite else None,
    )
