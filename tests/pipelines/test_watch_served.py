"""The flow that compares what is served with the shards, against a real server."""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect.client.orchestration import get_client

from banet.data.served.picture_features import picture_features
from banet.data.served.served_log import ServedLog
from banet.data.sharding.writer import ShardWriter
from banet.data.shards.reader import Pair
from pipelines.watch_served import EVENT, watch_served

ROOT = Path(__file__).parents[2]
PICTURES = 50
HEARD_WITHIN = 60.0  # seconds

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.usefixtures("api")]


def images(seed: int, level: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(level + k, level + k + 20, (12, 12, 3), dtype=np.uint8) for k in range(PICTURES)]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with parameters and the shards of their benchmark, in which the flow runs."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    writer = ShardWriter(tmp_path / "data/shards/mini", ("blur",))
    writer.write(
        "train",
        (
            Pair(key=f"a/{k}", split="train", sequence="a", images={"sharp": image, "blur": image})
            for k, image in enumerate(images(0, 100))
        ),
    )
    writer.finish("mini")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def serve(folder: Path, level: int) -> None:
    log = ServedLog(folder)
    for image in images(1, level):
        log.add(picture_features(image), status=200, model="m")
    log.close()


def events() -> list[dict[str, Any]]:
    wanted = {"filter": {"event": {"name": [EVENT]}}}
    with get_client(sync_client=True) as client:
        found: list[dict[str, Any]] = client._client.post("/events/filter", json=wanted).json()["events"]
    return found


def test_what_has_moved_is_an_event_and_what_has_not_is_none(checkout: Path) -> None:
    serve(checkout / "served", 100)
    state = watch_served(return_state=True)
    assert (state.name, state.message) == ("Completed", "nothing has moved")
    serve(checkout / "darker", 20)
    state = watch_served(served="darker", days=1, return_state=True)
    assert (state.name, state.message) == ("Moved", "moved: brightness")
    end = time.monotonic() + HEARD_WITHIN
    while not (heard := events()):
        assert time.monotonic() < end
        time.sleep(0.2)
    (event,) = heard
    assert event["resource"]["prefect.resource.id"] == "banet.served.mini"
    assert event["payload"]["served"] == PICTURES
    assert event["payload"]["moved"].keys() == {"brightness"}
    assert event["payload"]["moved"]["brightness"] > 1
    assert {part["prefect.resource.role"] for part in event["related"]} >= {"flow", "flow-run"}


def test_a_folder_without_logs_is_one_line(checkout: Path) -> None:
    state = watch_served(served="nowhere", return_state=True)
    assert state.is_failed()
    assert str(state.message).startswith("error: nowhere holds no log")
