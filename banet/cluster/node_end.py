"""The end of Ray on this node, noticed at once: Ray takes 12 seconds, and ends this process before it can say so."""

import atexit
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import psutil
import ray
import ray.exceptions

from banet.errors import ServiceError, say_no_more

T = TypeVar("T")

LOOKS_S = 0.5  # seconds between two looks
SIGNAL = signal.SIGUSR1  # from a thread of this process to its main one, which waits in Ray


@contextmanager
def needs_this_node() -> Iterator[None]:
    """Stop what is done inside as soon as Ray's process on this node, the raylet, has ended; in the main thread only.

    Raises:
        ServiceError: it has ended.
    """
    with _watched() as watch, watch.waiting():
        yield


def while_this_node_lives(items: Iterable[T]) -> Iterator[T]:
    """Yield items that Ray makes; whoever takes them is not disturbed while it works on one.

    Raises:
        ServiceError: Ray's process on this node has ended.
    """
    left = iter(items)
    with _watched() as watch:
        while True:
            with watch.waiting():
                try:
                    item = next(left)
                except StopIteration:
                    return
            yield item


class _Watch:
    """Whether the raylet has ended, and whether somebody waits for it just now."""

    def __init__(self) -> None:
        self.left, self.ended = threading.Event(), threading.Event()
        self.waits = False

    def look(self, raylet: psutil.Process) -> None:
        while not self.left.wait(LOOKS_S):
            if not _lives(raylet):
                self.ended.set()
                os.kill(os.getpid(), SIGNAL)
                return

    def interrupt(self, _number: int, _frame: object) -> None:
        if self.waits:
            raise KeyboardInterrupt  # the one exception that Ray lets through

    @contextmanager
    def waiting(self) -> Iterator[None]:
        try:
            self.waits = True
            if self.ended.is_set():
                raise KeyboardInterrupt
            yield
        except (KeyboardInterrupt, ray.exceptions.RayError):
            if not self.ended.is_set():
                raise
            atexit.register(say_no_more)  # else Ray prints its log again while this process ends
            raise ServiceError("Ray has ended on this node, as if it had been killed (is memory short?)") from None
        finally:
            self.waits = False


@contextmanager
def _watched() -> Iterator[_Watch]:
    watch, raylet = _Watch(), _raylet()
    if raylet is None or threading.current_thread() is not threading.main_thread():
        yield watch
        return
    before = signal.signal(SIGNAL, watch.interrupt)
    threading.Thread(target=watch.look, args=(raylet,), daemon=True).start()
    try:
        yield watch
    finally:
        watch.left.set()
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
