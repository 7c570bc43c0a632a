"""A scene: close-ups of every method where ours errs most, and error maps."""

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from banet.data.images.codec import decode, write_image
from banet.errors import DataError
from banet.image import Image
from pipelines.report.data.inputs import ReportInputs
from pipelines.report.page.embedded_pictures import Box, Picture
from pipelines.report.page.examples import Scene, scene

Read = Callable[..., ReportInputs]
GREY = 100
H, W = 160, 240


def pixels(picture: Picture) -> Image:
    return decode(base64.b64decode(picture.uri.partition(",")[2]), "picture")


def flat() -> Image:
    return np.full((H, W, 3), GREY, dtype=np.uint8)


@pytest.fixture
def shown(read: Read, reports: Path) -> Callable[..., Scene]:
    """The scene of the first sample, with these images and all methods."""

    def _shown(*, whole: bool = True, **images: Image) -> Scene:
        for role, image in images.items():
            write_image(reports / f"evaluate/mini/samples/0_{role}.png", image)
        (benchmark,) = read().benchmarks
        return scene(benchmark.evaluation.samples[0], benchmark, whole=whole)

    return _shown


@pytest.fixture
def images() -> dict[str, Image]:
    """Three images; the restored one errs at 110, 190, the blurred one elsewhere."""
    sharp, blurred, restored = flat(), flat(), flat()
    sharp[20:60, 10:50] = 180
    restored[20:60, 10:50] = 180
    restored[110:150, 190:230, 1] = 200
    return {"blurred": blurred, "restored": restored, "sharp": sharp}


def test_close_ups_are_the_pixels_of_all_three_at_the_worst_place(
    shown: Callable[..., Scene], images: dict[str, Image]
) -> None:
    found = shown(**images)
    assert found.box == Box(top=110, left=190, side=40)
    assert [(crop.role, crop.note) for crop in found.crops] == [
        ("blurred", "22.50 dB"),
        ("banet-mini version 3", "23.25 dB"),
        ("sharp", ""),
    ]
    for crop, image in zip(found.crops, images.values(), strict=True):
        assert np.array_equal(pixels(crop), image[110:150, 190:230])
    assert (found.change, found.gained, found.width, found.height) == ("22.50 -> 23.25", "+0.75", W, H)


def test_other_methods_are_between_in_order_of_psnr(
    shown: Callable[..., Scene], images: dict[str, Image], add_method: Callable[..., None]
) -> None:
    for name, better in (("DMPHN", 2.0), ("SRN", -1.0), ("DSD", 0.5)):
        add_method(name, better, size=(H, W))
    found = shown(**images)
    assert [(crop.role, crop.note) for crop in found.crops] == [
        ("blurred", "22.50 dB"),
        ("SRN", "19.00 dB"),  # of this image alone
        ("DSD", "20.50 dB"),
        ("DMPHN", "22.00 dB"),
        ("banet-mini version 3", "23.25 dB"),
        ("sharp", ""),
    ]
    assert [int(pixels(crop)[0, 0, 0]) for crop in found.crops[1:4]] == [90, 105, 120]
    assert {(crop.width, crop.height) for crop in found.crops} == {(40, 40)}
    assert [picture.role for picture in found.pictures] == ["blurred", "restored", "sharp"]


def test_a_method_without_this_image_is_not_shown(
    shown: Callable[..., Scene], images: dict[str, Image], add_method: Callable[..., None], reports: Path
) -> None:
    add_method("SRN", 1.0, size=(H, W))
    (reports.parent / "methods/mini/SRN/samples/coffee_long/000000.png").unlink()
    assert [crop.role for crop in shown(**images).crops] == ["blurred", "banet-mini version 3", "sharp"]


def test_an_image_of_another_size_is_named(
    shown: Callable[..., Scene], images: dict[str, Image], add_method: Callable[..., None]
) -> None:
    add_method("SRN", 1.0, size=(H, W - 1))
    with pytest.raises(DataError) as caught:
        shown(**images)
    assert str(caught.value).endswith(
        "methods/mini/SRN/samples/coffee_long/000000.png is 160x239, the sharp image 160x240: score the images of SRN "
        "again"
    )


def test_maps_are_of_the_blurred_and_the_restored_image(shown: Callable[..., Scene], images: dict[str, Image]) -> None:
    before, after = shown(**images).maps
    assert (before.role, after.role) == ("error, blurred", "error, restored")
    assert pixels(before)[30, 20].sum() > pixels(after)[30, 20].sum()
    assert pixels(before)[120, 200].sum() < pixels(after)[120, 200].sum()


def test_close_ups_alone(shown: Callable[..., Scene], images: dict[str, Image]) -> None:
    whole, close = shown(**images), shown(**images, whole=False)
    assert close.pictures == ()
    assert (close.crops, close.box) == (whole.crops, whole.box)
    assert [part.role for part in close.maps] == ["error, restored"]
    assert (close.width, close.height) == (W, H)
    assert 0 < close.size < whole.size == sum(len(p.uri) for p in (*whole.pictures, *whole.crops, *whole.maps))
