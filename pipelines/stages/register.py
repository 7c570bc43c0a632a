"""register: weights into a version of the registered model `banet-<training benchmark>`, alias `candidate`."""

import json
from dataclasses import asdict
from pathlib import Path

from banet.config import Params
from banet.tracking.registry import RegisteredModel
from banet.tracking.registry import register as register_weights
from banet.tracking.runs import git_tags
from banet.tracking.store import Store, connect
from pipelines.stages.entrypoint import params, run_command, stage_parser
from pipelines.stages.stage_results import CANDIDATE, REGISTERED, REPORTS, RUN, TrainedBy, read_json, write_json


def register(chosen: Params, *, weights: Path, store: Store, reports: Path) -> RegisteredModel:
    """Register the weights; the same weights are never registered twice.

    Args:
        chosen: what was trained, on what, how: becomes the version's tags.
        weights: folder that the train stage made.
        store: MLflow's.
        reports: gets name, version and weight digest.
    """
    by = read_json(TrainedBy, weights / RUN, stage="train")
    made_of = {key: value for key, value in asdict(chosen).items() if key in ("benchmark", "model", "recipe")}
    tags = {**git_tags(Path.cwd()), "data_digest": by.data_digest, "params": json.dumps(made_of)}
    name = f"banet-{chosen.benchmark.name}"
    model = register_weights(store, weights, name=name, run_id=by.run_id, tags=tags)
    write_json(reports / REGISTERED, model)
    return model


def main() -> None:
    """Read the arguments and register."""
    parser = stage_parser(__doc__)
    parser.add_argument("--weights", type=Path, default=CANDIDATE, help="folder that the train stage made")
    parser.add_argument("--reports", type=Path, default=REPORTS, help="folder for the JSON")
    arguments = parser.parse_args()
    register(params(), weights=arguments.weights, store=connect(), reports=arguments.reports)


if __name__ == "__main__":
    run_command(main)
