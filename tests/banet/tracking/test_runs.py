import json
import math
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest

from banet.data.images.codec import read_image
from banet.tracking.runs import (
    RunScores,
    TrainingData,
    finish_run,
    flatten,
    git_tags,
    log_files,
    log_metrics,
    log_pictures,
    open_run,
    runs_of,
)
from banet.tracking.store import Store

DATA = TrainingData(name="mini", digest="ab" * 32, source="data/shards/mini")


def begin(store: Store, fingerprint: str, params: dict[str, object] | None = None) -> str:
    return open_run(
        store,
        experiment="runs",
        name="a run",
        fingerprint=fingerprint,
        params=params or {},
        tags={"mlflow.source.git.commit": "c0ffee"},
        data=DATA,
    )


def test_run_records_params_commit_and_data(store: Store) -> None:
    run_id = begin(store, "records", {"recipe": {"lr": 1e-3, "phases": [{"steps": 7}], "init_from": None}})
    run = store.client().get_run(run_id)
    assert run.data.params == {"recipe.lr": "0.001", "recipe.phases.0.steps": "7", "recipe.init_from": "null"}
    assert run.data.tags["mlflow.source.git.commit"] == "c0ffee"
    assert run.data.tags["dataset.digest"] == DATA.digest
    assert run.info.run_name == "a run"
    dataset = run.inputs.dataset_inputs[0]
    assert (dataset.dataset.name, dataset.dataset.digest) == ("mini", DATA.digest[:36])
    assert json.loads(dataset.dataset.source) == {"uri": "data/shards/mini"}


def test_more_params_than_a_request_takes(store: Store) -> None:
    params: dict[str, object] = {f"p{i}": i for i in range(230)}
    assert len(store.client().get_run(begin(store, "many", params)).data.params) == 230


@pytest.mark.parametrize("status", [None, "FAILED", "KILLED"])
def test_unfinished_run_is_continued(store: Store, status: str | None) -> None:
    first = begin(store, f"continued-{status}", {"cluster": {"workers": 2}})
    if status is not None:
        finish_run(store, first, status)  # type: ignore[arg-type]
    assert begin(store, f"continued-{status}", {"cluster": {"workers": 4}, "new": 1}) == first
    run = store.client().get_run(first)
    assert run.info.status == "RUNNING"
    assert run.data.params == {"cluster.workers": "2", "new": "1"}  # MLflow keeps a parameter's first value
    assert len(run.inputs.dataset_inputs) == 1


def test_finished_run_and_other_fingerprint_begin_anew(store: Store) -> None:
    first = begin(store, "one")
    assert begin(store, "two") != first
    finish_run(store, first)
    assert store.client().get_run(first).info.status == "FINISHED"
    assert begin(store, "one") != first


def test_metrics_are_logged_by_step_through_a_pickled_store(store: Store) -> None:
    run_id = begin(store, "logger")
    pickled = pickle.loads(pickle.dumps(store))  # noqa: S301
    log_metrics(pickled, run_id, {"loss": 0.5, "validation_psnr": 25.0}, step=1)
    log_metrics(pickled, run_id, {"loss": 0.25}, step=2)
    history = store.client().get_metric_history(run_id, "loss")
    assert [(entry.step, entry.value) for entry in history] == [(1, 0.5), (2, 0.25)]
    assert store.client().get_run(run_id).data.metrics["validation_psnr"] == 25.0


def test_metrics_beyond_a_request_and_not_finite(store: Store) -> None:
    run_id = begin(store, "metrics")
    log_metrics(store, run_id, {**{f"m{i}": float(i) for i in range(1500)}, "nan": math.nan, "inf": math.inf})
    metrics = store.client().get_run(run_id).data.metrics
    assert len(metrics) == 1502
    assert math.isnan(metrics["nan"])
    assert metrics["inf"] > 1e300


