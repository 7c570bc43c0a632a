"""Whether frames follow each other closely. The average of others is no motion blur, but several pictures in one."""

from bisect import insort

import cv2
import numpy as np
import numpy.typing as npt

from banet.image import Image

# SSIM's term for contrast and structure (0 to 1), over pictures reduced to 64 pixels, which noise and fine texture do
# not reach. Measured: at least 0.995 between neighbours of GOPR0477_11_00 (240 a second, hand-held), 0.946 between
# every fourth, 0.84 between every eighth; at most 0.81 between GoPro's published sharp frames and 0.65 between
# photographs. Photographs moved by 1 % of their width, much more than one frame's motion: 0.83 to 0.99.
LEAST_ALIKE = 0.9
REDUCED = 64  # pixels, the longer side
CONTRAST = (0.03 * 255) ** 2  # SSIM's constant: plain pictures that differ in their noise only are alike
WIDEST_STEP = 1.5  # of the usual one; times in whole milliseconds alternate between 4 and 5


class Neighbours:
    """Looks at the frames of one clip in order, and says after each average what is doubtful about it.

    Args:
        clip: its name in messages.
        unit: of the steps between frames.
        usual: the step between consecutive frames; by default the median of those seen so far.
    """

    def __init__(self, clip: str, unit: str, usual: float | None = None) -> None:
        self.clip, self.unit, self.usual = clip, unit, usual
        self._steps: list[float] = []  # all so far, in order of size
        self._begin()

    def _begin(self) -> None:
        self._last: tuple[str, Image, npt.NDArray[np.float64]] | None = None
        self._alike, self._unlike = LEAST_ALIKE, ""
        self._widest, self._between = 0.0, ""
        self._remarks: dict[str, None] = {}

    def add(self, image: Image, name: str, step: float | None = None, remark: str = "") -> None:
        """Look at the next frame, uint8 RGB (H, W, 3), of the size of those before.

        Args:
            image: the frame.
            name: in messages.
            step: from the frame before; None if it is not known.
            remark: what is doubtful about this frame itself.
        """
        reduced = _reduced(image)
        if step is not None and step > 0:
            insort(self._steps, step)
        if self._last is not None:
            other, before, reduced_before = self._last
            if (alike := _alike(reduced_before, reduced)) < self._alike:
                self._alike = alike
                self._unlike = f"{other} and {name} are too different ({cv2.PSNR(before, image):.1f} dB)"
            if step is not None and step > self._widest:
                self._widest, self._between = step, f"{other} and {name} are {step:.4g} {self.unit} apart"
        if remark:
            self._remarks[remark] = None
        self._last = name, image, reduced

    def doubts(self) -> tuple[str, ...]:
        """Return what is doubtful about the frames since the last call, the clip's name first."""
        found = [*self._remarks, self._unlike]
        usual = self.usual or (self._steps[len(self._steps) // 2] if self._steps else 0)
        if self._widest > WIDEST_STEP * usual:
            found.append(f"{self._between}, others {usual:.4g}")
        self._begin()
        return tuple(f"{self.clip}: {doubt}" for doubt in found if doubt)


def _reduced(image: Image) -> npt.NDArray[np.float64]:
    H, W = image.shape[:2]
    scale = min(1.0, REDUCED / max(H, W))
    size = max(1, round(scale * W)), max(1, round(scale * H))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float64)
    return np.asarray(small - small.mean())


def _alike(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    return float((2 * np.mean(one * other) + CONTRAST) / (np.mean(one**2) + np.mean(other**2) + CONTRAST))
