"""People's custom data need one file, data/benchmarks/NAME.yaml, and nothing in conf/."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from banet.config import Params
from banet.data.manifest import read_benchmark
from banet.parsing import parse

ROOT = Path(__file__).parents[1]


def test_a_name_and_the_sequences_to_hold_out_are_all_that_an_experiment_says(tmp_path: Path) -> None:
    text = "{name: mine, layout: folders, splits: {train: {blurred: a, sharp: b}}, test_sequences: [yard*]}"
    (tmp_path / "mine.yaml").write_text(text)
    benchmark = read_benchmark(tmp_path, "mine")
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        said = compose("config", ["benchmark.name=mine", "benchmark.validation.sequences=[street*,'hall 1']"])
    params = parse(Params, OmegaConf.to_container(said, resolve=True), where="conf")
    assert params.benchmark.name == "mine"
    assert params.benchmark.validation.sequences == ("street*", "hall 1")
    assert params.benchmark.variant in benchmark.variants
    assert params.evaluate_on == ("mine",)
