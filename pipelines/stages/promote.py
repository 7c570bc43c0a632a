"""promote: the alias `champion` moves only to a candidate that is better on the same held-out data, beyond chance."""

import math
import tempfile
from pathlib import Path

from banet.config import Params
from banet.data.names import SHARP
from banet.data.shards.reader import ShardFolder
from banet.data.stream.training_set import TrainingSet
from banet.errors import DataError
from banet.inference import deterministic_convolutions, fastest_device, restore
from banet.metrics.psnr import psnr
from banet.model.weights import load_weights
from banet.scoring.bootstrap import Difference, paired_bootstrap
from banet.tracking.registry import RegisteredModel, champion, note_decision, pull
from banet.tracking.registry import promote as move_champion
from banet.tracking.store import Store, connect
from pipelines.stages.entrypoint import params, run_command, stage_parser
from pipelines.stages.stage_results import PROMOTION, REGISTERED, REPORTS, Promotion, read_json, write_json


def promote(
    chosen: Params, *, candidate: RegisteredModel, shards: Path, store: Store, reports: Path, device: str = "cpu"
) -> Promotion:
    """Score candidate and champion on the held-out sequences, and move the alias if the candidate is better.

    Better is a mean difference in PSNR whose interval lies above zero, by a paired bootstrap over sequences and images.
    Test scores have no part in it.

    Args:
        chosen: names the held-out sequences.
        candidate: the version just registered.
        shards: of the training benchmark.
        store: MLflow's.
        reports: gets the decision and its reason.
        device: of torch.

    Raises:
        DataError: missing or damaged shards, or nothing to compare.
        ModelError: the registry does not hold a version with its digest.
    """
    folder = ShardFolder(shards)
    folder.verify()
    held_out = chosen.benchmark.validation.sequences
    data = TrainingSet(folder=shards, variant=chosen.benchmark.variant, held_out=held_out, seed=chosen.recipe.seed)
    scores = validation_psnr(store, candidate, data, device)
    before = champion(store, candidate.name)
    rival = None if before is None or before.version == candidate.version else before
    its_scores = scores if rival is None else validation_psnr(store, rival, data, device)
    difference = None if rival is None else compare(scores, its_scores, data)
    moved = before is None or (difference is not None and difference.better)
    reason = _reason(candidate, before, _mean(scores), difference)
    if moved:
        move_champion(store, candidate, reason=reason)
    elif rival is not None:
        note_decision(store, candidate, reason=reason)
    decision = Promotion(
        name=candidate.name,
        candidate_version=candidate.version,
        previous_version=None if before is None else before.version,
        moved=moved,
        reason=reason,
        candidate_psnr=_mean(scores),
        previous_psnr=None if before is None else _mean(its_scores),
        difference=difference,
        data_digest=folder.summary.digest,
    )
    write_json(reports / PROMOTION, decision)
    return decision


def validation_psnr(store: Store, model: RegisteredModel, data: TrainingSet, device: str = "cpu") -> list[float]:
    """PSNR of a registered version on each held-out image, dB, in the order of the keys."""
    with tempfile.TemporaryDirectory() as folder:
        network = load_weights(pull(store, model.name, model.version, Path(folder) / "weights", model.digest))
    network.to(device)
    shards = ShardFolder(data.folder)
    pairs = (shards.read(row, (data.variant, SHARP)).images for row in data.validation_rows())
    with deterministic_convolutions():
        return [psnr(restore(network, images[data.variant]), images[SHARP]) for images in pairs]


def compare(candidate: list[float], champion: list[float], data: TrainingSet) -> Difference:
    """Compare two models on the held-out images that neither restores to the last bit.

    Raises:
        DataError: there are no such images.
    """
    rows = zip(data.validation_rows(), candidate, champion, strict=True)
    kept = [(row.sequence, ours - theirs) for row, ours, theirs in rows if math.isfinite(ours + theirs)]
    if not kept:
        raise DataError("every held-out image is restored exactly: there is nothing to compare, hold out others")
    return paired_bootstrap([value for _, value in kept], [sequence for sequence, _ in kept])


def _mean(scores: list[float]) -> float:
    finite = [score for score in scores if math.isfinite(score)]
    if not finite:
        raise DataError("every held-out image is restored exactly: it cannot be blurred, hold out others")
    return math.fsum(finite) / len(finite)


def _reason(
    candidate: RegisteredModel, before: RegisteredModel | None, score: float, difference: Difference | None
) -> str:
    held_out = "on the held-out sequences"
    if before is None:
        return f"version {candidate.version} is the first champion: {score:.3f} dB {held_out}"
    if difference is None:
        return f"version {candidate.version} is the champion already: {score:.3f} dB {held_out}"
    verdict = "better than" if difference.better else "not better beyond chance than"
    among = f"{difference.images} images of {difference.sequences} sequence{'s' if difference.sequences > 1 else ''}"
    only = "" if difference.sequences > 1 else "; with one sequence the interval is too narrow"
    return f"version {candidate.version} is {verdict} {before.version} {held_out}: {difference}, {among}{only}"


def main() -> None:
    """Read the arguments and decide."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shards", type=Path, required=True, help="folder of the training benchmark's shards")
    parser.add_argument("--reports", type=Path, default=REPORTS, help="folder with what the register stage wrote")
    arguments = parser.parse_args()
    chosen = params()
    promote(
        chosen,
        candidate=read_json(RegisteredModel, arguments.reports / REGISTERED, stage="register"),
        shards=arguments.shards,
        store=connect(),
        device=fastest_device(gpus=chosen.cluster.gpus_per_worker > 0),
        reports=arguments.reports,
    )


if __name__ == "__main__":
    run_command(main)
