"""Restoring one image: any size from 8x8 up, exact at the border, and refusals that say why."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from banet.errors import DataError
from banet.image import Image
from banet.inference import restore, restore_sub_images
from banet.model.network import BANet
from banet.model.network_config import BANetConfig


class Darker(nn.Module):
    """Half the light; remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))
        self.seen: Tensor | None = None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        self.seen = x_BCHW
        return x_BCHW * self.factor


def small_network() -> BANet:
    torch.manual_seed(0)
    return BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)).eval()


def image(height: int = 9, width: int = 12) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_network_sees_the_whole_image_in_its_range_and_the_result_is_rounded() -> None:
    model, x = Darker(), image()
    restored = restore(model, x)
    assert np.array_equal(restored, np.floor(x / 2 + 0.5).astype(np.uint8))
    assert model.seen is not None
    assert model.seen.shape == (1, 3, 9, 12)
    assert torch.equal(model.seen[0, :, 3, 4], torch.from_numpy(x[3, 4].copy()) / 255)
    assert not model.seen.requires_grad


def test_what_leaves_the_range_is_clamped() -> None:
    model = Darker()
    nn.init.constant_(model.factor, 100.0)
    assert set(np.unique(restore(model, image()))) <= {0, 100, 200, 255}
    nn.init.constant_(model.factor, -1.0)
    assert restore(model, image()).max() == 0


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (8, 31), (33, 17), (121, 179)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_real_network_takes_any_size_from_8_up(size: tuple[int, int], dtype: torch.dtype) -> None:
    model = small_network().to(dtype)
    outputs: list[Tensor] = []
    model.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    restored = restore(model, image(*size))
    assert restored.shape == (*size, 3)
    assert restored.dtype == np.uint8
    assert outputs[0].dtype == dtype
    assert outputs[0].isfinite().all()
    exact = restore(small_network(), image(*size)).astype(int)
    assert np.abs(exact - restored).max() <= (0 if dtype == torch.float32 else 4)


@pytest.mark.parametrize("size", [(7, 20), (20, 7), (1, 1)])
def test_smaller_images_are_refused_with_their_size(size: tuple[int, int]) -> None:
    height, width = size
    with pytest.raises(DataError, match=rf"{height}x{width} \(height x width\), the network restores from 8x8 up"):
        restore(Darker(), image(height, width))


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        (image()[..., 0], "grey: repeat it to three channels"),
        (np.concatenate([image(), image()[..., :1]], axis=2), "four channels (RGBA?): drop the fourth"),
        (image().astype(np.uint16), "16 bit: scale it to 0 to 255"),
        (image().astype(np.float32), "float: multiply it by 255"),
    ],
)
@pytest.mark.parametrize("function", [restore, restore_sub_images])
def test_what_is_no_image_is_refused_with_the_remedy(
    function: Callable[[nn.Module, Image], Image], wrong: np.ndarray, remedy: str
) -> None:
    with pytest.raises(DataError) as caught:
        function(Darker(), wrong)
    assert f"got {wrong.dtype} of shape {wrong.shape}: {remedy}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_network_of_another_precision_is_given_its_own() -> None:
    model = Darker().double()
    restore(model, image())
    assert model.seen is not None
    assert model.seen.dtype == torch.float64


def test_a_module_without_parameters_works() -> None:
    assert np.array_equal(restore(nn.Identity(), image()), image())


def test_the_model_and_the_image_are_left_as_they_were() -> None:
    model, x = Darker(), image()
    before = x.copy()
    x.setflags(write=False)
    restore(model, x)
    assert np.array_equal(x, before)
    assert model.training
    assert model.factor.grad is None
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        ((32, 64), (0, 16, 32), (0, 16, 32, 48, 64)),
        ((21, 35), (0, 10, 21), (0, 8, 17, 26, 35)),
        ((35, 21), (0, 8, 17, 26, 35), (0, 10, 21)),  # portrait: the longer side is cut into four
        ((33, 33), (0, 16, 33), (0, 8, 16, 24, 33)),
    ],
)
def test_parts_are_restored_apart_and_put_together(
    size: tuple[int, int], rows: tuple[int, ...], columns: tuple[int, ...]
) -> None:
    model, x = small_network(), image(*size)
    by_hand = [
        np.concatenate([restore(model, x[top:bottom, left:right]) for left, right in pairwise(columns)], axis=1)
        for top, bottom in pairwise(rows)
    ]
    restored = restore_sub_images(model, x)
    assert np.array_equal(restored, np.concatenate(by_hand))
    assert not np.array_equal(restored, restore(model, x))  # the strips of the whole image are others


@pytest.mark.parametrize("size", [(16, 32), (17, 33), (121, 179), (179, 121)])
@pytest.mark.parametrize("grid", [(2, 4), (1, 3), (1, 1), (2, 1)])
def test_the_parts_cover_the_image_once(size: tuple[int, int], grid: tuple[int, int]) -> None:
    x = image(*size)
    x.setflags(write=False)
    assert np.array_equal(restore_sub_images(nn.Identity(), x, grid=grid), x)
    assert np.array_equal(restore_sub_images(small_network(), x, grid=(1, 1)), restore(small_network(), x))


@pytest.mark.parametrize(
    ("size", "grid", "cut"),
    [((15, 64), (2, 4), "2x4"), ((31, 20), (2, 4), "4x2"), ((7, 9), (1, 1), "1x1"), ((64, 64), (0, 4), "0x4")],
)
def test_too_small_parts_are_refused_with_size_and_grid(size: tuple[int, int], grid: tuple[int, int], cut: str) -> None:
    with pytest.raises(DataError, match=rf"is {size[0]}x{size[1]} .*cut into {cut} sub-images of at least 8x8: cut it"):
        restore_sub_images(Darker(), image(*size), grid=grid)
