"""Other methods' images: their means and gains, scored on the same data, in the order of their PSNR."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipelines.report.data.inputs import ReportInputs
from pipelines.report.data.other_methods import other_method
from pipelines.report.tables.results import results_table

Read = Callable[..., ReportInputs]
Edit = Callable[[str, Callable[[dict[str, Any]], None]], None]


def test_by_mean_psnr_the_best_last(read: Read, add_method: Callable[..., None]) -> None:
    for name, better in (("A", 2.0), ("B", -1.0), ("C", 0.5)):
        add_method(name, better)
    (benchmark,) = read().benchmarks
    assert [other.name for other in benchmark.others] == ["B", "C", "A"]
    assert [other.gain for other in benchmark.others] == pytest.approx([-1.0, 0.5, 2.0])
    assert benchmark.others[2].psnr("coffee_short/000001") == pytest.approx(28.1)
    assert benchmark.others[2].psnr("coffee_short/000000") is None


def test_a_method_scored_on_other_data_is_named_and_left_out(
    read: Read, edit: Edit, add_method: Callable[..., None]
) -> None:
    for name, digest in (("same", "ab" * 32), ("no digest", ""), ("MIMO-UNet+", "cd" * 32)):
        add_method(name, 1.0, digest=digest)
    (benchmark,) = read().benchmarks  # an evaluation without a digest, of an older version
    assert (len(benchmark.others), benchmark.left_out) == (3, ())
    edit("evaluate/mini/metrics.json", lambda m: m.update(data_digest="ab" * 32))
    (benchmark,) = read().benchmarks
    assert [other.name for other in benchmark.others] == ["no digest", "same"]
    assert [method.name for method in benchmark.left_out] == ["MIMO-UNet+"]
    note = results_table(benchmark).notes[-1]
    for fact in ("MIMO-UNet+", "cdcdcdcdcdcd)", "(abababababab)", "--benchmark mini --method 'MIMO-UNet+'"):
        assert fact in note


def test_an_infinite_or_unknown_image_has_no_gain(read: Read, add_method: Callable[..., None]) -> None:
    add_method("A", 1.0)
    (benchmark,) = read().benchmarks
    method = benchmark.others[0].method
    first, second = method.rows[:2]
    perfect = replace(first, restored=replace(first.restored, psnr=float("inf")))
    found = other_method(replace(method, rows=(perfect, second)), benchmark.images)
    assert found.gain == pytest.approx(1.0)
    assert found.means.identical == 1
    assert other_method(replace(method, rows=(replace(first, key="x"),)), benchmark.images).gain is None
