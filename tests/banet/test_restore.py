"""Restoring one image: any size from 8x8 up, exact at the border, and refusals that say why."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from banet.errors import DataError
from banet.image import Image
from banet.model import BANet, BANetConfig
from banet.restore import restore


class Darker(nn.Module):
    """Half the light; remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))
        self.seen: Tensor | None = None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        self.seen = x_BCHW
        return x_BCHW * self.factor


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


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (8, 31), (33, 17)])
def test_the_real_network_takes_any_size_from_8_up(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)).eval()
    restored = restore(model, image(*size))
    assert restored.shape == (*size, 3)
    assert restored.dtype == np.uint8


@pytest.mark.parametrize("size", [(7, 20), (20, 7), (1, 1)])
def test_smaller_images_are_refused_with_their_size(size: tuple[int, int]) -> None:
    height, width = size
    with pytest.raises(DataError, match=rf"{height}x{width} \(height x width\), the network restores from 8x8 up"):
        restore(Darker(), image(height, width))


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(DataError, match="uint8 RGB"):
        restore(Darker(), image().astype(np.float32))


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
