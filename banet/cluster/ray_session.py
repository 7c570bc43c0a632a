"""Ray: connecting to it, spreading work over its cores, and errors from its workers."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import ray
import ray.data
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from banet.cluster.joining import address_here, asks_for_token, listens, show_token
from banet.cluster.node_end import while_this_node_lives
from banet.errors import BanetError, ServiceError

T = TypeVar("T")
R = TypeVar("R")

# Ray stops workers that were idle for a second, and the trainer would wait seconds for new ones to import torch.
OWN_CLUSTER = {"idle_worker_killing_time_threshold_ms": 3_600_000}
# What watches for nodes and drivers that a cloud takes back has nothing to watch in a cluster of one driver's own.
OWN_TRAINING = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0", "RAY_TRAIN_ENABLE_STATE_ACTOR_RECONCILIATION": "0"}
# Seconds between two looks for such nodes in a cluster of others; Ray's own 5 are a large part of what a cloud grants.
JOINED_TRAINING = {"RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1"}
ADDRESS = "RAY_ADDRESS"
STANDS_WITHIN_S = 60.0  # a cluster that is named may be starting
GUARD = """
import select, sys, time, psutil
from contextlib import suppress
driver, started, seconds = psutil.Process().parent(), set(), 0.5
while True:
    told = select.select([sys.stdin], [], [], seconds)[0] and sys.stdin.buffer.raw.read(1)
    if told == b"":  # it has ended
        break
    with suppress(psutil.Error):
        started.update(driver.children(recursive=True))
    if told:  # Ray is up: what could outlive it has been started
        seconds = None
for _ in range(2):  # some change their environment, and some have not begun yet
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("MARK") == str(driver.pid):
                started.add(process)
    time.sleep(1.5)
for process in started - {psutil.Process()}:
    with suppress(psutil.Error):
        command = " ".join(process.cmdline())
        if command.startswith("ray::") or "/ray/" in command:
            process.kill()
"""
MARK = "BANET_RAY_DRIVER"  # in the environment of what Ray starts: the number of the process that has started it
_guards: list[subprocess.Popen[bytes]] = []  # waiting for the end of this process


def start_ray() -> None:
    """Connect to the cluster that RAY_ADDRESS names or that `ray start` runs here, else start one for this process.

    Raises:
        ServiceError: the cluster does not answer, or none can be started.
    """
    if not ray.is_initialized():
        quiet = ray.LoggingConfig(log_level="ERROR")  # we report progress ourselves
        with _our_signals():
            try:
                _start(quiet)
            except ValueError:  # a cluster is running, with its own settings
                _connect(quiet)
        token = Path.home() / ".ray" / "auth_token"  # readable for all, while Ray listens on all interfaces
        if token.is_file():
            token.chmod(0o600)


def _guard() -> subprocess.Popen[bytes]:
    """End Ray's helpers soon after this process, if it is killed: they try for a minute to tell it that Ray is gone."""
    nowhere = subprocess.DEVNULL  # whoever reads what this process prints waits for its end, not for the guard's
    os.environ[MARK] = str(os.getpid())
    command = [sys.executable, "-c", GUARD.replace("MARK", MARK)]
    guard = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True
    )
    _guards.append(guard)
    return guard


def _start(quiet: ray.LoggingConfig, address: str | None = None) -> None:
    guard = _guard()
    try:
        ray.init(
            address,
            include_dashboard=False,
            logging_level="ERROR",
            logging_config=quiet,
            _system_config=OWN_CLUSTER,
        )
    except ValueError:
        guard.kill()
        guard.communicate()
        raise
    except Exception as error:  # Ray raises no other class where its processes do not come up in time
        reason = " ".join(str(error).split())
        raise ServiceError(f"Ray does not start here ({reason}): run the same command again later") from None
    os.environ.update(OWN_TRAINING | os.environ)
    if guard.stdin is not None:
        guard.stdin.write(b".")  # Ray is up
        guard.stdin.flush()


