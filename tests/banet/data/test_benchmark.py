"""Manifests: the committed one is consistent with itself, and mistakes in one are named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from banet.config import read_params
from banet.data.benchmark import Benchmark, SynthesisParams, read_benchmark
from banet.data.mini import BLUR, NOISE_FREE, SCENES
from banet.errors import ConfigError
from banet.parsing import parse

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "data/benchmarks"


@pytest.fixture
def mini() -> Benchmark:
    return read_benchmark(MANIFESTS, "mini")


@pytest.fixture
def synthesis(mini: Benchmark) -> SynthesisParams:
    assert mini.synthesis is not None
    return mini.synthesis


@pytest.fixture
def values() -> dict[str, Any]:
    return yaml.safe_load((MANIFESTS / "mini.yaml").read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_committed_manifest_is_valid(path: Path) -> None:
    assert read_benchmark(MANIFESTS, path.stem).name == path.stem


def test_minis_counts_are_its_photographs_times_its_strata(mini: Benchmark, synthesis: SynthesisParams) -> None:
    strata = len(synthesis.strata)
    made = {
        split: {f"{scene}_*": pairs * strata for scene, pairs in scenes.items()}
        for split, scenes in synthesis.photographs.items()
    }
    assert mini.counts == made


def test_minis_strata_are_those_it_makes(mini: Benchmark, synthesis: SynthesisParams) -> None:
    assert mini.strata is not None
    assert list(mini.strata) == list(synthesis.strata)
    for name in synthesis.strata:
        assert mini.stratum(f"coffee_{name}") == name
    assert mini.stratum("coffee") is None


def test_minis_variants_are_those_it_makes(mini: Benchmark) -> None:
    assert set(mini.variants) == {BLUR, NOISE_FREE}
    assert mini.noise_free == NOISE_FREE


def test_no_photograph_of_mini_stands_in_two_splits(synthesis: SynthesisParams) -> None:
    files = [file for scenes in synthesis.photographs.values() for scene in scenes for file in SCENES[scene]]
    assert len(files) == len(set(files))


def test_both_views_of_the_motorcycle_are_one_scene() -> None:
    owners = {scene for scene, files in SCENES.items() for file in files if "motorcycle" in file}
    assert owners == {"motorcycle"}
    assert len(SCENES["motorcycle"]) == 2


def test_minis_validation_sequences_are_whole_training_scenes(synthesis: SynthesisParams) -> None:
    held_out = read_params(ROOT / "params.yaml").benchmark.validation.sequences
    scenes = {sequence.removesuffix("_*") for sequence in held_out}
    assert scenes < set(synthesis.photographs["train"])


def test_a_scene_in_two_splits_is_refused(values: dict[str, Any]) -> None:
    values["synthesis"]["photographs"]["test"]["rocket"] = 1
    with pytest.raises(ConfigError, match="photographs: a scene stands in two splits"):
        parse(Benchmark, values, where="mini.yaml")


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("", "variants", [], "variants and archives must each name at least one"),
        ("", "archives", [], "variants and archives must each name at least one"),
        ("", "noise_free", "clean", "noise_free 'clean' is not among variants"),
        ("", "layout", "hide", "mini.yaml: layout must be one of gopro"),
        ("", "size", 3, "mini.yaml: size is unknown"),
        ("synthesis", "strata", {"short": [9, 5]}, r"strata.short must be \[shortest, longest\] path in pixels"),
        ("synthesis", "strata", {"short": [5]}, r"strata.short must be .* got \[5.0\]"),
        ("synthesis", "strata", {"short": [0, 5]}, "strata.short must be"),
        ("synthesis", "reduction", 0.5, "synthesis.reduction must be a list, each a number, got float 0.5"),
        ("synthesis", "reduction", [0.5], r"reduction must be \[smallest, largest\] in \(0, 1\], got \[0.5\]"),
        ("synthesis", "reduction", [0, 0.5], r"reduction must be .* got \[0.0, 0.5\]"),
        ("synthesis", "reduction", [0.5, 2], r"reduction must be .* got \[0.5, 2.0\]"),
        ("synthesis", "reduction", [0.6, 0.5], r"reduction must be .* got \[0.6, 0.5\]"),
        ("synthesis", "height", 12.5, "synthesis.height must be a whole number"),
    ],
)
def test_mistakes_in_a_manifest_are_named(
    values: dict[str, Any], section: str, key: str, value: object, message: str
) -> None:
    (values[section] if section else values)[key] = value
    with pytest.raises(ConfigError, match=message) as caught:
        parse(Benchmark, values, where="mini.yaml")
    assert str(caught.value).startswith("mini.yaml")
    assert "\n" not in str(caught.value)


def test_an_unknown_benchmark_is_named_with_the_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no benchmark 'minni': .* knows none"):
        read_benchmark(tmp_path, "minni")
    for name in ("hide", "gopro"):
        (tmp_path / f"{name}.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"knows gopro, hide$"):
        read_benchmark(tmp_path, "minni")


def test_a_manifest_carries_its_files_name(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text((MANIFESTS / "mini.yaml").read_text())
    with pytest.raises(ConfigError, match=r"other.yaml: name must be 'other' like the file's, got 'mini'"):
        read_benchmark(tmp_path, "other")


def test_a_sequence_is_in_the_first_stratum_that_matches(values: dict[str, Any]) -> None:
    values["strata"] = {"long": "*_long", "rest": "*"}
    benchmark = parse(Benchmark, values, where="mini.yaml")
    assert [benchmark.stratum(s) for s in ("a_long", "a_short")] == ["long", "rest"]
    assert parse(Benchmark, values | {"strata": None}, where="mini.yaml").stratum("a_long") is None
