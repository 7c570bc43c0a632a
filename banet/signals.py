"""Commands that a signal ends in order: the first raises KeyboardInterrupt, the second ends the process at once."""

import os
import signal
from pathlib import Path
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
