"""Images as public functions take them: exact there and back, and nothing guessed; pairs of one size."""

from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from banet.errors import DataError
from banet.image import Image, require_image, require_same_size, to_image
from banet.inference import restore, restore_sub_images, to_tensor
from banet.metrics.psnr import psnr
from banet.metrics.realblur import realblur_score
from banet.metrics.ssim import ssim_channel, ssim_matlab3d
from banet.model.network import BANet
from banet.model.network_config import BANetConfig


def test_every_level_comes_back_at_its_place() -> None:
    image = np.arange(256 * 3, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)
    x = to_tensor(image)
    assert x.shape == (1, 3, 16, 16)
    assert x.dtype == torch.float32
    assert x[0, 2, 1, 5] == image[1, 5, 2] / np.float32(255)
    back = to_image(x)
    assert back.dtype == np.uint8
    assert np.array_equal(back, image)


def test_the_range_is_fixed_and_not_taken_from_the_values() -> None:
    dark = np.ones((2, 2, 3), dtype=np.uint8)
    assert to_tensor(dark).max() == 1 / np.float32(255)


def test_values_are_clamped_and_half_is_rounded_up() -> None:
    levels = torch.tensor([-1.0, 0.0, 0.49, 0.5, 1.5, 2.5, 254.49, 254.5, 255.0, 900.0]) / 255
    x = levels.view(1, 1, 1, -1).expand(1, 3, 1, -1)
    assert to_image(x)[0, :, 0].tolist() == [0, 0, 0, 1, 2, 3, 254, 255, 255, 255]


def test_other_memory_layouts_and_precisions_are_taken() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    assert np.array_equal(to_image(to_tensor(image[::-1, ::2])), image[::-1, ::2])
    assert np.array_equal(to_image(to_tensor(np.asfortranarray(image))), image)
    x = to_tensor(image)
    assert np.array_equal(to_image(x.double()), image)
    assert np.array_equal(to_image(x.to(memory_format=torch.channels_last)), image)
    assert np.array_equal(to_image(x.clone().requires_grad_()), image)


def test_a_read_only_image_as_shards_give_it_is_copied_without_a_warning() -> None:
    image = np.frombuffer(bytes(range(27)), np.uint8).reshape(3, 3, 3)
    x = to_tensor(image)
    x.zero_()
    assert image.sum() == sum(range(27))


def test_the_tensor_does_not_share_the_images_memory() -> None:
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    x = to_tensor(image)
    image[:] = 255
    assert x.max() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 5, 7), np.uint8),
        np.zeros((1, 4, 5, 3), np.uint8),
        np.zeros((4, 5, 3), np.float32),
        np.zeros((4, 5, 3), np.uint16),
    ],
)
def test_what_is_no_image_is_refused_with_type_and_shape(wrong: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"photo.png must be uint8 RGB of shape \(H, W, 3\), got ") as caught:
        require_image(wrong, "photo.png")
    assert f"{wrong.dtype} of shape {wrong.shape}: " in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "dtype", "remedies"),
    [
        ((4, 5), np.uint8, "grey: repeat it to three channels"),
        ((4, 5, 1), np.uint8, "grey: repeat it to three channels"),
        ((4, 5, 2), np.uint8, "grey with transparency: repeat the first channel to three"),
        ((4, 5, 4), np.uint8, "four channels (RGBA?): drop the fourth"),
        ((3, 4, 5), np.uint8, "channels first: put them last, transpose(1, 2, 0)"),
        ((1, 4, 5, 3), np.uint8, "a batch: give one image at a time"),
        ((0, 5, 3), np.uint8, "it is empty"),
        ((5,), np.uint8, "that is not an image"),
        ((4, 5, 3), np.uint16, "16 bit: scale it to 0 to 255, round it and convert it to uint8"),
        ((4, 5, 3), np.float64, "float: multiply it by 255 if it is in [0, 1], round it and convert it to uint8"),
        ((4, 5, 3), np.bool_, "bring it to levels from 0 to 255 and convert it to uint8"),
        (
            (4, 5),
            np.uint16,
            "grey: repeat it to three channels; 16 bit: scale it to 0 to 255, round it and convert it to uint8",
        ),
    ],
)
def test_the_refusal_says_what_was_found_and_what_to_do(
    shape: tuple[int, ...], dtype: type[np.generic], remedies: str
) -> None:
    with pytest.raises(DataError) as caught:
        require_image(np.zeros(shape, dtype))
    assert str(caught.value).endswith(f"of shape {shape}: {remedies}")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "F"])
def test_a_pil_image_of_another_mode_is_told_to_become_rgb(mode: str) -> None:
    with pytest.raises(
        DataError, match=rf"is a PIL image of mode {mode}, not RGB: .*image.convert\('RGB'\)$"
    ) as caught:
        require_image(PIL.Image.new(mode, (9, 8)))
    assert ("scale it to 0 to 255" in str(caught.value)) == (mode in ("I;16", "F"))


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(1, 3, 9, 8), torch.zeros(3, 9, 8, dtype=torch.uint8), torch.zeros(3, 9, 8, requires_grad=True)],
)
def test_a_tensor_is_told_apart_from_an_array(wrong: torch.Tensor) -> None:
    with pytest.raises(DataError, match=r"torch|Tensor") as caught:
        require_image(wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [[[1, 2], [3]], "photo.png", None, b"bytes"])
def test_what_numpy_makes_no_image_of_is_an_expected_error(wrong: object) -> None:
    with pytest.raises(DataError, match="must be uint8 RGB of shape"):
        require_image(wrong)


def test_pil_images_are_scored_and_restored_as_their_arrays_are() -> None:
    array = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    other = np.roll(array, 1, axis=0)
    pil: Any
    moved: Any
    pil, moved = PIL.Image.fromarray(array), PIL.Image.fromarray(other)
    for score in (psnr, ssim_matlab3d, ssim_channel, realblur_score):
        assert score(moved, pil) == score(other, array)
    model = BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)).eval()
    assert np.array_equal(restore(model, pil), restore(model, array))
    assert np.array_equal(restore_sub_images(model, pil, grid=(1, 2)), restore_sub_images(model, array, grid=(1, 2)))


def test_an_image_passes_unchanged() -> None:
    image = np.zeros((1, 1, 3), np.uint8)
    assert require_image(image) is image


SCORES = [require_same_size, psnr, ssim_matlab3d, ssim_channel, realblur_score]


@pytest.mark.parametrize("score", SCORES)
def test_a_pair_of_two_sizes_is_not_scored(score: Callable[[Image, Image], object]) -> None:
    with pytest.raises(DataError, match=r"restored image is 20x30 and the sharp one 20x31"):
        score(np.zeros((20, 30, 3), np.uint8), np.zeros((20, 31, 3), np.uint8))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("wrong", [np.zeros((20, 30, 3), np.float32), np.zeros((20, 30), np.uint8)])
def test_a_pair_that_is_not_8_bit_rgb_is_not_scored(score: Callable[[Image, Image], object], wrong: Image) -> None:
    good = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(DataError, match=r"the sharp image must be uint8 RGB"):
        score(good, wrong)
    with pytest.raises(DataError, match=r"the restored image must be uint8 RGB"):
        score(wrong, good)


def test_a_good_pair_passes() -> None:
    require_same_size(np.zeros((1, 7, 3), np.uint8), np.zeros((1, 7, 3), np.uint8))
