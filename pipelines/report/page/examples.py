"""What the page shows of one image: whole pictures, close-ups where the restoration errs most, error maps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from banet.data.images.codec import read_image
from banet.errors import DataError
from banet.image import Image
from banet.scoring.pictures import Sample
from pipelines.report.data.other_methods import Other
from pipelines.report.page.embedded_pictures import (
    AGAIN,
    Box,
    Picture,
    as_webp,
    cropped,
    decoded,
    error,
    error_maps,
    from_file,
    from_image,
    worst_place,
)
from pipelines.report.tables.formats import decibels, gain
from pipelines.stages.evaluation_report import EvaluationReport

_ROLES = ("blurred", "restored", "sharp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The pictures of one image."""

    key: str  # sequence/frame
    change: str  # PSNR before and after, dB
    gained: str  # dB
    width: int  # pixels of the whole image
    height: int
    pictures: tuple[Picture, ...]  # blurred, restored, sharp; none where only the close-ups are shown
    box: Box  # the close-ups' place
    crops: tuple[Picture, ...]  # blurred, other methods', restored, sharp, close
    maps: tuple[Picture, ...]  # errors of the blurred and of the restored image, one scale; or of the restored alone

    @property
    def size(self) -> int:
        """Characters that its pictures take in the page."""
        return sum(picture.size for picture in (*self.pictures, *self.crops, *self.maps))


def scene(
    sample: Sample, evaluation: EvaluationReport, folder: Path, others: Sequence[Other] = (), *, whole: bool = True
) -> Scene:
    """Read one sample of an evaluation from the evaluation's folder.

    Args:
        sample: the image.
        evaluation: that it belongs to.
        folder: of the evaluation.
        others: methods whose images stand between the blurred and the restored one, close.
        whole: show the whole pictures, and the blurred image's errors too.

    Raises:
        DataError: a picture is missing or no PNG, or they are not of one size.
    """
    psnrs = [f"{decibels(value)} dB" for value in (sample.blurred_psnr, sample.restored_psnr)]
    paths = [folder / name for name in (sample.blurred, sample.restored, sample.sharp)]
    pictures = tuple(map(from_file, _ROLES, (*psnrs, "ground truth"), paths))
    images = [decoded(path) for path in paths]
    if len({image.shape for image in images}) > 1:
        raise DataError(f"{paths[0]}, {paths[1].name} and {paths[2].name} are not of one size: {AGAIN}")
    blurred, restored, sharp = images
    errors = {"error, blurred": error(blurred, sharp)} if whole else {}
    errors["error, restored"] = error(restored, sharp)
    box = worst_place(errors["error, restored"])
    close = (
        ("blurred", psnrs[0], blurred),
        *_of_others(sample.key, others, sharp),
        (f"{evaluation.model} version {evaluation.version}", psnrs[1], restored),
        ("sharp", "", sharp),
    )
    same = sample.restored_psnr == sample.blurred_psnr  # both may be infinite
    return Scene(
        key=sample.key,
        change=f"{decibels(sample.blurred_psnr)} -> {decibels(sample.restored_psnr)}",
        gained="0" if same else gain(sample.restored_psnr - sample.blurred_psnr),
        width=pictures[0].width,
        height=pictures[0].height,
        pictures=pictures if whole else (),
        box=box,
        crops=tuple(from_image(name, note, cropped(image, box)) for name, note, image in close),
        maps=error_maps(errors),
    )


def with_webp(shown: Scene) -> Scene:
    """Encode the whole pictures with loss; close-ups and maps stay as they are."""
    return replace(shown, pictures=tuple(map(as_webp, shown.pictures)))


def _of_others(key: str, others: Sequence[Other], sharp: Image) -> Iterator[tuple[str, str, Image]]:
    """Name, PSNR and image of each method that restored this one."""
    for other in others:
        path = other.method.sample(key)
        if path is None:
            continue
        image = read_image(path)
        if image.shape != sharp.shape:
            (height, width), (H, W) = image.shape[:2], sharp.shape[:2]
            raise DataError(
                f"{path} is {height}x{width}, the sharp image {H}x{W}: score the images of {other.name} again"
            )
        score = other.psnr(key)
        yield other.name, "" if score is None else f"{decibels(score)} dB", image
