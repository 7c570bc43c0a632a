"""Real blur on a laptop: the network and recipe `laptop`, trained on sample pairs, scored on other sequences.

    BANET_SAMPLES=FOLDER nice python benchmarks/real_blur.py        (writes benchmarks/results/real_blur.json)

The folder holds `gopro_sample/GOPRO_Large/{train,test}` in GoPro's layout, `pairs_averaged_240fps/*__{blur,sharp}.png`,
`frames_240fps/CLIP/*.png` and `sharp_photos/`. Pairs, state and weights go to `--work`; a run that was stopped goes on
from its last validation. `--share 0.1` trains for a tenth of the recipe's steps. docs/real_blur.md has the results.
"""

import argparse
import csv
import dataclasses
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from banet.cli import main as banet
from banet.config import RecipeParams, read_model_config
from banet.data.images.codec import read_image
from banet.data.stream.augmentation import draw_augmentation
from banet.errors import ModelError
from banet.image import Image
from banet.inference import restore
from banet.metrics.psnr import psnr
from banet.model.network import BANet
from banet.model.weights import save_weights
from banet.parsing import parse, read_yaml
from banet.scoring.baselines import best_filter
from banet.train.loop import Batch, Training, TrainingProgress, ValidationScores, fit
from banet.train.plan import PlannedPhase, plan

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/real_blur.json"
HELD_OUT = "GOPR0477_11_00"  # nothing of this sequence is trained on, its 240 fps frames neither
CHOOSING, OTHERS = (5, 9), (3, 7, 11)  # numbers of its frames averaged: with its pairs, the first choose the weights
REPEATS = 36  # of each real pair in the list: with the samples, a tenth of what is seen
SYNTHESIS = ("--size", "192x192", "--pairs", "36", "--motion", "arc", "--longest", "18", "--average-in", "encoded")
Pair = tuple[Image, Image]
Named = dict[str, Pair]


def real_pairs(samples: Path) -> dict[str, list[tuple[Path, Path]]]:
    """Find the pairs of cameras, (blurred, sharp), by sequence; those of GoPro's test split begin with `test/`."""
    found: dict[str, list[tuple[Path, Path]]] = {}
    for blurred in sorted(samples.glob("gopro_sample/GOPRO_Large/*/*/blur/*.png")):
        split, sequence = blurred.parts[-4:-2]
        name = f"test/{sequence}" if split == "test" else sequence
        found.setdefault(name, []).append((blurred, blurred.parents[1] / "sharp" / blurred.name))
    for blurred in sorted(samples.glob("pairs_averaged_240fps/*__blur.png")):
        sharp = blurred.with_name(blurred.name.replace("__blur", "__sharp"))
        found.setdefault(blurred.name.partition("_st_")[0], []).append((blurred, sharp))
    return found


def make_pairs(samples: Path, work: Path) -> Path:
    """Make the training pairs with `banet synthesize`; return a list of them for a manifest of the layout `list`."""
    listing = work / "pairs.csv"
    if listing.is_file():
        return listing
    shutil.rmtree(work / "pairs", ignore_errors=True)
    training = {name: pairs for name, pairs in real_pairs(samples).items() if name != HELD_OUT and "/" not in name}
    photographs = work / "pairs/photographs"
    shutil.copytree(samples / "sharp_photos", photographs)
    for name, pairs in training.items():
        for _, sharp in pairs:
            shutil.copy(sharp, photographs / f"{name}_{sharp.name}")
    require_done(["synthesize", str(photographs), str(work / "pairs/synthetic"), *SYNTHESIS])
    with listing.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["blurred", "sharp", "sequence"])
        for blurred in sorted((work / "pairs").glob("*/train/*/blur/*.png")):
            rows.writerow([blurred, blurred.parents[1] / "sharp" / blurred.name, blurred.parts[-3]])
        for name, pairs in training.items():
            rows.writerows([*pair, f"{name}-{time_}"] for pair in pairs for time_ in range(REPEATS))
    return listing


def require_done(command: list[str]) -> None:
    """Run a `banet` command in this process; end with its status if it fails."""
    if status := banet(command):
        sys.exit(status)


def read_pairs(listing: Path) -> list[Pair]:
    """Read the training pairs; the same file is read once."""
    read = {}
    with listing.open(newline="") as file:
        pairs = [(row["blurred"], row["sharp"]) for row in csv.DictReader(file)]
    for path in {path for pair in pairs for path in pair}:
        read[path] = read_image(Path(path))
    return [(read[blurred], read[sharp]) for blurred, sharp in pairs]


def read_named(found: dict[str, list[tuple[Path, Path]]], wanted: Callable[[str], bool]) -> Named:
    """Read the pairs of some sequences, by sequence and name."""
    return {
        f"{name}/{blurred.stem.replace('__blur', '')}": (read_image(blurred), read_image(sharp))
        for name, pairs in found.items()
        if wanted(name)
        for blurred, sharp in pairs
    }


