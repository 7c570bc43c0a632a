"""Counts against a FLOP counter on literal forms, reach against gradients, memory by hand."""

from dataclasses import replace
from itertools import accumulate
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from literal_banet import literal_forward, released_shapes
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from banet.analysis.complexity import activation_memory, attention_macs, convolution_macs, receptive_field
from banet.model.network import BANet
from banet.model.network_config import BANetConfig

Attention = Literal["ba", "mksp", "sp", "ar", "sa", "none"]
Content = Literal["cpdc", "pdc", "pdc_twice"]

SMALL = BANetConfig(stem_channels=8, channels=16, modules=2, fusion_channels=8)
PLUS = BANetConfig(channels=192, fusion_channels=192)


def counted(counter: FlopCounterMode) -> tuple[int, int]:
    """Multiply-accumulates of the convolutions, and of the matrix products."""
    flops = {str(operation): count for operation, count in counter.get_flop_counts()["Global"].items()}
    convolutions = sum(count for name, count in flops.items() if "convolution" in name)
    return convolutions // 2, (counter.get_total_flops() - convolutions) // 2


def released_macs(config: BANetConfig, height: int, width: int) -> int:
    """Of the literal form of the released networks, for an even size."""
    shapes = released_shapes(
        channels=config.channels, stem=config.stem_channels, modules=config.modules, fusion=config.fusion_channels
    )
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    with FlopCounterMode(display=False) as counter:
        literal_forward(tensors, torch.empty(1, 3, height, width, device="meta"))
    return counted(counter)[0]


def conv(x: Tensor, out: int, kernel: tuple[int, int] = (3, 3)) -> Tensor:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return F.conv2d(x, torch.empty(out, x.shape[1], *kernel, device="meta"), padding=padding)


