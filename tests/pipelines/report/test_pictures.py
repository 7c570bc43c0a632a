"""Close-ups stand where the restoration errs most, and maps tell errors by one scale."""

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from banet.data.codec import decode, write_image
from banet.image import Image
from pipelines.report import ReportInputs
from pipelines.report.pictures import Box, Picture, attention, scene, worst_place

Read = Callable[..., ReportInputs]
GREY = 100


def pixels(picture: Picture) -> Image:
    image = decode(base64.b64decode(picture.uri.partition(",")[2]), "picture")
    assert image.shape[:2] == (picture.height, picture.width)
    return image


@pytest.fixture
def write(reports: Path) -> Callable[..., None]:
    """Replace the first sample's pictures."""

    def _write(**images: Image) -> None:
        for role, image in images.items():
            write_image(reports / f"evaluate/mini/samples/0_{role}.png", image)

    return _write


@pytest.fixture
def shown(read: Read, write: Callable[..., None]) -> Callable[..., object]:
    def _shown(**images: Image) -> object:
        write(**images)
        inputs = read()
        return scene(inputs.evaluations[0].samples[0], inputs.evaluations[0], inputs.folders[0])

    return _shown


def flat(height: int = 160, width: int = 240) -> Image:
    return np.full((height, width, 3), GREY, dtype=np.uint8)


def test_the_worst_square() -> None:
    error = np.zeros((160, 240), dtype=np.float32)
    error[100:140, 50:90] = 7
    assert worst_place(error) == Box(top=100, left=50, side=40)
    error[:] = 3
    assert worst_place(error) == Box(top=0, left=0, side=40)


@pytest.mark.parametrize(("shape", "side"), [((8, 20), 8), ((100, 100), 32), ((720, 1280), 180)])
def test_its_side(shape: tuple[int, int], side: int) -> None:
    error = np.zeros(shape, dtype=np.float32)
    error[-1, -1] = 1
    assert worst_place(error) == Box(top=shape[0] - side, left=shape[1] - side, side=side)


def test_close_ups_are_the_pixels_of_all_three_at_the_worst_place(shown: Callable[..., object]) -> None:
    sharp, blurred, restored = flat(), flat(), flat()
    sharp[20:60, 10:50] = 180  # where the blurred image errs
    restored[20:60, 10:50] = 180
    restored[110:150, 190:230, 1] = 200  # where the restored one does, of 160 x 240
    found = shown(blurred=blurred, restored=restored, sharp=sharp)
    assert found.box == Box(top=110, left=190, side=40)
    assert [crop.role for crop in found.crops] == ["blurred", "banet-mini version 3", "sharp"]
    for crop, image in zip(found.crops, (blurred, restored, sharp), strict=True):
        assert np.array_equal(pixels(crop), image[110:150, 190:230])


def test_error_maps_share_one_scale_and_are_dark_where_nothing_is_wrong(shown: Callable[..., object]) -> None:
    sharp, blurred, restored = flat(), flat(), flat()
    blurred[:, 120:] += 60
    restored[:, 120:] += 30
    maps = shown(blurred=blurred, restored=restored, sharp=sharp).maps
    assert [part.role for part in maps] == ["error, blurred", "error, restored"]
    assert {part.note for part in maps} == {"0 to 60 of 255"}
    before, after = (pixels(part).astype(int).sum(axis=2) for part in maps)
    assert before[:, :120].max() == after[:, :120].max() < 10
    assert before[0, -1] > 1.5 * after[0, -1] > 300


def test_a_wide_picture_has_a_small_map_of_means(shown: Callable[..., object]) -> None:
    sharp, blurred = flat(90, 1280), flat(90, 1280)
    blurred[:, ::2] += 20  # rows of errors side by side with none
    maps = shown(blurred=blurred, restored=sharp, sharp=sharp).maps
    assert (maps[0].height, maps[0].width) == (30, 426)
    assert maps[0].note == "0 to 13 of 255"
    assert len(np.unique(pixels(maps[0]).reshape(-1, 3), axis=0)) == 2  # two and one of three columns


def test_images_without_an_error(shown: Callable[..., object]) -> None:
    found = shown(blurred=flat(), restored=flat(), sharp=flat())
    assert found.maps[0].note == "0 to 1 of 255"
    assert len(np.unique(pixels(found.maps[1]).reshape(-1, 3), axis=0)) == 1


def test_attention_lies_beside_its_sample(read: Read, reports: Path) -> None:
    inputs = read()
    sample, folder = inputs.evaluations[0].samples[0], inputs.folders[0]
    assert attention(sample, folder) is None
    write_image(folder / "samples/0_attention.jpg", flat(9, 12))
    found = attention(sample, folder)
    assert found is not None
    assert (found.role, found.note, found.width) == ("attention", "coffee_long/000000", 12)
