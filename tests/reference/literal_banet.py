"""The released networks, literally: what banet's fast form must equal, written from the wiring alone.

Functions over tensors with the names of the released files (without their prefix ``module.``). NCHW, eager, every map
at full size, nothing shared with the package. Works on any device, "meta" included, and under a FLOP counter.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

LEAK = 0.2


def literal_restore(tensors: Mapping[str, Tensor], x_BCHW: Tensor) -> Tensor:
    """Restore RGB images in [0, 1] of even height and width; RGB out, not clamped."""
    return literal_forward(tensors, x_BCHW.flip(1) - 0.5).flip(1) + 0.5


def literal_forward(tensors: Mapping[str, Tensor], x_BCHW: Tensor) -> Tensor:
    """The released network: BGR minus 0.5, of even height and width, in; the same out, its input added back."""
    skip = _leaky(_convolve(tensors, "en_layer1.0", x_BCHW))
    features = _leaky(_convolve(tensors, "en_layer2.0", skip, stride=2))
    modules = sum(name.endswith(".input_conv.weight") for name in tensors)
    for k in range(1, modules + 1):
        features = _blur_aware_module(tensors, f"BAM_{k}", features)
    weight, bias = tensors["de_layer1.0.weight"], tensors["de_layer1.0.bias"]
    upsampled = _leaky(F.conv_transpose2d(features, weight, bias, stride=2, padding=1))
    merged = _leaky(_convolve(tensors, "de_layer2.0", torch.cat([upsampled, skip], dim=1)))
    return x_BCHW + _convolve(tensors, "de_layer3.0", merged)


def _blur_aware_module(tensors: Mapping[str, Tensor], name: str, x_BCHW: Tensor) -> Tensor:
    f_BCHW = _leaky(_convolve(tensors, f"{name}.input_conv", x_BCHW))
    content = _content(tensors, name, f_BCHW)
    attended = _attention(tensors, f"{name}.BA", f_BCHW)
    joined = torch.cat([content, attended], dim=1)
    return _leaky(x_BCHW + _convolve(tensors, f"{name}.final_conv", joined))


def _content(tensors: Mapping[str, Tensor], name: str, x_BCHW: Tensor) -> Tensor:
    """CPDC: two parallel dilated convolutions, linear, with one convolution between them."""
    first = [_convolve(tensors, f"{name}.content_conv_d{d}", x_BCHW, dilation=d) for d in (1, 3, 5)]
    bridge = _leaky(_convolve(tensors, f"{name}.fuse_conv_1", torch.cat(first, dim=1)))
    second = [_convolve(tensors, f"{name}.content_conv_d{d}_2", bridge, dilation=d) for d in (1, 3, 5)]
    return torch.cat(second, dim=1)


def _attention(tensors: Mapping[str, Tensor], name: str, x_BCHW: Tensor) -> Tensor:
    """BA: the mask of multi-kernel strip pooling, then the refinement, each times its input."""
    maps = torch.cat([_strip_map(tensors, name, x_BCHW, n) for n in (1, 3, 5, 7)], dim=1)
    fused = F.relu(_convolve(tensors, f"{name}.fuse_conv", maps))
    attended = torch.sigmoid(_convolve(tensors, f"{name}.conv_final", fused)) * x_BCHW
    hidden = F.relu(_convolve(tensors, f"{name}.mask_conv_1", attended))
    return torch.sigmoid(_convolve(tensors, f"{name}.mask_conv_2", hidden)) * attended


def _strip_map(tensors: Mapping[str, Tensor], name: str, x_BCHW: Tensor, n: int) -> Tensor:
    """The map of one strip number: averages over n bands each way, convolved, at full size, summed."""
    H, W = x_BCHW.shape[-2:]
    yv_BCHn = F.adaptive_avg_pool2d(x_BCHW, (H, n))
    yh_BCnW = F.adaptive_avg_pool2d(x_BCHW, (n, W))
    if n == 1:
        yv_BCHn = _convolve(tensors, f"{name}.conv_1_h", yv_BCHn)
        yh_BCnW = _convolve(tensors, f"{name}.conv_1_w", yh_BCnW)
        return yv_BCHn.expand(-1, -1, H, W) + yh_BCnW.expand(-1, -1, H, W)
    yv_BCHn = _convolve(tensors, f"{name}.conv_{n}", yv_BCHn)
    yh_BCnW = _convolve(tensors, f"{name}.conv_{n}", yh_BCnW)
    return F.interpolate(yv_BCHn, (H, W), mode="nearest") + F.interpolate(yh_BCnW, (H, W), mode="nearest")


def _convolve(
    tensors: Mapping[str, Tensor], name: str, x_BCHW: Tensor, *, stride: int = 1, dilation: int = 1
) -> Tensor:
    weight = tensors[f"{name}.weight"]
    padding = [dilation * (side // 2) for side in weight.shape[-2:]]
    return F.conv2d(x_BCHW, weight, tensors.get(f"{name}.bias"), stride, padding, dilation)


def _leaky(x_BCHW: Tensor) -> Tensor:
    return F.leaky_relu(x_BCHW, LEAK)


def released_shapes(
    *, channels: int = 128, stem: int = 64, modules: int = 10, fusion: int = 64
) -> dict[str, list[int]]:
    """Name and shape of every tensor, in the order of the released files; the released BANet by default."""
    C, S = channels, stem
    shapes = _layer("en_layer1.0", S, 3, 3, 3) | _layer("en_layer2.0", C, S, 3, 3)
    for k in range(1, modules + 1):
        module, attention = f"BAM_{k}.", f"BAM_{k}.BA."
        shapes |= _layer(module + "input_conv", C, C, 3, 3)
        for dilated in ("d1", "d3", "d5", "d1_2", "d3_2", "d5_2"):
            shapes |= _layer(module + f"content_conv_{dilated}", C // 2, C, 3, 3)
        shapes |= _layer(module + "fuse_conv_1", C, 3 * C // 2, 3, 3)
        shapes |= _layer(module + "final_conv", C, 3 * C // 2 + C, 3, 3)
        shapes[attention + "conv_1_h.weight"] = [C // 2, C, 3, 1]
        shapes[attention + "conv_1_w.weight"] = [C // 2, C, 1, 3]
        for n in (3, 5, 7):
            shapes[attention + f"conv_{n}.weight"] = [C // 2, C, 3, 3]
        shapes[attention + "fuse_conv.weight"] = [fusion, 4 * (C // 2), 1, 1]
        shapes |= _layer(attention + "conv_final", C, fusion, 1, 1)
        shapes |= _layer(attention + "mask_conv_1", C, C, 3, 3) | _layer(attention + "mask_conv_2", C, C, 3, 3)
    shapes |= _layer("de_layer1.0", C, S, 4, 4) | {"de_layer1.0.bias": [S]}  # transposed: input channels come first
    return shapes | _layer("de_layer2.0", S, 2 * S, 3, 3) | _layer("de_layer3.0", 3, S, 3, 3)


def _layer(name: str, *shape: int) -> dict[str, list[int]]:
    return {f"{name}.weight": list(shape), f"{name}.bias": [shape[0]]}


def random_tensors(
    *, channels: int = 128, stem: int = 64, modules: int = 10, fusion: int = 64, seed: int = 0
) -> dict[str, Tensor]:
    """Random weights of ordinary scale: normal, with the spread that keeps features at the size of the input.

    The last convolution of a module is scaled by 1 / sqrt(modules), or the residual sums would double the features'
    variance with every module; the strip convolutions are scaled up, for averages vary less than pixels.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in released_shapes(channels=channels, stem=stem, modules=modules, fusion=fusion).items():
        if name.endswith(".bias"):
            spread = 0.1
        else:
            # each output of the transposed convolution (kernel 4, stride 2) sums over 2x2 of its places
            inputs = 4 * shape[0] if name == "de_layer1.0.weight" else math.prod(shape[1:])
            spread = _gain(name, modules) / math.sqrt(inputs)
        tensors[name] = spread * torch.randn(shape, generator=generator)
    return tensors


def _gain(name: str, modules: int) -> float:
    if name.endswith(".final_conv.weight"):
        return math.sqrt(1 / modules)
    if ".BA.conv_" in name and not name.endswith(".conv_final.weight"):
        return 2.0
    return math.sqrt(2 / (1 + LEAK**2))
