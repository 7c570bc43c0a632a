"""The stages' files become typed data, or one line that names file, key and remedy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from banet.errors import DataError
from pipelines.report import ReportInputs

Read = Callable[..., ReportInputs]
Edit = Callable[[str, Callable[[dict[str, Any]], None]], None]


def test_everything_arrives(read: Read, reports: Path) -> None:
    inputs = read()
    (evaluation,) = inputs.evaluations
    assert (inputs.registered.name, inputs.registered.version) == ("banet-mini", 3)
    assert evaluation.overall.images == 36
    assert evaluation.overall.blurred.psnr == 25.12
    assert evaluation.overall.restored.ssim_channel == pytest.approx(0.72606)
    assert list(evaluation.strata) == ["short", "long"]
    assert evaluation.strata["long"].gain == -0.25
    assert evaluation.noise_free is not None
    assert evaluation.noise_free.images == 36
    assert evaluation.best_filter is not None
    assert (evaluation.best_filter.name, evaluation.best_filter.scores.psnr) == ("unsharp sigma=1.0", 25.4)
    assert evaluation.samples[1].sharp == reports / "evaluate/mini/samples/1_sharp.png"
    assert inputs.promotion.champion_version is None
    assert len(inputs.training.log) == 100
    assert [row.step for row in inputs.training.log if row.validation_psnr is not None] == [20, 40, 60, 80, 100]


def test_optional_parts_may_be_absent(read: Read, edit: Edit) -> None:
    edit("evaluate/mini/metrics.json", lambda m: m.update(noise_free=None, best_filter=None, strata={}, samples=[]))
    (evaluation,) = read().evaluations
    assert (evaluation.noise_free, evaluation.best_filter, evaluation.strata) == (None, None, {})
    assert evaluation.samples == ()


def test_keys_of_later_versions_are_ignored(read: Read, edit: Edit) -> None:
    edit("train.json", lambda train: train.update(minutes=3.5))
    assert read().training.steps == 100


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("train.json", "train"),
        ("training.csv", "train"),
        ("registered.json", "register"),
        ("promotion.json", "promote"),
        ("evaluate/mini/metrics.json", "evaluate@mini"),
    ],
)
def test_a_missing_file_names_its_stage(read: Read, reports: Path, name: str, stage: str) -> None:
    (reports / name).unlink()
    with pytest.raises(DataError, match=rf"{name} cannot be read \(No such file.*\): run the stage {stage} first"):
        read()


@pytest.mark.parametrize(
    ("name", "key"), [("train.json", "best_step"), ("registered.json", "digest"), ("promotion.json", "moved")]
)
def test_a_missing_key_is_named(read: Read, edit: Edit, name: str, key: str) -> None:
    edit(name, lambda values: values.pop(key))
    with pytest.raises(DataError, match=rf"{name}: {key} is missing: run the stage"):
        read()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["restored"].pop("ssim_channel"), r"metrics\.json: restored\.ssim_channel is missing"),
        (lambda m: m["strata"]["long"].pop("images"), r"strata\.long\.images is missing"),
        (lambda m: m["samples"][1].pop("key"), r"samples\[1\]\.key is missing"),
        (lambda m: m["noise_free"].update(gain="much"), r"noise_free\.gain must be a number, got 'much'"),
        (lambda m: m.update(images=True), r"images must be a whole number, got True"),
        (lambda m: m.update(strata=[]), r"strata must be an object, got \[\]"),
        (lambda m: m["samples"].append(3), r"samples\[2\] must be an object, got 3"),
    ],
)
def test_a_wrong_value_is_named(read: Read, edit: Edit, change: Callable[[dict[str, Any]], None], message: str) -> None:
    edit("evaluate/mini/metrics.json", change)
    with pytest.raises(DataError, match=message + r".*run the stage evaluate@mini again"):
        read()


def test_scores_of_another_version_are_refused(read: Read, edit: Edit) -> None:
    edit("registered.json", lambda values: values.update(version=4))
    with pytest.raises(DataError, match=r"scores banet-mini version 3, registered is banet-mini version 4: run .*"):
        read()


def test_text_that_is_no_json(read: Read, reports: Path) -> None:
    (reports / "train.json").write_text('{"steps": 1')
    with pytest.raises(DataError, match=r"train\.json is not JSON .*run the stage train again"):
        read()
    (reports / "train.json").write_text("[]")
    with pytest.raises(DataError, match=r"train\.json must hold one JSON object"):
        read()


def test_a_damaged_log(read: Read, reports: Path) -> None:
    (reports / "training.csv").write_text("step,loss,lr,validation_psnr\n1,0.5,0.1,\n2,half,0.1,\n")
    with pytest.raises(DataError, match=r"training\.csv, line 3: .*'half'"):
        read()
    (reports / "training.csv").write_text("step,lr\n")
    with pytest.raises(DataError, match=r"training\.csv: column loss is missing"):
        read()
