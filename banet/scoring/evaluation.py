"""Scoring a model on a benchmark's shards: blocks of images, each whole image in one pass, spread and resumed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch

from banet.data.manifest import Benchmark
from banet.data.names import SHARP
from banet.data.shards.index import PairRow
from banet.data.shards.reader import ShardFolder
from banet.data.shards.storage import Location
from banet.errors import ResourceError
from banet.image import Image
from banet.inference import deterministic_convolutions, restore, restore_sub_images
from banet.model.network import BANet, with_local_strips
from banet.model.weights import load_weights
from banet.scoring.aggregate import SUB_IMAGES, score_place
from banet.scoring.baselines import Filter
from banet.scoring.resume import FinishedBlocks, Work, finished_blocks, score_resumed
from banet.scoring.scores import ImageScores, Protocol, protocol_of, score, score_aligned

IMAGES_A_BLOCK: dict[Protocol, int] = {"gopro": 8, "realblur": 1}  # an alignment takes as long as eight plain scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """What is scored; it goes to other processes."""

    weights: Path  # folder
    shards: Location
    benchmark: Benchmark
    baseline_filter: Filter | None = None  # scored beside the model, on the blurred images of `variants[0]`
    variants: tuple[str, ...]  # which blurred images are restored; the first is the one that counts
    device: str = "cpu"
    sub_images: bool = False  # restore eight sub-images of each image separately (Table 9)
    local_crop: int | None = None  # side of the training crop over whose windows strips average, pixels

    def place(self, variant: str) -> str:
        """What MLflow's names of the scores of a variant begin with."""
        return score_place(
            self.benchmark.name,
            variant,
            sub_images=SUB_IMAGES if self.sub_images else 1,
            local_crop=self.local_crop,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some images of one variant."""

    variant: str
    rows: tuple[PairRow, ...]


def score_benchmark(
    scoring: Scoring,
    rows: Sequence[PairRow],
    *,
    kept: FinishedBlocks | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ImageScores]:
    """Restore and score the blurred images of every variant, in the order of the variants and rows.

    Args:
        scoring: model, shards, variants.
        rows: of the shards.
        kept: where blocks that are done lie; only the others are scored.
        workers: processes; None takes one for few small images and else one a core. On a GPU, one process a GPU.
        on_progress: is told how many images are done, of how many.

    Raises:
        DataError: damaged shards.
        ModelError: damaged weights.
        ResourceError: no GPU though one is asked for, a full disk, or workers that die.
    """
    on_gpu = scoring.device != "cpu"
    if on_gpu and not torch.cuda.is_available():
        raise ResourceError(f"{scoring.device} cannot be used, torch finds no GPU here: score on the CPU")
    return score_resumed(
        partial(_open, scoring),
        list(_blocks(scoring, rows)),
        kept=kept,
        workers=torch.cuda.device_count() if on_gpu and workers is None else workers,
        gpus=1 if on_gpu else 0,
        on_progress=on_progress,
    )


def kept_scores(storage: Path, scoring: Scoring, *, weights: str, shards: str) -> FinishedBlocks:
    """Return where scores lie until all are there, by everything that they depend on.

    Args:
        storage: folder of unfinished work.
        scoring: where weights and shards lie does not count.
        weights: digest of the weights.
        shards: digest of the shards.
    """
    depends_on = asdict(replace(scoring, weights=Path(), shards="")) | {"weights": weights, "shards": shards}
    return finished_blocks(storage, scoring.benchmark.name, depends_on, Path(__file__))


def score_images(
    restoring: Callable[[Image], Image],
    shards: ShardFolder,
    rows: Sequence[PairRow],
    benchmark: Benchmark,
    variant: str,
    baseline_filter: Filter | None = None,
) -> list[ImageScores]:
    """Restore and score the blurred images of one variant in this process, in the order of the rows."""
    protocol, scores = protocol_of(benchmark), []
    for row in rows:
        images = shards.read(row, (variant, SHARP)).images
        blurred, sharp = images[variant], images[SHARP]
        restored = restoring(blurred)
        scores.append(
            ImageScores(
                key=row.key,
                sequence=row.sequence,
                stratum=benchmark.stratum(row.sequence),
                variant=variant,
                blurred=score(blurred, sharp),
                restored=score(restored, sharp),
                filtered=score(baseline_filter(blurred), sharp) if baseline_filter is not None else None,
                realblur=score_aligned(restored, sharp, protocol),
            )
        )
    return scores


def _blocks(scoring: Scoring, rows: Sequence[PairRow]) -> Iterator[Work[Block]]:
    size = IMAGES_A_BLOCK[protocol_of(scoring.benchmark)]
    for variant in scoring.variants:
        for first in range(0, len(rows), size):
            some = tuple(rows[first : first + size])
            yield Work(
                item=Block(variant=variant, rows=some),
                keys=tuple((row.key, variant) for row in some),
                pixels=sum(row.height * row.width for row in some),
            )


def open_model(scoring: Scoring) -> tuple[BANet, Callable[[Image], Image]]:
    """Load the network to where it scores, and how it restores one image there.

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


def _open(scoring: Scoring) -> Callable[[Block], list[ImageScores]]:
    """Load the model and open the shards, once a process."""
    _, restoring = open_model(scoring)
    shards = ShardFolder(scoring.shards)

    def work(block: Block) -> list[ImageScores]:
        baseline = scoring.baseline_filter if block.variant == scoring.variants[0] else None
        return score_images(restoring, shards, block.rows, scoring.benchmark, block.variant, baseline)

    return work
