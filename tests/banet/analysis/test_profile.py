"""`banet info`: what it counts, how it times, what it says and what it refuses."""

import re
import time
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from banet.analysis.complexity import activation_memory, attention_macs, convolution_macs
from banet.analysis.profile import describe, measure_latency
from banet.errors import ConfigError, ResourceError
from banet.model.network import BANet
from banet.model.network_config import BANetConfig

TINY = BANetConfig(name="tiny", stem_channels=4, channels=8, modules=1, fusion_channels=4)


class Noted(nn.Module):
    """Notes how it is called, also from a copy: the list is outside."""

    calls: list[tuple[Tensor, bool, bool]] = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append((x, self.training, torch.is_inference_mode_enabled()))
        return x * self.factor


def test_a_latency_says_how_it_was_measured() -> None:
    found = measure_latency(BANet(TINY), 16, 24, device="cpu", dtype=torch.bfloat16, runs=5, warm_up=1)
    assert 0 < found.p25_ms <= found.median_ms <= found.p75_ms < 60_000
    assert (found.runs, found.warm_up, found.size) == (5, 1, (16, 24))
    assert found.device.startswith("cpu (")
    assert "thread" in found.device
    assert (found.dtype, found.memory_format) == ("bfloat16", "channels_last")


def test_runs_are_single_images_in_inference_mode_on_a_copy() -> None:
    Noted.calls.clear()
    model = Noted()
    measure_latency(model, 10, 12, device="cpu", dtype=torch.float64, runs=4, warm_up=2)
    assert len(Noted.calls) == 6
    image, training, inference = Noted.calls[0]
    assert image.shape == (1, 3, 10, 12)
    assert image.dtype == torch.float64
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert (training, inference) == (False, True)
    assert model.training
    assert model.factor.dtype == torch.float32


def test_warm_up_runs_are_not_timed() -> None:
    class SlowStart(nn.Module):
        left = 2

        def forward(self, x: Tensor) -> Tensor:
            if self.left:
                self.left -= 1
                time.sleep(0.02)
            return x

    slow = measure_latency(SlowStart(), 8, 8, device="cpu", dtype=torch.float32, runs=2, warm_up=0)
    warm = measure_latency(SlowStart(), 8, 8, device="cpu", dtype=torch.float32, runs=2, warm_up=2)
    assert slow.median_ms >= 20
    assert warm.median_ms < 5


def test_the_callers_model_and_random_numbers_stay() -> None:
    torch.manual_seed(3)
    model = BANet(TINY)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    describe(model, device="cpu", dtype=torch.bfloat16, latency_size=(16, 16))
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, before[name])
        assert tensor.stride() == before[name].stride()


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(ResourceError, match=f"^there is no {device} here: PyTorch sees 0 GPUs; use cpu$"):
        describe(BANet(TINY), device=device, dtype=torch.float32)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"device": "gpu"}, "^gpu is not a device"),
        ({"device": "meta"}, "not on meta"),
        ({"dtype": torch.int8}, "floating point, not in int8"),
        ({"runs": 1}, "at least 2 runs, got 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        measure_latency(BANet(TINY), 16, 16, **({"device": "cpu", "dtype": torch.float32} | values))  # type: ignore[arg-type]


def test_a_type_without_kernels_is_one_line() -> None:
    with pytest.raises(
        ResourceError, match=r"^the forward pass failed at 16x16 in float8_e4m3fn on cpu \(.*\): use another"
    ):
        measure_latency(BANet(TINY), 16, 16, device="cpu", dtype=torch.float8_e4m3fn)


def info(config: BANetConfig, dtype: torch.dtype = torch.float32) -> list[str]:
    return describe(BANet(config), device="cpu", dtype=dtype, latency_size=(16, 24)).splitlines()


@pytest.mark.slow
def test_the_text_is_aligned_and_complete() -> None:
    *lines, latency, note = info(BANetConfig())
    assert lines == [
        "name                     banet",
        "parameters               17,988,547",
        "GMACs at 256x256         256.93",
        "GMACs at 720x1280        3,583.63",
        "receptive field          531x531 pixels by convolutions; strips see the whole image",
        "activations at 256x256   65.5 MiB in float32",
        "activations at 720x1280  921.2 MiB in float32",
    ]
    spread = r"\d+\.\d ms, middle half of 7 runs \d+\.\d to \d+\.\d"
    assert re.fullmatch(f"latency at 16x24         {spread}; cpu \\(.+ threads?\\), float32, channels_last", latency)
    assert "GMACs at 256x256" in note


def test_counts_are_those_of_the_model_and_its_type() -> None:
    lines = info(TINY, torch.bfloat16)
    for size, shown in (((256, 256), "256x256"), ((720, 1280), "720x1280")):
        bytes_ = activation_memory(BANet(TINY), *size, dtype=torch.bfloat16)
        assert f"GMACs at {shown:<16}{convolution_macs(TINY, *size) / 1e9:.2f}" in lines
        assert f"activations at {shown:<10}{bytes_ / 2**20:.1f} MiB in bfloat16" in lines


def test_self_attention_is_counted_apart() -> None:
    config = replace(TINY, attention="sa")
    counted = f"{convolution_macs(config, 256, 256) / 1e9:.2f}, and {attention_macs(config, 256, 256) / 1e9:.2f}"
    assert f"GMACs at 256x256         {counted} of self-attention" in info(config)


@pytest.mark.parametrize(
    ("values", "beyond"),
    [
        ({"local_crop": 256}, "; strips see windows of 256 pixels"),
        ({"attention": "sa"}, "; self-attention sees the whole image"),
        ({"attention": "ar"}, ""),
    ],
)
def test_what_sees_beyond_the_receptive_field_is_said(values: dict[str, object], beyond: str) -> None:
    (line,) = (line for line in info(replace(TINY, **values)) if line.startswith("receptive field"))  # type: ignore[arg-type]
    assert line.endswith(f" pixels by convolutions{beyond}")
