"""Checkpoints: two generations, damage that is said and passed over, a full disk, and one writer."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from banet.errors import ResourceError
from banet.train.checkpoints import Checkpoints


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    made = Checkpoints(tmp_path / "checkpoints")
    made.own(0)
    return made


def content(step: int) -> dict[str, object]:
    return {"step": step, "weights": torch.full((64, 64), float(step))}


def test_two_generations_are_kept_and_a_damaged_one_is_said_and_passed_over(checkpoints: Checkpoints) -> None:
    said: list[str] = []
    assert checkpoints.newest(said.append) is None
    for step in (5, 10, 15):
        checkpoints.save(step, content(step))
    assert checkpoints.steps == [15, 10]
    newest = checkpoints.newest(said.append)
    assert newest is not None
    assert torch.equal(newest["weights"], torch.full((64, 64), 15.0))
    assert said == []
    (file,) = checkpoints.folder.glob("step-*15-*.pt")
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    older = checkpoints.newest(said.append)
    assert older is not None
    assert older["step"] == 10
    (line,) = said
    assert "step 15 is damaged" in line
    assert str(file) in line
    file.write_bytes(damaged[: len(damaged) // 2])  # cut short
    assert (checkpoints.newest(said.append) or {})["step"] == 10
    checkpoints.save(15, content(15))  # as the run that goes on does
    assert checkpoints.newest(said.append) is not None
    for file in checkpoints.folder.glob("step-*.pt"):
        file.write_bytes(b"")
    assert checkpoints.newest(said.append) is None


def test_a_state_saved_again_at_its_step_replaces_it(checkpoints: Checkpoints) -> None:
    checkpoints.save(5, content(5))
    checkpoints.save(10, content(10))
    checkpoints.save(10, content(10) | {"validating": True})
    newest = checkpoints.newest(lambda _text: None)
    assert newest is not None
    assert newest["validating"] is True


def test_a_full_disk_leaves_the_last_checkpoint_and_says_so(checkpoints: Checkpoints) -> None:
    checkpoints.save(5, content(5))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**13, hard))
    try:
        with pytest.raises(
            ResourceError, match=r"the disk of .* is full: .*; the checkpoint of step 5 is kept"
        ) as error:
            checkpoints.save(10, content(10))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(error.value)
    assert sorted(file.suffix for file in checkpoints.folder.iterdir()) == ["", ".pt"]  # the lock, and step 5
    checkpoints.save(10, content(10))
    assert checkpoints.steps == [10, 5]


def test_one_process_writes_and_another_waits_for_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    code = (
        "import sys, time; from pathlib import Path; from banet.train.checkpoints import Checkpoints\n"
        "Checkpoints(Path(sys.argv[1])).own(0); print(flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (folder / ".part").write_bytes(b"half")
        with pytest.raises(
            ResourceError, match=rf"are being written by the process {process.pid} on .*`kill {process.pid}`"
        ):
            Checkpoints(folder).own(0)
        process.kill()
    Checkpoints(folder).own(10)
    assert not (folder / ".part").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"file/checkpoints cannot be used \(Not a directory\)"):
        Checkpoints(tmp_path / "file" / "checkpoints").own(0)
