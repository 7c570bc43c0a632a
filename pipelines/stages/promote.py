"""promote: the alias `champion` moves only to a candidate that is better on the same held-out data."""

import tempfile
from pathlib import Path

import numpy as np

from banet.config import Params
from banet.data.archive import SHARP
from banet.data.shards import ShardFolder
from banet.data.training import TrainingSet
from banet.metrics import psnr
from banet.model import load_weights
from banet.restore import restore
from banet.tracking.registry import RegisteredModel, champion, pull
from banet.tracking.registry import promote as move_champion
from banet.tracking.store import Store, connect
from pipelines.stages.face import params, run_command, stage_parser
from pipelines.stages.outputs import PROMOTION, REGISTERED, REPORTS, Promotion, read_json, write_json


def promote(chosen: Params, *, candidate: RegisteredModel, shards: Path, store: Store, reports: Path) -> Promotion:
    """Score candidate and champion on the held-out sequences, and move the alias if the candidate is better.

    Args:
        chosen: names the held-out sequences.
        candidate: the version just registered.
        shards: of the training benchmark.
        store: MLflow's.
        reports: gets the decision and its reason.
    """
    folder = ShardFolder(shards)
    folder.verify()
    held_out = chosen.benchmark.validation.sequences
    data = TrainingSet(folder=shards, variant=chosen.benchmark.variant, held_out=held_out, seed=chosen.recipe.seed)
    score = validation_psnr(store, candidate, data)
    before = champion(store, candidate.name)
    same = before is not None and before.version == candidate.version
    its_score = None if before is None else score if same else validation_psnr(store, before, data)
    if before is None:
        reason = f"version {candidate.version} is the first champion: {score:.3f} dB on the held-out sequences"
    elif same:
        reason = f"version {candidate.version} is the champion already: {score:.3f} dB on the held-out sequences"
    else:
        word = "above" if its_score is not None and score > its_score else "not above"
        reason = f"version {candidate.version} has {score:.3f} dB, {word} the {its_score:.3f} dB of {before.version}"
    moved = before is None or (its_score is not None and score > its_score)
    if moved:
        move_champion(store, candidate, reason=reason)
    decision = Promotion(
        name=candidate.name,
        candidate_version=candidate.version,
        previous_version=None if before is None else before.version,
        moved=moved,
        reason=reason,
        candidate_psnr=score,
        previous_psnr=its_score,
    )
    write_json(reports / PROMOTION, decision)
    return decision


def validation_psnr(store: Store, model: RegisteredModel, data: TrainingSet) -> float:
    """Mean PSNR of a registered version on the held-out images, dB."""
    with tempfile.TemporaryDirectory() as folder:
        network = load_weights(pull(store, model.name, model.version, Path(folder) / "weights", model.digest))
    shards = ShardFolder(data.folder)
    pairs = (shards.read(row, (data.variant, SHARP)).images for row in data.validation_rows())
    return float(np.mean([psnr(restore(network, images[data.variant]), images[SHARP]) for images in pairs]))


def main() -> None:
    """Read the arguments and decide."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shards", type=Path, required=True, help="folder of the training benchmark's shards")
    parser.add_argument("--reports", type=Path, default=REPORTS, help="folder with what the register stage wrote")
    arguments = parser.parse_args()
    promote(
        params(),
        candidate=read_json(RegisteredModel, arguments.reports / REGISTERED, stage="register"),
        shards=arguments.shards,
        store=connect(),
        reports=arguments.reports,
    )


if __name__ == "__main__":
    run_command(main)
