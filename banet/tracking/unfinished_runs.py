"""Interrupted training runs: found by their parameters and data, and continued on request."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from banet.errors import ConfigError
from banet.tracking.registry import none_if_missing
from banet.tracking.runs import EXPERIMENT, FINGERPRINT, GIT_COMMIT
from banet.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run

INPUTS = "fingerprint.inputs"  # tag: digest of parameters and data
CODE = "fingerprint.code"  # tag: JSON, first digits of each file's digest; MLflow's tags hold 8000 characters
CONTINUED_WITH = "fingerprint.continued_with"  # tag: like CODE, for the code with which a run was continued
_DIGITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedRun:
    """A run that has not finished: it is still running, failed or was killed."""

    run_id: str
    fingerprint: str
    inputs: str  # digest of parameters and data
    code: Mapping[str, str]  # first digits of each deciding file's digest
    commit: str | None


def code_tags(inputs: str, code: Mapping[str, str]) -> dict[str, str]:
    """Return the tags by which a run is found after its code was edited."""
    return {INPUTS: inputs, CODE: _shortened(code)}


def find_unfinished(store: Store, inputs: str) -> tuple[UnfinishedRun, ...]:
    """Return the unfinished training runs of these parameters and data, newest first."""
    client = store.client()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return ()
    found = client.search_runs(
        [experiment.experiment_id],
        f"tags.`{INPUTS}` = '{inputs}' and attributes.status != 'FINISHED'",
        order_by=["attributes.start_time DESC"],
    )
    return tuple(_described(run) for run in found)


def get_unfinished(store: Store, run_id: str) -> UnfinishedRun:
    """Return one unfinished training run.

    Raises:
        ConfigError: there is no such training run, or it has finished.
    """
    run = none_if_missing(lambda: store.client().get_run(run_id))
    if run is None or INPUTS not in run.data.tags:
        raise ConfigError(f"cluster.resume: {store.shown} has no training run {run_id}: set it to null, or correct it")
    if run.info.status == "FINISHED":
        raise ConfigError(f"cluster.resume: the run {run_id} has finished: set it to null to train afresh")
    return _described(run)


def note_continuation(store: Store, run_id: str, code: Mapping[str, str]) -> None:
    """Record the code with which a run was continued: its weights come from two versions of the code."""
    store.client().set_tag(run_id, CONTINUED_WITH, _shortened(code))


def _described(run: "Run") -> UnfinishedRun:
    return UnfinishedRun(
        run_id=str(run.info.run_id),
        fingerprint=run.data.tags[FINGERPRINT],
        inputs=run.data.tags[INPUTS],
        code=json.loads(run.data.tags.get(CODE, "{}")),
        commit=run.data.tags.get(GIT_COMMIT),
    )


def _shortened(code: Mapping[str, str]) -> str:
    return json.dumps({file: digest[:_DIGITS] for file, digest in code.items()}, separators=(",", ":"))
