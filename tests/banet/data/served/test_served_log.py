"""What is kept of served pictures: rows in small files, whatever the disk does."""

import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from banet.data.served.drift import read_served
from banet.data.served.picture_features import PictureFeatures
from banet.data.served.served_log import SCHEMA, ServedLog

WITHIN = 60.0  # seconds; milliseconds on an idle machine


def features(width: int = 1280) -> PictureFeatures:
    return PictureFeatures(width=width, height=720, brightness=100.0, sharpness=0.2, noise=1.5)


def when_there_are(files: int, folder: Path) -> list[Path]:
    end = time.monotonic() + WITHIN
    while len(found := list(folder.glob("*.parquet"))) < files:
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def test_rows_are_written_by_number_by_time_and_at_the_end(tmp_path: Path) -> None:
    log = ServedLog(tmp_path / "new" / "served", rows=3)
    for width in (1, 2, 3):
        log.add(features(width), status=200, model="models:/x/1")
    (file,) = when_there_are(1, tmp_path / "new" / "served")
    table = pq.read_table(file)
    assert table.schema == SCHEMA
    assert table["width"].to_pylist() == [1, 2, 3]
    log.add(None, status=400, model="models:/x/1")
    log.close()
    assert len(when_there_are(2, tmp_path / "new" / "served")) == 2
    timed = ServedLog(tmp_path, seconds=0.05)
    timed.add(features(), status=200, model="models:/x/1")
    when_there_are(1, tmp_path)
    timed.close()
    served = read_served(tmp_path / "new" / "served")
    assert (served.answers, served.refused, len(served.features["width"])) == (4, 1, 3)


def test_a_row_tells_neither_a_picture_nor_a_name() -> None:
    assert SCHEMA.names == ["time", "width", "height", "brightness", "sharpness", "noise", "status", "model"]


def test_several_write_beside_each_other_and_processes_write_when_they_end(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from banet.data.served.served_log import ServedLog\n"
        "ServedLog(Path(sys.argv[1])).add(None, status=400, model='m')"
    )
    logs = [ServedLog(tmp_path) for _ in range(3)]
    for log in logs:
        log.add(features(), status=200, model="m")
        log.close()
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert len(list(tmp_path.iterdir())) == 4
    assert read_served(tmp_path).answers == 4


def test_what_cannot_be_written_is_said_once_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "served"
    folder.write_text("in the way")
    log = ServedLog(folder, seconds=0.01)
    said = ""
    end = time.monotonic() + WITHIN
    while not said:
        log.add(features(), status=200, model="m")
        said += capsys.readouterr().err
        assert time.monotonic() < end
        time.sleep(0.01)
    for _ in range(20):
        log.add(features(), status=200, model="m")
        time.sleep(0.01)
    assert said.count("\n") == 1
    assert said.startswith("what is served is not watched: ")
    assert str(folder) in said
    folder.unlink()
    log.add(features(), status=200, model="m")
    when_there_are(1, folder)
    log.close()
    assert capsys.readouterr().err == ""