def literal_attention(config: BANetConfig, f: Tensor) -> Tensor:
    C, kind, (H, W) = config.channels, config.attention, f.shape[-2:]
    if kind in ("ba", "mksp"):
        maps = []
        for n in config.kernels:
            yv = conv(F.adaptive_avg_pool2d(f, (H, n)), C // 2, (3, 1) if n == 1 else (3, 3))
            yh = conv(F.adaptive_avg_pool2d(f, (n, W)), C // 2, (1, 3) if n == 1 else (3, 3))
            maps.append(F.interpolate(yv, (H, W)) + F.interpolate(yh, (H, W)))
        k = (config.fusion_kernel, config.fusion_kernel)
        f = f * conv(conv(torch.cat(maps, 1), config.fusion_channels, k), C, k)
    if kind in ("ba", "ar"):
        f = f * conv(conv(f, C), C)
    if kind == "sp":
        yv, yh = conv(f.mean(3, keepdim=True), C, (3, 1)), conv(f.mean(2, keepdim=True), C, (1, 3))
        f = f * conv(yv + yh, C, (1, 1))
    if kind == "sa":
        query, key, value = (conv(f, C // 8, (1, 1)).flatten(2) for _ in range(3))
        weights = (query.transpose(1, 2) @ key).softmax(-1)
        f = f + conv(torch.unflatten(value @ weights.transpose(1, 2), 2, (H, W)), C, (1, 1))
    return f


def literal_macs(config: BANetConfig, height: int, width: int) -> tuple[int, int]:
    """Of the paper's network in any variant, layer after layer: convolutions and matrix products."""
    S, C = config.stem_channels, config.channels
    x = torch.empty(1, 3, height + height % 2, width + width % 2, device="meta")
    with FlopCounterMode(display=False) as counter:
        skip = conv(x, S)
        f = F.conv2d(skip, torch.empty(C, S, 3, 3, device="meta"), stride=2, padding=1)
        for _ in range(config.modules):
            content = inner = conv(f, C)
            for block in range(1 if config.content == "pdc" else 2):
                if block == 1 and config.content == "cpdc":
                    content = conv(content, C)
                content = torch.cat([conv(content, C // 2) for _ in range(3)], 1)
            joined = [content] if config.attention == "none" else [content, literal_attention(config, inner)]
            f = f + conv(torch.cat(joined, 1), C)
        up = F.conv_transpose2d(f, torch.empty(C, S, 4, 4, device="meta"), stride=2, padding=1)
        conv(conv(torch.cat([up, skip], 1), S), 3)
    return counted(counter)


@pytest.mark.parametrize(("config", "gmacs"), [(BANetConfig(), 256.93), (PLUS, 578.30)])
def test_counts_at_256_are_those_of_the_released_networks(config: BANetConfig, gmacs: float) -> None:
    macs = convolution_macs(config, 256, 256)
    assert round(macs / 1e9, 2) == gmacs
    assert macs == released_macs(config, 256, 256)


@pytest.mark.parametrize("size", [(720, 1280), (8, 8), (6, 30)])
def test_counts_are_exact_at_every_even_size(size: tuple[int, int]) -> None:
    for config in (BANetConfig(), SMALL):
        assert convolution_macs(config, *size) == released_macs(config, *size)


@pytest.mark.parametrize("size", [(15, 22), (9, 9), (32, 7)])
def test_an_odd_size_counts_as_the_even_one_above(size: tuple[int, int]) -> None:
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert convolution_macs(SMALL, *size) == convolution_macs(SMALL, *even) == released_macs(SMALL, *even)


@pytest.mark.parametrize("content", ["cpdc", "pdc", "pdc_twice"])
@pytest.mark.parametrize("attention", ["ba", "mksp", "sp", "ar", "sa", "none"])
def test_counts_of_every_variant_are_exact(attention: Attention, content: Content) -> None:
    config = replace(SMALL, attention=attention, content=content)
    counts = (convolution_macs(config, 21, 34), attention_macs(config, 21, 34))
    assert counts == literal_macs(config, 21, 34)
    assert (counts[1] > 0) == (attention == "sa")


@pytest.mark.parametrize("values", [{"kernels": (1, 3)}, {"kernels": (2, 9)}, {"fusion_kernel": 3}, {"modules": 4}])
def test_counts_follow_the_options(values: dict[str, Any]) -> None:
    config = replace(SMALL, **values)
    assert (convolution_macs(config, 24, 32), 0) == literal_macs(config, 24, 32)


def seen(config: BANetConfig, size: int, row: int, column: int) -> tuple[int, int]:
    """Height and width of the part of the input that one output pixel depends on."""
    model = BANet(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1e-3 if name.endswith("weight") else 0)  # nothing cancels
    x = torch.ones(1, 3, size, size, requires_grad=True)
    model(x)[0, 0, row, column].backward()
    assert x.grad is not None
    rows, columns = x.grad[0].sum(0).nonzero().unbind(1)
    assert min(rows.min(), columns.min()) > 0  # the border cuts nothing off
    assert max(rows.max(), columns.max()) < size - 1
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


@pytest.mark.parametrize("content", ["cpdc", "pdc", "pdc_twice"])
@pytest.mark.parametrize("attention", ["none", "ar"])
def test_the_receptive_field_is_where_gradients_come_from(attention: Attention, content: Content) -> None:
    config = BANetConfig(
        stem_channels=2,
        channels=2,
        modules=1,
        fusion_channels=1,
        attention=attention,
        content=content,
    )
    side = receptive_field(config)
    size = side + 7
    middle = size // 2
    for row, column in ((middle, middle), (middle, middle + 1), (middle + 1, middle), (middle + 1, middle + 1)):
        assert seen(config, size, row, column) == (side, side)


def test_the_receptive_field_grows_by_one_modules_reach_with_each() -> None:
    assert receptive_field(BANetConfig()) == 531
    assert receptive_field(BANetConfig(modules=9)) == 531 - 2 * 2 * 13
    two = BANetConfig(stem_channels=2, channels=2, modules=2, fusion_channels=1, attention="none", content="pdc")
    assert seen(two, 80, 40, 40) == (receptive_field(two), receptive_field(two))


class Doubled(nn.Module):
    """Live at the peak: the input, the widened map, the map doubled, beside 28 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Conv2d(3, 4, 1)
        self.register_buffer("steps", torch.zeros(5, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        wide: Tensor = self.widen(x)
        view = wide[:, :2].flatten(2)  # a view needs nothing
        del view
        doubled = wide * 2  # the peak: 3 + 4 + 4 channels
        del wide
        doubled += 1
        return doubled[:, :3] + x  # 3 + 4 + 3


def test_activation_memory_by_hand() -> None:
    model = Doubled()
    assert activation_memory(model, 10, 20, dtype=torch.float32) == 11 * 10 * 20 * 4
    assert activation_memory(model, 10, 20, dtype=torch.bfloat16) == 11 * 10 * 20 * 2
    assert activation_memory(nn.Identity(), 10, 20, dtype=torch.float32) == 3 * 10 * 20 * 4


def test_what_a_chain_of_layers_frees_is_not_counted() -> None:
    chain = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(9)))
    assert (
        activation_memory(chain, 8, 8, dtype=torch.float32) == 3 * 3 * 8 * 8 * 4
    )  # the image, and in and out of one link


def test_activation_memory_leaves_the_model_as_it_was() -> None:
    model = BANet(SMALL)
    before = {name: (tensor, tensor.clone()) for name, tensor in model.state_dict(keep_vars=True).items()}
    activation_memory(model, 16, 16, dtype=torch.bfloat16)
    after = model.state_dict(keep_vars=True)
    assert model.training
    assert all(after[name] is tensor and torch.equal(tensor, value) for name, (tensor, value) in before.items())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("attention", ["ba", "mksp", "sp", "ar", "sa", "none"])
def test_activation_memory_grows_with_the_image_and_the_type(attention: Attention) -> None:
    model = BANet(replace(SMALL, attention=attention))
    sizes = [(16, 16), (16, 18), (32, 18), (31, 45), (720, 1280)]
    bytes_ = [activation_memory(model, *size, dtype=torch.bfloat16) for size in sizes]
    assert bytes_ == sorted(set(bytes_))
    least = 16 * 16 * (3 + SMALL.stem_channels) * 2  # input and skip
    assert bytes_[0] > least
    assert activation_memory(model, 32, 18, dtype=torch.float32) == pytest.approx(2 * bytes_[2], rel=0.02)


def allocated(model: nn.Module, size: tuple[int, int]) -> int:
    """Peak of what a real pass takes from the CPU's allocator."""
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        model.eval()(torch.rand(1, 3, *size).to(memory_format=torch.channels_last))
    assert profiler.profiler is not None
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    peak: int = max(accumulate(event.nbytes() for event in events))
    return peak


@pytest.mark.parametrize(
    "values",
    [
        *({"attention": attention} for attention in ("ba", "mksp", "sp", "ar", "sa", "none")),
        {"content": "pdc"},
        {"content": "pdc_twice"},
        {"fusion_kernel": 3},
        {"strip_windows": "fixed"},
    ],
)
def test_activation_memory_is_what_a_real_pass_takes(values: dict[str, Any]) -> None:
    for stem in (16, 2):  # the peak is in the decoder, and in a module
        model = BANet(replace(SMALL, channels=32, stem_channels=stem, **values))
        real = allocated(model, (160, 226))  # so large that convolutions take no buffer beside their output
        assert activation_memory(model, 160, 226, dtype=torch.float32) == pytest.approx(real, rel=0.01)


def test_self_attentions_matrix_is_not_laid_out() -> None:
    model = BANet(replace(SMALL, attention="sa"))
    one, four = (activation_memory(model, *size, dtype=torch.float32) for size in ((64, 64), (128, 128)))
    assert four == pytest.approx(4 * one, rel=0.1)
