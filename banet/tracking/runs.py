"""Runs: what was trained on what, its metrics by step, its sample pictures."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from banet.data.images.codec import write_image
from banet.image import Image
from banet.tracking.store import Store, all_pages
from banet.train.journal import Point, now_ms

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

EXPERIMENT = "banet"  # of all training runs
FINGERPRINT = "fingerprint"  # tag: identifies params, data and code; an unfinished run is found by it
DATA_DIGEST = "dataset.digest"  # tag: the whole digest, since MLflow's own field holds 36 characters
GIT_COMMIT = "mlflow.source.git.commit"  # MLflow's own tag, shown in its UI
SAMPLES = "samples"  # folder of the pictures among a run's artifacts
_MODEL, _CHANNELS, _RECIPE = "model.name", "model.channels", "recipe.name"  # of params.yaml, as `open_run` logs them
_BENCHMARK, _VARIANT = "benchmark.name", "benchmark.variant"
_BY_AGE = ["attributes.start_time ASC", "attributes.run_id ASC"]
_DIGEST_LENGTH = 36  # limit of MLflow's API


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What a run was trained on, as MLflow's dataset input shows it."""

    name: str  # the benchmark, "mini"
    digest: str  # hexadecimal, of the shards
    source: str  # path or address of the shards, for people


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScores:
    """What one run trained, and its metrics so far."""

    run_id: str
    model: str  # `model.name` of its parameters
    benchmark: str  # that it was trained on
    variant: str  # of the blurred images that it was trained on
    recipe: str
    channels: int | None = None  # of the network; None if the run does not say
    fingerprint: str = ""  # of parameters, data and code
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
    """Continue the unfinished run with this fingerprint, or begin a new run; return its id.

    A run is unfinished while it is RUNNING, FAILED or KILLED; a finished one is never written to again. The fingerprint
    is equal for two runs that would give the same weights. Nested `params` are logged as `recipe.loss.fft_weight`.
    """
    client = store.client()
    experiment_id = store.experiment_id(experiment)
    every_tag = {**tags, FINGERPRINT: fingerprint} | ({DATA_DIGEST: data.digest} if data else {})
    unfinished = client.search_runs(
        [experiment_id],
        f"tags.{FINGERPRINT} = '{fingerprint}' and attributes.status != 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    run = unfinished[0] if unfinished else client.create_run(experiment_id, run_name=name, tags=every_tag)
    run_id = str(run.info.run_id)
    client.update_run(run_id, status="RUNNING")
    _log_params(client, run_id, params)
    if data is not None:
        client.log_inputs(run_id, [_dataset_input(data)])
    return run_id


def finish_run(store: Store, run_id: str, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
    """End a run."""
    store.client().set_terminated(run_id, status=status)


def log_metrics(store: Store, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
    """Log values at one step; values that were logged at it before are kept."""
    log_points(store, run_id, [Point(time_ms=now_ms(), step=step, metrics=metrics)])


def log_points(store: Store, run_id: str, points: Sequence[Point]) -> None:
    """Log the values of several steps; a point that was logged before changes nothing."""
    from mlflow.entities import Metric

    metrics = [
        Metric(key, float(value), point.time_ms, point.step) for point in points for key, value in point.metrics.items()
    ]
    store.client().log_batch(run_id, metrics)


def metric_history(store: Store, run_id: str, name: str) -> dict[int, float]:
    """The values of one metric by step; the later value where a continued run logged a step twice."""
    history = store.client().get_metric_history(run_id, name)
    return {metric.step: metric.value for metric in sorted(history, key=lambda metric: metric.timestamp)}


def runs_of(store: Store, experiment: str) -> tuple[RunScores, ...]:
    """The finished training runs of an experiment, oldest first; none if there is no such experiment.

    Deleted runs are left out, and so are those that did not train (made for a version whose run is unknown).
    """
    client = store.client()
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return ()
    runs = all_pages(
        lambda token: client.search_runs(
            [found.experiment_id], "attributes.status = 'FINISHED'", order_by=_BY_AGE, page_token=token
        )
    )
    return tuple(
        RunScores(
            run_id=str(run.info.run_id),
            model=run.data.params[_MODEL],
            benchmark=run.data.params[_BENCHMARK],
            variant=run.data.params.get(_VARIANT, ""),
            recipe=run.data.params.get(_RECIPE, ""),
            channels=int(width) if (width := run.data.params.get(_CHANNELS)) else None,
            fingerprint=run.data.tags.get(FINGERPRINT, ""),
            metrics=dict(run.data.metrics),
        )
        for run in runs
        if _MODEL in run.data.params and _BENCHMARK in run.data.params
    )


def log_pictures(store: Store, run_id: str, pictures: Mapping[str, Image], step: int = 0) -> None:
    """Log pictures twice: as `samples/<key>.png`, and by training step, for the run's page in MLflow's UI.

    The pictures are uint8 RGB (H, W, 3), by keys such as `coffee_long/000003_restored`.
    """
    client = store.client()
    with tempfile.TemporaryDirectory() as folder:
        for key, picture in pictures.items():
            write_image(Path(folder) / f"{key}.png", picture)
            log_picture(store, run_id, key, picture, step=step)
        client.log_artifacts(run_id, folder, SAMPLES)


def log_picture(store: Store, run_id: str, key: str, picture: Image, step: int) -> None:
    """Log one state of a picture that MLflow's UI shows by step."""
    store.client().log_image(run_id, picture, key=f"{SAMPLES}/{key}", step=step)


def log_files(store: Store, run_id: str, files: Sequence[Path], folder: str | None = None) -> None:
    """Log files or whole folders as artifacts, under `folder` if given."""
    client = store.client()
    for file in files:
        client.log_artifact(run_id, str(file), folder)


def git_tags(checkout: Path) -> dict[str, str]:
    """The current commit as MLflow's own tag; no tag outside a git repository."""
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
    """Nested sections as (dotted name, text) pairs; sections in a list are numbered from 0, other values are JSON."""
    for key, value in params.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{name}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            yield from flatten({str(i): item for i, item in enumerate(value)}, f"{name}.")
        else:
            yield name, value if isinstance(value, str) else json.dumps(value, default=str)


def _log_params(client: "MlflowClient", run_id: str, params: Mapping[str, object]) -> None:
    from mlflow.entities import Param

    # MLflow refuses to change a parameter. What the fingerprint leaves out, such as the number of CPUs per worker, may
    # differ when a run is continued: the first values stay.
    known = client.get_run(run_id).data.params
    client.log_batch(run_id, params=[Param(name, value) for name, value in flatten(params) if name not in known])


def _dataset_input(data: TrainingData) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=data.name,
        digest=data.digest[:_DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"uri": data.source}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
