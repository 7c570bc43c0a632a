"""What Prefect's page of a run shows."""

import json
from pathlib import Path

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import get_client

from pipelines.runs.artifacts import StageProgress, show_result

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.usefixtures("api")]
STATES = ["train:  25%|##5       | 1/4 [00:05<?, ? steps/s]", "train:  75%|#######5  | 3/4 [00:35<00:12, 12 s/ steps]"]


def artifacts(key: str) -> list[tuple[str | None, object]]:
    with get_client(sync_client=True) as client:
        answer = client._client.post("/artifacts/filter", json={"artifacts": {"key": {"any_": [key]}}})
        return [(each["type"], each["data"]) for each in answer.json()]


@flow
def shows_a_stage(lines: list[str], stage: str) -> list[str]:
    logged: list[str] = []
    progress = StageProgress(stage, logged.append)
    for line in lines:
        progress(line)
    return logged


def test_a_stages_bar_is_the_runs_bar_and_every_line_is_logged() -> None:
    lines = ["Running stage 'train':", *STATES, "50 % of this line is no bar"]
    assert shows_a_stage(lines, "evaluate@mini") == lines
    assert artifacts("evaluate-mini") == [("progress", 75.0)]


def test_a_server_that_is_away_stops_no_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr("pipelines.runs.artifacts.create_progress_artifact", away)
    assert shows_a_stage(STATES, "away") == STATES
    assert artifacts("away") == []


def test_the_result_is_shown_once_there_is_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")

    @flow
    def shows_the_result() -> None:
        show_result(tmp_path)

    shows_the_result()
    assert artifacts("result") == []
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/table.md").write_text("| restored | 26.35 |")
    (tmp_path / "reports/promotion.json").write_text(json.dumps({"name": "banet-mini", "reason": "the first champion"}))
    shows_the_result()
    ((kind, shown),) = artifacts("result")
    assert kind == "markdown"
    assert "| restored | 26.35 |" in str(shown)
    assert "the first champion" in str(shown)
    assert str(tmp_path / "mlflow.db") in str(shown)
