"""What a run is traced by: the commit, who started it, and how its data were judged."""

import os
from pathlib import Path

from banet.config import Params
from banet.data.data_checks import DataChecks, read_checks
from banet.data.shards.reader import Summary
from banet.lineage.trace import DATA_CHECKS, EXPERIMENT, FLOW_RUN, FLOW_RUN_URL
from banet.tracking.runs import git_tags

STARTED_BY = {  # environment variable: tag
    "BANET_FLOW_RUN": FLOW_RUN,  # set by our flow
    "BANET_FLOW_RUN_URL": FLOW_RUN_URL,
    "DVC_EXP_NAME": EXPERIMENT,  # set by `dvc exp run`
}


def run_tags(chosen: Params, reports: Path, data: Summary) -> dict[str, str]:
    """Tag a training run; the checks are those that the shard stage left in `reports`, if they are of these shards.

    They are no dependency of the train stage in DVC, since they change no result.
    """
    checks = read_checks(reports, chosen.benchmark.name)
    known = checks is not None and checks.data_digest == data.digest
    return git_tags(Path.cwd()) | started_by() | ({DATA_CHECKS: judgement(checks)} if checks and known else {})


def started_by() -> dict[str, str]:
    """Name the flow run of Prefect and the experiment of DVC that this stage is part of."""
    return {tag: os.environ[variable] for variable, tag in STARTED_BY.items() if os.environ.get(variable)}


def judgement(checks: DataChecks) -> str:
    """Return `ok`, or `warning: exposure of train, alignment of test`."""
    found = [f"{check.name} of {check.split}" for check in checks.checks if check.severity != "ok"]
    return f"{checks.severity}: {', '.join(found)}" if found else checks.severity
