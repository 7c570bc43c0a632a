"""Runs: what was trained on what, its metrics by step, its sample pictures."""

import json
import math
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from banet.data.images.codec import write_image
from banet.image import Image
from banet.tracking.store import Store, no_progress_bar

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

EXPERIMENT = "banet"  # of all training runs
FINGERPRINT = "fingerprint"  # tag: of what the run is a function (params, data, code); a run is continued by it
DATA_DIGEST = "dataset.digest"  # tag: the digest in full, MLflow's own field holds 36 characters
GIT_COMMIT = "mlflow.source.git.commit"  # MLflow's own tag, shown in its UI
SAMPLES = "samples"  # folder of the pictures among a run's artifacts
_MODEL, _RECIPE = "model.name", "recipe.name"  # of params.yaml, as `open_run` logs them
_BENCHMARK, _VARIANT = "benchmark.name", "benchmark.variant"
_BY_AGE = ["attributes.start_time ASC", "attributes.run_id ASC"]
_PARAMS_A_CALL = 100  # limits of MLflow's API
_METRICS_A_CALL = 1000
_DIGEST_LENGTH = 36
_VALUE_LENGTH = 6000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What a run was trained on, as MLflow's dataset input shows it."""

    name: str  # the benchmark, "mini"
    digest: str  # hexadecimal, of the shards
    source: str  # where it lies: a path or address, for people


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScores:
    """What one run trained, and what was measured of it so far."""

    run_id: str
    model: str  # `model.name` of its parameters
    benchmark: str  # that it was trained on
    variant: str  # of the blurred images that it was trained on
    recipe: str
    metrics: Mapping[str, float]  # the latest value of each, by its name: `mini/blur/restored_psnr`


def open_run(
    store: Store,
    *,
    experiment: str,
    name: str,
    fingerprint: str,
    params: Mapping[str, object],
    tags: Mapping[str, str],
    data: TrainingData | None = None,
) -> str:
    """Continue the unfinished run of this fingerprint, or begin one; return its id.

    A run is unfinished while it is RUNNING, FAILED or KILLED; a finished one is never written to again.

    Args:
        store: where.
        experiment: MLflow's experiment, created if need be.
        name: the run's name in the UI.
        fingerprint: equal for two runs that would give the same weights.
        params: sections of params.yaml, nested; logged as `recipe.loss.fft_weight`.
        tags: further tags, such as `git_tags`.
        data: what is trained on.
    """
    client = store.client()
    experiment_id = store.experiment_id(experiment)
    every_tag = {**tags, FINGERPRINT: fingerprint} | ({DATA_DIGEST: data.digest} if data else {})
    run_id = _unfinished(client, experiment_id, fingerprint)
    if run_id is None:
        run_id = str(client.create_run(experiment_id, run_name=name, tags=every_tag).info.run_id)
    else:
        client.update_run(run_id, status="RUNNING")
    _log_params(client, run_id, params)
    if data is not None:
        client.log_inputs(run_id, [_dataset_input(data)])
    return run_id


