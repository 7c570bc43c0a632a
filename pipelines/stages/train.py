"""train: train a network on shards and keep its best weights; MLflow shows the progress."""

import sys
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from banet.closure import changed_files
from banet.config import Params
from banet.data.names import SHARP
from banet.data.shards.reader import ShardFolder, publish
from banet.data.stream.training_set import TrainingSet
from banet.errors import ConfigError, ModelError, ServiceError
from banet.files import write_atomically
from banet.image import Image
from banet.inference import restore
from banet.model.network import BANet
from banet.model.weights import save_weights
from banet.progress import ProgressBar
from banet.tracking.load import load_model
from banet.tracking.outbox import MetricsSender
from banet.tracking.runs import (
    EXPERIMENT,
    TrainingData,
    finish_run,
    log_picture,
    log_pictures,
    metric_history,
    open_run,
)
from banet.tracking.store import Store, connect, main_checkout, require_answer
from banet.tracking.unfinished_runs import UnfinishedRun, code_tags, find_unfinished, get_unfinished, note_continuation
from banet.train.identity import RunIdentity, identify
from banet.train.journal import Point
from banet.train.plan import plan
from banet.train.run_folder import RunFolder
from pipelines.run_tags import run_tags
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
    from banet.train.launch import TrainingResult

UNFINISHED = ".runs"  # in the main checkout: an interrupted run can be continued from any workspace
CURVES = ("loss", "lr", "validation_psnr")


def train(chosen: Params, *, shards: Path, storage: Path, store: Store, out: Path, reports: Path) -> TrainingReport:
    """Train, keep the weights that validate best, and record the run.

    `storage` keeps the folders of unfinished runs; `out` gets the weights, their configuration and the run's id,
    `reports` the training curve and the report. Only the start and the end need the store: in between, the metrics are
    sent when it answers.

    Raises:
        DataError: missing or damaged shards.
        ConfigError: held-out sequences that do not exist, or a run that cannot be continued.
        ResourceError: fewer CPUs or GPUs than the run needs, a disk that is full, or another process trains this.
        ServiceError: the object store for the shards does not answer, or a worker was told to stop; or the tracking
            store does not answer at the end: then the same command trains nothing again.
    """
    folder = ShardFolder(shards.absolute())
    data = _training_set(chosen, folder)
    identity = identify(chosen, folder.summary.digest)
    name = run_to_continue(chosen, identity, storage, store) or identity.fingerprint
    run = RunFolder(storage.absolute() / name)
    with run.claimed():
        seen = folder.folder if chosen.cluster.shards is None else publish(folder, chosen.cluster.shards)
        recipe = replace(chosen.recipe, init_from=_initial_weights(chosen, run.initial_weights))
        run_id = open_run(
            store,
            experiment=EXPERIMENT,
            name=f"{chosen.model.name}-{chosen.recipe.name}-{chosen.benchmark.name}",
            fingerprint=name,
            params=asdict(chosen),
            tags=run_tags(chosen, reports, folder.summary) | code_tags(identity.inputs, identity.code),
            data=TrainingData(name=chosen.benchmark.name, digest=folder.summary.digest, source=str(folder.folder)),
        )
        report = _train_and_record(
            replace(chosen, recipe=recipe),
            data,
            seen=str(seen),
            run=run,
            store=store,
            run_id=run_id,
            out=out,
            reports=reports,
        )
        run.remove()
    return report


def _train_and_record(
    chosen: Params, data: TrainingSet, *, seen: str, run: RunFolder, store: Store, run_id: str, out: Path, reports: Path
) -> TrainingReport:
    from banet.train.launch import launch  # Ray takes seconds to import
    from banet.train.ray_worker import TrainingJob

    job = TrainingJob(
        shards=seen,
        benchmark=chosen.benchmark,
        model=chosen.model,
        recipe=chosen.recipe,
        cluster=chosen.cluster,
        folder=str(run.folder),
    )
    steps = plan(chosen.recipe.phases, len(data.training_rows()))[-1].last_step
    with ProgressBar("train", unit=" steps") as bar:
        pictures = partial(_send_pictures, run, store, run_id)
        sender = MetricsSender(store, run_id, run.journal, show=_Shown(bar, steps), send_more=pictures)
        try:
            with sender:
                result = launch(job)
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            with suppress(ServiceError):
                sender.send()
                finish_run(store, run_id, "KILLED" if interrupted else "FAILED")
            if interrupted:
                raise KeyboardInterrupt(run.kept) from None
            raise
        try:
            sender.send()
            return _record(result, data, store=store, run_id=run_id, out=out, reports=reports)
        except ServiceError as error:
            raise ServiceError(
                f"{error}; the training is done and kept in {run.folder}: run the same command again when the store "
                "answers, nothing is trained twice"
            ) from None


