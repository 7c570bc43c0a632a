"""The evaluate stage's table with a row per image, for the figures by image and the worst ten."""

import math
from dataclasses import dataclass
from pathlib import Path

from banet.errors import DataError
from banet.scoring.table import read_table

IMAGES = "images.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    """One image before and after restoration."""

    key: str  # sequence/frame
    stratum: str | None
    blurred_psnr: float  # dB; inf where it equals the sharp image
    restored_psnr: float  # dB

    @property
    def gain(self) -> float:
        """Restored minus blurred, dB; 0 where both equal the sharp image."""
        return 0.0 if self.blurred_psnr == self.restored_psnr else self.restored_psnr - self.blurred_psnr

    @property
    def finite(self) -> bool:
        """Whether it can be drawn: neither image equals the sharp one."""
        return math.isfinite(self.blurred_psnr) and math.isfinite(self.restored_psnr)


def read_images(folder: Path, variant: str) -> tuple[ImageRow, ...]:
    """Read an evaluation's rows of one variant of the blurred images, in the order of the table.

    Raises:
        DataError: the table is missing or damaged, or has no row of the variant.
    """
    path, stage = folder / IMAGES, f"evaluate@{folder.name}"
    if not path.is_file():
        raise DataError(f"{path} is missing: run the {stage} stage first")
    try:
        scores = read_table(path)
    except DataError as error:
        raise DataError(f"{str(error).rpartition(':')[0]}: run the {stage} stage again") from None
    rows = tuple(
        ImageRow(key=s.key, stratum=s.stratum, blurred_psnr=s.blurred.psnr, restored_psnr=s.restored.psnr)
        for s in scores
        if s.variant == variant and s.blurred is not None
    )
    if not rows:
        raise DataError(f"{path} has no row of the variant {variant}: run the {stage} stage again")
    return rows
