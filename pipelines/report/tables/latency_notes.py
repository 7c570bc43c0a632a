"""Times: why the published ones cannot hold, and what was measured here says of itself."""

from banet.analysis.profile import Latency
from pipelines.report.data.published import PublishedTable
from pipelines.report.tables.formats import milliseconds

_FRAME, _CROP = 1280 * 720, 256 * 256  # pixels of GoPro's frames, and of what the published GMACs are counted on
_PEAK = 4352 * 2 * 1.545e9 / 1e12  # TFLOP/s of an RTX 2080 Ti: cores, a multiply-accumulate a cycle, boost clock
_PEAK_HALF = 107.6  # TFLOP/s, its tensor cores in float16


def published_time_note(times: PublishedTable) -> str:
    """Why the published times are no times of restoring: the arithmetic, from the table's own GMACs and times.

    Args:
        times: Table 1.
    """
    parts = [_reckoned(times, method) for method in ("BANet", "BANet+")]
    return (
        "[1] The fast networks' published times were taken without waiting for the GPU (the released scripts read the "
        "clock while the work is still queued): they say how long it takes to start the work, and cannot hold as times "
        f"of restoring. The RTX 2080 Ti, on which the paper timed, does {_PEAK:.2f} TFLOP/s in float32 at its peak "
        f"(4352 cores x 1.545 GHz x 2). {parts[0]}; {parts[1]}. Half precision on its tensor cores, {_PEAK_HALF} "
        f"TFLOP/s at the peak, would not do either: {_least_ms(times, 'BANet', _PEAK_HALF):,.0f} ms and "
        f"{_least_ms(times, 'BANet+', _PEAK_HALF):,.0f} ms."
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


def _reckoned(times: PublishedTable, method: str) -> str:
    gmacs, ms = times.figure(method, "gmacs") or 0.0, times.figure(method, "time_ms") or 0.0
    rate = 1e3 * _tflop(gmacs) / ms
    return (
        f"{method}: {gmacs:.0f} GMACs x {_FRAME / _CROP} x 2 = {_tflop(gmacs):.1f} TFLOP a 1280x720 frame, at least "
        f"{_least_ms(times, method, _PEAK):,.0f} ms, while {ms:.0f} ms would take {rate:.0f} TFLOP/s, "
        f"{rate / _PEAK:.0f} times the peak"
    )


def _tflop(gmacs: float) -> float:
    """Of a 1280x720 frame, two operations a multiply-accumulate, by what 256x256 pixels take."""
    return 2 * gmacs * _FRAME / _CROP / 1e3


def _least_ms(times: PublishedTable, method: str, peak: float) -> float:
    return 1e3 * _tflop(times.figure(method, "gmacs") or 0.0) / peak
