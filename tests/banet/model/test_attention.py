"""Attention in all its variants, against forms written out from the paper with the module's own weights.

The released wiring as a whole is compared in test_checkpoint.py.
"""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from banet.model.attention import BlurAwareAttention, SelfAttention, attention
from banet.model.network_config import BANetConfig
from banet.model.strips import strip_grid

CONFIG = BANetConfig(channels=8, fusion_channels=6, kernels=(1, 3, 5))
SIZE = (11, 14)


def features(size: tuple[int, int] = SIZE) -> Tensor:
    return torch.randn(2, 8, *size, generator=torch.Generator().manual_seed(0))


def made(**option: object) -> tuple[BANetConfig, nn.Module]:
    torch.manual_seed(0)
    config = replace(CONFIG, **option)  # type: ignore[arg-type]
    module = attention(config)
    assert module is not None
    return config, module.eval()


def strip_maps(module: nn.Module, x: Tensor, kernels: tuple[int, ...]) -> list[Tensor]:
    """y^n of Eq. (4) at full size, one n after the other, with adaptive windows."""
    H, W = x.shape[2:]
    maps = []
    for k, n in enumerate(kernels):
        yv, yh = F.adaptive_avg_pool2d(x, (H, n)), F.adaptive_avg_pool2d(x, (n, W))
        vertical = module.get_parameter(f"pooling.strips.{k}.vertical.weight")
        horizontal = module.get_parameter(f"pooling.strips.{k}.horizontal.weight") if n == 1 else vertical
        yv = F.conv2d(yv, vertical, padding=(1, 0) if n == 1 else 1)
        yh = F.conv2d(yh, horizontal, padding=(0, 1) if n == 1 else 1)
        maps.append(F.interpolate(yv, (H, W)) + F.interpolate(yh, (H, W)))
    return maps