def _connect(quiet: ray.LoggingConfig) -> None:
    named, reason = os.environ.get(ADDRESS) or None, ""
    address = address_here() if named in (None, "auto") else named
    if not listens(address, STANDS_WITHIN_S if named else 0):  # Ray would try for a quarter of an hour
        reason = f"nothing listens at {address}"
    else:
        if asks_for_token(address):
            show_token()
        try:
            ray.init(logging_level="ERROR", logging_config=quiet)
        except ConnectionError as error:
            reason = " ".join(str(error).split())
    if reason and named is None:  # a file that somebody's cluster left when it was killed
        _start(quiet, "local")
    elif reason:
        raise ServiceError(
            f"the Ray cluster does not answer ({reason}): check RAY_ADDRESS, and that ~/.ray/auth_token is its own"
        )
    else:
        os.environ.update(JOINED_TRAINING | os.environ)


@contextmanager
def _our_signals() -> Iterator[None]:
    """Keep this process's handlers of signals: Ray sets its own, whose C++ part prints a stack trace."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except SystemExit:  # of Ray's own handler, while it starts
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def this_cluster_alone() -> Iterator[None]:
    """Let Ray Train's actors find the cluster of this process where several run on one machine.

    They look for it by RAY_ADDRESS, which Ray Train does not pass on by itself; without its private list of the
    variables that it does, their complaints about several clusters come back, and nothing else.
    """
    try:
        from ray.train.v2._internal.constants import ENV_VARS_TO_PROPAGATE
    except ImportError:
        pass
    else:
        ENV_VARS_TO_PROPAGATE.add(ADDRESS)
    before = os.environ.get(ADDRESS)
    os.environ[ADDRESS] = ray.get_runtime_context().gcs_address
    try:
        yield
    finally:
        del os.environ[ADDRESS]
        os.environ.update({ADDRESS: before} if before is not None else {})


def quiet_ray_data() -> ray.data.DataContext:
    """Return Ray Data's settings in this process with its progress bars and messages off, as we report progress."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # keep the class of an error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return context


def use_threads(number: int) -> None:
    """Set OpenCV's number of threads in this process, which changes its speed but no pixel."""
    import cv2

    cv2.setNumThreads(number)


def map_here(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield `work(item)` for every item in order, computed in parallel on the cores of this node, which has the files.

    At most two items per core are in progress, so memory does not grow with the number of items.

    Args:
        work: a module-level function, run on one thread.
        items: sent to other processes, like the results.

    Raises:
        BanetError, OSError: raised by `work`, for the first item that failed.
        ServiceError: Ray has ended on this node.
    """
    start_ray()
    node = ray.get_runtime_context().get_node_id()
    near = NodeAffinitySchedulingStrategy(node_id=node, soft=True)

    def alone(item: T) -> R:
        use_threads(1)  # the processes already share the cores
        return work(item)

    task = ray.remote(alone).options(num_cpus=1, scheduling_strategy=near)
    room = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    in_progress: deque[ray.ObjectRef[R]] = deque()

    def results() -> Iterator[R]:
        for item in items:
            in_progress.append(task.remote(item))
            if len(in_progress) >= room:
                yield ray.get(in_progress.popleft())
        while in_progress:
            yield ray.get(in_progress.popleft())

    try:
        with errors_as_themselves():
            yield from while_this_node_lives(results())
    finally:
        for left in in_progress:
            ray.cancel(left, force=True)


@contextmanager
def errors_as_themselves() -> Iterator[None]:
    """Raise the original error of a worker instead of Ray's report about it.

    Raises:
        BanetError, OSError: raised in a worker.
    """
    try:
        yield
    except Exception as error:
        found = _original(error)
        if found is None or found is error:
            raise
        if isinstance(found, BanetError):
            found = type(found)(str(found).partition("\n")[0])  # Ray adds lines of its own
        raise found from None


def _original(error: BaseException) -> BanetError | OSError | None:
    """Find an expected error inside the layers that Ray has wrapped it in."""
    waiting = [error]
    for found in waiting:
        if isinstance(found, BanetError | OSError) and not isinstance(found, ray.exceptions.RayError):
            return found
        # where tasks, `ray.train.WorkerGroupError` and other errors keep the original
        inside = [getattr(found, "cause", None), *getattr(found, "worker_failures", {}).values(), found.__cause__]
        waiting += [each for each in inside if isinstance(each, BaseException) and each not in waiting]
    return None
