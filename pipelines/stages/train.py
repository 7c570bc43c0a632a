"""train: train a network on shards and keep its best weights; MLflow shows the progress."""

import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from banet.closure import changed_files
from banet.config import Params
from banet.data.names import SHARP
from banet.data.shards.reader import ShardFolder, publish
from banet.data.stream.training_set import TrainingSet
from banet.errors import ConfigError, ServiceError
from banet.files import write_atomically
from banet.image import Image
from banet.inference import restore
from banet.model.network import BANet
from banet.model.weights import save_weights
from banet.tracking.load import load_model
from banet.tracking.outbox import MetricsLog, MetricsSender
from banet.tracking.runs import (
    EXPERIMENT,
    TrainingData,
    finish_run,
    git_tags,
    log_pictures,
    metric_history,
    open_run,
)
from banet.tracking.store import Store, connect, main_checkout
from banet.tracking.unfinished_runs import UnfinishedRun, code_tags, find_unfinished, get_unfinished, note_continuation
from banet.train.identity import RunIdentity, identify
from pipelines.stages.entrypoint import params, run_command
from pipelines.stages.stage_results import (
    CANDIDATE,
    CURVE,
    REPORTS,
    RUN,
    TRAINING,
    TrainedBy,
    TrainingReport,
    write_json,
)

if TYPE_CHECKING:
    from banet.train.ray_worker import TrainingResult

CHECKPOINTS = ".runs"  # in the main checkout: an interrupted run can be continued from any workspace
PICTURES = 4  # validation images logged with a run
CURVES = ("loss", "lr", "validation_psnr")


@dataclass(frozen=True, slots=True)
class ProgressLogger:
    """Keeps the metrics for MLflow and prints the progress; runs in Ray's controller."""

    log: MetricsLog

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Report the metrics of a step."""
        self.log.append(step, metrics)
        validation = f"  validation {metrics['validation_psnr']:.2f} dB" if "validation_psnr" in metrics else ""
        loss = f"{metrics['loss']:.4f}" if "loss" in metrics else "not finite"
        print(f"step {step}  loss {loss}{validation}", flush=True)  # noqa: T201


def train(chosen: Params, *, shards: Path, storage: Path, store: Store, out: Path, reports: Path) -> TrainingReport:
    """Train, keep the weights that validate best, and record the run.

    `storage` keeps the checkpoints and metrics of unfinished runs; `out` gets the weights, their configuration and the
    run's id, `reports` the training curve and the report. Only the start and the end need the store: in between, the
    metrics are sent when it answers.

    Raises:
        DataError: missing or damaged shards.
        ConfigError: held-out sequences that do not exist, or a run that cannot be continued.
        ResourceError: fewer CPUs or GPUs than the run needs.
        ServiceError: the object store for the shards does not answer, or the tracking store at the end; then the same
            command trains nothing again.
    """
    from banet.train.ray_worker import TrainingJob, kept_checkpoint, launch  # Ray takes seconds to import

    folder = ShardFolder(shards.absolute())
    data = _training_set(chosen, folder)
    seen = folder.folder if chosen.cluster.shards is None else publish(folder, chosen.cluster.shards)
    digest = folder.summary.digest
    identity = identify(chosen, digest)
    name = run_to_continue(chosen, identity, storage, store) or identity.fingerprint
    run_id = open_run(
        store,
        experiment=EXPERIMENT,
        name=f"{chosen.model.name}-{chosen.recipe.name}-{chosen.benchmark.name}",
        fingerprint=name,
        params=asdict(chosen),
        tags=git_tags(Path.cwd()) | code_tags(identity.inputs, identity.code),
        data=TrainingData(name=chosen.benchmark.name, digest=digest, source=str(folder.folder)),
    )
    recipe = replace(chosen.recipe, init_from=_initial_weights(chosen.recipe.init_from, storage / f"{name}-init"))
    job = TrainingJob(
        shards=str(seen),
        benchmark=chosen.benchmark,
        model=chosen.model,
        recipe=recipe,
        cluster=chosen.cluster,
        refused=str((storage / f"{name}-refused").absolute()),
    )
    log = MetricsLog(storage / f"{name}-metrics.jsonl")
    sender = MetricsSender(store, run_id, log)
    try:
        with sender:
            result = launch(job, storage=storage, name=name, on_progress=ProgressLogger(log))
    except KeyboardInterrupt:
        with suppress(ServiceError):
            sender.send()
            finish_run(store, run_id, "KILLED")
        raise KeyboardInterrupt(kept_checkpoint(storage / name)) from None
    except BaseException:
        with suppress(ServiceError):
            sender.send()
            finish_run(store, run_id, "FAILED")
        raise
    try:
        sender.send()
        report = _record(result, data, store=store, run_id=run_id, digest=digest, out=out, reports=reports)
    except ServiceError as error:
        raise ServiceError(
            f"{error}; the training is done and kept in {storage / name}: run the same command again when the store "
            "answers, nothing is trained twice"
        ) from None
    log.file.unlink()
    for leftover in (storage / name, storage / f"{name}-init", storage / f"{name}-refused"):
        shutil.rmtree(leftover, ignore_errors=True)
    return report


def _record(
    result: "TrainingResult", data: TrainingSet, *, store: Store, run_id: str, digest: str, out: Path, reports: Path
) -> TrainingReport:
    """Write what a finished training leaves, and finish its run."""
    report = TrainingReport(
        steps=result.steps,
        best_step=result.best_step,
        validation_psnr=result.best_psnr,
        averaged=result.averaged,
        blurred_validation_psnr=float(np.mean(data.validation_psnr(lambda image: image))),
        parameters=sum(parameter.numel() for parameter in result.model.parameters()),
    )
    curve = training_curve(store, run_id)
    log_pictures(store, run_id, _pictures(result.model, data), step=result.best_step)
    save_weights(result.model, out)
    write_json(out / RUN, TrainedBy(run_id=run_id, data_digest=digest))
    write_json(reports / TRAINING, report)
    write_atomically(reports / CURVE, curve)
    finish_run(store, run_id)
    return report


def run_to_continue(chosen: Params, identity: RunIdentity, storage: Path, store: Store) -> str | None:
    """Return the fingerprint of the run that `cluster.resume` names, None if it is null.

    If only code has changed since an unfinished run, a line on standard error says how to continue that run.

    Raises:
        ConfigError: the run is unknown, finished, without a checkpoint here, or of other parameters.
    """
    if chosen.cluster.resume is None:
        for run in find_unfinished(store, identity.inputs):
            if run.fingerprint != identity.fingerprint and (storage / run.fingerprint).is_dir():
                print(_notice(run, identity), file=sys.stderr)  # noqa: T201
                break
        return None
    run = get_unfinished(store, chosen.cluster.resume)
    if run.inputs != identity.inputs:
        raise ConfigError(f"cluster.resume: the run {run.run_id} has other parameters or data: set it to null")
    checkpoint = storage / run.fingerprint
    if not checkpoint.is_dir():
        raise ConfigError(f"cluster.resume: no checkpoint of the run {run.run_id} in {checkpoint}: set it to null")
    note_continuation(store, run.run_id, identity.code)
    return run.fingerprint


def _notice(run: UnfinishedRun, identity: RunIdentity) -> str:
    commit = f", commit {run.commit[:7]}" if run.commit else ""
    return (
        f"train: the unfinished run {run.run_id} (step {run.step}{commit}) has the same parameters and data, but "
        f"{', '.join(changed_files(run.code, identity.code))} changed since: training starts afresh; to continue that "
        f"run instead, interrupt this one and set cluster.resume: {run.run_id}"
    )


def training_curve(store: Store, run_id: str) -> str:
    """The run's curve as CSV: step, loss, lr, validation_psnr (empty at steps without validation)."""
    columns = {name: metric_history(store, run_id, name) for name in CURVES}
    rows = [(step, *(columns[name].get(step, "") for name in CURVES)) for step in sorted(columns["loss"])]
    return "".join(f"{','.join(map(str, row))}\n" for row in (("step", *CURVES), *rows))