def mksp_mask(module: nn.Module, maps: list[Tensor], kernel: int) -> Tensor:
    """f_out on the concatenated maps: two convolutions, ReLU and sigmoid."""
    fused = F.relu(F.conv2d(torch.cat(maps, 1), module.get_parameter("pooling.fusion.weight"), padding=kernel // 2))
    weight, bias = module.get_parameter("pooling.mask.weight"), module.get_parameter("pooling.mask.bias")
    return torch.sigmoid(F.conv2d(fused, weight, bias, padding=kernel // 2))


def refined(module: nn.Module, x: Tensor) -> Tensor:
    """Eq. (5)."""
    mask = x
    for k in (0, 2):
        weight, bias = module.get_parameter(f"refinement.{k}.weight"), module.get_parameter(f"refinement.{k}.bias")
        mask = F.conv2d(mask if k == 0 else F.relu(mask), weight, bias, padding=1)
    return torch.sigmoid(mask) * x


@pytest.mark.parametrize("kernels", [(1, 3, 5), (1, 3, 5, 7), (1, 3, 5, 7, 9), (3,)])
@pytest.mark.parametrize("fusion_kernel", [1, 3])
def test_mksp_equals_its_concatenated_maps(kernels: tuple[int, ...], fusion_kernel: int) -> None:
    _, module = made(attention="mksp", kernels=kernels, fusion_kernel=fusion_kernel)
    x = features()
    maps = strip_maps(module, x, kernels)
    expected = mksp_mask(module, maps, fusion_kernel) * x
    torch.testing.assert_close(module(x, strip_grid(x, kernels)), expected, rtol=1e-5, atol=1e-5)


def test_ba_is_mksp_and_then_its_refinement() -> None:
    config, module = made()
    x = features()
    masked = mksp_mask(module, strip_maps(module, x, config.kernels), 1) * x
    expected = refined(module, masked)
    torch.testing.assert_close(module(x, strip_grid(x, config.kernels)), expected, rtol=1e-5, atol=1e-5)


def test_ar_alone_is_equation_5_on_the_features() -> None:
    config, module = made(attention="ar")
    x = features()
    torch.testing.assert_close(module(x, strip_grid(x, config.kernels)), refined(module, x))


def test_sp_is_equation_1() -> None:
    _, module = made(attention="sp")
    x = features()
    yv = F.conv2d(x.mean(3, keepdim=True), module.get_parameter("pooling.strip.vertical.weight"), padding=(1, 0))
    yh = F.conv2d(x.mean(2, keepdim=True), module.get_parameter("pooling.strip.horizontal.weight"), padding=(0, 1))
    weight, bias = module.get_parameter("pooling.mask.weight"), module.get_parameter("pooling.mask.bias")
    expected = torch.sigmoid(F.conv2d(yv + yh, weight, bias)) * x
    torch.testing.assert_close(module(x, strip_grid(x, (1,))), expected)


def test_self_attention_is_a_softmax_over_all_places() -> None:
    _, module = made(attention="sa")
    assert isinstance(module, SelfAttention)
    x = 3 * features()
    torch.testing.assert_close(module(x, strip_grid(x, (1,))), x)  # gamma starts at 0
    nn.init.constant_(module.gamma, 0.7)
    q, k, v = (conv.weight.flatten(1) @ x.flatten(2) for conv in (module.query, module.key, module.value))
    weights = torch.softmax(torch.einsum("bci,bcj->bij", q, k), dim=2)
    assert weights.std() > 1e-4  # else the test would pass with any attention
    o = module.output.weight.flatten(1) @ torch.einsum("bij,bcj->bci", weights, v)
    torch.testing.assert_close(module(x, strip_grid(x, (1,))), x + 0.7 * o.view_as(x))


def local_map(weight: Tensor, average: Tensor, step: int, *, columns: bool) -> Tensor:
    """A 3x3 kernel over a place's own strip and those a step away, its neighbours along the strip; zeros outside."""
    B, _, H, W = average.shape
    y = torch.zeros(B, weight.shape[0], H, W)
    for i in range(H):
        for j in range(W):
            for a in (-1, 0, 1):
                for b in (-1, 0, 1):
                    row, column = (i + a, j + b * step) if columns else (i + a * step, j + b)
                    if 0 <= row < H and 0 <= column < W:
                        y[:, :, i, j] += average[:, :, row, column] @ weight[:, :, a + 1, b + 1].T
    return y


@pytest.mark.parametrize("fusion_kernel", [1, 3])
def test_local_strips_convolve_neighbours_a_strip_apart(fusion_kernel: int) -> None:
    _, module = made(attention="mksp", kernels=(3,), fusion_kernel=fusion_kernel)
    x, window = features((10, 12)), 9
    grid = strip_grid(x, (3,), local_window=window)
    ((vertical, horizontal),) = grid.average(x)
    weight = module.get_parameter("pooling.strips.0.vertical.weight")
    step = round(window / 3)
    maps = local_map(weight, vertical, step, columns=True) + local_map(weight, horizontal, step, columns=False)
    expected = mksp_mask(module, [maps], fusion_kernel) * x
    torch.testing.assert_close(module(x, grid), expected, rtol=1e-5, atol=1e-5)


def test_local_strips_do_not_see_beyond_their_window() -> None:
    """What TLC is about: a change far away leaves a place alone, where global strips would carry it there."""
    config, module = made(attention="mksp", kernels=(1, 3, 5))
    x = features((24, 96))
    far = x.clone()
    far[..., 80:] += 1
    for window, near in ((24, True), (None, False)):
        grid = strip_grid(x, config.kernels, local_window=window)
        same = torch.equal(module(x, grid)[..., :40], module(far, grid)[..., :40])
        assert same == near


def test_the_mask_lies_between_zero_and_one() -> None:
    config, module = made()
    assert isinstance(module, BlurAwareAttention)
    assert module.pooling is not None
    with torch.no_grad():
        mask = module.pooling(100 * features(), strip_grid(features(), config.kernels))
    assert 0 <= mask.min() < 0.1
    assert 0.9 < mask.max() <= 1
