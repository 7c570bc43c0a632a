"""register: make the weights a version of the registered model `banet-<training benchmark>`, alias `candidate`."""

import json
from dataclasses import asdict
from pathlib import Path

from banet.config import Params
from banet.tracking.registry import register as register_weights
from banet.tracking.runs import git_tags
from banet.tracking.store import Store, connect
from banet.tracking.version_files import RegisteredModel
from pipelines.stages.entrypoint import params, run_command
from pipelines.stages.stage_results import CANDIDATE, REGISTERED, REPORTS, RUN, TrainedBy, read_json, write_json
from pipelines.version_tags import version_tags


def register(chosen: Params, *, weights: Path, store: Store, reports: Path) -> RegisteredModel:
    """Register the weights, unless they are registered already; `reports` gets the name, version and digest."""
    by = read_json(TrainedBy, weights / RUN, stage="train")
    trained_with = {key: value for key, value in asdict(chosen).items() if key in ("benchmark", "model", "recipe")}
    traced = git_tags(Path.cwd()) | version_tags(chosen.benchmark.name)
    tags = {**traced, "data_digest": by.data_digest, "params": json.dumps(trained_with)}
    name = f"banet-{chosen.benchmark.name}"
    model = register_weights(store, weights, name=name, run_id=by.run_id, tags=tags)
    write_json(reports / REGISTERED, model)
    return model


def main(weights: Path = CANDIDATE, reports: Path = REPORTS) -> None:
    """Make the weights a version of the registered model."""
    register(params(), weights=weights, store=connect(), reports=reports)


if __name__ == "__main__":
    run_command(main)