def _training_set(chosen: Params, folder: ShardFolder) -> TrainingSet:
    """The training set, checked before the start: errors out of Ray are harder to understand."""
    folder.verify()
    data = TrainingSet(
        folder=folder.folder,
        variant=chosen.benchmark.variant,
        held_out=chosen.benchmark.validation.sequences,
        seed=chosen.recipe.seed,
    )
    for phase in chosen.recipe.phases:
        data.require_crop(phase.crop)
    folder.read(data.validation_rows()[0], (data.variant, SHARP))  # the variant is there
    return data


def _initial_weights(source: str | None, folder: Path) -> str | None:
    if source is None:
        return None
    save_weights(load_model(source), folder)
    return str(folder.absolute())


def _pictures(model: BANet, data: TrainingSet) -> dict[str, Image]:
    """Some validation images, blurred, restored and sharp, by the names under which the run logs them."""
    shards, rows = ShardFolder(data.folder), data.validation_rows()
    pictures: dict[str, Image] = {}
    for i in np.linspace(0, len(rows) - 1, min(PICTURES, len(rows)), dtype=int):
        images = shards.read(rows[i], (data.variant, SHARP)).images
        pictures |= {
            f"validation_{i:04d}_blurred": images[data.variant],
            f"validation_{i:04d}_restored": restore(model, images[data.variant]),
            f"validation_{i:04d}_sharp": images[SHARP],
        }
    return pictures


def main(shards: Path, out: Path = CANDIDATE, reports: Path = REPORTS) -> None:
    """Train a network and keep its best weights."""
    train(
        params(),
        shards=shards,
        storage=main_checkout(Path.cwd()) / CHECKPOINTS,
        store=connect(),
        out=out,
        reports=reports,
    )


if __name__ == "__main__":
    run_command(main)
