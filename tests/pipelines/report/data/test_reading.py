"""The stages' files become typed data, or one line that names file, key and remedy."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from banet.errors import DataError
from pipelines.report.data.inputs import ReportInputs
from pipelines.stages.evaluation_report import EvaluationReport
from pipelines.stages.stage_results import write_json

Read = Callable[..., ReportInputs]
Edit = Callable[[str, Callable[[dict[str, Any]], None]], None]

METRICS = "evaluate/mini/metrics.json"


def test_everything_arrives(read: Read, reports: Path) -> None:
    inputs = read()
    evaluation = inputs.benchmarks[0].evaluation
    assert (inputs.registered.name, inputs.registered.version) == ("banet-mini", 3)
    assert (inputs.registered.digest, inputs.registered.run_id) == ("9f86d081884c7d65" * 4, "3f1c9be0")
    assert (evaluation.model, evaluation.version) == ("banet-mini", 3)
    assert evaluation.images == 36
    assert evaluation.blurred.psnr == 25.12
    assert evaluation.restored.ssim_channel == pytest.approx(0.72606)
    assert list(evaluation.strata) == ["short", "long"]
    assert evaluation.strata["long"].gain == -0.25
    assert evaluation.noise_free is not None
    assert evaluation.noise_free.images == 36
    assert evaluation.best_filter is not None
    assert (evaluation.best_filter.filter, evaluation.best_filter.scores.psnr) == ("unsharp sigma=1.0", 25.4)
    assert evaluation.samples[1].sharp == "samples/1_sharp.png"
    assert inputs.benchmarks[0].folder == reports / "evaluate/mini"
    assert inputs.promotion.previous_version is None
    assert len(inputs.log) == 100
    assert [row.step for row in inputs.log if row.validation_psnr is not None] == [20, 40, 60, 80, 100]


def test_optional_parts_may_be_absent(read: Read, edit: Edit) -> None:
    edit(METRICS, lambda m: m.update(noise_free=None, best_filter=None, strata={}, samples=[]))
    evaluation = read().benchmarks[0].evaluation
    assert (evaluation.noise_free, evaluation.best_filter, evaluation.strata) == (None, None, {})
    assert evaluation.samples == ()


def test_what_is_read_is_written_the_same(
    read: Read, edit: Edit, latency: dict[str, Any], reports: Path, tmp_path: Path
) -> None:
    edit(METRICS, lambda m: m.update(worst=m["samples"][1:], latency=latency, data_digest="ab" * 32))
    evaluation = read().benchmarks[0].evaluation
    assert isinstance(evaluation, EvaluationReport)
    write_json(tmp_path / "again.json", evaluation)
    written, again = (json.loads(path.read_text()) for path in (reports / METRICS, tmp_path / "again.json"))
    assert again == written


def test_a_file_of_an_older_version_has_no_worst_images_no_time_and_no_digest(read: Read) -> None:
    evaluation = read().benchmarks[0].evaluation
    assert (evaluation.worst, evaluation.latency, evaluation.data_digest) == ((), None, "")


def test_methods_are_read_for_each_benchmark(
    read: Read, reports: Path, add_benchmark: Callable[..., None], add_method: Callable[..., None]
) -> None:
    assert read().benchmarks[0].others == ()
    add_benchmark("gopro")
    for name, benchmark in (("B", "gopro"), ("A", "gopro"), ("C", "hide"), ("D", "mini")):
        if benchmark == "hide":
            add_benchmark(benchmark)
        add_method(name, 1.0, benchmark)
    mini, gopro = read("mini", "gopro").benchmarks
    assert [other.name for other in mini.others] == ["D"]
    assert [other.name for other in gopro.others] == ["A", "B"]
    (reports.parent / "methods/gopro/B/method.json").write_text("{")
    with pytest.raises(DataError, match=r"methods/gopro/B is damaged .*: score it again"):
        read("gopro")


def test_an_infinite_psnr_survives(read: Read, reports: Path) -> None:
    evaluation = read().benchmarks[0].evaluation
    write_json(reports / METRICS, replace(evaluation, restored=replace(evaluation.restored, psnr=math.inf)))
    assert read().benchmarks[0].evaluation.restored.psnr == math.inf


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("train.json", "train"),
        ("training.csv", "train"),
        ("registered.json", "register"),
        ("promotion.json", "promote"),
        (METRICS, "evaluate@mini"),
    ],
)
def test_a_missing_file_names_its_stage(read: Read, reports: Path, name: str, stage: str) -> None:
    (reports / name).unlink()
    with pytest.raises(DataError, match=rf"{name} cannot be read \(No such file.*\): run the {stage} stage first"):
        read()


@pytest.mark.parametrize(
    ("name", "key"), [("train.json", "best_step"), ("registered.json", "digest"), ("promotion.json", "moved")]
)
def test_a_missing_key_is_named(read: Read, edit: Edit, name: str, key: str) -> None:
    edit(name, lambda values: values.pop(key))
    with pytest.raises(DataError, match=rf"{name}: {key} is missing: .*: run the \w+ stage again"):
        read()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["restored"].pop("ssim_channel"), r"metrics\.json: restored\.ssim_channel is missing"),
        (lambda m: m["strata"]["long"].pop("images"), r"strata\.long\.images is missing"),
        (lambda m: m["samples"][1].pop("key"), r"samples\[1\]\.key is missing"),
        (lambda m: m["noise_free"].update(gain="much"), r"noise_free\.gain must be a number, got str 'much'"),
        (lambda m: m.update(images=True), r"images must be a whole number, got bool True"),
        (lambda m: m.update(strata=[]), r"strata must be a mapping, got list \[\]"),
        (lambda m: m["best_filter"].update(sigma=1), r"best_filter\.sigma is unknown"),
        (lambda m: m["samples"].append(3), r"samples\[2\] must be a mapping .*, got int 3"),
    ],
)
def test_a_wrong_value_is_named(read: Read, edit: Edit, change: Callable[[dict[str, Any]], None], message: str) -> None:
    edit(METRICS, change)
    with pytest.raises(DataError, match=message + r".*: run the evaluate@mini stage again$") as caught:
        read()
    assert "\n" not in str(caught.value)


def test_scores_of_another_version_are_refused(read: Read, edit: Edit) -> None:
    edit("registered.json", lambda values: values.update(version=4))
    with pytest.raises(DataError, match=r"scores banet-mini version 3, registered is banet-mini version 4: run .*"):
        read()


def test_text_that_is_no_json(read: Read, reports: Path) -> None:
    (reports / "train.json").write_text('{"steps": 1')
    with pytest.raises(DataError, match=r"train\.json is damaged \(.*\): run the train stage again"):
        read()
    (reports / "train.json").write_text("[]")
    with pytest.raises(DataError, match=r"train\.json must be a mapping .*: run the train stage again"):
        read()


def test_a_damaged_log(read: Read, reports: Path) -> None:
    (reports / "training.csv").write_text("step,loss,lr,validation_psnr\n1,0.5,0.1,\n2,half,0.1,\n")
    with pytest.raises(DataError, match=r"training\.csv, line 3: .*'half': run the train stage again"):
        read()
    (reports / "training.csv").write_text("step,lr\n")
    with pytest.raises(DataError, match=r"training\.csv: column loss is missing: run the train stage again"):
        read()