def train(store: Store, experiment: str, model: str, recipe: str, scores: dict[str, float], finish: str | None) -> str:
    """A run as the train and evaluate stages leave it."""
    run_id = open_run(
        store,
        experiment=experiment,
        name=model,
        fingerprint=f"{experiment}-{model}-{len(runs_of(store, experiment))}",
        params={"model": {"name": model}, "benchmark": {"name": "mini", "variant": "blur"}, "recipe": {"name": recipe}},
        tags={},
    )
    log_metrics(store, run_id, {"mini/blur/restored_psnr": 1.0})
    log_metrics(store, run_id, scores)
    if finish is not None:
        finish_run(store, run_id, finish)  # type: ignore[arg-type]
    return run_id


def test_runs_of_an_experiment(store: Store) -> None:
    first = train(store, "ablation", "net1", "paper", {"mini/blur/restored_psnr": 26.5}, "FINISHED")
    train(store, "ablation", "net2", "paper", {"mini/blur/restored_psnr": 26.0}, "FAILED")
    train(store, "ablation", "net3", "paper", {"mini/blur/restored_psnr": 26.0}, None)
    train(store, "another", "net1", "paper", {"mini/blur/restored_psnr": 20.0}, "FINISHED")
    gone = train(store, "ablation", "net4", "paper", {"mini/blur/restored_psnr": 26.0}, "FINISHED")
    store.client().delete_run(gone)
    second = train(store, "ablation", "net1", "mini", {"mini/blur/restored_psnr": 26.75, "loss": 0.25}, "FINISHED")
    registered = open_run(store, experiment="ablation", name="register", fingerprint="r", params={}, tags={})
    finish_run(store, registered)
    assert runs_of(store, "ablation") == (
        RunScores(
            run_id=first,
            model="net1",
            benchmark="mini",
            variant="blur",
            recipe="paper",
            fingerprint="ablation-net1-0",
            metrics={"mini/blur/restored_psnr": 26.5},
        ),
        RunScores(
            run_id=second,
            model="net1",
            benchmark="mini",
            variant="blur",
            recipe="mini",
            fingerprint="ablation-net1-1",
            metrics={"mini/blur/restored_psnr": 26.75, "loss": 0.25},
        ),
    )


def test_an_experiment_that_is_not_there_has_no_runs_and_is_not_made(store: Store) -> None:
    assert runs_of(store, "nowhere") == ()
    assert store.client().get_experiment_by_name("nowhere") is None


def test_more_runs_than_a_page_of_the_answer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    made = [train(store, "pages", f"net{i}", "mini", {}, "FINISHED") for i in range(3)]
    search = MlflowClient.search_runs
    monkeypatch.setattr(MlflowClient, "search_runs", lambda *a, **named: search(*a, **named, max_results=2))
    assert [run.run_id for run in runs_of(store, "pages")] == made


def test_pictures_are_files_and_steps(store: Store, tmp_path: Path) -> None:
    run_id = begin(store, "pictures")
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    log_pictures(store, run_id, {"coffee/3_blurred": picture, "coffee/3_sharp": picture}, step=5)
    folder = Path(store.client().download_artifacts(run_id, "samples", str(tmp_path)))
    assert np.array_equal(read_image(folder / "coffee" / "3_blurred.png"), picture)
    stepped = [file.path for file in store.client().list_artifacts(run_id, "images")]
    assert sum("blurred+step+5" in path for path in stepped) == 2  # a PNG, and a small WebP for the list


def test_files_and_folders(store: Store, tmp_path: Path) -> None:
    run_id = begin(store, "files")
    (tmp_path / "table.md").write_text("a")
    log_files(store, run_id, [tmp_path / "table.md"], "report")
    assert [file.path for file in store.client().list_artifacts(run_id, "report")] == ["report/table.md"]


def test_values_as_text() -> None:
    params = {"a": {"list": [1, 3], "empty": [], "yes": True}, "name": "mini", "small": 1e-7}
    assert dict(flatten(params)) == {
        "a.list": "[1, 3]",
        "a.empty": "[]",
        "a.yes": "true",
        "name": "mini",
        "small": "1e-07",
    }


def test_commit_inside_and_outside_a_repository(tmp_path: Path) -> None:
    assert git_tags(tmp_path) == {}
    person = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    for arguments in (("init", "-q"), (*person, "commit", "-q", "--allow-empty", "-m", "m")):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    commit = git_tags(tmp_path)["mlflow.source.git.commit"]
    assert len(commit) == 40
