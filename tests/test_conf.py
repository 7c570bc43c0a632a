"""conf/ composes into what is committed, every choice in it is valid, and the paper's networks are all there."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from banet.config import Params, read_model_config
from banet.data.manifest import read_benchmark
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.parsing import parse

ROOT = Path(__file__).parents[1]
CHOICES = [
    f"{group}={file.stem}"
    for group in ("benchmark", "model", "recipe")
    for file in sorted((ROOT / "conf" / group).glob("*.yaml"))
]
PARAMETERS = {  # added up by hand from the wiring; the released networks' and Table 8's are known from elsewhere
    "banet": 17_988_547,
    "banet_plus": 40_768_131,
    "banet_mini": 240_115,
    "laptop": 147_763,
    "net2": 10_611_267,
    "net5": 13_561_667,
    "stack4": 7_364_803,
    "stack8": 14_447_299,
    "stack12": 21_529_795,
    "sp": 8_807_747,
    "mksp135": 9_831_747,
    "mksp1357": 10_609_987,
    "mksp13579": 11_388_227,
    "pdc135": 6_185_027,
    "pdc135_twice": 9_504_707,
    "cpdc": 10_611_907,
    "sa": 5_036_743,
}
ALIASES = {"net1": "pdc135", "net3": "sp", "net4": "mksp1357", "net6": "banet", "stack10": "banet"}


def composed(*overrides: str) -> dict[str, dict[str, object]]:
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        container = OmegaConf.to_container(compose("config", list(overrides)), resolve=True)
    return cast(dict[str, dict[str, object]], container)


def count(config: BANetConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in BANet(config).parameters())


def test_params_yaml_is_the_composed_default() -> None:
    assert yaml.safe_load((ROOT / "params.yaml").read_text()) == composed()


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_is_valid_and_carries_its_own_name(choice: str) -> None:
    params = parse(Params, composed(choice), where="conf")
    group, name = choice.split("=")
    assert getattr(params, group).name == ALIASES.get(name, name)


def test_every_benchmark_that_can_be_chosen_has_a_manifest() -> None:
    for file in (ROOT / "conf/benchmark").glob("*.yaml"):
        benchmark = read_benchmark(ROOT / "data/benchmarks", file.stem)
        params = parse(Params, composed(f"benchmark={file.stem}"), where="conf")
        assert params.benchmark.variant in benchmark.variants


def test_every_network_of_the_paper_is_there() -> None:
    files = {file.stem for file in (ROOT / "conf/model").glob("*.yaml")}
    assert files == PARAMETERS.keys() | ALIASES.keys()


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_a_network_has_its_number_of_parameters(name: str) -> None:
    assert count(read_model_config(ROOT / f"conf/model/{name}.yaml")) == PARAMETERS[name]


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_two_names_of_one_network_give_the_same_parameters(alias: str, name: str) -> None:
    """So that DVC, and the run's fingerprint, know it again and do not train it twice."""
    assert composed(f"model={alias}") == composed(f"model={name}")


@pytest.mark.parametrize("file", sorted((ROOT / "conf/model").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_file_read_alone_is_what_hydra_composes(file: Path) -> None:
    assert read_model_config(file) == parse(BANetConfig, composed(f"model={file.stem}")["model"], where="conf")


def test_no_two_names_hide_one_network() -> None:
    networks = {replace(read_model_config(ROOT / f"conf/model/{name}.yaml"), name="") for name in PARAMETERS}
    assert len(networks) == len(PARAMETERS)


@pytest.mark.parametrize(("name", "millions"), [("pdc135", 6), ("pdc135_twice", 10), ("cpdc", 10)])
def test_table_8_counts_its_parameters_like_this(name: str, millions: float) -> None:
    assert abs(PARAMETERS[name] / 1e6 - millions) < 0.7
