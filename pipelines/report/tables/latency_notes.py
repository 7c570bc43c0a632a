"""Notes on times: why the published ones cannot be times of restoring, and how those measured here were taken."""

from banet.analysis.profile import Latency
from banet.analysis.published import PublishedTable
from pipelines.report.tables.formats import milliseconds

_SCALE = 1280 * 720 / 256**2  # pixels of GoPro's frames over those that the published GMACs are counted on
_PEAK = 4352 * 2 * 1.545e9 / 1e12  # TFLOP/s of an RTX 2080 Ti: cores, two operations per cycle, boost clock
_PEAK_HALF = 107.6  # TFLOP/s of its tensor cores in float16


def published_time_note(times: PublishedTable) -> str:
    """Why the published times cannot be times of restoring, computed from GMACs and times of Table 1."""
    tflop = {method: 2 * (times.figure(method, "gmacs") or 0.0) * _SCALE / 1e3 for method in ("BANet", "BANet+")}
    parts = [_arithmetic(times, method, needed) for method, needed in tflop.items()]
    half_ms = [f"{1e3 * needed / _PEAK_HALF:,.0f} ms" for needed in tflop.values()]
    return (
        "[1] The fast networks' published times were taken without waiting for the GPU (the released scripts read the "
        "clock while the work is still queued): they tell how long it takes to start the work, and cannot be times of "
        f"restoring. The RTX 2080 Ti, on which the paper timed, reaches at most {_PEAK:.2f} TFLOP/s in float32 "
        f"(4352 cores x 1.545 GHz x 2). {parts[0]}; {parts[1]}. Half precision on its tensor cores, at most "
        f"{_PEAK_HALF} TFLOP/s, would not be enough either: {half_ms[0]} and {half_ms[1]}."
    )


def measured_time_note(latency: Latency) -> str:
    """How a time in a table of the paper was measured here."""
    return (
        f"[3] Measured here, synchronised: {_spread(latency)}, of one {_size(latency)} image on {latency.device} in "
        f"{latency.dtype}."
    )


def time_line(latency: Latency) -> str:
    """How long one image of a benchmark takes."""
    return (
        f"One {_size(latency)} image takes {milliseconds(latency.median_ms)} ms on {latency.device} in "
        f"{latency.dtype}, synchronised: {_spread(latency)}."
    )


def _spread(latency: Latency) -> str:
    low, high = milliseconds(latency.p25_ms), milliseconds(latency.p75_ms)
    return f"median of {latency.runs} runs (middle half {low} to {high} ms)"


def _size(latency: Latency) -> str:
    height, width = latency.size
    return f"{height}x{width}"


def _arithmetic(times: PublishedTable, method: str, tflop: float) -> str:
    gmacs, ms = times.figure(method, "gmacs") or 0.0, times.figure(method, "time_ms") or 0.0
    rate = 1e3 * tflop / ms
    return (
        f"{method}: {gmacs:.0f} GMACs x {_SCALE} x 2 = {tflop:.1f} TFLOP per 1280x720 frame, at least "
        f"{1e3 * tflop / _PEAK:,.0f} ms, while {ms:.0f} ms would take {rate:.0f} TFLOP/s, "
        f"{rate / _PEAK:.0f} times the peak"
    )
