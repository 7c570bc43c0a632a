"""One DDP process of a run under Ray Train: it continues from the last checkpoint, trains, validates and reports."""

import logging
import os
import signal
import socket
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray.train
import ray.train.torch
import torch
from torch import nn

from banet.config import BenchmarkParams, ClusterParams, RecipeParams
from banet.data.shards.storage import location
from banet.data.stream.order import RankSlice
from banet.data.stream.ray_stream import stream
from banet.data.stream.training_set import TrainingSet
from banet.errors import BanetError, ModelError, ResourceError
from banet.inference import restore
from banet.metrics.psnr import psnr
from banet.metrics.ssim import ssim_matlab3d
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import load_weights
from banet.parsing import parse
from banet.train.agreement import Agreement, Failed, Stopped
from banet.train.loop import Batch, Training, TrainingProgress, ValidationScores, fit
from banet.train.plan import PlannedPhase, plan
from banet.train.refused import keep_refused
from banet.train.run_folder import RunFolder

LOOKS_S = 0.5  # seconds between two looks of a worker for a request to stop
WATCHER = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"  # Ray's own variable: whether there is somebody to ask
_woken: list[int] = []  # descriptor from which this process reads the numbers of its signals


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """What a worker is given; sent through Ray as a plain mapping and read again by `parse`."""

    shards: str  # absolute path of a folder, or a URI
    benchmark: BenchmarkParams
    model: BANetConfig
    recipe: RecipeParams  # init_from, if any, is an absolute path of a folder
    cluster: ClusterParams
    folder: str  # absolute path of the run's folder

    @property
    def data(self) -> TrainingSet:
        """The training set."""
        return TrainingSet(
            folder=location(self.shards),
            variant=self.benchmark.variant,
            held_out=self.benchmark.validation.sequences,
            seed=self.recipe.seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyEnd:
    """Why the workers left before the end: a class of `banet.errors`, or none if one was told to stop."""

    error: str | None
    text: str


def listen_for_signals() -> None:
    """Note SIGTERM in this process, whose training runs in another thread than the one that Python tells."""
    if not _woken:
        reading, writing = os.pipe()
        for end in (reading, writing):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        _woken.append(reading)
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)


def train_worker(config: dict[str, Any]) -> dict[str, Any] | None:
    """Run one DDP process; return None at the end of the training, else an `EarlyEnd` as a mapping, the same in all."""
    logging.getLogger("ray.train").setLevel(logging.CRITICAL)  # what is unexpected is kept below
    job = parse(TrainingJob, config, where="training job")
    try:
        worker = TrainingWorker(job)
        try:
            worker.train()
        except BanetError as error:
            worker.agreement.fail(error)
    except Failed as failed:
        return asdict(EarlyEnd(error=type(failed.error).__name__, text=str(failed.error)))
    except Stopped as stopped:
        return asdict(EarlyEnd(error=None, text=str(stopped)))
    except Exception:  # e.g. a connection to a worker that was killed
        RunFolder(Path(job.folder)).keep_traceback(traceback.format_exc())
        raise
    return None


