"""`banet synthesize`: what the fetch stage would make, in a folder or a ZIP, and one line for each mistake."""

import multiprocessing
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from banet.cli import main
from banet.commands.synthesize import custom_plan, write
from banet.data.custom_spec import CustomSplit
from banet.data.images.codec import write_image
from banet.data.manifest import Benchmark, SynthesisParams
from banet.data.pairs.prepare import write_custom
from banet.errors import DataError

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: 1)
    monkeypatch.chdir(tmp_path)
    for i in range(4):
        write_image(Path(f"clips/clip/{i}.png"), RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    write_image(Path("photos/x.png"), RNG.integers(0, 256, (60, 60, 3), dtype=np.uint8))


def test_frames_become_what_the_fetch_stage_makes(capsys: pytest.CaptureFixture[str]) -> None:
    for out in ("pairs.zip", "pairs"):
        assert main(["synthesize", "clips", out, "--frames", "2", "--average-in", "linear", "--split", "test"]) == 0
    assert capsys.readouterr().out == "pairs.zip: 2 pairs\npairs: 2 pairs\n"
    split = CustomSplit(frames="clips", average=2, light="linear")
    write_custom(Benchmark(name="pairs", layout="frames", splits={"test": split}), Path("fetched.zip"))
    assert Path("fetched.zip").read_bytes() == Path("pairs.zip").read_bytes()
    with zipfile.ZipFile("pairs.zip") as archive:
        for name in archive.namelist():
            assert Path(name).read_bytes() == archive.read(name)
        assert archive.namelist()[0] == "pairs/test/clip/blur/000001.png"


def test_the_former_names_of_options_are_taken() -> None:
    assert main(["synthesize", "clips", "new.zip", "--frames", "2", "--average-in", "linear"]) == 0
    assert main(["synthesize", "clips", "pairs.zip", "--average", "2", "--light", "linear"]) == 0
    with zipfile.ZipFile("new.zip") as new, zipfile.ZipFile("pairs.zip") as old:
        assert [new.read(name) for name in new.namelist()] == [old.read(name) for name in old.namelist()]


def test_frames_that_are_no_neighbours_are_told_here_and_by_the_fetch_stage(capsys: pytest.CaptureFixture[str]) -> None:
    for folder, numbers in (("even", range(4)), ("jumps", (1, 2, 3, 9))):
        for i in numbers:
            write_image(Path("shots", folder, f"{i}.png"), np.full((12, 16, 3), 40, np.uint8))
    assert main(["synthesize", "shots", "pairs", "--frames", "4"]) == 0
    split = CustomSplit(frames="shots", average=4)
    write_custom(Benchmark(name="pairs", layout="frames", splits={"test": split}), Path("fetched.zip"))
    said, fetched = capsys.readouterr().err.splitlines()
    assert said == fetched
    assert said.startswith("warning: 1 of 2 pairs ")
    assert "jumps: 3.png and 9.png are 6 numbers apart, others 1" in said


@pytest.mark.parametrize("out", ["pairs", "pairs.zip"])
def test_a_video_that_fails_late_leaves_nothing(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    with av.open("film.avi", "w") as film:
        stream = film.add_stream("ffv1", rate=30)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "bgr0"
        for _ in range(30):
            image = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")))
        film.mux(stream.encode())
    content = Path("film.avi").read_bytes()
    Path("film.avi").write_bytes(content[: len(content) * 3 // 4])
    assert main(["synthesize", "film.avi", out, "--frames", "3"]) == 2
    assert "film.avi is damaged" in capsys.readouterr().err
    assert not [path.name for path in Path().iterdir() if "pairs" in path.name]


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ([], {}),
        (
            ["--motion", "arc", "--longest", "12", "--average-in", "encoded"],
            {"motion": "arc", "light": "encoded", "strata": {"short": (1, 3), "medium": (3, 6), "long": (6, 12)}},
        ),
    ],
)
def test_photographs_become_what_the_fetch_stage_makes(options: list[str], changed: dict[str, Any]) -> None:
    options = ["--size", "24x28", "--pairs", "1", "--seed", "3", *options]
    assert main(["synthesize", "photos", "pairs.zip", *options]) == 0
    params = SynthesisParams(seed=3, height=24, width=28, **changed)
    split = CustomSplit(photographs="photos", pairs=1)
    benchmark = Benchmark(
        name="pairs",
        layout="photographs",
        splits={"train": split, "test": CustomSplit(photographs="clips", pairs=1)},
        synthesis=params,
    )
    for i in range(4):
        write_image(Path(f"clips/clip/{i}.png"), RNG.integers(0, 256, (60, 60, 3), dtype=np.uint8))
    write_custom(benchmark, Path("fetched.zip"))
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
        (["empty", "out", "--frames", "2"], "empty holds no videos or folders of frames"),
        (["clips", "out", "--frames", "5"], "the clip clip has 4 frames: each needs"),
        (["clips", "out", "--frames", "1"], '"1" for --frames. Must be >= 2'),
        (["clips", "out", "--frames", "1001"], '"1001" for --frames. Must be <= 1000'),
        (["photos", "out"], "photos/x.png is 60x60: reduced by 0.6 it is too small for a 256x256 picture"),
        (["photos", "out", "--pairs", "0"], '"0" for --pairs. Must be >= 1'),
        (["photos", "out", "--longest", "0"], '"0.0" for --longest. Must be > 0'),
        (["clips", "out", "--frames", "2", "--motion", "arc"], "--motion arc is for photographs: leave out --frames"),
        (["clips", "out", "--frames", "2", "--seed", "0"], "--seed 0 is for photographs: leave out --frames"),
        (["text.mp4", "out"], "text.mp4 is a video: say how many frames are averaged, --frames 11"),
        (["text.mp4", "out", "--frames", "2"], "text.mp4 is no video, or a damaged one"),
        (["clips", "photos", "--frames", "2"], "photos is there already: name a new folder or .zip, or remove it"),
        (["clips", "text.mp4", "--frames", "2"], "text.mp4 is there already"),
        (["nowhere", "text.mp4"], "text.mp4 is there already"),  # before anything is read
        (["clips", "text.mp4/out", "--frames", "2"], "cannot be used"),
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
    plan = custom_plan(CustomSplit(frames="clips", average=2), "train", SynthesisParams())
    with pytest.raises(DataError, match="photos is there already"):
        write(plan, Path("photos"))
    assert Path("photos/x.png").is_file()
