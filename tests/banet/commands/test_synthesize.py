"""`banet synthesize`: what the fetch stage would make, in a folder or a ZIP, and one line for each mistake."""

import multiprocessing
import zipfile
from pathlib import Path

import numpy as np
import pytest

from banet.cli import main
from banet.data.benchmark import Benchmark, SynthesisParams
from banet.data.codec import write_image
from banet.data.own_data import write_own
from banet.data.splits import OwnSplit
from banet.data.synthesize import frames_plan, write
from banet.errors import DataError

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: 1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "-8")
    for i in range(4):
        write_image(Path(f"clips/clip/{i}.png"), RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    write_image(Path("photos/x.png"), RNG.integers(0, 256, (60, 60, 3), dtype=np.uint8))


def test_frames_become_what_the_fetch_stage_makes(capsys: pytest.CaptureFixture[str]) -> None:
    for out in ("pairs.zip", "pairs"):
        assert main(["synthesize", "clips", out, "--average", "2", "--light", "linear", "--split", "test"]) == 0
    assert capsys.readouterr().out == "pairs.zip: 2 pairs\npairs: 2 pairs\n"
    split = OwnSplit(frames="clips", average=2, light="linear")
    write_own(Benchmark(name="pairs", layout="frames", splits={"test": split}), Path("fetched.zip"))
    assert Path("fetched.zip").read_bytes() == Path("pairs.zip").read_bytes()
    with zipfile.ZipFile("pairs.zip") as archive:
        for name in archive.namelist():
            assert Path(name).read_bytes() == archive.read(name)
        assert archive.namelist()[0] == "pairs/test/clip/blur/000001.png"


def test_photographs_become_what_the_fetch_stage_makes() -> None:
    options = ["--size", "24x28", "--pairs", "1", "--seed", "3"]
    assert main(["synthesize", "photos", "pairs.zip", *options]) == 0
    params = SynthesisParams(seed=3, height=24, width=28)
    split = OwnSplit(photographs="photos", pairs=1)
    benchmark = Benchmark(
        name="pairs",
        layout="photographs",
        splits={"train": split, "test": OwnSplit(photographs="clips", pairs=1)},
        synthesis=params,
    )
    for i in range(4):
        write_image(Path(f"clips/clip/{i}.png"), RNG.integers(0, 256, (60, 60, 3), dtype=np.uint8))
    write_own(benchmark, Path("fetched.zip"))
    with zipfile.ZipFile("pairs.zip") as made, zipfile.ZipFile("fetched.zip") as fetched:
        assert [name for name in made.namelist() if "/blur/" in name] == [
            f"pairs/train/x_{stratum}/blur/000001.png" for stratum in ("short", "medium", "long")
        ]
        assert all(made.read(name) == fetched.read(name) for name in made.namelist())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "out"], "nowhere is not a folder: it should hold photographs"),
        (["empty", "out"], "empty holds no photographs"),
        (["empty", "out", "--average", "2"], "empty holds no videos or folders of frames"),
        (["clips", "out", "--average", "5"], "the clip clip has 4 frames: each needs"),
        (["clips", "out", "--average", "1"], "average must be from 2 to 1000 frames, got 1"),
        (["photos", "out"], "photos/x.png is 60x60: reduced by 0.6 it holds no 256x256 picture"),
        (["photos", "out", "--pairs", "0"], "pairs must be at least 1, got 0"),
        (["photos", "out", "--light", "linear"], "--light is for frames: add --average N"),
        (["clips", "out", "--average", "2", "--seed", "0"], "--seed is for photographs: leave out --average"),
        (["text.mp4", "out"], "text.mp4 is a video: say how many frames are averaged, --average 11"),
        (["text.mp4", "out", "--average", "2"], "text.mp4 is no video that OpenCV decodes"),
        (["clips", "photos", "--average", "2"], "photos is there already: name a new folder or .zip, or remove it"),
        (["clips", "text.mp4", "--average", "2"], "text.mp4 is there already"),
        (["nowhere", "text.mp4"], "text.mp4 is there already"),  # before anything is read
        (["clips", "text.mp4/out", "--average", "2"], "cannot be used"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    Path("text.mp4").write_text("no video")
    before = sorted(Path().rglob("*"))
    assert main(["synthesize", *arguments]) in (1, 2)
    error = capfd.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_an_output_that_came_meanwhile_is_not_replaced() -> None:
    plan = frames_plan(Path("clips"), "train", average=2, light="encoded")
    with pytest.raises(DataError, match="photos is there already"):
        write(plan, Path("photos"))
    assert Path("photos/x.png").is_file()


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["synthesize", "--help"])
    assert stop.value.code == 0
    assert "banet synthesize clips pairs --average 11" in capsys.readouterr().out
