"""What several parts of the tests share: one Ray for the session, and shards of a few tiny pairs."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from banet.data.sharding.writer import ShardWriter
from banet.data.shards.reader import Pair

SERVERS = {"ray_session", "prefect_environment"}  # fixtures that start many processes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread files over the processes of `make test`; Ray and the servers keep to one, or they would want all cores."""

    def group(item: pytest.Item) -> str:
        marked = any(item.get_closest_marker(mark) for mark in ("distributed", "server"))
        starts = not SERVERS.isdisjoint(getattr(item, "fixturenames", ()))
        return "servers" if marked or starts else item.nodeid.partition("::")[0]

    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: group(item) != "servers")  # the long one first


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """The session's single Ray, on this machine; starting one takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # Ray leaves sockets and log files to the collector
            warnings.simplefilter("ignore", FutureWarning)  # what a later Ray will do differently
            warnings.simplefilter("ignore", DeprecationWarning)  # Ray Data deprecates what it does on import
            import ray
            import ray.data

            ray.init(
                num_cpus=3,
                include_dashboard=False,
                logging_level="ERROR",
                logging_config=ray.LoggingConfig(log_level="ERROR"),
                log_to_driver=False,
            )
            ray.data.DataContext.get_current()
        yield
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            ray.shutdown()


@pytest.fixture
def make_shards(tmp_path: Path) -> Callable[..., Path]:
    """Writes shards of random pairs: blur is the negative of sharp, so that a pair can be recognised as one."""

    def make(
        sequences: Sequence[str] = ("a", "b", "c"),
        *,
        pairs: int = 4,
        split: str = "train",
        size: tuple[int, int] = (12, 15),
        name: str = "shards",
    ) -> Path:
        folder = tmp_path / name
        rng = np.random.default_rng(0)

        def made() -> Iterator[Pair]:
            for sequence in sequences:
                for frame in range(1, pairs + 1):
                    sharp = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
                    images = {"sharp": sharp, "blur": 255 - sharp}
                    yield Pair(key=f"{sequence}/{frame:06d}", split=split, sequence=sequence, images=images)

        writer = ShardWriter(folder, ("blur",))
        writer.write(split, made())
        writer.finish("tiny")
        return folder

    return make
