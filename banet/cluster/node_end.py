"""The end of Ray on this node, noticed at once: Ray takes 12 seconds, and ends this process before it can say so."""

import atexit
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import ray
import ray.exceptions

from banet.errors import ServiceError, say_no_more

LOOKS_S = 0.5  # seconds between two looks
SIGNAL = signal.SIGUSR1  # from a thread of this process to its main one, which waits in Ray


@contextmanager
def needs_this_node() -> Iterator[None]:
    """Stop what is done inside as soon as Ray's process on this node, the raylet, has ended; in the main thread only.

    Raises:
        ServiceError: it has ended.
    """
    raylet = _raylet()
    if raylet is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    left, ended = threading.Event(), threading.Event()

    def watch() -> None:
        while not left.wait(LOOKS_S):
            if not _lives(raylet):
                ended.set()
                os.kill(os.getpid(), SIGNAL)
                return

    def interrupt(_number: int, _frame: object) -> None:
        if not left.is_set():
            raise KeyboardInterrupt  # the one exception that Ray lets through

    before = signal.signal(SIGNAL, interrupt)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except (KeyboardInterrupt, ray.exceptions.RayError):
        if ended.is_set():
            atexit.register(say_no_more)  # else Ray prints its log again while this process ends
            raise ServiceError("Ray has ended on this node, as if it had been killed (is memory short?)") from None
        raise
    finally:
        left.set()
        signal.signal(SIGNAL, before)


def _raylet() -> psutil.Process | None:
    """Ray's process for this node."""
    node = f"--node_id={ray.get_runtime_context().get_node_id()}"
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if node in process.cmdline():
                return process
    return None


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)  # its parent may never ask
    return False
