"""Expected errors, from wrong input to failing services: one line each, with what is wrong and the remedy.

And signals, which end a command in order.
"""

import os
import signal
from pathlib import Path
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class BanetError(Exception):
    """An expected error; the command line prints its one line, without a traceback."""

    exit_status = 2


class ConfigError(BanetError):
    """A configuration has an unknown, missing or mistyped key, or a value out of range."""


class DataError(BanetError):
    """A benchmark, archive, shard or image is missing, damaged or of the wrong kind."""


class ModelError(BanetError):
    """Weights or the configuration of a model are missing, damaged or do not match."""


class ResourceError(BanetError):
    """The machine or cluster lacks resources that the run needs."""


class ServiceError(BanetError):
    """A server does not answer: a failure (exit status 1) rather than bad input (2)."""

    exit_status = 1


class PartialError(BanetError):
    """Some of several things failed (exit status 1); the others are done."""

    exit_status = 1


class MovedError(BanetError):
    """What is served has moved away from the shards, for those who ask by exit status (3)."""

    exit_status = 3


def raise_on_signals() -> list[signal.Signals]:
    """Raise KeyboardInterrupt on the first signal, which the list then holds; the second has its default effect."""
    stopped: list[signal.Signals] = []

    def stop(number: int, _: object) -> NoReturn:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        stopped.append(signal.Signals(number))
        raise KeyboardInterrupt

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and shells in the background set it
            signal.signal(number, stop)
    return stopped


def say_no_more() -> None:
    """Drop what this process and Ray's workers print while they end: that they were stopped, and from where."""
    with Path(os.devnull).open("wb") as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
