"""PDC, PDC twice and CPDC, written out."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from banet.model.content import content
from banet.model.network_config import BANetConfig

X = torch.randn(2, 8, 13, 12, generator=torch.Generator().manual_seed(0))


def made(kind: Literal["cpdc", "pdc", "pdc_twice"]) -> nn.Module:
    torch.manual_seed(0)
    return content(BANetConfig(channels=8, content=kind))


def literal_pdc(block: nn.Module, x: Tensor) -> Tensor:
    branches = []
    for k, dilation in enumerate((1, 3, 5)):
        weight, bias = block.get_parameter(f"branches.{k}.weight"), block.get_parameter(f"branches.{k}.bias")
        branches.append(F.conv2d(x, weight, bias, padding=dilation, dilation=dilation))
    assert len(list(block.get_submodule("branches").children())) == len(branches)
    return torch.cat(branches, dim=1)


def test_pdc_is_three_dilations_side_by_side() -> None:
    block = made("pdc")
    assert [y.shape for y in block(X)] == [(2, 4, 13, 12)] * 3
    torch.testing.assert_close(torch.cat(block(X), 1), literal_pdc(block, X))


def test_pdc_twice_is_two_in_a_row() -> None:
    block = made("pdc_twice")
    first, second = block.children()
    torch.testing.assert_close(torch.cat(block(X), 1), literal_pdc(second, literal_pdc(first, X)))


def test_cpdc_has_a_bridge_between_two() -> None:
    block = made("cpdc")
    first, bridge, _, second = block.children()
    assert isinstance(bridge, nn.Conv2d)
    between = F.leaky_relu(F.conv2d(literal_pdc(first, X), bridge.weight, bridge.bias, padding=1), 0.2)
    torch.testing.assert_close(torch.cat(block(X), 1), literal_pdc(second, between))
