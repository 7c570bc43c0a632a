"""`banet study`: a session that is killed and goes on, the report, and one line for each mistake."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest

from banet.cli import main
from banet.data.images.codec import write_image
from banet.study.record import Choice, Header, Preferred, read_study


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Arguments for two methods' images of three photographs; one has one more."""
    for folder, count in (("a", 3), ("b", 4)):
        for i in range(count):
            write_image(tmp_path / folder / f"{i}.png", np.full((9, 10, 3), 90 + i, dtype=np.uint8))
    return [
        "study",
        "--first",
        str(tmp_path / "a"),
        "--second",
        str(tmp_path / "b"),
        "--out",
        str(tmp_path / "out.jsonl"),
    ]


@contextmanager
def running(arguments: list[str], end: signal.Signals) -> Iterator[tuple[str, str, subprocess.Popen[str]]]:
    """What the command printed at first, its address, and itself; it gets the signal at the end."""
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # else ignored where the tests are
    process = subprocess.Popen(
        [sys.executable, "-m", "banet.cli", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, ours)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        first, second = process.stdout.readline(), process.stdout.readline()
        assert second, process.stderr.read()
        yield first, re.findall(r"http://127\.0\.0\.1:\d+/", second)[0], process
    finally:
        process.send_signal(end)
        try:
            process.wait(timeout=20)
        finally:
            process.kill()
            process.stderr.close()
            rest = process.stdout.read()
            process.stdout.close()
    assert ("choices in" in rest) == (end == signal.SIGINT)


def post(url: str, path: str, values: object) -> dict[str, int]:
    with urlopen(url, timeout=10) as page:
        token = re.findall(r'"token": "([^"]+)"', page.read().decode())[0]
    with urlopen(Request(url + path, json.dumps(values).encode(), {"X-Study-Token": token}), timeout=10) as answer:
        return dict(json.load(answer))


def test_a_study_that_is_killed_goes_on_where_it_stopped(folders: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with running(folders, signal.SIGKILL) as (first, url, _):
        assert first == "3 photographs (left out: 1 that only one of the two folders holds)\n"
        post(url, "begin", {})
        post(url, "choice", {"participant": 1, "trial": 0, "choice": "left"})
    before = read_study(out)
    assert len(before.choices) == 1
    with out.open("a") as file:
        file.write('{"participant": 1, "tri')  # as if the machine had stopped while it was written
    with running(folders, signal.SIGINT) as (first, url, process):
        assert first.endswith("folders holds), 1 choice so far\n")
        assert post(url, "place", {"participant": 1}) == {"participant": 1, "done": 1, "total": 3}
        post(url, "choice", {"participant": 1, "trial": 1, "choice": "right"})
    assert process.returncode == 0
    after = read_study(out)
    assert after.header == before.header
    assert after.choices[:1] == before.choices
    assert [choice.trial for choice in after.choices] == [0, 1]


def write_study(path: Path, *votes: tuple[int, Preferred]) -> str:
    header = Header(study=1, a="ours", b="theirs", images=16, digest="d", seed=1, began="2026-01-01")
    seen: dict[int, int] = {}
    lines: list[object] = [asdict(header)]
    for person, preferred in votes:
        trial = seen[person] = seen.get(person, -1) + 1
        choice = Choice(
            participant=person, trial=trial, image=str(trial), left="a", right="b", preferred=preferred, time="t"
        )
        lines.append(asdict(choice))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_the_report_of_table_4s_votes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """95.6 % of 34 x 16: 520 votes, and each of 24 people has one of the others."""
    votes: list[tuple[int, Preferred]] = [
        (person, "b" if trial == 0 and person <= 24 else "a") for person in range(1, 35) for trial in range(16)
    ]
    assert main(["study", "report", write_study(tmp_path / "x.jsonl", *votes)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        "a: ours",
        "b: theirs",
        "544 choices of 34 participants about 16 of 16 photographs: a 520, b 24, no preference 0",
        "a is preferred in 95.6% of the 544 choices of a or b",
        "  95 % interval 93.5% to 97.0% (Wilson, as if all choices were independent)",
    ]
    # A person's share is 1 or 15/16, so the mean of 34 has the standard error sqrt(24 * 10) / 34**1.5 / 16 = 0.0049.
    low, high = map(float, re.findall(r"([\d.]+)%", lines[5].replace("95 %", "")))
    assert "bootstrap over participants" in lines[5]
    assert [low, high] == pytest.approx([95.6 - 0.96, 95.6 + 0.96], abs=0.25)
    assert lines[6] == "the first of the two places was preferred in 95.6%, whichever method was there"
    assert len(lines) == 7


def test_the_report_says_how_ties_and_a_single_person_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path / "x.jsonl", (1, "a"), (1, "none"), (1, "a"), (1, "b"), (1, "none"))
    assert main(["study", "report", path]) == 0
    said = capsys.readouterr().out
    assert "5 choices of 1 participant about 5 of 16 photographs: a 2, b 1, no preference 2" in said
    assert "a is preferred in 66.7% of the 3 choices of a or b" in said
    assert "of one participant: it says nothing about other people" in said
    assert "as a half for each, a has 60.0%" in said
    assert main(["study", "report", write_study(tmp_path / "y.jsonl", (1, "none"))]) == 0
    assert "there is no share to give" in capsys.readouterr().out
    assert main(["study", "report", write_study(tmp_path / "z.jsonl", (1, "a"), (2, "a"))]) == 0
    assert "take Wilson's" in capsys.readouterr().out


def error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a mistake prints, with status 2."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    return printed.err


def test_each_mistake_is_one_line(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--second requires" in error(capsys, *folders[:3])
    assert "--out" in error(capsys, "study", "report", "x", "--out", "y")
    assert "x.jsonl cannot be read" in error(capsys, "study", "report", str(tmp_path / "x.jsonl"))
    assert "must be a file" in error(capsys, *folders[:-1], str(tmp_path))
    assert "must be a file" in error(capsys, *folders[:-1], str(tmp_path / "no" / "x.jsonl"))
    assert not (tmp_path / "out.jsonl").exists()
    (tmp_path / "out.jsonl").write_text(Path(write_study(tmp_path / "x.jsonl", (1, "a"))).read_text())
    assert "is the study of 16 other images (ours against theirs), these are 3" in error(capsys, *folders)
    for option, value, accepted in (
        ("--port", "0", ">= 1"),
        ("--port", "70000", "<= 65535"),
        ("--seed", "-1", ">= 0"),
        ("--seed", "x", "int"),
    ):
        said = error(capsys, *folders, option, value)
        assert option in said and f'"{value}"' in said and accepted in said
    write_image(tmp_path / "b" / "1.png", np.zeros((9, 11, 3), dtype=np.uint8))
    assert "9x10 and" in error(capsys, *folders)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_cannot_be_written_is_one_line(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "cannot be used" in error(capsys, *folders[:-1], str(tmp_path / "closed" / "x.jsonl"))
