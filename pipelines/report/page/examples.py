"""What the page shows of one image: whole pictures, close-ups where the restoration errs most, error maps."""

from collections.abc import Iterator
from dataclasses import dataclass

from banet.data.images.codec import read_image
from banet.errors import DataError
from banet.image import Image
from banet.scoring.pictures import Sample
from pipelines.report.data.inputs import BenchmarkInputs
from pipelines.report.page.embedded_pictures import (
    AGAIN,
    Box,
    Picture,
    error,
    error_maps,
    from_file,
    from_image,
    worst_place,
)
from pipelines.report.tables.formats import decibels, gain


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The pictures of one image."""

    key: str  # sequence/frame
    change: str  # PSNR before and after, dB
    gained: str  # dB
    width: int  # pixels of the whole image
    height: int
    pictures: tuple[Picture, ...]  # blurred, restored, sharp; none if only the close-ups are shown
    box: Box  # the square of the close-ups
    crops: tuple[Picture, ...]  # close-ups: blurred, other methods', restored, sharp
    maps: tuple[Picture, ...]  # errors of the blurred and the restored image on one scale, or only of the restored

    @property
    def size(self) -> int:
        """Characters that its pictures take in the page."""
        return sum(picture.size for picture in (*self.pictures, *self.crops, *self.maps))


def scene(sample: Sample, benchmark: BenchmarkInputs, *, whole: bool = True) -> Scene:
    """Read one sample of an evaluation.

    Args:
        sample: the image.
        benchmark: that it belongs to.
        whole: show the whole pictures and the blurred image's errors too.

    Raises:
        DataError: a picture is missing or damaged, or they differ in size.
    """
    evaluation, folder = benchmark.evaluation, benchmark.folder
    before, after = decibels(sample.blurred_psnr), decibels(sample.restored_psnr)
    files = (
        from_file("blurred", f"{before} dB", folder / sample.blurred),
        from_file("restored", f"{after} dB", folder / sample.restored),
        from_file("sharp", "ground truth", folder / sample.sharp),
    )
    pictures = tuple(picture for picture, _ in files)
    blurred, restored, sharp = (image for _, image in files)
    if not blurred.shape == restored.shape == sharp.shape:
        raise DataError(f"{folder / sample.blurred}, {sample.restored} and {sample.sharp} differ in size: {AGAIN}")
    errors = {"error, blurred": error(blurred, sharp)} if whole else {}
    errors["error, restored"] = error(restored, sharp)
    box = worst_place(errors["error, restored"])
    close = (
        ("blurred", f"{before} dB", blurred),
        *_of_others(sample.key, benchmark, sharp),
        (f"{evaluation.model} version {evaluation.version}", f"{after} dB", restored),
        ("sharp", "", sharp),
    )
    same = sample.restored_psnr == sample.blurred_psnr  # both may be infinite
    return Scene(
        key=sample.key,
        change=f"{before} -> {after}",
        gained="0" if same else gain(sample.restored_psnr - sample.blurred_psnr),
        width=pictures[0].width,
        height=pictures[0].height,
        pictures=pictures if whole else (),
        box=box,
        crops=tuple(from_image(name, note, box.crop(image)) for name, note, image in close),
        maps=error_maps(errors),
    )


def _of_others(key: str, benchmark: BenchmarkInputs, sharp: Image) -> Iterator[tuple[str, str, Image]]:
    """Name, PSNR and image of each method that restored this image."""
    for other in benchmark.others:
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