def finish_run(store: Store, run_id: str, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
    """End a run."""
    store.client().set_terminated(run_id, status=status)


@dataclass(frozen=True, slots=True)
class RunLogger:
    """Logs metrics to one run from any process; it pickles, so Ray's workers and controller can hold one."""

    uri: str
    run_id: str

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log these values at this step; a value already logged at it is kept beside the new one."""
        log_metrics(Store(uri=self.uri), self.run_id, metrics, step=step)


def log_metrics(store: Store, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
    """Log values at one step, in one request for each thousand."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    values = [Metric(key, float(value), now, step) for key, value in metrics.items()]
    for some in _in_parts(values, _METRICS_A_CALL):
        store.client().log_batch(run_id, metrics=some)


def metric_history(store: Store, run_id: str, name: str) -> dict[int, float]:
    """The values of one metric by step; where a step was logged twice (a run went on), the later value."""
    history = store.client().get_metric_history(run_id, name)
    return {metric.step: metric.value for metric in sorted(history, key=lambda metric: metric.timestamp)}


def runs_of(store: Store, experiment: str) -> tuple[RunScores, ...]:
    """The finished training runs of an experiment, oldest first; none where there is no such experiment.

    Runs that did not train (a version registered without its run) have no model's name and are passed over, deleted
    ones too.
    """
    client = store.client()
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return ()
    runs: list[RunScores] = []
    token: str | None = None
    while token is None or token:
        page = client.search_runs(
            [found.experiment_id], "attributes.status = 'FINISHED'", order_by=_BY_AGE, page_token=token or None
        )
        runs += [scores for run in page if (scores := _scores(run)) is not None]
        token = page.token or ""
    return tuple(runs)


def log_pictures(store: Store, run_id: str, pictures: Mapping[str, Image], step: int = 0) -> None:
    """Log pictures twice: as `samples/<key>.png`, and by step, for the run page of MLflow's UI.

    Args:
        store: where.
        run_id: the run.
        pictures: by key, such as `coffee_long/000003_restored`; uint8 RGB (H, W, 3).
        step: the training step they belong to.
    """
    client = store.client()
    with tempfile.TemporaryDirectory() as folder:
        for key, picture in pictures.items():
            write_image(Path(folder) / f"{key}.png", picture)
            client.log_image(run_id, picture, key=f"{SAMPLES}/{key}", step=step)
        client.log_artifacts(run_id, folder, SAMPLES)


def log_files(store: Store, run_id: str, files: Sequence[Path], folder: str | None = None) -> None:
    """Log files or whole folders as artifacts, under `folder` if given."""
    client = store.client()
    with no_progress_bar():
        for file in files:
            client.log_artifact(run_id, str(file), folder)


def git_tags(checkout: Path) -> dict[str, str]:
    """The commit that is checked out, as MLflow's own tag; nothing outside a git repository."""
    try:
        commit = subprocess.run(  # noqa: S603
            ["git", "-C", str(checkout), "rev-parse", "--verify", "HEAD"],  # noqa: S607  # the user's git
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {GIT_COMMIT: commit}


def flatten(params: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested sections as (dotted name, text) pairs; lists of sections are counted from 0, other values are JSON."""
    for key, value in params.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{name}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            yield from flatten({str(i): item for i, item in enumerate(value)}, f"{name}.")
        else:
            yield name, value if isinstance(value, str) else json.dumps(value, default=str)


def _unfinished(client: "MlflowClient", experiment_id: str, fingerprint: str) -> str | None:
    runs = client.search_runs(
        [experiment_id],
        f"tags.{FINGERPRINT} = '{fingerprint}' and attributes.status != 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return str(runs[0].info.run_id) if runs else None


def _scores(run: "Run") -> RunScores | None:
    params = run.data.params
    if _MODEL not in params or _BENCHMARK not in params:
        return None
    return RunScores(
        run_id=str(run.info.run_id),
        model=params[_MODEL],
        benchmark=params[_BENCHMARK],
        variant=params.get(_VARIANT, ""),
        recipe=params.get(_RECIPE, ""),
        metrics=dict(run.data.metrics),
    )


def _log_params(client: "MlflowClient", run_id: str, params: Mapping[str, object]) -> None:
    from mlflow.entities import Param

    # MLflow refuses another value under a name that has one. What the fingerprint leaves out (the number of CPUs a
    # worker gets) may differ when a run is continued: the values it began with stay.
    known = client.get_run(run_id).data.params
    new = [Param(name, value[:_VALUE_LENGTH]) for name, value in flatten(params) if name not in known]
    for some in _in_parts(new, _PARAMS_A_CALL):
        client.log_batch(run_id, params=some)


def _dataset_input(data: TrainingData) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=data.name,
        digest=data.digest[:_DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"uri": data.source}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def _in_parts(values: list[Any], size: int) -> Iterator[list[Any]]:
    for i in range(math.ceil(len(values) / size)):
        yield values[i * size : (i + 1) * size]
