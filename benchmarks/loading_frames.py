"""What the sections of benchmarks/loading.py measure on: frames, shards of them, and streams of the shards."""

import os
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from banet.data.sharding.writer import ShardWriter
from banet.data.shards.pixels import Storage
from banet.data.shards.reader import Pair
from banet.data.stream.augmentation import draw_augmentation
from banet.data.stream.order import RankSlice, augmentation_rng, pair_of_sample
from banet.data.stream.ray_stream import stream
from banet.data.stream.training_set import TrainingSet
from banet.image import Image

CROP, BATCH = 256, 8
HELD_OUT = "held"  # a sequence: something must validate
GOPRO_PAIRS = 2103  # that GoPro trains on
Files = list[tuple[Path, Path]]
"""PNG files of pairs, blurred and sharp."""


@dataclass(frozen=True)
class Frames:
    """What all sections measure on."""

    files: Files
    real: bool
    folder: Path  # for what is written

    @cached_property
    def pairs(self) -> list[tuple[Image, Image]]:
        """The images, RGB."""
        return [(read(blurred), read(sharp)) for blurred, sharp in self.files]

    @cached_property
    def parts(self) -> TrainingSet:
        """As many pairs as GoPro trains on, each a 256x256 part of a frame."""
        rng = np.random.default_rng(0)

        def cut() -> Iterator[tuple[Image, Image]]:
            for i in range(GOPRO_PAIRS):
                pair = self.pairs[i % len(self.pairs)]
                top, left = (int(rng.integers(0, side - CROP + 1)) for side in pair[0].shape[:2])
                yield tuple(image[top : top + CROP, left : left + CROP] for image in pair)  # type: ignore[misc]

        return write_shards(self.folder / "parts", cut(), "compact")


def find_frames(folder: Path) -> Frames:
    """Real GoPro frames where BANET_SAMPLES has them, else generated ones."""
    blurred = sorted((Path(os.environ.get("BANET_SAMPLES", "")) / "gopro_sample").rglob("blur/*.png"))
    if blurred:
        return Frames([(path, path.parents[1] / "sharp" / path.name) for path in blurred], True, folder)
    rng = np.random.default_rng(0)
    files = []
    for i in range(12):
        smooth = cv2.resize(rng.integers(0, 256, (90, 160, 3), np.uint8), (1280, 720))
        files.append((folder / f"{i}-blur.png", folder / f"{i}-sharp.png"))
        for path in files[-1]:
            cv2.imwrite(str(path), np.clip(smooth + rng.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8))
    return Frames(files, False, folder)


def read(path: Path) -> Image:
    """Decode a whole PNG file."""
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)  # type: ignore[return-value]


def write_shards(folder: Path, pairs: Iterable[tuple[Image, Image]], storage: Storage) -> TrainingSet:
    """Write shards of these pairs, and one more pair that is held out."""
    writer = ShardWriter(folder, ("blur",), storage)

    def named() -> Iterator[Pair]:
        for i, (blurred, sharp) in enumerate(pairs):
            if not i:
                yield Pair(key=f"{HELD_OUT}/0", split="train", sequence=HELD_OUT, images=images(blurred, sharp))
            yield Pair(key=f"a/{i:06d}", split="train", sequence="a", images=images(blurred, sharp))

    writer.write("train", named())
    writer.finish("benchmark")
    return training_set(folder)


def images(blurred: Image, sharp: Image) -> dict[str, Image]:
    """The columns of a pair."""
    return {"blur": blurred, "sharp": sharp}


def training_set(folder: Path) -> TrainingSet:
    """The training set of these shards."""
    return TrainingSet(folder=folder, variant="blur", held_out=(HELD_OUT,), seed=0)


def batches(data: TrainingSet, count: int, crop: int = CROP) -> Iterator[tuple[Tensor, Tensor]]:
    """The stream of a single rank."""
    return stream(data, RankSlice(first=0, batch_size=BATCH, rank=0, ranks=1), batches=count, crop=crop)


def close(batches: Iterator[Any]) -> None:
    """Stop a stream, and give what it has started time to end."""
    batches.close()  # type: ignore[attr-defined]  # a generator
    time.sleep(1)


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values), "rounds": len(values)}


def png_sample(files: Files, k: int) -> tuple[Image, Image]:
    """Sample k, as a loader over PNG files makes it: both files decoded whole, one crop, flip and turn of both."""
    pair = [read(path) for path in files[pair_of_sample(0, k, len(files))]]
    height, width = pair[0].shape[:2]
    draw = draw_augmentation(augmentation_rng(0, k), height, width, CROP, where="frame")
    return draw(pair[0]), draw(pair[1])
