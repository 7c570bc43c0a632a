"""What a model costs on this machine: `banet info`."""

import copy
import platform
import statistics
import time
from dataclasses import dataclass

import torch
from torch import nn

from banet.analysis.complexity import activation_memory, attention_macs, convolution_macs, receptive_field
from banet.errors import ConfigError, ResourceError
from banet.model.network import BANet
from banet.model.network_config import BANetConfig

CROP = (256, 256)  # the size of the paper's counts
FRAME = (720, 1280)  # GoPro's frames, (height, width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Wall-clock time of one image's forward pass, in milliseconds: the middle half of the runs lies in p25 to p75."""

    median_ms: float
    p25_ms: float
    p75_ms: float
    runs: int
    warm_up: int  # runs before, not timed
    device: str  # with the GPU's name, or the number of the CPU's threads
    dtype: str
    memory_format: str
    size: tuple[int, int]  # (height, width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one image of one size takes."""

    size: tuple[int, int]  # (height, width)
    convolution_macs: int  # of the literal form
    attention_macs: int  # of self-attention's products; 0 for other networks
    activation_bytes: int  # most at one time, weights left out


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What `banet info` says of one model."""

    name: str
    parameters: int
    receptive_field: int  # pixels a side, of the convolutions alone
    beyond: str  # what sees more than that; empty if nothing does
    costs: tuple[Cost, ...]  # at 256x256 and at 720x1280
    dtype: str  # of the activations in `costs`
    latency: Latency


def measure_latency(
    model: nn.Module,
    height: int,
    width: int,
    *,
    device: str | torch.device,
    dtype: torch.dtype,
    runs: int = 10,
    warm_up: int = 3,
) -> Latency:
    """Time single forward passes of a copy of the model: one image, channels_last, inference mode.

    Every run starts and ends with the device idle (`torch.cuda.synchronize` on a GPU), so it is the time somebody
    waits for one image, the launch included. The model itself stays where and as it is.

    Args:
        model: takes (B, 3, H, W).
        height: rows of the image.
        width: columns of the image.
        device: a CPU or a CUDA device.
        dtype: of weights and image.
        runs: timed runs, at least 2.
        warm_up: runs before them, which choose kernels and fill caches.

    Raises:
        ConfigError: neither a CPU nor a CUDA device, no floating-point type, or fewer than two runs.
        ResourceError: the device is not there, has too little memory or cannot run this type.
    """
    device = _require_device(device)
    if not dtype.is_floating_point:
        raise ConfigError(f"the network computes in floating point, not in {_plain(dtype)}: use float32 or bfloat16")
    if runs < 2:
        raise ConfigError(f"a spread needs at least 2 runs, got {runs}")
    try:
        times = _times(model, height, width, device, dtype, runs, warm_up)
    except (RuntimeError, MemoryError) as error:  # not implemented for this type, out of memory
        reason = (str(error) or type(error).__name__).splitlines()[0]
        what = f"{height}x{width} in {_plain(dtype)} on {device}"
        raise ResourceError(f"no forward pass at {what} ({reason}): use another dtype, device or size") from error
    p25, median, p75 = statistics.quantiles(times, n=4, method="inclusive")
    return Latency(
        median_ms=median,
        p25_ms=p25,
        p75_ms=p75,
        runs=runs,
        warm_up=warm_up,
        device=_device_name(device),
        dtype=_plain(dtype),
        memory_format=_plain(torch.channels_last),
        size=(height, width),
    )


def _times(
    model: nn.Module, height: int, width: int, device: torch.device, dtype: torch.dtype, runs: int, warm_up: int
) -> list[float]:
    """Milliseconds of each timed run."""
    timed = copy.deepcopy(model).eval().to(device=device, dtype=dtype)
    timed.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, missing from its types
    pixels = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    image = pixels.to(device=device, dtype=dtype, memory_format=torch.channels_last)
    times = []
    with torch.inference_mode():
        for _ in range(warm_up + runs):
            _wait(device)
            start = time.perf_counter()
            timed(image)
            _wait(device)
            times.append(1000 * (time.perf_counter() - start))
    return times[warm_up:]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _require_device(device: str | torch.device) -> torch.device:
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"{device} is no device: use cpu, cuda or cuda:1") from None
    if found.type not in {"cpu", "cuda"}:
        raise ConfigError(f"latency is measured on cpu or cuda, not on {found}")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ResourceError(f"there is no {found} here: PyTorch sees {torch.cuda.device_count()} GPUs; use cpu")
    return found


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"{device} ({platform.machine()}, {threads} thread{'s' * (threads != 1)})"


def _plain(value: torch.dtype | torch.memory_format) -> str:
    return str(value).removeprefix("torch.")


def describe(
    model: BANet, *, device: str | torch.device, dtype: torch.dtype, latency_size: tuple[int, int] = CROP
) -> ModelInfo:
    """Count what the model costs at 256x256 and at 720x1280, and time it at one size, (height, width).

    Raises:
        ConfigError: neither a CPU nor a CUDA device, or no floating-point type.
        ResourceError: the device is not there, has too little memory or cannot run this type.
    """
    on_gpu = _require_device(device).type == "cuda"
    # Seconds a run on a CPU, milliseconds on a GPU.
    latency = measure_latency(
        model, *latency_size, device=device, dtype=dtype, runs=50 if on_gpu else 7, warm_up=10 if on_gpu else 2
    )
    config = model.config
    return ModelInfo(
        name=config.name,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        receptive_field=receptive_field(config),
        beyond=_beyond(config),
        costs=tuple(
            Cost(
                size=size,
                convolution_macs=convolution_macs(config, *size),
                attention_macs=attention_macs(config, *size),
                activation_bytes=activation_memory(model, *size, dtype=dtype),
            )
            for size in (CROP, FRAME)
        ),
        dtype=_plain(dtype),
        latency=latency,
    )


def _beyond(config: BANetConfig) -> str:
    if config.attention == "sa":
        return "self-attention sees the whole image"
    if config.attention in {"ar", "none"}:
        return ""
    return f"strips see {'the whole image' if config.local_crop is None else f'windows of {config.local_crop} pixels'}"


def format_info(info: ModelInfo) -> str:
    """The same for a terminal: one aligned line for each thing, sizes as height x width."""
    side = (info.receptive_field, info.receptive_field)
    t = info.latency
    spread = f"{t.median_ms:.1f} ms, middle half of {t.runs} runs {t.p25_ms:.1f} to {t.p75_ms:.1f}"
    lines = [
        ("name", info.name),
        ("parameters", f"{info.parameters:,}"),
        *((f"GMACs at {_by(cost.size)}", _gmacs(cost)) for cost in info.costs),
        ("receptive field", f"{_by(side)} pixels by convolutions; {info.beyond}".removesuffix("; ")),
        *(
            (f"activations at {_by(cost.size)}", f"{cost.activation_bytes / 2**20:,.1f} MiB in {info.dtype}")
            for cost in info.costs
        ),
        (f"latency at {_by(t.size)}", f"{spread}; {t.device}, {t.dtype}, {t.memory_format}"),
    ]
    column = max(len(label) for label, _ in lines) + 2
    note = 'GMACs: convolutions of the literal form, as in the paper\'s column "GFLOPs", which is GMACs at 256x256.'
    return "\n".join([*(f"{label:<{column}}{value}" for label, value in lines), note])


def _gmacs(cost: Cost) -> str:
    apart = f", and {cost.attention_macs / 1e9:,.2f} of self-attention" if cost.attention_macs else ""
    return f"{cost.convolution_macs / 1e9:,.2f}{apart}"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
