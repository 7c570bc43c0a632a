"""F(4x4, 3x3): its matrices exactly, the layer against float64, the network against itself."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from banet.errors import DataError, ModelError
from banet.model import BANet, BANetConfig, winograd
from banet.model.winograd import WinogradConvolution, convolve, filter_matrices, with_winograd

SMALL = BANetConfig(stem_channels=8, channels=16, modules=2, fusion_channels=8)
OPTIONS: list[dict[str, Any]] = [
    *({"attention": attention} for attention in ("ba", "mksp", "sp", "ar", "sa", "none")),
    {"content": "pdc"},
    {"content": "pdc_twice"},
    {"fusion_kernel": 3, "strip_windows": "fixed"},
    {"local_crop": 30},
]
SIZES = [(1, 1), (2, 3), (4, 4), (5, 7), (37, 50), (64, 3)]


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow layers and small images too."""
    monkeypatch.setattr(winograd, "MIN_CHANNELS", 1)
    monkeypatch.setattr(winograd, "MIN_PLACES", 1)


def layer(C: int = 8, K: int = 12, **options: int) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(C, K, 3, **({"padding": 1} | options)).requires_grad_(False)


def features(*shape: int) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    return x.contiguous(memory_format=torch.channels_last)


def test_the_matrices_give_every_product_of_input_and_kernel_exactly_once() -> None:
    A, B, G = filter_matrices()
    for i in range(4):
        for j in range(6):
            for k in range(3):
                coefficient = sum((A[i][t] * B[t][j] * G[t][k] for t in range(6)), Fraction(0))
                assert coefficient == (j == i + k), (i, j, k)


def test_the_coefficients_of_both_transforms_are_exact_in_float32() -> None:
    A, B, _ = filter_matrices()
    values = [value for row in (*A, *B) for value in row]
    assert [Fraction(torch.tensor(float(value)).item()) for value in values] == values


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_the_direct_one_in_float64(size: tuple[int, int], bias: bool) -> None:
    direct, x = layer(bias=bias), features(2, 8, *size)
    expected = direct.double()(x.double())
    y = convolve(x, direct.float().weight, direct.bias)
    assert y.dtype == torch.float32
    assert float((y - expected).abs().max()) < 1e-5  # outputs around 1
    torch.testing.assert_close(convolve(x.contiguous(), direct.weight, direct.bias), y, rtol=0, atol=0)


def test_bands_of_a_few_tiles_and_a_whole_image_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    direct, x = layer(), features(1, 8, 37, 50)
    whole = convolve(x, direct.weight, direct.bias)
    monkeypatch.setattr(winograd, "BAND_MIB", 0)
    torch.testing.assert_close(convolve(x, direct.weight, direct.bias), whole, rtol=0, atol=2e-6)


def test_scratch_of_one_mode_serves_in_another(everywhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(winograd._kept, "numbers", raising=False)
    fast, x = WinogradConvolution(layer()), features(1, 8, 9, 9)
    with torch.inference_mode():
        first = fast(x).clone()
    fast(features(1, 8, 13, 13))  # leaves other numbers in it
    assert torch.equal(fast(x), first)


def test_memory_format_is_channels_last(everywhere: None) -> None:
    assert WinogradConvolution(layer())(features(2, 8, 10, 7)).is_contiguous(memory_format=torch.channels_last)


def test_gradients_are_those_of_the_direct_convolution(everywhere: None) -> None:
    direct, x = layer().requires_grad_(), features(1, 8, 6, 6)
    WinogradConvolution(direct)(x).square().sum().backward()
    grad = direct.weight.grad
    direct.weight.grad = None
    direct(x).square().sum().backward()
    assert grad is not None
    torch.testing.assert_close(grad, direct.weight.grad)


@pytest.mark.parametrize("options", [{"stride": 2}, {"padding": 0}, {"groups": 2}, {"padding": 3, "dilation": 3}])
def test_other_convolutions_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ModelError, match=r"takes 3x3, stride 1"):
        WinogradConvolution(layer(8, 8, **options))


def test_other_types_are_refused(everywhere: None) -> None:
    with pytest.raises(ModelError, match=r"weight in torch.float64 on cpu: convert"):
        WinogradConvolution(layer().double())
    with pytest.raises(DataError, match=r"features in torch.float64 on cpu"):
        WinogradConvolution(layer())(features(1, 8, 4, 4).double())
    with pytest.raises(ModelError, match=r"stem.0.weight in torch.bfloat16"):
        with_winograd(BANet(SMALL).bfloat16())


@pytest.mark.parametrize("options", OPTIONS)
@torch.no_grad()
def test_a_network_is_itself(options: dict[str, Any], everywhere: None) -> None:
    torch.manual_seed(0)
    model = BANet(replace(SMALL, **options))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast = with_winograd(model)
    assert any(isinstance(module, WinogradConvolution) for module in fast.modules())
    x = torch.rand(2, 3, 37, 50)
    torch.testing.assert_close(fast(x), model(x), rtol=0, atol=1e-5)
    assert model.training
    assert not fast.training
    assert not any(isinstance(module, WinogradConvolution) for module in model.modules())
    state = fast.state_dict()
    assert list(state) == list(before)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
        assert state[name].data_ptr() == value.data_ptr()  # shared


def test_narrow_layers_and_small_images_stay_direct() -> None:
    assert not any(isinstance(module, WinogradConvolution) for module in with_winograd(BANet(SMALL)).modules())
    x, direct = features(1, 8, 47, 48), layer()
    assert torch.equal(WinogradConvolution(direct)(x), F.conv2d(x, direct.weight, direct.bias, padding=1))
