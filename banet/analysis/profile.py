"""What a model costs, and how fast it is on this machine: `banet info`."""

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
    """Wall-clock time of one image's forward pass, in milliseconds; p25 and p75 are quartiles of the runs."""

    median_ms: float
    p25_ms: float
    p75_ms: float
    runs: int
    warm_up: int  # earlier runs, not timed
    device: str  # with the GPU's name, or the number of the CPU's threads
    dtype: str
    memory_format: str
    size: tuple[int, int]  # (height, width)


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

    Every run starts and ends with the device idle (`torch.cuda.synchronize` on a GPU): this is how long a user waits
    for one image, including the launch. The model itself is not changed or moved.

    Args:
        model: takes (B, 3, H, W).
        height: rows of the image.
        width: columns of the image.
        device: a CPU or a CUDA device.
        dtype: of weights and image.
        runs: timed runs, at least 2.
        warm_up: runs before them, which choose kernels and fill caches.

    Raises:
        ConfigError: neither a CPU nor a CUDA device, not a floating-point type, or fewer than two runs.
        ResourceError: the device is missing, has too little memory or cannot run this type.
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
        raise ResourceError(
            f"the forward pass failed at {what} ({reason}): use another dtype, device or size"
        ) from error
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
    """Return the milliseconds of each timed run."""
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
        raise ConfigError(f"{device} is not a device: use cpu, cuda or cuda:1") from None
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
) -> str:
    """Say what the model costs, one aligned line per quantity: counts at 256x256 and 720x1280, time at one size.

    Args:
        model: any variant of the network; it is not changed.
        device: where it is timed, a CPU or a CUDA device.
        dtype: of weights, image and activations.
        latency_size: (height, width) of the timed image.

    Raises:
        ConfigError: neither a CPU nor a CUDA device, or not a floating-point type.
        ResourceError: the device is missing, has too little memory or cannot run this type.
    """
    on_gpu = _require_device(device).type == "cuda"
    # A run takes seconds on a CPU, milliseconds on a GPU.
    latency = measure_latency(
        model, *latency_size, device=device, dtype=dtype, runs=50 if on_gpu else 7, warm_up=10 if on_gpu else 2
    )
    config, side = model.config, receptive_field(model.config)
    spread = (
        f"{latency.median_ms:.1f} ms, middle half of {latency.runs} runs {latency.p25_ms:.1f} to {latency.p75_ms:.1f}"
    )
    lines = {
        "name": config.name,
        "parameters": f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        **{f"GMACs at {_by(size)}": _gmacs(config, size) for size in (CROP, FRAME)},
        "receptive field": f"{_by((side, side))} pixels by convolutions{_beyond(config)}",
        **{f"activations at {_by(size)}": _activations(model, size, dtype) for size in (CROP, FRAME)},
        f"latency at {_by(latency_size)}": f"{spread}; {latency.device}, {latency.dtype}, {latency.memory_format}",
    }
    column = max(map(len, lines)) + 2
    note = 'GMACs: convolutions of the literal form, as in the paper\'s column "GFLOPs", which is GMACs at 256x256.'
    return "\n".join([*(f"{label:<{column}}{value}" for label, value in lines.items()), note])


def _gmacs(config: BANetConfig, size: tuple[int, int]) -> str:
    attention = attention_macs(config, *size)
    apart = f", and {attention / 1e9:,.2f} of self-attention" if attention else ""
    return f"{convolution_macs(config, *size) / 1e9:,.2f}{apart}"


def _activations(model: BANet, size: tuple[int, int], dtype: torch.dtype) -> str:
    return f"{activation_memory(model, *size, dtype=dtype) / 2**20:,.1f} MiB in {_plain(dtype)}"


def _beyond(config: BANetConfig) -> str:
    """What sees more than the receptive field of the convolutions."""
    if config.attention == "sa":
        return "; self-attention sees the whole image"
    if config.attention in {"ar", "none"}:
        return ""
    return (
        f"; strips see {'the whole image' if config.local_crop is None else f'windows of {config.local_crop} pixels'}"
    )


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
