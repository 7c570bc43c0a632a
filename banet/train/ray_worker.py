"""Ray Train runs the loop in several DDP processes and keeps checkpoints; an interrupted run continues."""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train
import ray.train.torch
import torch
import torch.distributed
from torch import nn

from banet import errors
from banet.config import BenchmarkParams, ClusterParams, RecipeParams
from banet.data.shards.storage import location
from banet.data.stream.order import RankSlice
from banet.data.stream.ray_stream import TASK_CPUS, stream
from banet.data.stream.training_set import TrainingSet
from banet.inference import restore
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import load_weights
from banet.parsing import parse
from banet.ray_session import errors_as_themselves, start_ray, this_cluster_alone
from banet.train.loop import Batch, Training, TrainingProgress, choose_weights, fit
from banet.train.plan import PlannedPhase, plan
from banet.train.refused import keep_refused

STATE = "state.pt"
STREAM_CPUS = 2 * TASK_CPUS  # logical CPUs for the data streams, in addition to the workers


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """What a worker is given; sent through Ray as a plain mapping and read again by `parse`."""

    shards: str  # absolute path of a folder, or a URI
    benchmark: BenchmarkParams
    model: BANetConfig
    recipe: RecipeParams  # init_from, if any, is an absolute path of a folder
    cluster: ClusterParams
    refused: str  # folder for batches whose gradient is not finite, which all nodes can write

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
class TrainingResult:
    """The result of a finished run."""

    model: BANet  # with the best weights
    averaged: bool = False  # whether they are an average over steps
    best_step: int
    best_psnr: float  # dB, on the held-out images
    steps: int


def launch(
    job: TrainingJob, *, storage: Path, name: str, on_progress: Callable[[int, Mapping[str, float]], None]
) -> TrainingResult:
    """Train on the cluster named by RAY_ADDRESS, else on this machine; continue an interrupted run of this name.

    Args:
        job: what to train.
        storage: folder for checkpoints, shared by all nodes.
        name: of the run, one per set of parameters and data.
        on_progress: called with step and metrics in another process: it must be picklable.

    Raises:
        ResourceError: fewer logical CPUs or GPUs than the run needs.
        BanetError: whatever stopped a worker, e.g. a loss that is not finite.
    """
    start_ray()
    require_resources(job.cluster)
    trainer = _Trainer(
        train_worker,
        train_loop_config=asdict(job),
        scaling_config=ray.train.ScalingConfig(
            num_workers=job.cluster.workers,
            use_gpu=job.cluster.gpus_per_worker > 0,
            resources_per_worker=_resources(job.cluster),
        ),
        torch_config=ray.train.torch.TorchConfig(backend="nccl" if job.cluster.gpus_per_worker else "gloo"),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=str(storage),
            failure_config=ray.train.FailureConfig(max_failures=2),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            callbacks=[_TellProgress(on_progress)],
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),
        ),
    )
    with errors_as_themselves(), this_cluster_alone():
        result = trainer.fit()
    with result.checkpoint.as_directory() as folder:
        state = torch.load(Path(folder) / STATE, map_location="cpu", weights_only=True)
    which, best = choose_weights(state, [row.sequence for row in job.data.validation_rows()])
    model = BANet(job.model)
    model.load_state_dict(best.weights)
    return TrainingResult(
        model=model.eval(), averaged=which == "average", best_step=best.step, best_psnr=best.psnr, steps=state["step"]
    )


def kept_checkpoint(run: Path) -> str:
    """Say which checkpoint a run that was stopped has in its folder."""
    snapshot = run / "checkpoint_manager_snapshot.json"  # of Ray Train
    if not snapshot.is_file():
        return "no checkpoint was written yet"
    found = re.findall(r'"latest_checkpoint_result":.*?"step":\s*(\d+)', snapshot.read_text())
    return f"the checkpoint of step {found[-1]} is kept" if found else "the last checkpoint is kept"


