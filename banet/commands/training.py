"""`banet cost` and `banet replay`: a recipe before it is begun, and the steps that a training left out."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from banet.commands.options import Positive
from banet.errors import ConfigError


def cost(
    recipe: Path | None = None,
    /,
    *,
    model: Path | None = None,
    pairs: Positive | None = None,
    device: str = "cpu",
    seconds_per_step: Annotated[list[float] | None, Parameter(negative=())] = None,
    workers: Positive | None = None,
) -> None:
    """Say what a recipe costs before it is begun: steps, epochs, samples, bytes, hours.

    For example:
      banet cost
      banet cost conf/recipe/paper.yaml --model conf/model/banet.yaml --pairs 2103 --device cuda
      banet cost conf/recipe/paper.yaml --pairs 2103 --seconds-per-step 0.31 --seconds-per-step 1.2

    Args:
        recipe: a file of conf/recipe/; by default the recipe of params.yaml.
        model: a file of conf/model/; by default the network of params.yaml.
        pairs: in the training set; by default those of the shards of params.yaml's benchmark.
        device: where a step is timed: cpu, cuda.
        seconds_per_step: one for each phase, instead of timing them.
        workers: DDP processes; by default as in params.yaml.
    """
    from dataclasses import replace

    from banet.config import RecipeParams, read_model_config, read_params
    from banet.parsing import parse, read_yaml
    from banet.train.training_cost import describe_cost, measure_step, recipe_cost

    chosen = read_params(Path("params.yaml"))
    if recipe is not None:
        chosen = replace(chosen, recipe=parse(RecipeParams, read_yaml(recipe), where=str(recipe)))
    network = chosen.model if model is None else read_model_config(model)
    phases, ranks = chosen.recipe.phases, workers or chosen.cluster.most
    known, bytes_per_pixel, pixels = _training_set(chosen.benchmark.name, chosen.benchmark.validation.sequences, pairs)
    if seconds_per_step and len(seconds_per_step) != len(phases):
        raise ConfigError(f"--seconds-per-step: {len(seconds_per_step)} given for {len(phases)} phases: one for each")
    times = seconds_per_step or [
        measure_step(network, chosen.recipe, phase, device=device, workers=ranks) for phase in phases
    ]
    costs = recipe_cost(
        chosen.recipe, pairs=known, bytes_per_pixel=bytes_per_pixel, seconds_per_step=times, pixels=pixels
    )
    print(f"{network.name} on {known:,} pairs, {ranks} worker{'s' * (ranks > 1)}")
    print("\n".join(describe_cost(chosen.recipe, costs, known)))


def _training_set(benchmark: str, held_out: tuple[str, ...], pairs: int | None) -> tuple[int, float, float]:
    """Return the number of training pairs, the bytes per stored pixel and the pixels of an image.

    Unknown shards are taken for raw ones (3 bytes) of GoPro's images.
    """
    from banet.data.stream.training_set import TrainingSet
    from banet.train.training_cost import GOPRO

    folder = Path("data/shards") / benchmark
    if pairs is not None and not folder.is_dir():
        return pairs, 3.0, GOPRO
    if not folder.is_dir():
        raise ConfigError(f"{folder} is missing: give --pairs, the number of pairs in the training set")
    from banet.data.shards.reader import ShardFolder

    summary = ShardFolder(folder).summary
    kinds = 1 + len(summary.variants)
    stored = sum(file.bytes for file in summary.files) / sum(kinds * sizes.pixels for sizes in summary.sizes.values())
    rows = TrainingSet(folder=folder.absolute(), variant=summary.variants[0], held_out=held_out, seed=0).training_rows()
    pixels = sum(row.height * row.width for row in rows) / len(rows)
    return pairs or len(rows), stored, pixels


def replay(file: Path, /, *, device: str = "cpu") -> None:
    """Try a batch again whose step a training left out, in every precision and sample by sample.

    For example:
      banet replay .runs/0123456789abcdef-refused/step-812-rank-0.pt

    Args:
        file: kept by the training, which names it.
        device: cpu or cuda.
    """
    from banet.train.refused import replay as replayed

    for line in replayed(file, device):
        print(line)
