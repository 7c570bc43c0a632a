import time
from collections.abc import Callable
from pathlib import Path

import pytest

from banet.errors import BanetError, ConfigError, ServiceError
from banet.tracking.addresses import checked, sqlite_address, sqlite_file, without_password
from banet.tracking.registry import find, pull, register
from banet.tracking.runs import log_files
from banet.tracking.store import connect

ODD = (
    "100%20",
    "q?x",
    "a b",
    "über",
    "x#y",
    "50%",
    "it's",
    'say "hi"',
    "a&b",
    "a;b",
    "[br]{c}",
    "$HOME",
    "%3F",
    "u@h:5",
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ODD)
def test_a_path_and_its_address_are_one_whatever_is_in_it(name: str) -> None:
    from sqlalchemy import make_url

    database = Path("/a") / name / "mlflow.db"
    address = sqlite_address(database)
    assert sqlite_file(address) == database
    assert make_url(address).database == str(database)  # as SQLAlchemy reads it
    assert checked(address) == address
    assert without_password(address) == address


@pytest.mark.slow
def test_a_checkout_may_lie_in_any_folder(
    tmp_path: Path, weights: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All odd characters in one path, since making a store takes seconds."""
    above = tmp_path / "above"
    checkout = above / " ".join(ODD)
    checkout.mkdir(parents=True)
    (checkout / "dvc.yaml").touch()
    with monkeypatch.context() as patch:
        patch.chdir(checkout)
        store = connect()
    model = register(store, weights(1), name="banet-odd", run_id="")
    assert register(store, weights(1), name="banet-odd", run_id="") == model
    assert find(store, "banet-odd", 1) == model
    assert pull(store, "banet-odd", 1, tmp_path / "into", model.digest, same_code=True).is_dir()
    (tmp_path / "q? 100%20.txt").write_text("a")
    log_files(store, model.run_id, [tmp_path / "q? 100%20.txt"], "report")
    assert [file.path for file in store.client().list_artifacts(model.run_id, "report")] == ["report/q? 100%20.txt"]
    assert names(above) == [checkout.name]  # nothing beside the checkout
    assert {"mlflow.db", "mlartifacts"} < set(names(checkout))


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("localhost:5000", "write http://localhost:5000"),
        ("user:secret@127.0.0.1:5000", "write http://127.0.0.1:5000"),
        ("s3://bucket/x?password=secret", "is no address of a store"),
        ("ftp://user:secret@host/x", "write http://HOST:PORT"),
        ("databricks", "is no address of a store"),
        ("databricks://secret@profile", "is no address of a store"),
        ("postgres://user:secret@host/db", "postgresql://USER:PASSWORD@HOST/NAME"),
        ("postgresql://user:secret@localhost:1/db?password=secret", "does not answer"),
        ("mysql://user:secret@localhost:1/db", "pip install mysqlclient"),
        ("mysql+pymysql://user:secret@localhost:1/db", "pip install pymysql"),
        ("mssql+pyodbc://user:secret@localhost:1/db", "pip install pyodbc"),
        ("postgresql+nothing://user:secret@localhost/db", "cannot be read"),
        ("mysql://user:secret@host:port/db", "cannot be read"),
        ("http://user:se/cr@et@127.0.0.1:1", "does not answer"),
        ("http://user:secret@no-such-host.invalid:5000", "does not answer"),
        ("http://127.0.0.1:99999", "does not answer"),
        ("http://[::1", "does not answer"),
        ("http://", "does not answer"),
        ("file:///FOLDER/mlruns", "write sqlite:////"),
        ("/FOLDER/mlflow.db", "write sqlite:////"),
        ("sqlite:////FOLDER", "is a folder: name a file"),
        ("sqlite:////FOLDER/none/mlflow.db", "none does not exist"),
        ("sqlite:////FOLDER/q?x/mlflow.db", "write ? as %3F"),
        ("sqlite:////FOLDER/note.txt", "cannot be used"),
        ("sqlite:////FOLDER/note.txt/mlflow.db", "does not exist"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line_within_seconds(tmp_path: Path, uri: str, says: str) -> None:
    (tmp_path / "note.txt").write_text("no database " * 100)
    began = time.monotonic()
    with pytest.raises(BanetError) as error:
        connect(uri.replace("/FOLDER", str(tmp_path)))
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
    assert "cr@et" not in str(error.value)
    assert isinstance(error.value, ServiceError if "does not answer" in says else ConfigError)
    assert time.monotonic() - began < 30  # MLflow would try for two minutes, or eight
    assert names(tmp_path) == ["note.txt"]


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://user:p@ss@host:5000/x", "http://host:5000/x"),
        ("http://user:p/w?x@host", "http://host"),
        ("postgresql://host/db?user=u&password=p", "postgresql://host/db"),
        ("mssql+pyodbc:///?odbc_connect=PWD%3Dsecret", "mssql+pyodbc:///"),
        ("user:secret@host:5000", "host:5000"),
        ("sqlite:////home/u@h/mlflow.db", "sqlite:////home/u@h/mlflow.db"),
    ],
)
def test_a_password_is_never_shown(uri: str, shown: str) -> None:
    assert without_password(uri) == shown
