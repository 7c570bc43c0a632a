"""The cost of one forward pass without running it: multiply-accumulates, receptive field, memory.

Shapes: ``H`` rows, ``W`` columns, ``S`` stem channels, ``C`` channels of the blur-aware modules, ``n`` strips.
"""

import copy
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from banet.model.network_config import BANetConfig


def convolution_macs(config: BANetConfig, height: int, width: int) -> int:
    """Multiply-accumulates of all convolutions of the literal form, for one image.

    Literal: the strips of each n are spread over the image and concatenated before they are fused, as in the paper and
    the released networks; the network here is faster. The count is comparable with the paper's column "GFLOPs", which
    is GMACs at 256x256: 256.93 for BANet, 578.30 for BANet+ (the paper prints 264 and 588: about 3 % more, for
    operations other than convolutions). Zeros at borders count like pixels; a transposed convolution counts the places
    of its input times its taps; additions of biases do not count. ``local_crop`` is ignored: the count is that of the
    network as trained.

    Args:
        config: the network.
        height: rows of the image; an odd number counts as padded by one.
        width: columns, likewise.
    """
    S, C = config.stem_channels, config.channels
    h, w = -(-height // 2), -(-width // 2)  # size of the features
    full = 9 * (3 * S + 2 * S * S + 3 * S)  # stem, merge, output
    half = 9 * S * C + 16 * C * S  # down, up
    modules = config.modules * (h * w * _macs_per_place(config) + _strip_macs(config, h, w))
    return 4 * h * w * full + h * w * half + modules


def _macs_per_place(config: BANetConfig) -> int:
    """Multiply-accumulates per place of the features: one blur-aware module without its strip convolutions."""
    C, F = config.channels, config.fusion_channels
    pdc = 3 * 9 * C * (C // 2)
    wide = 3 * (C // 2)  # channels of a PDC's output
    content = {"pdc": pdc, "pdc_twice": pdc + 3 * 9 * wide * (C // 2), "cpdc": 2 * pdc + 9 * wide * C}
    fuse_and_mask = config.fusion_kernel**2 * (len(config.kernels) * (C // 2) * F + F * C)
    refine = 2 * 9 * C * C
    attention = {
        "ba": fuse_and_mask + refine,
        "mksp": fuse_and_mask,
        "sp": C * C,
        "ar": refine,
        "sa": 4 * C * (C // 8),  # query, key, value, output
        "none": 0,
    }
    joined = wide + (0 if config.attention == "none" else C)
    return 9 * C * C + content[config.content] + attention[config.attention] + 9 * joined * C


def _strip_macs(config: BANetConfig, h: int, w: int) -> int:
    """The convolutions of (h, n) and (n, w) strips of one module: 3x1 and 1x3 for n = 1, else 3x3."""
    C = config.channels
    if config.attention == "sp":
        return 3 * (h + w) * C * C
    if config.attention not in {"ba", "mksp"}:
        return 0
    return sum((3 if n == 1 else 9) * n * (h + w) * C * (C // 2) for n in config.kernels)


def attention_macs(config: BANetConfig, height: int, width: int) -> int:
    """Multiply-accumulates of self-attention's two matrix products, for one image; 0 for every other attention.

    They grow with the square of the image's area. The paper does not count them, so they are reported separately.
    """
    if config.attention != "sa":
        return 0
    places = -(-height // 2) * -(-width // 2)
    return config.modules * 2 * places**2 * (config.channels // 8)


def receptive_field(config: BANetConfig) -> int:
    """Side, in pixels, of the square of the input that an output pixel depends on through convolutions alone.

    Strips and self-attention reach further: across the whole image or, with ``local_crop``, the window of the strips.
    The side is the same for all four positions of a pixel in its 2x2 cell.
    """
    content = {"pdc": 5, "pdc_twice": 5 + 5, "cpdc": 5 + 1 + 5}[config.content]  # wider than f_AR's 1 + 1 beside it
    reach = config.modules * (1 + content + 1)  # of the modules, in places of the features
    # An output pixel depends on 5 pixels of the decoder (merge, output), which come from 4 neighbouring places of the
    # features; a place depends on 5 pixels (stem, down), and places are 2 pixels apart.
    return 2 * (4 + 2 * reach - 1) + 5


def activation_memory(model: nn.Module, height: int, width: int, *, dtype: torch.dtype) -> int:
    """Peak memory of tensors, in bytes, while the model restores one image, without weights and buffers.

    Input and output count. The model runs once on tensors without data, in evaluation mode and without gradients, and
    every tensor is followed until it is freed: the peak of eager inference, with the operations that PyTorch chooses on
    a CPU. Memory inside a kernel (packed weights, workspaces) or kept by an allocator is not counted.

    Args:
        model: takes (B, 3, H, W); it is not changed.
        height: rows of the image.
        width: columns of the image.
        dtype: of the image and of all floating-point weights.
    """
    # Not the meta device, where PyTorch computes self-attention in its plain form, with a matrix of (H W / 4)^2
    # numbers; on CPUs and GPUs it uses the fused form without.
    no_data = FakeTensorMode()
    with torch.no_grad(), no_data:
        ghost = _ghost(model, dtype)
        live = _LiveBytes(weights=(*ghost.parameters(), *ghost.buffers()))
        image = torch.empty(1, 3, height, width, dtype=dtype).to(memory_format=torch.channels_last)
        live.follow(image)
        with live:
            ghost(image)
    return live.peak


def _ghost(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy of the model in evaluation mode with weights that have no data: no values are copied."""
    weights: dict[int, Tensor] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        wanted = dtype if tensor.is_floating_point() else tensor.dtype
        ghost = torch.empty_strided(tensor.shape, tensor.stride(), dtype=wanted)
        weights[id(tensor)] = nn.Parameter(ghost, requires_grad=False) if isinstance(tensor, nn.Parameter) else ghost
    return copy.deepcopy(model, memo=weights).eval()  # the memo: what deepcopy takes as copied already


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's, on subclassing
    """Follows each storage that an operation returns until it is freed; `peak` is the largest total, in bytes."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._weights = {id(weight.untyped_storage()) for weight in weights}
        self._followed: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()  # one Python object while the storage exists: its id identifies it
        key, size = id(storage), storage.nbytes()
        if key in self._weights or key in self._followed:
            return

        def freed(_: object) -> None:
            self.live -= size
            del self._followed[key]

        self._followed[key] = weakref.ref(storage, freed)
        self.live += size
        self.peak = max(self.peak, self.live)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  # the result of any operation
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                self.follow(tensor)
        return result
