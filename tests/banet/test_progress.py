"""A bar that is drawn over on a terminal; elsewhere nothing for short work, and whole lines now and then."""

import io
import pty
import re
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

import pytest

from banet import progress
from banet.progress import ProgressBar


def characters(screen: TextIO) -> Iterator[str]:
    """All that was drawn on a terminal whose program has ended."""
    with suppress(OSError):
        while character := screen.read(1):
            yield character


def test_a_terminal_gets_a_bar_with_the_time_left_drawn_over_itself() -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with open(theirs, "w", encoding="utf-8") as terminal, ProgressBar("mine.zip", stream=terminal) as bar:  # noqa: PTH123
        bar.to(1000, 20000)
        bar.say("a note")
        time.sleep(0.25)
        bar.to(11000, 20000)
        bar.to(20000, 20000)
    with open(ours, encoding="utf-8", newline="") as screen:  # noqa: PTH123
        drawn = "".join(characters(screen))
    assert "mine.zip: a note\r\n" in drawn
    states = re.split(r"[\r\n]+", drawn)
    (state,) = [state for state in states if "11000/20000" in state]
    assert state.startswith("mine.zip:  55%|")
    assert re.search(r"11000/20000 \[00:00<00:0\d, [\d.]+ pairs/s\]", state)
    assert drawn.count("\n") == 2  # after the note, and at the end


def test_short_work_says_nothing_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with ProgressBar("mine.zip", stream=stream) as bar:
        for done in range(1, 101):
            bar.to(done, 100)
    assert stream.getvalue() == ""


def test_long_work_gets_whole_lines_now_and_then_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(progress, "NEXT_SECONDS", 0.3)
    stream = io.StringIO()
    with ProgressBar("score", unit=" images", stream=stream) as bar:
        bar.say("a note")
        for done in range(16, 30):  # 16 are an earlier run's
            time.sleep(0.05)
            bar.to(done, 400)
    first, *lines = stream.getvalue().splitlines()
    assert first == "score: a note"
    assert 3 <= len(lines) <= 10  # at 0.05 s, every 0.3 s, and at the end; more only on a busy machine
    assert "\r" not in stream.getvalue()
    for line in lines:
        assert re.fullmatch(r"score: +\d%\|[ #\d]+\| \d+/400 \[\d\d:\d\d<\S+, +\S+ images/s\]", line), line
    assert "29/400" in lines[-1]
    assert float(re.findall(r"([\d.]+) images/s", lines[-1])[0]) < 25  # those 16 are no speed of this run


def test_work_without_a_known_end_and_bytes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.0)
    stream = io.StringIO()
    with ProgressBar("mine.zip", unit="B", stream=stream) as bar:
        bar.to(0, None)
        time.sleep(0.01)
        bar.to(2_500_000, None)
    assert "mine.zip: 2.50MB [00:00, " in stream.getvalue().splitlines()[-1]
