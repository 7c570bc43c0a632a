"""What commands that score have in common: the table they write, the means they print."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from banet.errors import DataError

if TYPE_CHECKING:
    from banet.scoring.evaluation import Scoring
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


def format_published(scoring: "Scoring", rows: "Sequence[ImageScores]", registered: str | None) -> str | None:
    """Lay out what the paper reports for this network on this benchmark beside the means; None if it reports nothing.

    Args:
        scoring: what was scored, and how: whole images of the benchmark's first variant compare, others do not.
        rows: the scores.
        registered: name of the registered model, which says what it was trained on; None for a folder.
    """
    from banet.analysis.published import published_scores
    from banet.config import read_model_config
    from banet.data.names import TEST
    from banet.model.digest import CONFIG
    from banet.scoring.aggregate import aligned_means, means

    benchmark = scoring.benchmark
    if scoring.sub_images or scoring.local_crop is not None or scoring.variants != benchmark.variants[:1]:
        return None
    published = published_scores(read_model_config(scoring.weights / CONFIG), benchmark.name)
    if published is None or registered not in (None, f"banet-{published.trained_on}"):
        return None
    plain, aligned = means(row.restored for row in rows), aligned_means(rows)
    if published.aligned:
        ours = "" if aligned is None else f"PSNR aligned {aligned.psnr:.2f} dB, SSIM aligned {aligned.ssim:.4f}"
    else:
        ours = f"PSNR {plain.psnr:.2f} dB, SSIM matlab3d {plain.ssim_matlab3d:.4f}"
    theirs = f"published for {published.method}: {published.psnr:.2f} dB, {published.ssim:.3f} ({published.source})"
    whole = sum(benchmark.counts.get(TEST, {}).values())
    part = f", over {len(rows)} of {whole} images and so not comparable" if len(rows) < whole else ""
    return f"here: {ours}{part}; {theirs}" if ours else None


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}"
