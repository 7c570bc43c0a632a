"""What commands that score have in common: the table they write, the means they print."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from banet.errors import DataError

if TYPE_CHECKING:
    from banet.scoring.scores import ImageScores


def require_table(out: Path | None) -> None:
    """Check the name of a table before any work is done for it.

    Raises:
        DataError: another ending than a table's, or a folder that does not exist.
    """
    from banet.scoring.table import ENDINGS

    if out is not None and out.suffix not in ENDINGS:
        raise DataError(f"{out}: a table of scores ends in {' or '.join(ENDINGS)}")
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise DataError(f"{out}: it must be a file in a folder that exists: name another, or create the folder")


def format_means(rows: "Sequence[ImageScores]") -> str:
    """Lay out the means over some images as a small table, with what must be said of them."""
    from banet.scoring.aggregate import aligned_means, compare, means

    plain, aligned = means(row.restored for row in rows), aligned_means(rows)
    lines = [
        ("PSNR dB", _number(plain.psnr, 2)),
        ("SSIM matlab3d", _number(plain.ssim_matlab3d, 4)),
        ("SSIM channel", _number(plain.ssim_channel, 4)),
    ]
    if aligned is not None:
        lines += [
            ("PSNR aligned dB", _number(aligned.psnr, 2)),
            ("SSIM aligned", _number(aligned.ssim, 4)),
            ("not aligned", str(aligned.images - aligned.aligned)),
        ]
    if all(row.blurred is not None for row in rows):
        main = compare(rows)
        lines += [("blurred dB", _number(main.blurred.psnr, 2)), ("gain dB", f"{main.gain:+.2f}")]
    text = [f"mean over {len(rows)} image{'s' if len(rows) > 1 else ''}"]
    text += [f"{name:16}{value:>8}" for name, value in lines]
    if plain.identical == len(rows):
        text.append("every image equals its sharp one: PSNR is infinite")
    elif plain.identical:
        verb = "equal their sharp ones" if plain.identical > 1 else "equals its sharp one"
        text.append(f"{plain.identical} of them {verb}: an infinite PSNR is no part of the mean")
    if aligned is not None:
        if aligned.aligned < aligned.images:
            text.append("images that could not be aligned are compared as they lie, and are part of the means")
        text.append(f"aligned by OpenCV {aligned.opencv}: another version's scores differ a little")
    return "\n".join(text)


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}"
