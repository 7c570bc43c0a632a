"""The whole way back from a registered version: commit, parameters, data, stages, runs, scores, promotion."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from banet.tracking.registry import RECOVERED_FROM, none_if_missing
from banet.tracking.runs import GIT_COMMIT, flatten
from banet.tracking.store import Store
from banet.tracking.version_files import RegisteredModel
from banet.tracking.versions import versions

PREFIX = "banet-"  # of every registered model: banet-<training benchmark>
PARAMS, DATA_DIGEST = "params", "data_digest"  # tags of a version, as the register stage writes them
ARCHIVES, STAGES = "archives", "dvc_stages"  # the same, as JSON
DATA_CHECKS = "data_checks"  # tags of a run, as the train stage writes them
FLOW_RUN, FLOW_RUN_URL, EXPERIMENT = "prefect.flow_run_id", "prefect.flow_run_url", "dvc.experiment"

Lineage = dict[str, dict[str, Any]]
"""Values by section and name, as JSON; None is missing, and so is a section without values."""


def trace(store: Store, model: RegisteredModel) -> Lineage:
    """Collect what the store knows about the origin of a version that it holds; what it does not know is None."""
    client = store.client()
    known = next(one for one in versions(store, model.name) if one.model.version == model.version)
    tags = client.get_model_version(model.name, str(model.version)).tags
    run = none_if_missing(lambda: client.get_run(model.run_id)) if model.run_id else None
    run_tags = run.data.tags if run else {}
    benchmark = model.name.removeprefix(PREFIX)
    logged = None if run is None else run.data.params
    return {
        "version": {
            **{"name": model.name, "version": model.version, "aliases": list(known.aliases)},
            **{"registered": _iso(known.registered_at), "weights": model.digest, "code": model.code or None},
            **({"origin": known.origin, "licence": known.licence} if known.origin else {}),
        },
        "code": {"commit": tags.get(GIT_COMMIT) or run_tags.get(GIT_COMMIT)},
        "parameters": _read(tags.get(PARAMS)) or dict(logged or {}),
        "data": {
            **{"benchmark": benchmark, "digest": tags.get(DATA_DIGEST), "checks": run_tags.get(DATA_CHECKS)},
            "archives": _read(tags.get(ARCHIVES)),
        },
        "dvc": {"experiment": run_tags.get(EXPERIMENT), "stages": _read(tags.get(STAGES))},
        "mlflow": {
            "store": store.shown,
            "run": model.run_id if run else None,
            **({"name": run.info.run_name, "status": run.info.status} if run else {}),
            **({"started": _iso(run.info.start_time), "ended": _iso(run.info.end_time)} if run else {}),
            **({"instead of run": run_tags[RECOVERED_FROM]} if run_tags.get(RECOVERED_FROM) else {}),
        },
        "prefect": {"flow run": run_tags.get(FLOW_RUN), "address": run_tags.get(FLOW_RUN_URL)},
        "scores": dict(sorted(known.scores.items())),
        "promotion": {
            "promoted": _iso(known.promoted_at),
            "reason": known.reason,
            **({"not promoted": known.refused} if known.refused else {}),
        },
    }


def shown(lineage: Lineage) -> dict[str, list[tuple[str, str]]]:
    """Return the same as text by section; every missing value says so."""
    return {
        title: [
            (name, "missing" if value == "null" and title != "parameters" else value)
            for name, value in flatten(_without_brackets(values))
        ]
        or [("all", "missing")]
        for title, values in lineage.items()
    }


def format_lineage(lineage: Lineage) -> str:
    """Lay out the lineage for a terminal, a block per section."""
    sections = shown(lineage)
    lines: list[str] = []
    for title, rows in sections.items():
        width = max(len(name) for name, _ in rows)
        lines += [title, *(f"  {name.ljust(width)}  {value}" for name, value in rows)]
    if any(value == "missing" for rows in sections.values() for _, value in rows):
        lines.append("missing: the tool was not used, or an older banet did not record it")
    return "\n".join(lines)


def _without_brackets(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: ", ".join(item) or "none" if key == "aliases" else item for key, item in values.items()}


def _read(text: str | None) -> Any:  # noqa: ANN401
    try:
        return json.loads(text) if text else None
    except ValueError:  # somebody edited the tag
        return None


def _iso(moment: datetime | int | None) -> str | None:
    if isinstance(moment, int):  # MLflow's milliseconds
        moment = datetime.fromtimestamp(moment / 1000, UTC)
    return None if moment is None else moment.isoformat(timespec="seconds")