class _Shown:
    """A bar with the figures of a training."""

    def __init__(self, bar: ProgressBar, steps: int) -> None:
        self.bar, self.steps, self.validation = bar, steps, ""

    def __call__(self, told: Point | str) -> None:
        """Show a point or a message."""
        if isinstance(told, str):
            self.bar.say(told)
            return
        values = told.metrics
        loss = f"loss {values['loss']:.4f}" if "loss" in values else "loss not finite"
        waiting = f"{100 * values['data_wait']:.1f} % waiting for data" if "data_wait" in values else ""
        if "validation_psnr" in values:
            self.validation = f"validation {values['validation_psnr']:.2f} dB"
        self.bar.set_postfix_str(", ".join(filter(None, (loss, waiting, self.validation))), refresh=False)
        self.bar.to(told.step, self.steps)


def _send_pictures(run: RunFolder, store: Store, run_id: str) -> None:
    for step, number, picture in run.take_pictures():
        require_answer(store.uri)
        log_picture(store, run_id, _picture_name(number, "restored"), picture, step=step)


def _picture_name(number: int, kind: str) -> str:
    return f"validation_{number:04d}_{kind}"


def _record(
    result: "TrainingResult", data: TrainingSet, *, store: Store, run_id: str, out: Path, reports: Path
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
    write_json(out / RUN, TrainedBy(run_id=run_id, data_digest=ShardFolder(data.folder).summary.digest))
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
            steps = RunFolder(storage / run.fingerprint).checkpoints.steps
            if run.fingerprint != identity.fingerprint and steps:
                print(_notice(run, steps[0], identity), file=sys.stderr)  # noqa: T201
                break
        return None
    run = get_unfinished(store, chosen.cluster.resume)
    if run.inputs != identity.inputs:
        raise ConfigError(f"cluster.resume: the run {run.run_id} has other parameters or data: set it to null")
    folder = storage / run.fingerprint
    if not RunFolder(folder).checkpoints.steps:
        raise ConfigError(f"cluster.resume: no checkpoint of the run {run.run_id} in {folder}: set it to null")
    note_continuation(store, run.run_id, identity.code)
    return run.fingerprint


def _notice(run: UnfinishedRun, step: int, identity: RunIdentity) -> str:
    commit = f", commit {run.commit[:7]}" if run.commit else ""
    return (
        f"train: the unfinished run {run.run_id} (step {step}{commit}) has the same parameters and data, but "
        f"{', '.join(changed_files(run.code, identity.code))} changed since: training starts afresh; to continue that "
        f"run instead, interrupt this one and set cluster.resume: {run.run_id}"
    )


def training_curve(store: Store, run_id: str) -> str:
    """The run's curve as CSV: step, loss, lr, validation_psnr (empty at steps without validation)."""
    columns = {name: metric_history(store, run_id, name) for name in CURVES}
    rows = [(step, *(columns[name].get(step, "") for name in CURVES)) for step in sorted(columns["lr"])]
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


def _initial_weights(chosen: Params, folder: Path) -> str | None:
    """Copy the weights to start from to where all nodes see them.

    Raises:
        ModelError: they are of another network.
    """
    source = chosen.recipe.init_from
    if source is None:
        return None
    model = load_model(source)
    ours = replace(chosen.model, name=model.config.name)
    if model.config != ours:
        other = ", ".join(f"{key} {value}" for key, value in asdict(model.config).items() if value != asdict(ours)[key])
        raise ModelError(
            f"recipe.init_from: {source} is another network ({other}): set model to it, or name other weights"
        )
    save_weights(model, folder)
    return str(folder)


def _pictures(model: BANet, data: TrainingSet) -> dict[str, Image]:
    """Some validation images, blurred, restored and sharp, by the names under which the run logs them."""
    shards, rows = ShardFolder(data.folder), data.validation_rows()
    pictures: dict[str, Image] = {}
    for i in data.pictured():
        images = shards.read(rows[i], (data.variant, SHARP)).images
        pictures |= {
            _picture_name(i, "blurred"): images[data.variant],
            _picture_name(i, "restored"): restore(model, images[data.variant]),
            _picture_name(i, "sharp"): images[SHARP],
        }
    return pictures


def main(shards: Path, out: Path = CANDIDATE, reports: Path = REPORTS) -> None:
    """Train a network and keep its best weights."""
    train(
        params(),
        shards=shards,
        storage=main_checkout(Path.cwd()) / UNFINISHED,
        store=connect(),
        out=out,
        reports=reports,
    )


if __name__ == "__main__":
    run_command(main)
