"""PDC, PDC twice and CPDC, written out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from banet.model.content import content
from banet.model.network_config import BANetConfig

X = torch.randn(2, 8, 13, 12, generator=torch.Generator().manual_seed(0))


def made(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return content(BANetConfig(channels=8, content=kind))


def literal_pdc(block: nn.Module, x: Tensor) -> Tensor:
    branches = [
        F.conv2d(x, conv.weight, conv.bias, padding=dilation, dilation=dilation)
        for conv, dilation in zip(block.branches, (1, 3, 5), strict=True)
    ]
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
    between = F.leaky_relu(F.conv2d(literal_pdc(first, X), bridge.weight, bridge.bias, padding=1), 0.2)
    torch.testing.assert_close(torch.cat(block(X), 1), literal_pdc(second, between))
