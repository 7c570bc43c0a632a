"""What has moved, only that, and not by chance."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from banet.cli import main
from banet.data.served.drift import BINS, LARGE, LEAST, MODERATE, DriftReport, compare_served, read_served, stability
from banet.data.served.picture_features import picture_features
from banet.data.served.served_log import ServedLog
from banet.data.sharding.writer import ShardWriter
from banet.data.shards.reader import Pair
from banet.errors import DataError
from banet.image import Image

PICTURES = 60


def picture(number: int, *, blocks: int = 4, shift: float = 0.0, noise: float = 2.0) -> Image:
    """Blocks of grey levels, unsharp and noisy, each number in its own measure."""
    rng = np.random.default_rng(number)
    scene = rng.normal(rng.uniform(95, 135), rng.uniform(15, 25), (56, 64)).repeat(blocks, 0).repeat(blocks, 1)
    scene = cv2.GaussianBlur(scene, (0, 0), blocks * rng.uniform(0.2, 1.2)) + shift
    scene += rng.normal(0, noise * rng.uniform(0.6, 1.4), scene.shape)
    image: Image = np.clip(np.rint(scene), 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    return image


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "toy"
    writer = ShardWriter(folder, ("blur",))
    black = np.zeros((224, 256, 3), np.uint8)  # the sharp side counts for nothing
    pairs = (
        Pair(key=f"a/{k}", split="train", sequence="a", images={"sharp": black, "blur": picture(k)})
        for k in range(2 * PICTURES)
    )
    writer.write("train", pairs)
    writer.finish("toy")
    return folder


def serve(folder: Path, *, pictures: int = PICTURES, **kind: Any) -> Path:  # noqa: ANN401
    log = ServedLog(folder)
    for number in range(1000, 1000 + pictures):
        log.add(picture_features(picture(number, **kind)), status=200, model="m")
    log.close()
    return folder


def verdicts(report: DriftReport) -> dict[str, str]:
    return {feature.name: feature.verdict for feature in report.features}


@pytest.mark.parametrize(
    ("kind", "moved"),
    [
        ({}, ()),
        ({"shift": -40.0}, ("brightness",)),
        ({"noise": 6.0}, ("noise",)),
        ({"blocks": 6}, ("width", "height")),
    ],
)
def test_only_what_has_moved_is_said_to_have(
    kind: dict[str, Any], moved: tuple[str, ...], shards: Path, tmp_path: Path
) -> None:
    report = compare_served(serve(tmp_path, **kind), shards)
    assert report.moved == moved, report
    assert (report.served, report.pictures, report.benchmark) == (PICTURES, 2 * PICTURES, "toy")
    assert set(verdicts(report).values()) <= {"stable", "moved"}


def test_too_few_pictures_are_no_verdict(shards: Path, tmp_path: Path) -> None:
    report = compare_served(serve(tmp_path, pictures=LEAST - 1, shift=-40.0), shards)
    assert set(verdicts(report).values()) == {"too few"}
    assert report.moved == ()


def test_the_index_is_the_sum_over_the_bins() -> None:
    reference = np.arange(1000.0)
    served = np.full(100, 999.0)  # all in the last tenth; an empty bin counts half a picture
    expected = (BINS - 1) * (0.005 - 0.1) * np.log(0.005 / 0.1) + (1 - 0.1) * np.log(1 / 0.1)
    assert stability(reference, served)[0] == pytest.approx(expected)
    assert stability(reference, reference)[0] == 0
    # chi-square with nine degrees of freedom is above 27.88 in one of a thousand
    assert stability(reference, served)[1] == pytest.approx(27.88 * (1 / 1000 + 1 / 100), rel=0.01)


def test_values_that_many_share_have_a_bin_of_their_own() -> None:
    reference = np.array([720.0] * 900 + [1280.0] * 100)
    for other in (480.0, 721.0, 1280.0, 4000.0):
        assert stability(reference, np.full(100, other))[0] > 1
    assert stability(reference, np.repeat([720.0, 1280.0], [90, 10]))[0] < MODERATE
    assert stability(np.full(100, 720.0), np.full(100, 720.0))[0] < MODERATE


@pytest.mark.parametrize(("pictures", "served"), [(60, 50), (444, 50), (444, 100), (444, 200), (1000, 1000)])
def test_fewer_than_one_look_in_a_hundred_is_a_false_alarm(pictures: int, served: int) -> None:
    rng, looks, alarms = np.random.default_rng(0), 2000, 0
    for _ in range(looks):
        index, by_chance = stability(rng.lognormal(size=pictures), rng.lognormal(size=served))
        alarms += index >= max(MODERATE, by_chance)
    print(f"{pictures} of the shards, {served} served: {alarms} of {looks} looks")  # pytest -rP shows it
    assert alarms / looks < 0.01


def test_a_real_move_is_seen_in_nearly_every_look() -> None:
    rng, seen = np.random.default_rng(0), 0
    for _ in range(500):
        index, by_chance = stability(rng.normal(size=444), rng.normal(1.0, size=100))
        seen += index >= max(LARGE, by_chance)
    assert seen / 500 > 0.95


def test_only_the_last_days_are_read(tmp_path: Path) -> None:
    serve(tmp_path, pictures=2)
    (file,) = tmp_path.iterdir()
    table, now = pq.read_table(file), datetime.now(UTC)
    times = pa.array([now - timedelta(days=9), now - timedelta(days=1)], table.schema.field("time").type)
    pq.write_table(table.set_column(0, table.schema.field("time"), times), file)
    old = tmp_path / f"{now - timedelta(days=20):%Y%m%dT%H%M%S}-0.parquet"
    old.write_bytes(b"is not even opened")
    assert read_served(tmp_path, now - timedelta(days=10)).answers == 2
    assert read_served(tmp_path, now - timedelta(days=2)).answers == 1
    none = read_served(tmp_path, now + timedelta(days=1))
    assert (none.answers, none.refused, none.first, none.unreadable) == (0, 0, None, 0)


def test_half_written_files_are_left_out_and_counted(tmp_path: Path, shards: Path) -> None:
    serve(tmp_path, pictures=3)
    (whole,) = tmp_path.iterdir()
    (tmp_path / "20260101T000000-cut.parquet").write_bytes(whole.read_bytes()[:-20])
    (tmp_path / "20260101T000001-empty.parquet").touch()
    (tmp_path / f".{whole.name}.1.part").write_bytes(b"PAR1")
    report = compare_served(tmp_path, shards)
    assert (report.served, report.unreadable) == (3, 3)


Wrong = Callable[[Path], None]


def another_table(folder: Path) -> None:
    pq.write_table(pa.table({"psnr": [1.0]}), folder / "scores.parquet")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda folder: folder.rmdir(), "no log of served pictures"),
        (lambda folder: (folder / "notes.txt").touch(), "no log of served pictures"),
        (lambda folder: (folder / "x.parquet").touch(), "1 damaged or half-written"),
        (another_table, "psnr"),
    ],
)
def test_what_is_no_log_is_one_line(wrong: Wrong, reason: str, shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    wrong(folder)
    with pytest.raises(DataError, match=reason) as error:
        compare_served(folder, shards)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_command_prints_a_table_or_json_and_fails_if_asked(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = serve(tmp_path / "served", shift=-40.0)
    command = ["drift", str(folder), "--shards", str(shards)]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert [line.split()[-1] for line in out.splitlines() if line.startswith(("brightness", "noise"))] == [
        "moved",
        "stable",
    ]
    assert out.splitlines()[-1] == "moved: brightness"
    assert main([*command, "--json", "--since", "1"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {feature["name"]: feature["verdict"] for feature in answer["features"]}["brightness"] == "moved"
    assert main([*command, "--fail"]) == 3
    assert "brightness" in capsys.readouterr().err
    assert main(["drift", str(folder), "--shards", str(tmp_path)]) == 2
    assert "no shards" in capsys.readouterr().err