def train_worker(config: dict[str, Any]) -> None:
    """Run one DDP process: build the model, continue from a checkpoint if there is one, train, validate, report."""
    logging.disable(logging.INFO)  # Ray repeats every report
    job = parse(TrainingJob, config, where="training job")
    context = ray.train.get_context()
    rank, ranks = context.get_world_rank(), context.get_world_size()
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    data = job.data
    phases = plan(job.recipe.phases, len(data.training_rows()))
    torch.manual_seed(job.recipe.seed)
    model = BANet(job.model) if job.recipe.init_from is None else load_weights(Path(job.recipe.init_from)).train()
    model = model.to(ray.train.torch.get_device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
    training = Training(model, job.recipe, phases)
    _resume(training)

    def part(phase: PlannedPhase, step: int) -> RankSlice:
        return RankSlice(first=phase.sample_at(step), batch_size=phase.params.batch_size, rank=rank, ranks=ranks)

    def batches(phase: PlannedPhase, step: int) -> Any:  # noqa: ANN401
        return stream(data, part(phase, step), batches=phase.last_step - step, crop=phase.params.crop)

    def validate(tried: nn.Module) -> list[float]:
        own = data.validation_psnr(partial(restore, tried), rank, ranks)
        return _of_all_ranks(own, rank, ranks, len(data.validation_rows()))

    def refuse(phase: PlannedPhase, batch: Batch) -> str:
        of_batch = part(phase, training.step - 1)
        samples = data.describe(of_batch.numbers(np.arange(of_batch.size)), phase.params.crop)
        path = Path(job.refused) / f"step-{training.step}-rank-{rank}.pt"
        keep_refused(path, model, batch, samples, phase.params, job.recipe.loss)
        print(  # noqa: T201
            f"step {training.step} was left out, its gradient is not finite: {'; '.join(samples)}: "
            f"`banet replay {path}` tries them again",
            file=sys.stderr,
            flush=True,
        )
        return f" (kept in {path.parent})"

    fit(
        training,
        ray.train.torch.prepare_model(model, move_to_device=False),
        batches,
        validate=validate,
        report=lambda progress: _report(training, progress, rank),
        refuse=refuse,
    )


def require_resources(cluster: ClusterParams) -> None:
    """Check that the cluster holds the workers and the data streams; Ray would wait forever.

    Raises:
        ResourceError: with what the cluster has, what is needed and the parameters to change.
    """
    there = ray.cluster_resources()
    needed = cluster.workers * cluster.cpus_per_worker + STREAM_CPUS
    if there.get("CPU", 0) < needed:
        raise errors.ResourceError(
            f"Ray has {there.get('CPU', 0):g} logical CPUs, the run needs {needed:g} ({cluster.workers} workers x "
            f"{cluster.cpus_per_worker:g} and {STREAM_CPUS:g} for the data): lower cluster.workers or "
            "cluster.cpus_per_worker, or add nodes"
        )
    gpus = cluster.workers * cluster.gpus_per_worker
    if there.get("GPU", 0) < gpus:
        raise errors.ResourceError(
            f"Ray has {there.get('GPU', 0):g} GPUs, the run needs {gpus:g}: lower cluster.gpus_per_worker or workers"
        )


class _Trainer(ray.train.torch.TorchTrainer):  # type: ignore[misc]
    def _register_sigint_handler(self, controller: object) -> None:
        """Leave Ctrl-C to this process: Ray's handler would end it with status 0."""


class _TellProgress(ray.train.UserCallback):  # type: ignore[misc]
    """Runs in Ray's controller; forwards the reports of rank 0."""

    def __init__(self, on_progress: Callable[[int, Mapping[str, float]], None]) -> None:
        self.on_progress = on_progress

    def after_report(self, run_context: object, metrics: list[dict[str, Any]], checkpoint: object) -> None:
        values = dict(metrics[0])
        self.on_progress(int(values.pop("step")), {k: v for k, v in values.items() if v is not None})


def _report(training: Training, progress: TrainingProgress, rank: int) -> None:
    metrics = asdict(progress) | {"loss": None if progress.loss is None else _mean_over_ranks([progress.loss])}
    if progress.validation_psnr is None or rank != 0:
        ray.train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.save(training.state(), Path(folder) / STATE)
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _resume(training: Training) -> None:
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder) / STATE, map_location="cpu", weights_only=True)
        try:
            training.resume(state)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise errors.ModelError(
                f"the checkpoint of this run is of another version or network ({reason}): set cluster.resume to null"
            ) from None


def _mean_over_ranks(values: list[float]) -> float:
    """The mean of the values of all ranks."""
    total = torch.tensor([sum(values), len(values)], dtype=torch.float64)
    if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
        on_device = total.to(ray.train.torch.get_device())
        torch.distributed.all_reduce(on_device)
        total.copy_(on_device)
    return float(total[0] / total[1])


def _of_all_ranks(values: list[float], rank: int, ranks: int, total: int) -> list[float]:
    """Put together a list of which each rank has every `ranks`-th element."""
    whole = torch.zeros(total, dtype=torch.float64, device=ray.train.torch.get_device())
    whole[rank::ranks] = torch.tensor(values, dtype=torch.float64)
    if ranks > 1:
        torch.distributed.all_reduce(whole)
    return whole.tolist()


def _resources(cluster: ClusterParams) -> dict[str, float]:
    gpus = {"GPU": cluster.gpus_per_worker} if cluster.gpus_per_worker else {}
    return {"CPU": cluster.cpus_per_worker, **gpus}
