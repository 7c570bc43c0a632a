import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from banet.errors import ConfigError, ServiceError
from banet.tracking import store as module
from banet.tracking.addresses import sqlite_file
from banet.tracking.store import Store, connect, require_answer, tracking_uri


def checkout(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "dvc.yaml").touch()
    return folder


def git(*arguments: str, where: Path) -> None:
    person = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", *person, *arguments], cwd=where, check=True, capture_output=True)


def test_variable_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(checkout(tmp_path / "c")) == "http://127.0.0.1:5000"


def test_default_lies_at_the_root_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = checkout(tmp_path / "c") / "a" / "b"
    inside.mkdir(parents=True)
    assert tracking_uri(inside) == f"sqlite:///{tmp_path}/c/mlflow.db"
    monkeypatch.chdir(inside)
    assert tracking_uri() == f"sqlite:///{tmp_path}/c/mlflow.db"


@pytest.mark.parametrize("temporary", [".dvc/tmp/exps/tmp3x1", ".dvc/tmp/exps/celery/w/tmpq"])
def test_workspaces_of_dvc_share_the_store_of_the_checkout(tmp_path: Path, temporary: str) -> None:
    main = checkout(tmp_path / "c")
    assert tracking_uri(checkout(main / temporary)) == f"sqlite:///{main}/mlflow.db"


@pytest.mark.parametrize("subfolder", ["", "project"])
def test_worktrees_share_the_store_of_the_main_checkout(tmp_path: Path, subfolder: str) -> None:
    main = checkout(tmp_path / "c" / subfolder)
    git("init", "-q", where=tmp_path / "c")
    git("add", ".", where=tmp_path / "c")
    git("commit", "-qm", "m", where=tmp_path / "c")
    git("worktree", "add", "-q", str(tmp_path / "w"), where=tmp_path / "c")
    assert tracking_uri(tmp_path / "w" / subfolder) == f"sqlite:///{main}/mlflow.db"
    in_dvc = checkout(tmp_path / "w" / subfolder / ".dvc/tmp/exps/tmp1")
    assert tracking_uri(in_dvc) == f"sqlite:///{main}/mlflow.db"


def test_outside_a_checkout_one_line_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set MLFLOW_TRACKING_URI") as error:
        tracking_uri(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "sqlite://", "./mlruns", "file:///tmp/mlruns"])
def test_addresses_that_cannot_be_shared_are_refused(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(ConfigError, match="sqlite:////"):
        tracking_uri()


@contextmanager
def server(status: int, wait: threading.Event | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if wait is not None:
                wait.wait(10)
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            if wait is not None:
                wait.set()
            http.shutdown()
            thread.join()


def test_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://user:secret@127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServiceError, match=r"does not answer .*unset MLFLOW_TRACKING_URI") as error:
        connect(uri)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_server_that_is_no_tracking_server() -> None:
    with server(404) as uri, pytest.raises(ServiceError, match="status 404"):
        require_answer(uri)


def test_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.1)
    with server(200, wait=threading.Event()) as uri, pytest.raises(ServiceError, match="Timeout"):
        require_answer(uri)


@pytest.mark.parametrize("status", [200, 401])
def test_server_that_answers(status: int) -> None:
    with server(status) as uri:
        require_answer(f"{uri}/")


def test_address_is_shown_without_password() -> None:
    assert Store(uri="postgresql://u:p@h:5/d").shown == "postgresql://h:5/d"
    assert Store(uri="sqlite:////a/mlflow.db").shown == "sqlite:////a/mlflow.db"


def test_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database " * 100)
    with pytest.raises(ConfigError, match=r"mlflow\.db cannot be used") as error:
        connect(f"sqlite:///{tmp_path}/mlflow.db")
    assert "\n" not in str(error.value)


def test_artifacts_lie_beside_the_database(store: Store) -> None:
    experiment_id = store.experiment_id("where")
    assert store.experiment_id("where") == experiment_id
    database = sqlite_file(store.uri)
    assert database is not None
    location = store.client().get_experiment(experiment_id).artifact_location
    assert location == (database.parent / "mlartifacts").as_uri()


def test_deleted_experiment_is_named(store: Store) -> None:
    store.client().delete_experiment(store.experiment_id("deleted"))
    with pytest.raises(ConfigError, match="mlflow experiments restore"):
        store.experiment_id("deleted")


CREATE = """
import sys, mlflow.store.tracking.sqlalchemy_store
from banet.tracking.store import connect
print("ready", flush=True)
sys.stdin.readline()
print(connect(sys.argv[1]).experiment_id("raced"))
"""


@pytest.mark.slow
def test_two_processes_create_the_store_at_once_and_quietly(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    command = [sys.executable, "-c", CREATE, uri]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "ready\n"
        other.stdin.write("\n")
        other.stdin.flush()
        mine = connect(uri).experiment_id("raced")
        assert other.communicate(timeout=120) == (f"{mine}\n", "")
