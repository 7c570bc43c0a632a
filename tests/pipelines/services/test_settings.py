"""What `make services` was asked for, and its passwords."""

import subprocess
from pathlib import Path

import pytest

from banet.errors import ConfigError
from pipelines.services.settings import ASKED, read_settings, settle


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ASKED:
        monkeypatch.delenv(name, raising=False)


def test_passwords_are_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    settings = settle(tmp_path, running=False)
    file = tmp_path / "env"
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    assert settle(tmp_path, running=True) == settings == read_settings(tmp_path)
    assert file.read_bytes() == before
    passwords = {settings.postgres_password, settings.prefect_password, settings.mlflow_password}
    assert len(passwords | {settings.mlflow_secret_key}) == 4
    assert all(len(password) >= 24 and password not in repr(settings) for password in passwords)


def test_a_shell_reads_the_file(tmp_path: Path) -> None:
    settings = settle(tmp_path, running=False)
    script = f". {tmp_path}/env && env"
    read = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True, env={}).stdout.splitlines()
    assert {f"{name}={value}" for name, value in settings.exported().items()} <= set(read)
    assert not [line for line in read if line.startswith("POSTGRES_PASSWORD")]


def test_what_is_asked_for_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_PORT", "4300")
    monkeypatch.setenv("DATABASE", "sqlite")
    asked = settle(tmp_path, running=False)
    monkeypatch.delenv("PREFECT_PORT")
    assert settle(tmp_path, running=False) == asked
    assert (asked.prefect_port, asked.database) == (4300, "sqlite")
    monkeypatch.setenv("PREFECT_PORT", "4400")
    with pytest.raises(ConfigError, match=r"PREFECT_PORT=4300.*make stop"):
        settle(tmp_path, running=True)
    assert settle(tmp_path, running=False).prefect_port == 4400
    assert settle(tmp_path, running=False).prefect_password == asked.prefect_password


@pytest.mark.parametrize(
    ("name", "value"), [("DATABASE", "oracle"), ("MLFLOW_PORT", "80"), ("PREFECT_PORT", "x"), ("MLFLOW_AUTH", "yes")]
)
def test_a_value_that_cannot_be_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name}={value} "):
        settle(tmp_path, running=False)
    assert not (tmp_path / "env").exists()
