"""The network: sizes, counts, gradients, and the wiring against a literal form."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from banet.errors import ConfigError
from banet.model import BANet, BANetConfig, BlurAwareModule

SMALL = BANetConfig(stem_channels=8, channels=12, modules=2, fusion_channels=6)


def count(config: BANetConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in BANet(config).parameters())


def test_parameter_counts_are_those_of_the_released_networks() -> None:
    assert count(BANetConfig()) == 17_988_547
    assert count(BANetConfig(channels=192, fusion_channels=192)) == 40_768_131


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (8, 13), (31, 45), (1, 1), (1, 7)])
def test_output_has_the_size_of_the_input(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size)
    assert BANet(SMALL)(x).shape == x.shape


def test_an_even_size_is_not_padded_and_an_odd_one_by_reflection() -> None:
    torch.manual_seed(0)
    model = BANet(SMALL).eval()
    odd = torch.rand(1, 3, 15, 17)
    even = F.pad(odd, (0, 1, 0, 1), mode="reflect")
    torch.testing.assert_close(model(odd), model(even)[..., :15, :17])


def test_the_network_is_a_residual_on_its_input() -> None:
    model = BANet(SMALL)
    torch.nn.init.zeros_(model.output.weight)
    torch.nn.init.zeros_(model.output.bias)
    x = torch.rand(1, 3, 10, 12)
    torch.testing.assert_close(model(x), x)


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    model = BANet(SMALL)
    model(torch.rand(2, 3, 16, 16)).square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def strips(x: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Adaptive windows, one mean at a time."""
    H, W = x.shape[-2:]
    columns = [x[..., i * W // n : -(-(i + 1) * W // n)].mean(dim=3) for i in range(n)]
    rows = [x[..., i * H // n : -(-(i + 1) * H // n), :].mean(dim=2) for i in range(n)]
    return torch.stack(columns, dim=3), torch.stack(rows, dim=2)


def literal_module(module: BlurAwareModule, x: Tensor) -> Tensor:
    """One BAM, written out from its description with the module's own weights."""
    H, W = x.shape[-2:]
    f = F.leaky_relu(F.conv2d(x, module.input[0].weight, module.input[0].bias, padding=1), 0.2)
    pooling, maps = module.attention.pooling, []
    for n, strip in zip(pooling.kernels, pooling.strips, strict=True):
        yv, yh = strips(f, n)
        if n == 1:
            yv = F.conv2d(yv, strip.vertical.weight, padding=(1, 0))
            yh = F.conv2d(yh, strip.horizontal.weight, padding=(0, 1))
        else:
            yv, yh = (F.conv2d(y, strip.vertical.weight, padding=1) for y in (yv, yh))
        rows = [int(i * (n / H)) for i in range(H)]
        columns = [int(j * (n / W)) for j in range(W)]
        maps.append(yv[..., columns] + yh[..., rows, :])
    fused = F.relu(F.conv2d(torch.cat(maps, 1), pooling.fusion.weight))
    attended = torch.sigmoid(F.conv2d(fused, pooling.mask.weight, pooling.mask.bias)) * f
    refine = module.attention.refinement
    mask = F.relu(F.conv2d(attended, refine[0].weight, refine[0].bias, padding=1))
    attended = torch.sigmoid(F.conv2d(mask, refine[2].weight, refine[2].bias, padding=1)) * attended
    first, bridge, _, second = module.content
    content = f
    for pdc, after in ((first, bridge), (second, None)):
        branches = [
            F.conv2d(content, conv.weight, conv.bias, padding=d, dilation=d)
            for conv, d in zip(pdc.branches, (1, 3, 5), strict=True)
        ]
        content = torch.cat(branches, 1)
        if after is not None:
            content = F.leaky_relu(F.conv2d(content, after.weight, after.bias, padding=1), 0.2)
    out = F.conv2d(torch.cat([content, attended], 1), module.output.weight, module.output.bias, padding=1)
    return F.leaky_relu(x + out, 0.2)


@pytest.mark.parametrize("size", [(16, 16), (10, 23), (7, 8)])
def test_a_module_equals_its_literal_form(size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    module = BlurAwareModule(SMALL)
    x = torch.randn(2, 12, *size)
    torch.testing.assert_close(module(x), literal_module(module, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": 7}, "even"),
        ({"modules": 0}, "model.modules"),
        ({"kernels": ()}, "kernels"),
        ({"kernels": (3, 3)}, "distinct"),
    ],
)
def test_an_impossible_configuration_is_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BANetConfig(**values)  # type: ignore[arg-type]
