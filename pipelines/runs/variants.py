"""What a flow run may choose, as Prefect's form shows it and its server checks it."""

from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

CONF = Path(__file__).parents[2] / "conf"


def choices(group: str) -> list[str]:
    """The files of a group of `conf/`."""
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def _known(group: str, name: str) -> str:
    if name not in choices(group):
        raise ValueError(f"no conf/{group}/{name}.yaml: choose from {', '.join(choices(group))}")
    return name


BenchmarkName = Annotated[
    str,
    AfterValidator(partial(_known, "benchmark")),
    WithJsonSchema({"type": "string", "enum": choices("benchmark")}),
]
ModelName = Annotated[
    str, AfterValidator(partial(_known, "model")), WithJsonSchema({"type": "string", "enum": choices("model")})
]
RecipeName = Annotated[
    str, AfterValidator(partial(_known, "recipe")), WithJsonSchema({"type": "string", "enum": choices("recipe")})
]
Seed = Annotated[int, Field(ge=0)]
Hours = Annotated[float, Field(gt=0)]
Override = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*=.+$", examples=["recipe.phases.0.steps=1000"])]


def settings(
    benchmark: str | None, model: str | None, recipe: str | None, seed: int | None, overrides: list[str] | None
) -> list[str]:
    """The same as `dvc exp run --set-param` takes it."""
    chosen = {"benchmark": benchmark, "model": model, "recipe": recipe, "recipe.seed": seed}
    return [f"{name}={value}" for name, value in chosen.items() if value is not None] + (overrides or [])
