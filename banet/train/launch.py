"""Ray Train runs the loop in several DDP processes, starts lost ones again, and hands a finished run's weights back."""

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import ray
import ray.exceptions
import ray.train
import ray.train.torch
from ray.train.backend import BackendConfig

from banet import errors
from banet.cluster.draining import ClusterNodes, settled_nodes
from banet.cluster.hanging import start_limited
from banet.cluster.node_end import needs_this_node
from banet.cluster.ray_session import errors_as_themselves, start_ray, this_cluster_alone
from banet.config import ClusterParams
from banet.data.stream.ray_stream import TASK_CPUS
from banet.errors import SIGNALS, ResourceError, ServiceError
from banet.model.network import BANet
from banet.parsing import parse
from banet.train.journal import Point
from banet.train.loop import choose_weights
from banet.train.plan import plan
from banet.train.ray_worker import EarlyEnd, TrainingJob, listen_for_signals, train_worker
from banet.train.run_folder import RunFolder

STREAM_CPUS = 0.25  # logical CPUs for the data stream of a worker, beside its own (docs/cluster.md)
MOST_LOSSES = 3  # in a row of workers, without a step that is new
MOST_STARTS = 10  # times that workers could not be started, of a minute each: a cloud takes minutes for a new node
START_S = 60  # seconds in which workers load torch; then one can wait `timeout_s` for a writer that was left behind
GRACE_S = 25  # seconds for the workers to leave in order; container managers give 30


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """The result of a finished run."""

    model: BANet  # with the best weights
    averaged: bool = False  # whether they are an average over steps
    best_step: int
    best_psnr: float  # dB, on the held-out images
    steps: int


def launch(job: TrainingJob) -> TrainingResult:
    """Train on the cluster named by RAY_ADDRESS, else on this machine; continue an interrupted run of this folder.

    Workers that are lost are started again; a signal lets them keep a checkpoint first.

    Raises:
        ResourceError: fewer logical CPUs or GPUs than the run needs.
        ServiceError: a worker or its node was told to stop; the run can be continued.
        BanetError: whatever stopped a worker, e.g. a loss that is not finite.
    """
    folder = RunFolder(Path(job.folder))
    result = _result(job, folder)
    if result is not None:
        return result
    start_ray()
    nodes = settled_nodes(folder.journal.note)
    require_resources(job.cluster, nodes)
    end = _run(_trainer(job, folder, nodes), folder, job.cluster.timeout_s + START_S)
    if end is not None:
        if end.error is not None:
            raise getattr(errors, end.error)(end.text)
        raise _unfinished(folder, end.text)
    result = _result(job, folder)
    if result is None:
        raise ResourceError(f"the last checkpoint in {folder.folder} cannot be read: run the same command again")
    return result


def _trainer(job: TrainingJob, folder: RunFolder, nodes: ClusterNodes) -> "_Trainer":
    cluster = job.cluster
    most = min(cluster.most, nodes.room(_resources(cluster))) if nodes.leaving else cluster.most
    return _Trainer(
        train_worker,
        train_loop_config=asdict(job),
        scaling_config=ray.train.ScalingConfig(
            num_workers=cluster.fewest if most <= cluster.fewest else (cluster.fewest, most),
            use_gpu=cluster.gpus_per_worker > 0,
            resources_per_worker=_resources(cluster),
        ),
        torch_config=_TorchConfig(backend="nccl" if cluster.gpus_per_worker else "gloo", timeout_s=cluster.timeout_s),
        run_config=ray.train.RunConfig(
            name=folder.folder.name,
            storage_path=str(folder.folder.parent),
            failure_config=ray.train.FailureConfig(
                max_failures=-1,  # `_Watch` counts
                controller_failure_limit=MOST_STARTS,
            ),
            callbacks=[_Watch(folder)],
            logging_config=ray.train.LoggingConfig(log_level="CRITICAL"),
        ),
    )


def _run(trainer: "_Trainer", folder: RunFolder, start_s: float) -> EarlyEnd | None:
    """Train; return why the workers left before the end, if they did. Workers may take `start_s` seconds to begin."""
    with (
        errors_as_themselves(),
        this_cluster_alone(),
        _asked_to_stop(folder.stop_request),
        _start_watched(folder, start_s),
    ):
        try:
            with needs_this_node():
                left = trainer.fit().return_value
        except ServiceError as error:
            raise _unfinished(folder, str(error)) from None
        except (ray.train.ControllerError, ray.exceptions.RayError) as error:  # the latter if Ray itself is gone
            text = str(error.__cause__ or error).partition("Traceback (most recent")[0]
            text = " ".join(text.split())[:500].rstrip(" :.")
            raise _unfinished(folder, f"{type(error).__name__}: {text}") from None
    return None if left is None else parse(EarlyEnd, left, where="outcome")


