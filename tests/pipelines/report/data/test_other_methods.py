"""Other methods' images: on the same data, in their order, and what must be known of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from banet.scoring.scores import ImageScores
from pipelines.report.data.inputs import ReportInputs
from pipelines.report.data.other_methods import comparable, others_of

Read = Callable[..., ReportInputs]
Edit = Callable[[str, Callable[[dict[str, Any]], None]], None]


def test_by_mean_psnr_the_best_last(read: Read, add_method: Callable[..., None]) -> None:
    for name, better in (("A", 2.0), ("B", -1.0), ("C", 0.5)):
        add_method(name, better)
    (others,) = others_of(read())
    assert [other.name for other in others.shown] == ["B", "C", "A"]
    assert [other.gain for other in others.shown] == pytest.approx([-1.0, 0.5, 2.0])
    assert others.shown[2].psnr("coffee_short/000001") == pytest.approx(28.1)
    assert others.shown[2].psnr("coffee_short/000000") is None
    assert others.notes == ("Images that others restored, scored here: B, C, A.",)


def test_a_method_scored_on_other_data_is_named_and_left_out(
    read: Read, edit: Edit, add_method: Callable[..., None]
) -> None:
    for name, digest in (("same", "ab" * 32), ("no digest", ""), ("MIMO-UNet+", "cd" * 32)):
        add_method(name, 1.0, digest=digest)
    (others,) = others_of(read())  # an evaluation without a digest, of an older version
    assert len(others.shown) == 3
    edit("evaluate/mini/metrics.json", lambda m: m.update(data_digest="ab" * 32))
    (others,) = others_of(read())
    assert [other.name for other in others.shown] == ["no digest", "same"]
    assert others.notes[-1] == (
        "MIMO-UNet+ is left out: it was scored on other data of mini (sha256 cdcdcdcdcdcd) than the model "
        "(abababababab). Score its images again: banet score --restored FOLDER --benchmark mini --method 'MIMO-UNet+'"
    )


def test_what_must_be_known_of_the_means(
    read: Read, add_benchmark: Callable[..., None], add_method: Callable[..., None]
) -> None:
    add_benchmark("realblur_j")
    add_method("A", 1.0, "realblur_j")
    inputs = read("realblur_j")
    ((method,),), (evaluation,), (images,) = inputs.methods, inputs.evaluations, inputs.images
    rows = [perfect(method.rows[0]), *method.rows[1:10]]
    others = comparable([replace(method, rows=tuple(rows))], evaluation, images)
    assert others.notes[1:3] == (
        "A: 10 of 36 images.",
        "A: 1 of 10 images equal the sharp ones and are left out of the mean of PSNR.",
    )
    assert others.notes[3].startswith(
        "A by RealBlur's protocol, 10 of 10 images aligned with OpenCV 4.12.0: PSNR 30.05 dB"
    )
    assert others.shown[0].gain == pytest.approx(1.0)
    unknown = comparable([replace(method, rows=(replace(method.rows[0], key="x"),))], evaluation, images)
    assert unknown.shown[0].gain is None


def perfect(row: ImageScores) -> ImageScores:
    return replace(row, restored=replace(row.restored, psnr=float("inf")))
