"""What Prefect's page of a run shows beside its log: how far long stages are, and the result."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import httpx
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact

from banet.tracking.addresses import without_password
from banet.tracking.store import tracking_uri

_STATE = re.compile(r"^[^|]*?(\d{1,3})%\|")  # a line of `banet.progress`, written every half minute


class StageProgress:
    """A progress bar of one stage, from the first line of its output that says how far it is."""

    def __init__(self, stage: str, log: Callable[[str], None]) -> None:
        self._stage, self._log = stage, log
        self._artifact: UUID | None = None

    def __call__(self, line: str) -> None:
        """Take a line of output."""
        self._log(line)
        if (state := _STATE.match(line)) is None:
            return
        percent, described = float(state[1]), line[:200]
        with suppress(httpx.HTTPError):  # a server that is away stops no stage
            if self._artifact is None:
                key = re.sub(r"[^a-z0-9]+", "-", self._stage.lower()).strip("-")
                self._artifact = UUID(str(create_progress_artifact(percent, key=key, description=described)))
            else:
                update_progress_artifact(self._artifact, progress=percent, description=described)


def show_result(root: Path) -> None:
    """Show the report's table, the decision on the champion and where to look next; nothing if there is no report."""
    table, promotion = root / "reports/table.md", root / "reports/promotion.json"
    if not (table.is_file() and promotion.is_file()):
        return
    decided = json.loads(promotion.read_text(encoding="utf-8"))
    lines = [
        table.read_text(encoding="utf-8").strip(),
        f"**{decided['name']}**: {decided['reason']}",
        f"Report: `{(root / 'reports/index.html').resolve()}`",
        f"MLflow: {without_password(tracking_uri(root))}",
    ]
    with suppress(httpx.HTTPError):
        create_markdown_artifact("\n\n".join(lines), key="result", description=f"Scores of {decided['name']}")
