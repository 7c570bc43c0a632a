"""Work spread over Ray: in order, with little under way, and an expected error as itself."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from banet.errors import DataError, ModelError, ServiceError

pytestmark = pytest.mark.distributed


def slow_first(item: int) -> int:
    import time

    time.sleep(0.3 if item == 0 else 0)
    return item * item


def fails_at_three(item: int) -> int:
    if item == 3:
        raise DataError("three is damaged")
    if item == 4:
        raise OSError(28, "No space left on device")
    return item


def dies_once(mark: Path) -> int:
    if not mark.exists():
        mark.touch()
        os._exit(1)
    return os.getpid()


@pytest.fixture
def spread(ray_session: None) -> Callable[..., Iterator[int]]:
    from banet.cluster.ray_session import map_here

    return map_here


@pytest.mark.slow
def test_results_come_in_order_and_items_are_taken_only_as_needed(spread: Callable[..., Iterator[int]]) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(50):
            taken.append(i)
            yield i

    results = spread(slow_first, items())
    assert next(results) == 0
    assert len(taken) == 6  # two for each of Ray's three cores
    assert list(results) == [i * i for i in range(1, 50)]


def test_an_expected_error_comes_out_as_itself(spread: Callable[..., Iterator[int]]) -> None:
    results = spread(fails_at_three, range(10))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match=r"^three is damaged$"):
        next(results)
    with pytest.raises(OSError, match="No space left"):
        list(spread(fails_at_three, [4]))


def test_an_item_whose_process_was_killed_is_done_again(spread: Callable[..., Iterator[int]], tmp_path: Path) -> None:
    assert next(spread(dies_once, [tmp_path / "mark"])) != os.getpid()


def test_what_is_left_is_cancelled(spread: Callable[..., Iterator[int]]) -> None:
    results = spread(slow_first, range(10))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert list(spread(slow_first, [5])) == [25]


@pytest.mark.usefixtures("ray_session")
def test_ray_train_is_told_of_this_cluster_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its actors would look for any cluster of the machine, and complain where there are two."""
    import ray
    from ray.train.v2._internal.constants import get_env_vars_to_propagate

    from banet.cluster.ray_session import this_cluster_alone

    for before in (None, "elsewhere:6379"):
        monkeypatch.setenv("RAY_ADDRESS", before) if before else monkeypatch.delenv("RAY_ADDRESS", raising=False)
        with this_cluster_alone():
            assert get_env_vars_to_propagate()["RAY_ADDRESS"] == ray.get_runtime_context().gcs_address
        assert os.environ.get("RAY_ADDRESS") == before


def test_the_error_of_a_training_worker_comes_out_as_itself() -> None:
    from ray.train import WorkerGroupError

    from banet.cluster.ray_session import errors_as_themselves

    failures = {1: RuntimeError("connection reset by peer"), 0: ModelError("lower lr_start\nand Ray's own lines")}
    with pytest.raises(ModelError, match=r"^lower lr_start$"), errors_as_themselves():
        raise WorkerGroupError("2 workers failed", failures)


@pytest.mark.slow
@pytest.mark.parametrize("up", [False, True])
def test_nothing_of_ray_outlives_a_process_that_is_killed(up: bool) -> None:
    """By itself, a part of Ray tries for a minute to tell it to another part, which is gone too."""
    code = "from banet.cluster.ray_session import start_ray; start_ray(); print('up', flush=True); input()"
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "RAY_ADDRESS": "local",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    seen: set[psutil.Process] = set()

    def look() -> int:
        seen.update(psutil.Process(process.pid).children(recursive=True))
        return len(seen)

    if up:
        assert process.stdout is not None
        process.stdout.readline()
        assert look() > 3
    else:
        while look() < 3:  # in the middle of its start
            time.sleep(0.01)
    process.kill()
    process.communicate()
    end = time.monotonic() + 10
    while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in seen):
        assert time.monotonic() < end, [each.cmdline() for each in seen if each.is_running()]
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_address_where_nothing_listens_is_named_and_not_tried_for_a_quarter_of_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray

    from banet.cluster import ray_session

    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(ray_session, "STANDS_WITHIN_S", 0.1)
    with pytest.raises(ServiceError, match=address) as raised:
        ray_session._connect(ray.LoggingConfig(log_level="ERROR"))
    assert "RAY_ADDRESS" in str(raised.value)


@pytest.mark.slow
def test_a_file_that_a_killed_cluster_left_keeps_nobody_waiting() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="banet-", ignore_cleanup_errors=True) as short:  # for sockets
        left = Path(short) / "ray/ray_current_cluster"
        left.parent.mkdir()
        left.write_text(f"127.0.0.1:{free_port()}")
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        environment |= {"RAY_TMPDIR": short, "PYTHONPATH": str(Path(__file__).parents[3])}
        code = "import ray; from banet.cluster.ray_session import start_ray; start_ray(); print(ray.get(ray.put('up')))"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
    assert done.stdout.strip() == "up", done.stderr
    assert "Failed to connect" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["token", "disabled"])
def test_a_cluster_is_joined_with_the_token_that_it_asks_for_or_without(tmp_path: Path, mode: str) -> None:
    """`ray start` asks for it wherever there is one, and a client does not send it by itself.

    A client that shows its token asks the nodes for theirs: an actor would be lost before it starts.
    """
    home = tmp_path / "home"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text("0123456789abcdef" * 4)
    port = free_port()
    root = str(Path(__file__).parents[3])
    environment = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_AUTH_MODE")}
    environment |= {"HOME": str(home), "PYTHONPATH": root, "RAY_USAGE_STATS_ENABLED": "0"}
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="banet-", ignore_cleanup_errors=True) as short:  # for sockets
        start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
        start += ["--num-cpus=1", "--include-dashboard=false", f"--temp-dir={short}"]
        begun = environment | {"RAY_AUTH_MODE": mode}
        head = subprocess.Popen(start, env=begun, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            code = "import ray; from banet.cluster.ray_session import start_ray; start_ray(); "
            code += "asked = type('Asked', (), {'resources': lambda _: ray.cluster_resources()}); "
            code += "print(ray.get(ray.remote(asked).remote().resources.remote()))"
            environment["RAY_ADDRESS"] = f"127.0.0.1:{port}"
            for _ in range(10):  # until it stands
                joined = subprocess.run(
                    [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
                )
                if joined.returncode == 0:
                    break
            assert "'CPU': 1.0" in joined.stdout, joined.stderr
        finally:
            started = psutil.Process(head.pid).children(recursive=True)
            for process in [*started, psutil.Process(head.pid)]:
                process.kill()
            head.wait()
