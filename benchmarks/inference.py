"""How much faster, and in how much less memory, BANet restores than the released wiring written literally, on the CPU.

    python benchmarks/inference.py        (about 8 minutes on 2 cores, of which compiling takes 2)

Aims: at 256x256, float32, 2 threads, at least 1.25 times as fast as the literal form in NCHW
(tests/reference/literal_banet.py: strips laid out at full size, concatenated, fused), and equal to it to 1e-5; at
720x1280 at most 1.0 GiB resident beyond weights and program. All arms take turns in one process, one image a turn, so
a noisy machine slows all of them. Separate factors: memory format alone, strips alone (in either format), compiling.
The ceiling of direct convolution is the factor that would remain if nothing but the convolutions took time. Memory is
measured in a process of its own for each form: the peak of the resident set during one pass, less what was resident
before it. Writes `benchmarks/results/inference.json`.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/reference"))

from literal_banet import literal_restore, random_tensors  # noqa: E402

from banet.model.checkpoint import import_checkpoint  # noqa: E402
from banet.model.network import BANet  # noqa: E402

ROUNDS = 11
THREADS = 2
SIZE, FRAME = (256, 256), (720, 1280)
AIM, AIM_MIB, AIM_DIFFERENCE = 1.25, 1024, 1e-5
FORMATS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
RESULT = Path(__file__).parent / "results" / "inference.json"

Form = Callable[[Tensor], Tensor]


class Timing(TypedDict):
    """Of one arm."""

    ms: list[float]  # per round
    difference: float  # the largest from the literal form


def network(tensors: dict[str, Tensor], memory_format: torch.memory_format = torch.contiguous_format) -> BANet:
    """The network with these weights, brought in as a released checkpoint is."""
    file = Path(f".inference.{os.getpid()}.pth")
    try:
        torch.save(tensors, file)
        return import_checkpoint(file).to(memory_format=memory_format)  # type: ignore[call-overload,no-any-return]
    finally:
        file.unlink(missing_ok=True)


def arms() -> dict[str, tuple[Form, torch.memory_format]]:
    """Every form with the memory format of its image and weights."""
    tensors = random_tensors()
    made: dict[str, tuple[Form, torch.memory_format]] = {}
    for name, memory_format in FORMATS.items():
        laid_out = {
            key: value.contiguous(memory_format=memory_format) if value.dim() == 4 else value
            for key, value in tensors.items()
        }
        made[f"literal, {name}"] = partial(literal_restore, laid_out), memory_format
        made[f"network, {name}"] = network(tensors, memory_format), memory_format
    last = network(tensors, torch.channels_last)
    made["network, channels_last, compiled"] = torch.compile(last, fullgraph=True), torch.channels_last
    last = network(tensors, torch.channels_last)
    made["network, channels_last, compiled and frozen"] = (
        # weights become constants: packed once for the kernels that use them
        torch.compile(last, fullgraph=True, options={"freezing": True}),
        torch.channels_last,
    )
    return made


def timings() -> dict[str, Timing]:
    """Interleaved times at 256x256, and each arm's difference from the literal form."""
    torch.set_num_threads(THREADS)
    forms = arms()
    pixels = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    differences: dict[str, float] = {}
    with torch.no_grad():  # freezing asks for it
        expected = forms["literal, NCHW"][0](pixels)
        for name, (form, memory_format) in forms.items():
            x = pixels.contiguous(memory_format=memory_format)
            form(x)
            differences[name] = float((form(x) - expected).abs().max())
        for _ in range(ROUNDS):
            for name, (form, memory_format) in forms.items():
                x = pixels.contiguous(memory_format=memory_format)
                start = time.perf_counter()
                form(x)
                seconds[name].append(time.perf_counter() - start)
    return {
        name: {"ms": [round(1000 * s, 1) for s in times], "difference": differences[name]}
        for name, times in seconds.items()
    }


def convolutions_ms() -> float:
    """Time that the network's convolutions take in one pass, direct and in channels_last, by torch's profiler."""
    torch.set_num_threads(THREADS)
    model = network(random_tensors())
    x = torch.rand(1, 3, *SIZE).contiguous(memory_format=torch.channels_last)
    passes: list[float] = []
    with torch.inference_mode():
        for _ in range(5):
            with profile(activities=[ProfilerActivity.CPU]) as profiler:
                model(x)
            events = profiler.key_averages()
            passes.append(sum(e.self_cpu_time_total for e in events if "convolution" in e.key) / 1000)
    return statistics.median(passes)