class TrainingWorker:
    """What this process is in the run: its rank, the others, and the training."""

    def __init__(self, job: TrainingJob) -> None:
        context = ray.train.get_context()
        self.job, self.folder, self.data = job, RunFolder(Path(job.folder)), job.data
        self.rank, self.ranks = context.get_world_rank(), context.get_world_size()
        if not torch.cuda.is_available():
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
        self.journal = self.folder.journal
        self.looked = self.asked = self.saved_at = time.monotonic()
        self.saved = 0  # the step of the last checkpoint
        self.agreement = Agreement(
            self.ranks,
            self.told,
            asks=self.asks,
            told_together=_drained,
            timeout_s=job.cluster.timeout_s,
        )

    def train(self) -> None:
        """Train to the end, or leave with the others; what was done is saved."""
        self.training = self.started()
        self.agreement.check()
        if not self.agreement.equal(self.training.step):
            raise ResourceError(
                f"the nodes see other checkpoints in {self.folder.folder}: share this folder among them"
            )
        try:
            fit(
                self.training,
                ray.train.torch.prepare_model(self.training.model, move_to_device=False),
                self.batches,
                validate=self.validate,
                report=self.report,
                refuse=self.refuse,
                between_steps=self.between_steps,
            )
        except Stopped:
            self.save()
            self.agreement.check()  # the others wait here for what may go wrong with it
            raise
        self.save()
        self.agreement.check()

    def started(self) -> Training:
        """The training where its last checkpoint stood, else at its begin."""
        if self.rank == 0:
            self.folder.checkpoints.own(self.job.cluster.timeout_s)
            self.journal.begin()
        recipe = self.job.recipe
        torch.manual_seed(recipe.seed)
        model = BANet(self.job.model) if recipe.init_from is None else load_weights(Path(recipe.init_from)).train()
        model = model.to(ray.train.torch.get_device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
        training = Training(model, recipe, plan(recipe.phases, len(self.data.training_rows())))
        state = self.folder.checkpoints.newest(self.say if self.rank == 0 else lambda _text: None)
        if state is not None:
            try:
                training.resume(state)
            except (KeyError, RuntimeError, TypeError, ValueError) as error:
                reason = " ".join(str(error).split())[:200]
                raise ModelError(
                    f"the checkpoint of this run is of another network or code ({reason}): set cluster.resume to null"
                ) from None
        self.saved = training.step
        return training

    def between_steps(self) -> None:
        """Save if it is time to, and go on if all can."""
        steps, seconds = self.training.step - self.saved, time.monotonic() - self.saved_at
        if steps and self.job.cluster.checkpoint_is_due(steps, seconds):
            self.save()
        self.agreement.check()

    def save(self) -> None:
        """Write a checkpoint; one worker does."""
        if self.rank == 0:
            self.folder.checkpoints.save(self.training.step, self.training.state())
        self.saved, self.saved_at = self.training.step, time.monotonic()

    def told(self) -> str | None:
        """Why this process was told to stop."""
        try:
            if _woken and signal.SIGTERM in os.read(_woken[0], 64):
                return f"a worker on {socket.gethostname()} was told to stop by SIGTERM"
        except BlockingIOError:
            pass
        if self.rank == 0 and time.monotonic() - self.looked > LOOKS_S:
            self.looked = time.monotonic()
            if self.folder.stop_request.exists():
                return "the run was told to stop"
        return None

    def asks(self) -> bool:
        """Whether it is time to ask Ray for nodes that are taken away, which only all workers together can."""
        watched = os.environ.get(WATCHER) != "0"
        due = self.rank == 0 and watched and time.monotonic() - self.asked > 2 * LOOKS_S
        if due:
            self.asked = time.monotonic()
        return due

    def part(self, phase: PlannedPhase, step: int) -> RankSlice:
        """This worker's samples from a step on."""
        first, batch_size = phase.sample_at(step), phase.params.batch_size
        return RankSlice(first=first, batch_size=batch_size, rank=self.rank, ranks=self.ranks)

    def batches(self, phase: PlannedPhase, step: int) -> Iterator[Batch]:
        """This worker's batches from a step of a phase to its end."""
        return stream(self.data, self.part(phase, step), batches=phase.last_step - step, crop=phase.params.crop)

    def validate(self, tried: nn.Module) -> ValidationScores:
        """Score this rank's share of the held-out images, and put the shares together."""
        total = len(self.data.validation_rows())
        scores = torch.zeros(2, total, dtype=torch.float64)
        pairs = self.data.validation_images(self.rank, self.ranks)
        shown = self.data.pictured() if tried is self.training.model else []
        for first in range(0, total, self.ranks):  # as often on every rank
            number = first + self.rank
            if number < total:
                blurred, sharp = next(pairs)
                restored = restore(tried, blurred)
                scores[0, number], scores[1, number] = psnr(restored, sharp), ssim_matlab3d(restored, sharp)
                if number in shown:
                    self.folder.keep_picture(self.training.step, number, restored)
            self.agreement.check()
        psnrs, ssims = self.agreement.total(scores).tolist()
        return ValidationScores(psnr=psnrs, ssim=float(np.mean(ssims)))

    def refuse(self, phase: PlannedPhase, batch: Batch) -> str:
        """Keep a batch whose gradient is not finite; return where, for a message."""
        of_batch = self.part(phase, self.training.step - 1)
        samples = self.data.describe(of_batch.numbers(np.arange(of_batch.size)), phase.params.crop)
        path = self.folder.refused / f"step-{self.training.step}-rank-{self.rank}.pt"
        told = f"step {self.training.step} was left out, its gradient is not finite: {'; '.join(samples)}: "
        try:
            keep_refused(path, self.training.model, batch, samples, phase.params, self.job.recipe.loss)
        except OSError as error:
            self.say(f"{told}the batch could not be kept ({error.strerror})")
            return ""
        self.say(f"{told}`banet replay {path}` tries them again")
        return f" (kept in {path.parent})"

    def say(self, text: str) -> None:
        """Tell people."""
        self.journal.note(text)

    def report(self, progress: TrainingProgress) -> None:
        """Keep a point of the training curve, with the mean loss of all workers."""
        if progress.loss is not None:
            mean = self.agreement.total(torch.tensor([progress.loss], dtype=torch.float64)) / self.ranks
            progress = replace(progress, loss=float(mean))
        if self.rank == 0:
            values = asdict(progress)
            self.journal.append(
                values.pop("step"), {name: value for name, value in values.items() if value is not None}
            )


def _drained() -> str | None:
    """Why all workers are to stop, if Ray knows of a node that is taken away; all workers must ask."""
    info = ray.train.get_preemption_info()
    return None if info is None else f"a node is being taken away ({', '.join(info.preempted_node_ids)})"
