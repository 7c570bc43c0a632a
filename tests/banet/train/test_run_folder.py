"""The folder of a run: one process continues it, and it goes when the run has finished."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from banet.errors import ResourceError
from banet.train.run_folder import RunFolder

HOLDS = """
import sys, time
from pathlib import Path
from banet.train.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).claimed():
    print(flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_the_second_of_two_is_told_who_trains_until_that_ends(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "abc")
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(run.folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(
            ResourceError, match=rf"this training is being run by the process {process.pid} on \S+ since"
        ):
            run.claimed().__enter__()
        process.kill()
        process.wait()
        run.stop_request.touch()  # what it was told last
        with run.claimed():
            assert not run.stop_request.exists()
            run.remove()
    with run.claimed():
        pass
    run.remove()
    assert list(run.folder.parent.iterdir()) == []


def test_pictures_are_taken_once(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    run.keep_picture(20, 3, picture)
    ((step, number, kept),) = run.take_pictures()
    assert (step, number) == (20, 3)
    assert np.array_equal(kept, picture)
    assert list(run.take_pictures()) == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"file/abc cannot be used \(Not a directory\)"):
        RunFolder(tmp_path / "file" / "abc").claimed().__enter__()
