"""A state is drawn again on a terminal, and told now and then elsewhere."""

import io

import pytest

from banet.progress import StatusLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_pairs_are_counted_with_and_without_their_number() -> None:
    terminal = Terminal()
    line = StatusLine("mine.zip", terminal)
    line.count(1000, None)
    line.next = 0.0
    line.count(1001, 20000)
    line.close()
    assert terminal.getvalue() == "\r\033[Kmine.zip: 1,000 pairs\r\033[Kmine.zip: 1,001 of 20,000 pairs\n"


@pytest.mark.parametrize(("stream", "lines"), [(Terminal(), 1), (io.StringIO(), 0)])
def test_short_work_is_shown_on_a_terminal_only(stream: io.StringIO, lines: int) -> None:
    line = StatusLine("mine.zip", stream)
    for done in range(100):
        line.count(done, 100)
    assert stream.getvalue().count("mine.zip: ") == lines
