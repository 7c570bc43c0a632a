"""Pictures hold the pixels they are given; the worst place is found; error maps share one scale."""

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from banet.data.images.codec import decode, write_image
from banet.errors import DataError
from banet.image import Image
from pipelines.report.data.inputs import ReportInputs
from pipelines.report.page.embedded_pictures import (
    Box,
    Picture,
    as_webp,
    attention,
    error,
    error_maps,
    from_file,
    from_image,
    worst_place,
)

Read = Callable[..., ReportInputs]
GREY = 100


def pixels(picture: Picture) -> Image:
    image = decode(base64.b64decode(picture.uri.partition(",")[2]), "picture")
    assert image.shape[:2] == (picture.height, picture.width)
    return image


def flat(height: int = 160, width: int = 240) -> Image:
    return np.full((height, width, 3), GREY, dtype=np.uint8)


def ramps(height: int = 80, width: int = 120) -> Image:
    """Smooth, as photographs are, with a grain."""
    rows, columns = np.mgrid[:height, :width]
    grain = np.random.default_rng(0).integers(-6, 7, (height, width))
    return np.clip(np.stack([rows, columns, rows + columns], axis=2) + 40 + grain[..., None], 0, 255).astype(np.uint8)


def test_the_worst_square() -> None:
    found = np.zeros((160, 240), dtype=np.float32)
    found[100:140, 50:90] = 7
    assert worst_place(found) == Box(top=100, left=50, side=40)
    found[:] = 3
    assert worst_place(found) == Box(top=0, left=0, side=40)


@pytest.mark.parametrize(("shape", "side"), [((8, 20), 8), ((100, 100), 32), ((720, 1280), 180)])
def test_its_side(shape: tuple[int, int], side: int) -> None:
    found = np.zeros(shape, dtype=np.float32)
    found[-1, -1] = 1
    assert worst_place(found) == Box(top=shape[0] - side, left=shape[1] - side, side=side)


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", ramps())
    taken, image = from_file("sharp", "ground truth", tmp_path / "a.png")
    assert taken.uri == "data:image/png;base64," + base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    assert np.array_equal(pixels(taken), ramps())
    assert np.array_equal(image, ramps())
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match=r"a\.png is damaged: run the evaluate stage again"):
        from_file("sharp", "", tmp_path / "a.png")


@pytest.mark.parametrize(("drawing", "kind"), [(False, "png"), (True, "webp")])
def test_an_image_is_encoded_without_loss(*, drawing: bool, kind: str) -> None:
    encoded = from_image("SRN", "30.25 dB", ramps(), drawing=drawing)
    assert encoded.uri.startswith(f"data:image/{kind};base64,")
    assert np.array_equal(pixels(encoded), ramps())


def test_webp_is_close_to_its_picture_and_smaller() -> None:
    exact = from_image("blurred", "22.50 dB", ramps())
    lossy = as_webp(exact)
    assert lossy.uri.startswith("data:image/webp;base64,")
    assert (lossy.role, lossy.note) == ("blurred", "22.50 dB")
    assert lossy.size < exact.size / 3
    assert 0 < np.abs(pixels(lossy).astype(int) - ramps()).mean() < 4


def test_error_maps_share_one_scale_and_are_dark_where_nothing_is_wrong() -> None:
    sharp, blurred, restored = flat(), flat(), flat()
    blurred[:, 120:] += 60
    restored[:, 120:] += 30
    maps = error_maps({"error, blurred": error(blurred, sharp), "error, restored": error(restored, sharp)})
    assert [part.role for part in maps] == ["error, blurred", "error, restored"]
    assert {part.note for part in maps} == {"0 to 60 of 255"}
    before, after = (pixels(part).astype(int).sum(axis=2) for part in maps)
    assert before[:, :120].max() == after[:, :120].max() < 10
    assert before[0, -1] > 1.5 * after[0, -1] > 300


def test_a_wide_picture_has_a_small_map_of_means() -> None:
    sharp, blurred = flat(90, 1280), flat(90, 1280)
    blurred[:, ::2] += 20  # rows of errors side by side with none
    (drawn,) = error_maps({"error": error(blurred, sharp)})
    assert (drawn.height, drawn.width) == (30, 426)
    assert drawn.note == "0 to 13 of 255"
    assert len(np.unique(pixels(drawn).reshape(-1, 3), axis=0)) == 2  # two and one of three columns


def test_images_without_an_error() -> None:
    (drawn,) = error_maps({"error": error(flat(), flat())})
    assert drawn.note == "0 to 1 of 255"
    assert len(np.unique(pixels(drawn).reshape(-1, 3), axis=0)) == 1


def test_attention_lies_beside_its_sample(read: Read, reports: Path) -> None:
    inputs = read()
    sample, folder = inputs.benchmarks[0].evaluation.samples[0], inputs.benchmarks[0].folder
    assert attention(sample, folder) is None
    write_image(folder / "samples/0_attention.jpg", flat(9, 12))
    found = attention(sample, folder)
    assert found is not None
    assert (found.role, found.note, found.width) == ("attention", "coffee_long/000000", 12)
