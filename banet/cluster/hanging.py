"""Workers of Ray Train that hang while they are started: Ray waits for their first answer without a limit."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
import ray
from ray._private import state
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

LOOKS_S = 1.0  # seconds between two looks
KILLED_WITHIN_S = 60.0
CLASS = "RayTrainWorker"
THERE = ("PENDING_CREATION", "ALIVE")  # states of an actor that has its place in the cluster


@contextmanager
def start_limited(seconds: float, sign: Callable[[], object], on_hang: Callable[[], None]) -> Iterator[None]:
    """Kill the workers of a training that give no sign for some seconds; Ray Train then starts them again.

    Args:
        seconds: from when all that are there have their places in the cluster.
        sign: returns something else once they have begun.
        on_hang: is told before.
    """
    done, job = threading.Event(), ray.get_runtime_context().get_job_id()

    def watch() -> None:
        workers: set[str] = set()
        since, before = 0.0, sign()
        last = before
        while not done.wait(LOOKS_S):
            now = sign()
            actors = state.actors(job_id=ray.JobID.from_hex(job))
            there = {name for name, one in actors.items() if one["ActorClassName"] == CLASS and one["State"] in THERE}
            if there != workers:
                workers, since, before = there, time.monotonic(), last  # they may have begun since the last look
            elif workers and now == before and time.monotonic() - since > seconds:
                try:
                    on_hang()
                finally:
                    _kill_workers(job)
                workers, now = set(), sign()
            last = now

    def watch_while_there_is_a_cluster() -> None:
        with suppress(Exception):  # of whatever class: the training hears by itself of a cluster that is gone
            watch()

    thread = threading.Thread(target=watch_while_there_is_a_cluster, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(2 * LOOKS_S)  # it may wait for a cluster that is gone


def _kill_workers(job: str) -> None:
    """Kill them on all nodes as processes: what does not run answers no request to end."""

    def kill() -> None:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                ours = process.environ().get("RAY_JOB_ID") == job
                if ours and " ".join(process.cmdline()).startswith(f"ray::{CLASS}"):
                    process.kill()

    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    there = [NodeAffinitySchedulingStrategy(node_id=node, soft=False) for node in nodes]
    task = ray.remote(num_cpus=0)(kill)
    started = [task.options(scheduling_strategy=place).remote() for place in there]
    ray.wait(started, num_returns=len(started), timeout=KILLED_WITHIN_S)
