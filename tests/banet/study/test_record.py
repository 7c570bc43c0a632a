import json
import os
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

import pytest

from banet.errors import ConfigError, DataError, ResourceError
from banet.study.record import Choice, Preferred, Record, open_record, read_study


def choice(trial: int, preferred: Preferred = "a") -> Choice:
    return Choice(
        participant=1, trial=trial, image=f"p{trial}", left="b", right="a", preferred=preferred, time="2026-01-01"
    )


def opened(path: Path, *, digest: str = "d", seed: int | None = None) -> AbstractContextManager[Record]:
    return open_record(path, a="A", b="B", images=16, digest=digest, seed=seed)


def test_choices_are_read_as_they_were_written_and_a_study_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "choices.jsonl"
    with opened(path) as record:
        record.append(choice(0))
        assert read_study(path).choices == (choice(0),)  # at once, while it is open
    seed = read_study(path).header.seed
    with opened(path) as record:
        assert (record.header.seed, record.choices) == (seed, [choice(0)])
        record.append(choice(1, "none"))
    lines = path.read_text().splitlines()
    assert [json.loads(line).get("preferred") for line in lines] == [None, "a", "none"]
    assert read_study(path).choices == (choice(0), choice(1, "none"))


def test_a_line_that_was_torn_does_not_count_and_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "choices.jsonl"
    with opened(path, seed=3) as record:
        record.append(choice(0))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"participant": 1, "tri')
    assert read_study(path).choices == (choice(0),)
    assert path.read_bytes() != whole  # reading changes nothing
    with opened(path) as record:
        record.append(choice(1))
    assert path.read_bytes().startswith(whole)
    assert read_study(path).choices == (choice(0), choice(1))


def test_every_choice_reaches_the_disk_before_it_is_said_to_be_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with opened(tmp_path / "choices.jsonl") as record:
        record.append(choice(0))
        assert synced[-1] == (tmp_path / "choices.jsonl").stat().st_size
        assert len(synced) == 2


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "choices.jsonl"
    with opened(path) as record:
        record.append(choice(0))
        before, real = path.read_bytes(), os.write
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda descriptor, content: real(descriptor, content[:9]))
            with pytest.raises(ResourceError, match="is full: the choice is not recorded"):
                record.append(choice(1))
        assert (path.read_bytes(), len(record.choices)) == (before, 1)
        record.append(choice(1))
    assert read_study(path).choices == (choice(0), choice(1))


def test_two_studies_do_not_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "choices.jsonl"
    with opened(path), pytest.raises(ConfigError, match="another `banet study` writes to it"), opened(path):
        pass
    with opened(path):
        pass


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "choices.jsonl"
    with opened(path, seed=3) as record:
        record.append(choice(0))
    whole = path.read_bytes()
    with pytest.raises(DataError, match=r"16 other images \(A against B\)"), opened(path, digest="e"):
        pass
    with pytest.raises(ConfigError, match="has the seed 3, not 4"), opened(path, seed=4):
        pass
    assert path.read_bytes() == whole
    for content in ("notes", "notes\n", '{"a": 1}\n', "[]\n", "\n"):
        path.write_text(content)
        with pytest.raises(DataError, match="is not a study"):
            read_study(path)
        with pytest.raises(DataError, match="is not a study"), opened(path):
            pass
        assert path.read_text() == content


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"participant": 1}', "damaged in line 2"),
        ("\x00\x00", "damaged in line 2"),
        (json.dumps(asdict(choice(0)) | {"preferred": "c"}), "damaged in line 2"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "choices.jsonl"
    with opened(path):
        pass
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=message):
        read_study(path)


def test_a_choice_that_was_made_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "choices.jsonl"
    with opened(path) as record:
        record.append(choice(0))
        record.append(choice(0))
    with pytest.raises(DataError, match="participant 1 chose twice for p0"):
        read_study(path)


def test_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.jsonl cannot be read"):
        read_study(tmp_path / "nothing.jsonl")
    with pytest.raises(ResourceError, match="No such file"), opened(tmp_path / "no" / "x.jsonl"):
        pass
