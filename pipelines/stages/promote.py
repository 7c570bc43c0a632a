"""promote: move the alias `champion` to the candidate if it is significantly better on the same held-out data."""

import math
import tempfile
from pathlib import Path

from banet.config import Params
from banet.data.shards.reader import ShardFolder
from banet.data.stream.training_set import TrainingSet
from banet.errors import DataError
from banet.inference import deterministic_convolutions, fastest_device
from banet.lineage.trace import trace
from banet.scoring.bootstrap import Difference, paired_bootstrap
from banet.tracking.registry import champion, note_decision, open_version
from banet.tracking.registry import promote as move_champion
from banet.tracking.store import Store, connect
from banet.tracking.version_files import RegisteredModel
from banet.tracking.versions import attach_card
from pipelines.model_card import ORIGIN, model_card, read_evaluations
from pipelines.stages.entrypoint import params, run_command
from pipelines.stages.stage_results import PROMOTION, REGISTERED, REPORTS, Promotion, read_json, write_json


def promote(
    chosen: Params, *, candidate: RegisteredModel, shards: Path, store: Store, reports: Path, device: str = "cpu"
) -> Promotion:
    """Score candidate and champion on the held-out sequences, and move the alias if the candidate is better.

    It is better if the confidence interval of the mean difference in PSNR, from a paired bootstrap over sequences and
    images, is above zero. Test scores are not used.

    Each version runs with the code that it carries. The shards are those of the training benchmark; `reports` gets the
    decision and its reason. The candidate gets a model card, with the scores of its evaluations in `reports`.

    Raises:
        DataError: missing or damaged shards, or nothing to compare.
        ModelError: the registry does not hold a version with its digest.
    """
    folder = ShardFolder(shards)
    folder.verify()
    held_out = chosen.benchmark.validation.sequences
    data = TrainingSet(folder=shards, variant=chosen.benchmark.variant, held_out=held_out, seed=chosen.recipe.seed)
    before = champion(store, candidate.name)
    rival = None if before is None or before.version == candidate.version else before
    with tempfile.TemporaryDirectory() as folder_of_both:  # versions with the same code share its modules
        scores = score_held_out(store, candidate, data, device, Path(folder_of_both))
        its_scores = scores if rival is None else score_held_out(store, rival, data, device, Path(folder_of_both))
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
    describe(chosen, candidate, store=store, reports=reports)
    return decision


def describe(chosen: Params, model: RegisteredModel, *, store: Store, reports: Path) -> None:
    """Put the model card beside a version, with its scores in `reports` and the decision on it."""
    evaluations = read_evaluations(reports, chosen.evaluate_on, model.name, model.version)
    card = model_card(chosen, trace(store, model), evaluations)
    attach_card(store, model, card, card.partition(ORIGIN)[0])


def score_held_out(store: Store, model: RegisteredModel, data: TrainingSet, device: str, fetched: Path) -> list[float]:
    """PSNR of a registered version on each held-out image, dB, in the order of the keys.

    The version runs as it is pulled, with the code that it carries; `fetched` gets its files.
    """
    restoring = open_version(store, model, fetched / str(model.version), device)
    with deterministic_convolutions():
        return data.validation_psnr(restoring)


def compare(candidate: list[float], champion: list[float], data: TrainingSet) -> Difference:
    """Compare two models on the held-out images that neither restores exactly.

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


def main(shards: Path, reports: Path = REPORTS) -> None:
    """Make the candidate the champion if it is better."""
    chosen = params()
    promote(
        chosen,
        candidate=read_json(RegisteredModel, reports / REGISTERED, stage="register"),
        shards=shards,
        store=connect(),
        device=fastest_device(gpus=chosen.cluster.gpus_per_worker > 0),
        reports=reports,
    )


if __name__ == "__main__":
    run_command(main)
