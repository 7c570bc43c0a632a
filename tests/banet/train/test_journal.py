"""The journal: read on from where one was, whatever a killed process left."""

from pathlib import Path

from banet.train.journal import Journal, Point


def test_points_and_messages_are_read_once_in_order(tmp_path: Path) -> None:
    writing, reading = Journal(tmp_path / "journal"), Journal(tmp_path / "journal")
    assert list(reading.new()) == []
    writing.append(1, {"loss": 0.5})
    writing.note("a worker was lost")
    first, message = reading.new()
    assert isinstance(first, Point)
    assert (first.step, first.metrics, message) == (1, {"loss": 0.5}, "a worker was lost")
    assert list(reading.new()) == []
    writing.append(2, {"loss": 0.25})
    (second,) = reading.new()
    assert isinstance(second, Point)
    assert second.step == 2
    assert second.time_ms >= first.time_ms


def test_a_line_that_was_cut_off_is_left_out_and_the_next_is_not(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    Journal(file).append(1, {"loss": 0.5})
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:-9])
    reading = Journal(file)
    assert len(list(reading.new())) == 1
    Journal(file).begin()
    Journal(file).append(2, {})
    (point,) = reading.new()
    assert isinstance(point, Point)
    assert point.step == 2