def _unfinished(folder: RunFolder, why: str) -> ServiceError:
    return ServiceError(f"{why}; {folder.kept}: run the same command again to go on")


def _result(job: TrainingJob, folder: RunFolder) -> TrainingResult | None:
    """The result of a run that has finished, else None."""
    state = folder.checkpoints.newest(lambda _text: None)
    last = plan(job.recipe.phases, len(job.data.training_rows()))[-1].last_step
    if state is None or state["validating"] or state["step"] < last:
        return None
    which, best = choose_weights(state, [row.sequence for row in job.data.validation_rows()])
    model = BANet(job.model)
    model.load_state_dict(best.weights)
    return TrainingResult(
        model=model.eval(), averaged=which == "average", best_step=best.step, best_psnr=best.psnr, steps=state["step"]
    )


def require_resources(cluster: ClusterParams, nodes: ClusterNodes) -> None:
    """Check that the cluster holds the workers and the data streams; Ray would wait forever.

    Raises:
        ResourceError: with what the cluster has, what is needed and the parameters to change.
    """
    streams = max(2 * TASK_CPUS, cluster.fewest * STREAM_CPUS)
    needed = cluster.fewest * cluster.cpus_per_worker + streams
    if nodes.total("CPU") < needed:
        raise ResourceError(
            f"Ray has {nodes.total('CPU'):g} logical CPUs, the run needs {needed:g} ({cluster.fewest} workers x "
            f"{cluster.cpus_per_worker:g} and {streams:g} for the data): lower cluster.workers or "
            "cluster.cpus_per_worker, or add nodes"
        )
    gpus = cluster.fewest * cluster.gpus_per_worker
    if nodes.total("GPU") < gpus:
        raise ResourceError(
            f"Ray has {nodes.total('GPU'):g} GPUs, the run needs {gpus:g}: lower cluster.gpus_per_worker or workers"
        )


def _start_watched(folder: RunFolder, seconds: float) -> AbstractContextManager[None]:
    told = f"workers hang: they had their places for {seconds:g} s and did not begin; starting them again"
    return start_limited(seconds, lambda: folder.journal.size, lambda: folder.journal.note(told))


class _Trainer(ray.train.torch.TorchTrainer):  # type: ignore[misc]
    def _register_sigint_handler(self, controller: object) -> None:
        """Leave Ctrl-C to this process: Ray's handler would end it with status 0."""


@dataclass
class _TorchConfig(ray.train.torch.TorchConfig):  # type: ignore[misc]
    """Torch's process group, in processes that note SIGTERM: only their main thread can, and training is another."""

    @property
    def backend_cls(self) -> type:
        class Listening(super().backend_cls):  # type: ignore[misc]
            def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:  # noqa: ANN401
                worker_group.execute(listen_for_signals)
                super().on_start(worker_group, backend_config)

        return Listening


class _Watch(ray.train.UserCallback):  # type: ignore[misc]
    """Runs in Ray's controller; ends a run that loses its workers again and again without a new step."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.journal = folder, folder.journal
        self.step = self.losses = 0

    def after_exception(self, run_context: object, worker_exceptions: dict[int, Exception]) -> None:
        step = max((told.step for told in self.journal.new() if isinstance(told, Point)), default=0)
        self.step, self.losses = max(step, self.step), 1 if step > self.step else self.losses + 1
        what = "; ".join(f"worker {rank}: {_last_line(error)}" for rank, error in sorted(worker_exceptions.items()))
        if self.losses >= MOST_LOSSES:
            raise RuntimeError(
                f"workers were lost {self.losses} times in a row after step {self.step} ({what}; more in "
                f"{self.folder.tracebacks})"
            )
        self.journal.note(f"workers were lost ({what}): going on from the last checkpoint")


def _last_line(error: Exception) -> str:
    inner = getattr(error, "_base_exc", error)  # Ray Train's wrapper of what was raised in the training function
    lines = str(inner).strip().splitlines() or [""]
    return f"{type(inner).__name__}: {lines[0]}"[:150]


@contextmanager
def _asked_to_stop(request: Path) -> Iterator[None]:
    """On the first signal, ask the workers to leave at the next step; it takes its effect once they have.

    Without an answer in `GRACE_S` seconds, and on a second signal, it takes its effect at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
    got: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        got.append(number)
        if len(got) == 1:
            request.touch()
            signal.setitimer(signal.ITIMER_REAL, GRACE_S)
        else:
            raise KeyboardInterrupt

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        if got:
            signal.raise_signal(got[0])


def _resources(cluster: ClusterParams) -> dict[str, float]:
    gpus = {"GPU": cluster.gpus_per_worker} if cluster.gpus_per_worker else {}
    return {"CPU": cluster.cpus_per_worker, **gpus}
