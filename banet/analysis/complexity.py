"""What one forward pass costs: multiply-accumulates, receptive field, memory. Nothing is computed to find them.

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
    the released networks, whatever the faster form here does. So counted, the networks compare with the paper's column
    "GFLOPs", which is GMACs at 256x256: 256.93 for BANet, 578.30 for BANet+ (the paper prints 264 and 588: about 3 %
    more, for what is no convolution). A border's zeros count as pixels do, a transposed convolution as its input's
    places times its taps; additions of biases do not count. ``local_crop`` is left out: the count is that of the
    network as it was trained.

    Args:
        config: the network.
        height: rows of the image; the network pads an odd number by one.
        width: columns, likewise.
    """
    S, C = config.stem_channels, config.channels
    h, w = -(-height // 2), -(-width // 2)  # the features' size
    full = 9 * (3 * S + 2 * S * S + 3 * S)  # stem, merge, output
    half = 9 * S * C + 16 * C * S  # down, up
    modules = config.modules * (h * w * _macs_per_place(config) + _strip_macs(config, h, w))
    return 4 * h * w * full + h * w * half + modules


def _macs_per_place(config: BANetConfig) -> int:
    """All of one blur-aware module but the strip convolutions: multiply-accumulates per place of the features."""
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

    They grow with the square of the image's area; the paper's counts have no place for them, so they stand apart.
    """
    if config.attention != "sa":
        return 0
    places = -(-height // 2) * -(-width // 2)
    return config.modules * 2 * places**2 * (config.channels // 8)


def receptive_field(config: BANetConfig) -> int:
    """Side, in pixels, of the square of the input that an output pixel sees through the convolutions alone.

    Strips reach the whole image (with ``local_crop``: their window), and so does self-attention: through them every
    output pixel depends on pixels beyond this square. It is the same for all four places of a pixel in its 2x2 cell.
    """
    content = {"pdc": 5, "pdc_twice": 5 + 5, "cpdc": 5 + 1 + 5}[config.content]  # wider than f_AR's 1 + 1 beside it
    reach = config.modules * (1 + content + 1)  # of the modules, in places of the features
    # An output pixel p sees 5 pixels of the decoder (merge, output), which come from 4 neighbouring places of the
    # features; a place sees 5 pixels (stem, down), and the next place lies 2 pixels on.
    return 2 * (4 + 2 * reach - 1) + 5


def activation_memory(model: nn.Module, height: int, width: int, *, dtype: torch.dtype) -> int:
    """Most bytes of tensors alive at one time while the model restores one image, weights and buffers left out.

    The input counts, and so does the output. The model's own code runs once on tensors without data, in evaluation
    mode and without gradients, and every tensor is followed until it is freed: the peak of eager inference, with the
    operations that PyTorch takes on a CPU. What a kernel takes for itself (packed weights, workspaces) and what an
    allocator keeps is not seen.

    Args:
        model: takes (B, 3, H, W); it is not changed.
        height: rows of the image.
        width: columns of the image.
        dtype: of the image and of all floating-point weights.
    """
    # Not the meta device: there PyTorch takes self-attention's plain form, with a matrix of (H W / 4)^2 numbers, and
    # on a CPU, as on a GPU, the fused one without.
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
    """A copy of the model in evaluation mode, its weights made where tensors have no data: nothing is copied."""
    weights: dict[int, Tensor] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        wanted = dtype if tensor.is_floating_point() else tensor.dtype
        ghost = torch.empty_strided(tensor.shape, tensor.stride(), dtype=wanted)
        weights[id(tensor)] = nn.Parameter(ghost, requires_grad=False) if isinstance(tensor, nn.Parameter) else ghost
    return copy.deepcopy(model, memo=weights).eval()  # the memo: what counts as copied already


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's, on subclassing
    """Follows each storage that an operation returns, until it is freed; `peak` is the most bytes at one time."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._weights = {id(weight.untyped_storage()) for weight in weights}
        self._followed: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()  # one Python object as long as the storage lives: its id names it
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
    ) -> Any:  # noqa: ANN401  # whatever the operation returns
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                self.follow(tensor)
        return result
