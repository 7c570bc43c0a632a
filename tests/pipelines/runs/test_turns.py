"""Who may write a checkout's files."""

import threading
from pathlib import Path

from pipelines.runs.turns import turn


def test_runs_of_a_checkout_take_turns_and_say_once_whom_they_wait_for(tmp_path: Path) -> None:
    said: list[str] = []
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with turn(tmp_path, said.append, lambda: False):
            inside.set()
            leave.wait(30)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(30)
    threading.Timer(2.5, leave.set).start()
    with turn(tmp_path, said.append, lambda: False):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    (line,) = said
    assert "another run is under way in this checkout, driven by the process" in line


def test_a_run_that_is_cancelled_while_it_waits_waits_no_longer(tmp_path: Path) -> None:
    with turn(tmp_path, lambda _: None, lambda: False):
        waited: list[str] = []
        with turn(tmp_path, waited.append, lambda: bool(waited)):
            assert len(waited) == 1
