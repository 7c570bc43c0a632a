"""What the page shows of one sample: its PNGs as they are, close-ups where the restoration errs most, error maps."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from banet.data.codec import encode_png, read_image
from banet.errors import DataError
from banet.image import Image
from pipelines.report.tables import decibels, gain
from pipelines.stages.outputs import EvaluationReport, Sample

Map = npt.NDArray[np.float32]  # one value a pixel, (H, W)

_PNG = b"\x89PNG\r\n\x1a\n"
_AGAIN = "run the evaluate stage again"
_CLOSE = 4  # a close-up's side is the picture's shorter one divided by this
_LEAST_SIDE = 32  # pixels of a close-up, if the picture has as many
_MAP_WIDTH = 480  # pixels of an error map, at most
_LEVELS = 64  # colours of an error map: more are not told apart and compress badly
_BRIGHTEST = 0.995  # share of the places that are not brighter than the map's last colour
_ATTENTION = "attention"  # the role of the picture that `banet.explain` draws


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One PNG, inside the page."""

    role: str  # blurred, restored, sharp, or what a map shows
    note: str  # its PSNR, or the map's scale
    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A square of a picture, pixels."""

    top: int
    left: int
    side: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The pictures of one sample."""

    key: str
    gained: str
    pictures: tuple[Picture, ...]  # blurred, restored, sharp
    box: Box  # the close-ups' place
    crops: tuple[Picture, ...]  # the same three, close
    maps: tuple[Picture, ...]  # errors of the blurred and of the restored image, one scale

    @property
    def size(self) -> int:
        """Characters that its pictures take in the page."""
        return sum(len(picture.uri) for picture in (*self.pictures, *self.crops, *self.maps))


def scene(sample: Sample, evaluation: EvaluationReport, folder: Path) -> Scene:
    """Read one sample of an evaluation from the evaluation's folder.

    Raises:
        DataError: a picture is missing or no PNG, or the three are not of one size.
    """
    notes = (f"{decibels(sample.blurred_psnr)} dB", f"{decibels(sample.restored_psnr)} dB", "ground truth")
    paths = [folder / name for name in (sample.blurred, sample.restored, sample.sharp)]
    roles = ("blurred", "restored", "sharp")
    pictures = tuple(_from_file(*each) for each in zip(roles, notes, paths, strict=True))
    images = [_decoded(path) for path in paths]
    if len({image.shape for image in images}) > 1:
        raise DataError(f"{paths[0]}, {paths[1].name} and {paths[2].name} are not of one size: {_AGAIN}")
    blurred, restored, sharp = images
    box = worst_place(_error(restored, sharp))
    names = ("blurred", f"{evaluation.model} version {evaluation.version}", "sharp")
    return Scene(
        key=sample.key,
        gained=gain(sample.restored_psnr - sample.blurred_psnr) if sample.restored_psnr != sample.blurred_psnr else "0",
        pictures=pictures,
        box=box,
        crops=tuple(_from_image(name, "", _crop(image, box)) for name, image in zip(names, images, strict=True)),
        maps=_error_maps(_error(blurred, sharp), _error(restored, sharp)),
    )


def attention(sample: Sample, folder: Path) -> Picture | None:
    """The drawing of masks and attended features beside a sample's pictures, `<name>_attention.jpg`; None without one.

    It is a JPEG because `banet.explain` draws millions of pixels, and nobody measures in them.

    Raises:
        DataError: it is damaged.
    """
    restored = folder / sample.restored
    path = restored.with_name(f"{restored.stem.removesuffix('_restored')}_{_ATTENTION}.jpg")
    if not path.is_file():
        return None
    height, width = _decoded(path).shape[:2]
    return Picture(
        role=_ATTENTION,
        note=sample.key,
        uri="data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode(),
        width=width,
        height=height,
    )


def worst_place(error_HW: Map) -> Box:
    """The square of the largest mean error, the first of equal ones."""
    H, W = error_HW.shape
    side = min(H, W, max(_LEAST_SIDE, min(H, W) // _CLOSE))
    sums = np.pad(error_HW.astype(np.float64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(np.argmax(np.round(inside, 3)), inside.shape)  # rounded: sums differ in their last bit
    return Box(top=int(top), left=int(left), side=side)


def _error_maps(*errors_HW: Map) -> tuple[Picture, ...]:
    from matplotlib import colormaps

    small = [_reduced(error) for error in errors_HW]
    top = max(1.0, *(float(np.quantile(part, _BRIGHTEST)) for part in small))
    colours = np.rint(colormaps["inferno"](np.linspace(0, 1, _LEVELS))[:, :3] * 255).astype(np.uint8)
    levels = [np.rint(np.clip(part / top, 0, 1) * (_LEVELS - 1)).astype(np.intp) for part in small]
    roles = ("error, blurred", "error, restored")
    note = f"0 to {top:.0f} of 255"
    return tuple(_from_image(role, note, colours[level]) for role, level in zip(roles, levels, strict=True))


def _error(image: Image, sharp: Image) -> Map:
    """Magnitude of the difference, mean over channels, grey levels."""
    difference = np.abs(image.astype(np.float32) - sharp)
    return np.asarray(difference.mean(axis=2), dtype=np.float32)


def _reduced(error_HW: Map) -> Map:
    """Means over squares, so that the map is no wider than `_MAP_WIDTH`."""
    H, W = error_HW.shape
    n = min(-(-W // _MAP_WIDTH), H, W)
    cut = error_HW[: H // n * n, : W // n * n]
    return np.asarray(cut.reshape(H // n, n, W // n, n).mean(axis=(1, 3)), dtype=np.float32)


def _crop(image: Image, box: Box) -> Image:
    return np.ascontiguousarray(image[box.top : box.top + box.side, box.left : box.left + box.side])


def _from_image(role: str, note: str, image: Image) -> Picture:
    return _picture(role, note, encode_png(image, compression=9))


def _from_file(role: str, note: str, path: Path) -> Picture:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): {_AGAIN}") from None
    if not content.startswith(_PNG) or len(content) < 24:
        raise DataError(f"{path} is no PNG: {_AGAIN}")
    return _picture(role, note, content)


def _decoded(path: Path) -> Image:
    try:
        return read_image(path)
    except DataError:
        raise DataError(f"{path} is damaged: {_AGAIN}") from None


def _picture(role: str, note: str, content: bytes) -> Picture:
    return Picture(
        role=role,
        note=note,
        uri="data:image/png;base64," + base64.b64encode(content).decode(),
        width=int.from_bytes(content[16:20]),  # PNG's first chunk, IHDR, begins with both sizes
        height=int.from_bytes(content[20:24]),
    )