def averages(samples: Path, numbers: Sequence[int]) -> Named:
    """Average odd numbers of frames of the held-out clip around one of them, which no training has seen."""
    (clip,) = samples.glob(f"frames_240fps/{HELD_OUT}")
    frames = [read_image(path) for path in sorted(clip.glob("*.png"))]
    middle = len(frames) // 2
    found = {}
    for number in numbers:
        blurred = np.mean(frames[middle - number // 2 :][:number], axis=0, dtype=np.float32)
        found[f"{HELD_OUT}/{number} frames"] = (np.rint(blurred).astype(np.uint8), frames[middle])
    return found


def batches(pairs: Sequence[Pair], phase: PlannedPhase, step: int) -> Iterator[Batch]:
    """Draw the batches of a phase from a step of the run on; each step has its own random numbers."""
    size, crop = phase.params.batch_size, phase.params.crop
    for number in range(step, phase.last_step):
        rng = np.random.default_rng([number, 0])
        chosen = [pairs[i] for i in rng.integers(len(pairs), size=size)]
        ways = [draw_augmentation(rng, sharp.shape[0], sharp.shape[1], crop, where="a pair") for _, sharp in chosen]
        blurred, sharp = (
            torch.from_numpy(np.stack([way(pair[kind]) for way, pair in zip(ways, chosen, strict=True)]))
            for kind in (0, 1)
        )
        yield blurred, sharp


def shortened(recipe: RecipeParams, share: float) -> RecipeParams:
    """Return the recipe with a share of its steps."""
    phases = tuple(
        dataclasses.replace(
            phase, steps=max(1, round((phase.steps or 0) * share)), warmup_steps=round(phase.warmup_steps * share)
        )
        for phase in recipe.phases
    )
    return dataclasses.replace(recipe, phases=phases)


def train(training: Training, pairs: Sequence[Pair], held_out: Named, work: Path) -> list[TrainingProgress]:
    """Train to the end, and keep the state at every validation; return the points with a validation."""
    curve: list[TrainingProgress] = []
    begun = time.monotonic()

    def report(progress: TrainingProgress) -> None:
        minutes = (time.monotonic() - begun) / 60
        text = f"{minutes:.1f} min, step {progress.step}, loss {progress.loss:.4f}, lr {progress.lr:.1e}"
        if progress.validation_psnr is not None:
            curve.append(progress)
            text += f", held out {progress.validation_psnr:.3f} dB, average {progress.average_psnr or 0:.3f} dB"
            torch.save(training.state(), work / "state.partial")
            (work / "state.partial").replace(work / "state.pt")
        print(text, flush=True)

    def validate(model: nn.Module) -> ValidationScores:
        return ValidationScores(psnr=[psnr(restore(model, blurred), sharp) for blurred, sharp in held_out.values()])

    fit(training, training.model, partial(batches, pairs), validate, report)
    return curve


def table(model: nn.Module, pairs: Named, sharpen: Callable[[Image], Image]) -> dict[str, dict[str, float]]:
    """Score every picture: PSNR of the blurred one, and what filter and network add to it, dB."""
    rows = {}
    for name, (blurred, sharp) in pairs.items():
        before = psnr(blurred, sharp)
        gains = {
            kind: psnr(made(blurred), sharp) - before
            for kind, made in (("filter", sharpen), ("network", partial(restore, model)))
        }
        rows[name] = {"blurred": round(before, 3)} | {kind: round(gain, 3) for kind, gain in gains.items()}
        print(f"{name:60} {before:6.2f} dB  filter {gains['filter']:+.3f}  network {gains['network']:+.3f}")
    return rows


def main() -> None:
    """Make the pairs, train, score, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".runs/real_blur"), help="pairs, state and weights")
    parser.add_argument("--share", type=float, default=1.0, help="of the recipe's steps")
    parser.add_argument("--only-score", action="store_true", help="score what is trained so far")
    options = parser.parse_args()
    if not (folder := os.environ.get("BANET_SAMPLES")):
        print("skipped: BANET_SAMPLES names no folder of samples")
        return
    samples, work = Path(folder).resolve(), options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    found = real_pairs(samples)
    held_out = read_named(found, HELD_OUT.__eq__) | averages(samples, CHOOSING)
    test = read_named(found, lambda name: "/" in name)
    pairs = read_pairs(make_pairs(samples, work))
    recipe = shortened(
        parse(RecipeParams, read_yaml(ROOT / "conf/recipe/laptop.yaml"), where="conf/recipe/laptop.yaml"), options.share
    )
    torch.manual_seed(recipe.seed)
    model = BANet(read_model_config(ROOT / "conf/model/laptop.yaml")).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    training = Training(model, recipe, plan(recipe.phases, len(pairs)))
    if (work / "state.pt").is_file():
        training.resume(torch.load(work / "state.pt", weights_only=True))
    print(f"{len(pairs)} pairs in the list, step {training.step} of {training.phases[-1].last_step}", flush=True)
    if not options.only_score:
        train(training, pairs, held_out, work)
    which, best = max(training.best.items(), key=lambda item: item[1].psnr)
    if not best.weights:
        raise ModelError(f"{work} holds no weights yet: run this without --only-score first")
    model.load_state_dict(best.weights)
    save_weights(model, work / "weights")
    sharpen = best_filter(pairs[-8 * REPEATS :: 2 * REPEATS])  # four real ones, which stand last
    report = {
        "device": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
        "share": options.share,
        "steps": training.step,
        "weights": {"which": which, "step": best.step},
        "filter": str(sharpen),
        "held_out": table(model, held_out, sharpen),
        "averages": table(model, averages(samples, OTHERS), sharpen),
        "test": table(model, test, sharpen),
    }
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
