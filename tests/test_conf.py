"""conf/ composes into what is committed, and every choice in it is valid."""

from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from banet.config import Params
from banet.data.benchmark import read_benchmark
from banet.parsing import parse

ROOT = Path(__file__).parents[1]
CHOICES = [
    f"{group}={file.stem}"
    for group in ("benchmark", "model", "recipe")
    for file in sorted((ROOT / "conf" / group).glob("*.yaml"))
]


def composed(*overrides: str) -> object:
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        return OmegaConf.to_container(compose("config", list(overrides)), resolve=True)


def test_params_yaml_is_the_composed_default() -> None:
    assert yaml.safe_load((ROOT / "params.yaml").read_text()) == composed()


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_is_valid_and_carries_its_own_name(choice: str) -> None:
    params = parse(Params, composed(choice), where="conf")
    group, name = choice.split("=")
    assert getattr(params, group).name == name


def test_every_benchmark_that_can_be_chosen_has_a_manifest() -> None:
    for file in (ROOT / "conf/benchmark").glob("*.yaml"):
        benchmark = read_benchmark(ROOT / "data/benchmarks", file.stem)
        params = parse(Params, composed(f"benchmark={file.stem}"), where="conf")
        assert params.benchmark.variant in benchmark.variants
