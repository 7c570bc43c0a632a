"""The network and its options: sizes, counts, gradients, formats, compiled and exported."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from banet.errors import ConfigError
from banet.model.network import BANet
from banet.model.network_config import BANetConfig

SMALL = BANetConfig(stem_channels=8, channels=16, modules=2, fusion_channels=6)
LOCAL = 30  # pixels
OPTIONS: list[dict[str, Any]] = [
    {},
    {"attention": "mksp"},
    {"attention": "sp"},
    {"attention": "ar"},
    {"attention": "sa"},
    {"attention": "none"},
    {"content": "pdc"},
    {"content": "pdc_twice"},
    {"kernels": (1, 3, 5, 7, 9)},
    {"fusion_kernel": 3},
    {"strip_windows": "fixed"},
    {"local_crop": LOCAL},
    {"local_crop": LOCAL, "fusion_kernel": 3, "strip_windows": "fixed"},
]
TRACED: list[dict[str, Any]] = [  # every branch of the code once: tracing takes seconds
    {},
    {"attention": "sp", "content": "pdc"},
    {"attention": "sa", "content": "pdc_twice"},
    {"fusion_kernel": 3, "strip_windows": "fixed"},
    {"local_crop": LOCAL},
]


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
    for parameter in model.output.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(1, 3, 10, 12)
    torch.testing.assert_close(model(x), x)


@pytest.mark.parametrize("option", OPTIONS)
def test_gradients_reach_every_parameter(option: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = BANet(replace(SMALL, **option))
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.ones_(parameter)  # it starts at 0, where nothing behind it has a gradient yet
    model(torch.rand(2, 3, 34, 38)).square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


@pytest.mark.slow
@pytest.mark.parametrize("option", TRACED)
def test_compiled_whole_it_gives_the_same_in_training_and_inference(option: dict[str, Any]) -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()
    model = BANet(replace(SMALL, modules=1, **option))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, missing from its types
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")  # fullgraph: a break is an error
    x = torch.rand(1, 3, 33, 48).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.testing.assert_close(compiled(x), model(x))
    wanted = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    found = torch.autograd.grad(compiled(x).square().sum(), list(model.parameters()))
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("option", TRACED)
def test_exported_at_one_size_it_is_right_at_others(option: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = BANet(replace(SMALL, modules=1, **option)).eval()
    # Smaller images than the local window take the way of the global strips, and Eq. (2) refuses some.
    smallest = LOCAL + 1 if "local_crop" in option else 14 if "strip_windows" in option else 8
    sides = {
        2: torch.export.Dim("height", min=smallest, max=4096),
        3: torch.export.Dim("width", min=smallest, max=4096),
    }
    exported = torch.export.export(model, (torch.rand(1, 3, 64, 70),), dynamic_shapes=(sides,)).module()
    for size in [(64, 70), (65, 71), (90, 128), (smallest, 41), (42, smallest + 1), (123, 50)]:
        x = torch.rand(1, 3, *size)
        with torch.no_grad():
            torch.testing.assert_close(exported(x), model(x), msg=f"{size}: {{}}".format)


@pytest.mark.parametrize("option", OPTIONS)
def test_both_memory_formats_give_the_same(option: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = BANet(replace(SMALL, **option)).eval()
    x = torch.rand(2, 3, 45, 52)
    with torch.inference_mode():
        plain, last = model(x), model(x.contiguous(memory_format=torch.channels_last))
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(plain, last, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("option", OPTIONS)
def test_half_precision_stays_near(option: dict[str, Any], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = BANet(replace(SMALL, **option)).eval()
    x = torch.rand(1, 3, 61, 89)
    with torch.inference_mode():
        exact = model(x)
        half = model.to(dtype)(x.to(dtype))
    assert half.isfinite().all()
    torch.testing.assert_close(half.float(), exact, rtol=0, atol=0.02)


@pytest.mark.parametrize("size", [(8, 8), (721, 8), (9, 1279), (721, 1279)])
def test_odd_sizes_up_to_a_video_frame(size: tuple[int, int]) -> None:
    model = BANet(BANetConfig(stem_channels=2, channels=4, modules=1, fusion_channels=2))
    with torch.inference_mode():
        restored = model(torch.rand(1, 3, *size))
    assert restored.shape == (1, 3, *size)
    assert restored.isfinite().all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": 7}, "even"),
        ({"modules": 0}, "model.modules"),
        ({"kernels": ()}, "kernels"),
        ({"kernels": (3, 3)}, "distinct"),
        ({"attention": "sa", "channels": 12}, "multiple of 8"),
        ({"local_crop": 12}, "even and at least 14"),
        ({"local_crop": 65}, "even"),
    ],
)
def test_an_impossible_configuration_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BANetConfig(**values)
