"""Scoring a model on a benchmark's shards: each whole image in one pass, spread over processes, resumable."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch

from banet.data.manifest import Benchmark
from banet.data.names import SHARP, TEST
from banet.data.shards.index import PairRow
from banet.data.shards.reader import ShardFolder
from banet.data.shards.storage import Location
from banet.errors import ResourceError
from banet.image import Image
from banet.inference import deterministic_convolutions, restore, restore_sub_images
from banet.memory import enough_memory
from banet.model.digest import weights_digest
from banet.model.network import BANet, with_local_strips
from banet.model.weights import load_weights
from banet.scoring.aggregate import SUB_IMAGES, score_place
from banet.scoring.baselines import Filter
from banet.scoring.resume import FinishedBlocks, Work, finished_blocks, score_resumed
from banet.scoring.scores import ImageScores, protocol_of, score, score_aligned


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """What is scored, and how; sent to other processes."""

    weights: Path  # folder
    shards: Location
    benchmark: Benchmark
    baseline_filter: Filter | None = None  # scored as well, on the blurred images of `variants[0]`
    variants: tuple[str, ...]  # of the blurred images; the first is the one that counts
    device: str = "cpu"
    sub_images: bool = False  # restore eight sub-images of each image separately (Table 9)
    local_crop: int | None = None  # strips are averaged over windows of this training crop; side in pixels

    def place(self, variant: str) -> str:
        """The beginning of MLflow's names for the scores of a variant."""
        sub_images = SUB_IMAGES if self.sub_images else 1
        return score_place(self.benchmark.name, variant, sub_images=sub_images, local_crop=self.local_crop)


def score_benchmark(
    scoring: Scoring,
    rows: Sequence[PairRow],
    *,
    kept: FinishedBlocks | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ImageScores]:
    """Restore and score the blurred images of every variant, in the order of the variants and rows.

    As `score_resumed` does; on a GPU, `workers` is one per GPU if None.

    Raises:
        DataError: damaged shards.
        ModelError: damaged weights.
        ResourceError: a GPU is asked for and there is none, a full disk, or workers that die.
    """
    on_gpu = scoring.device != "cpu"
    if on_gpu and not torch.cuda.is_available():
        raise ResourceError(f"{scoring.device} cannot be used, torch finds no GPU here: score on the CPU")
    return score_resumed(
        partial(_open, scoring),
        [
            Work(item=(variant, row), key=row.key, variant=variant, pixels=row.height * row.width)
            for variant in scoring.variants
            for row in rows
        ],
        protocol=protocol_of(scoring.benchmark),
        kept=kept,
        workers=torch.cuda.device_count() if on_gpu and workers is None else workers,
        gpus=1 if on_gpu else 0,
        on_progress=on_progress,
    )


def kept_scores(storage: Path, scoring: Scoring, data_digest: str) -> FinishedBlocks:
    """Return the finished blocks in `storage`, found by all that the scores depend on, including both digests."""
    digests = {"weights": weights_digest(scoring.weights), "shards": data_digest}
    depends_on = asdict(replace(scoring, weights=Path(), shards="")) | digests
    return finished_blocks(storage, scoring.benchmark.name, depends_on, Path(__file__))


def score_image(
    restoring: Callable[[Image], Image],
    shards: ShardFolder,
    row: PairRow,
    benchmark: Benchmark,
    variant: str,
    baseline_filter: Filter | None = None,
) -> ImageScores:
    """Restore and score one blurred image."""
    images = shards.read(row, (variant, SHARP)).images
    blurred, sharp = images[variant], images[SHARP]
    restored = restoring(blurred)
    return ImageScores(
        key=row.key,
        sequence=row.sequence,
        stratum=benchmark.stratum(row.sequence, shards.summary.counts[TEST]),
        variant=variant,
        blurred=score(blurred, sharp),
        restored=score(restored, sharp),
        filtered=score(baseline_filter(blurred), sharp) if baseline_filter is not None else None,
        realblur=score_aligned(restored, sharp, protocol_of(benchmark)),
    )


def open_model(scoring: Scoring) -> tuple[BANet, Callable[[Image], Image]]:
    """Load the network on the device that scores; return it and the function that restores one image.

    Raises:
        ModelError: damaged weights.
    """
    network = load_weights(scoring.weights)
    if scoring.local_crop is not None:
        network = with_local_strips(network, scoring.local_crop)
    network.to(scoring.device)

    def restoring(image: Image) -> Image:
        with deterministic_convolutions():
            return restore_sub_images(network, image) if scoring.sub_images else restore(network, image)

    return network, restoring


def _open(scoring: Scoring) -> Callable[[tuple[str, PairRow]], ImageScores]:
    """Load the model and open the shards, once per process."""
    network, restoring = open_model(scoring)
    shards = ShardFolder(scoring.shards)
    remedy = f"use {'' if scoring.sub_images else '--sub-images, '}fewer --workers or a larger machine"

    def work(image: tuple[str, PairRow]) -> ImageScores:
        variant, row = image
        baseline = scoring.baseline_filter if variant == scoring.variants[0] else None
        with enough_memory(row.key, remedy, size=(row.height, row.width), config=network.config):
            return score_image(restoring, shards, row, scoring.benchmark, variant, baseline)

    return work