def ratio(times: dict[str, Timing], slow: str, fast: str) -> dict[str, float]:
    """How many times as fast, round by round."""
    ratios = sorted(a / b for a, b in zip(times[slow]["ms"], times[fast]["ms"], strict=True))
    return {
        "median": round(statistics.median(ratios), 3),
        "lowest": round(ratios[0], 3),
        "highest": round(ratios[-1], 3),
    }


def peak_mib(form: str, memory_format: str) -> float:
    """In this process: how much the resident set grows, at most, during one pass over a frame."""
    torch.set_num_threads(THREADS)
    tensors = random_tensors()
    model = network(tensors)
    forms: dict[str, Form] = {
        "network": model,
        "literal": lambda x: literal_restore(tensors, x),
    }
    restore = forms[form]
    x = torch.rand(1, 3, *FRAME).contiguous(memory_format=FORMATS[memory_format])
    with torch.inference_mode():
        restore(x[..., :64, :64].contiguous(memory_format=FORMATS[memory_format]))
        before = status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
        restore(x)
        return (status("VmHWM") - before) / 1024


def status(key: str) -> int:
    """One line of /proc/self/status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def peak_in_own_process(form: str, memory_format: str) -> float:
    """The same, in a process of its own."""
    command = [sys.executable, __file__, "--peak", form, memory_format]
    return round(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout), 1)


def main() -> None:
    """Measure, print, and write the result."""
    times = timings()
    factors = {
        "network in channels_last over literal in NCHW": ratio(times, "literal, NCHW", "network, channels_last"),
        "memory format alone (literal)": ratio(times, "literal, NCHW", "literal, channels_last"),
        "memory format alone (network)": ratio(times, "network, NCHW", "network, channels_last"),
        "strips alone, NCHW": ratio(times, "literal, NCHW", "network, NCHW"),
        "strips alone, channels_last": ratio(times, "literal, channels_last", "network, channels_last"),
        "compiling": ratio(times, "network, channels_last", "network, channels_last, compiled"),
        "compiling and freezing": ratio(times, "network, channels_last", "network, channels_last, compiled and frozen"),
    }
    for name, arm in times.items():
        print(f"{name:46} {statistics.median(arm['ms']):8.1f} ms, off by {arm['difference']:.1e}")
    for name, factor in factors.items():
        print(f"{name:46} {factor['median']:.2f}x ({factor['lowest']:.2f} to {factor['highest']:.2f})")
    memory = {
        f"{form}, {memory_format}": peak_in_own_process(form, memory_format)
        for form, memory_format in [
            ("network", "channels_last"),
            ("network", "NCHW"),
            ("literal", "channels_last"),
            ("literal", "NCHW"),
        ]
    }
    for name, mib in memory.items():
        print(f"{name:46} {mib:8.1f} MiB at {FRAME[0]}x{FRAME[1]}, beyond the weights")
    share = convolutions_ms() / statistics.median(times["literal, NCHW"]["ms"])
    print(f"ceiling of direct convolution over literal     {1 / share:.2f}x: all else for nothing")
    reached = {
        "speed": factors["network in channels_last over literal in NCHW"]["median"] >= AIM,
        "memory": memory["network, channels_last"] <= AIM_MIB,
        "equal": max(arm["difference"] for arm in times.values()) <= AIM_DIFFERENCE,
    }
    print(f"aims: {AIM}x, {AIM_MIB} MiB, {AIM_DIFFERENCE:.0e}: {reached}")
    environment = {
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }
    params = {"size": SIZE, "frame": FRAME, "rounds": ROUNDS, "threads": THREADS, "dtype": "float32"}
    result = {
        "environment": environment,
        "params": params,
        "factors": factors,
        "ceiling_of_direct_convolution": round(1 / share, 3),
        "peak_mib": memory,
        "reached": reached,
        "times": times,
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def commit() -> str | None:
    """The commit that is measured; None outside a checkout."""
    answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peak", nargs=2, metavar=("FORM", "FORMAT"), help="print one form's peak memory, in MiB")
    arguments = parser.parse_args()
    if arguments.peak:
        print(peak_mib(*arguments.peak))
    else:
        main()
