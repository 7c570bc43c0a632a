"""Manifests: the committed one is consistent with itself, and mistakes in one are named."""

from dataclasses import fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from banet.config import BenchmarkParams, read_params
from banet.data.manifest import ArchiveSource, Benchmark, SynthesisParams, read_benchmark
from banet.data.names import BLUR, NOISE_FREE
from banet.data.pairs.mini import SCENES
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
    with pytest.raises(ConfigError, match="photographs: a scene is in two splits"):
        parse(Benchmark, values, where="mini.yaml")


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("", "variants", [], "variants and archives must not be empty"),
        ("", "archives", [], "variants and archives must not be empty"),
        ("", "noise_free", "clean", "noise_free 'clean' is not among variants"),
        ("", "layout", "flat", "mini.yaml: layout must be one of gopro, hide, realblur, folders, .* got str 'flat'"),
        ("", "layout", "realblur", "the layout realblur needs root and lists, and no other layout has them"),
        ("", "root", "scenes", "the layout realblur needs root and lists, and no other layout has them"),
        ("", "size", 3, "mini.yaml: size is unknown"),
        ("", "splits", {"test": {"table": "a"}}, "splits is for custom data, of the layouts folders, .* not gopro"),
        ("", "test_sequences", ["a"], "test_sequences is for custom data"),
        ("", "sequence", "(a)", "sequence is for custom data"),
        ("synthesis", "strata", {}, "strata must not be empty"),
        ("synthesis", "strata", {"a/b": [1, 2]}, "strata: a name may have letters, digits, - and _, got 'a/b'"),
        ("synthesis", "seed", -1, "seed must be from 0 to .*, got -1, 4 and 4"),
        ("synthesis", "iso_gain", 0.5, "highlight_gain and iso_gain at least 1, got 0, 4 and 0.5"),
        ("synthesis", "width", 0, "height and width must be at least 1 pixel, got 128x0"),
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
    with pytest.raises(ConfigError, match=r"other.yaml: name must be 'other' like the file name, got 'mini'"):
        read_benchmark(tmp_path, "other")


def test_a_sequence_is_in_the_first_stratum_that_matches(values: dict[str, Any]) -> None:
    values["strata"] = {"long": "*_long", "rest": "*"}
    benchmark = parse(Benchmark, values, where="mini.yaml")
    assert [benchmark.stratum(s) for s in ("a_long", "a_short")] == ["long", "rest"]
    assert parse(Benchmark, values | {"strata": None}, where="mini.yaml").stratum("a_long") is None


SOURCES = [
    "https://example.org/a.zip",
    "http://example.org:8008/webdav/a.zip?dl=1",
    "gdrive:1y4wvPdOG3mojpFCHTqLgriexhbjoWVkK",
    "gdrive-folder:1sZokl0e1NIbQE9DF5d4q75nYTcX7nHvk/GoPro 2/*.zip",
    "gdrive-folder:0B1M5aNe46QPlflAtXzR2Rzhw?resourcekey=0-MBS_f0fXHrFCK2/a.zip",
    "hf:datasets/snah/GOPRO_Large/GOPRO_Large.zip",
    "/data/a.zip",
    "archives/a.zip",
    "synthesis:",
]


def test_sources_are_told_apart_and_keep_their_order() -> None:
    archive = ArchiveSource(name="a.zip", sources=tuple(SOURCES))
    assert archive.addresses == tuple(SOURCES[:6])
    assert archive.paths == (Path("/data/a.zip"), Path("archives/a.zip"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "sources",
            ["ftp://example.org/a.zip"],
            "a.zip has the unknown source 'ftp://example.org/a.zip': write https:",
        ),
        ("sources", ["https://example.org"], "unknown source"),
        ("sources", ["https://"], "unknown source"),
        ("sources", ["gdrive:"], "unknown source"),
        ("sources", ["gdrive:https://drive.google.com/x"], "unknown source"),
        ("sources", ["gdrive-folder:1sZokl0e1NIbQE9DF"], "unknown source"),
        ("sources", ["gdrive-folder:1sZokl0e1NIbQE9DF?key=0-a/a.zip"], "unknown source"),
        ("sources", ["hf:snah/GOPRO_Large/a.zip"], "unknown source"),
        ("sources", ["hf:datasets/snah/GOPRO_Large"], "unknown source"),
        ("sources", ["synthesis:now"], "unknown source"),
        ("sources", [""], "unknown source"),
        ("sources", [], "a.zip needs at least one source"),
        ("sources", "https://example.org/a.zip", "sources must be a list"),
        ("name", "../a.zip", "name must be a file name, got '../a.zip'"),
        ("name", ".a.zip", "name must be a file name"),
        ("name", "a.rar", "name must be a file name ending in .zip, .tar.gz, .tgz, got 'a.rar'"),
        ("name", "", "name must be a file name"),
        ("bytes", 0, "bytes of a.zip must be at least 1, got 0"),
        ("bytes", "9.5 GB", "bytes must be a whole number"),
        ("sha256", "e267d9ba...aab1", "sha256 of a.zip must be 64 lowercase hex digits"),
    ],
)
def test_mistakes_in_an_archive_are_named(values: dict[str, Any], key: str, value: object, message: str) -> None:
    values["archives"] = [{"name": "a.zip", "sources": ["https://example.org/a.zip"], key: value}]
    with pytest.raises(ConfigError) as caught:
        parse(Benchmark, values, where="mini.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("mini.yaml: archives")
    assert "\n" not in str(caught.value)


def test_two_archives_of_one_name_are_refused(values: dict[str, Any]) -> None:
    values["archives"] *= 2
    with pytest.raises(ConfigError, match=r"archives: two have the same name, \['mini.zip', 'mini.zip'\]"):
        parse(Benchmark, values, where="mini.yaml")


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [("gopro", 2103, 1111), ("hide", 6397, 2025), ("realblur_j", 3758, 980), ("realblur_r", 3758, 980)],
)
def test_the_published_benchmarks_are_as_large_as_published(name: str, train: int, test: int) -> None:
    benchmark = read_benchmark(MANIFESTS, name)
    assert {split: sum(counts.values()) for split, counts in benchmark.counts.items()} == {"train": train, "test": test}
    assert benchmark.variants == ("blur",)
    assert all(archive.addresses == archive.sources for archive in benchmark.archives)


def test_gopros_sequences_are_22_and_11_and_its_mirrors_begin_with_the_authors() -> None:
    gopro = read_benchmark(MANIFESTS, "gopro")
    assert {split: len(counts) for split, counts in gopro.counts.items()} == {"train": 22, "test": 11}
    assert not gopro.counts["train"].keys() & gopro.counts["test"].keys()
    assert gopro.archives[0].sources[0].startswith("hf:datasets/snah/")


def test_both_realblurs_come_in_one_archive_and_differ_in_their_lists() -> None:
    j, r = (read_benchmark(MANIFESTS, f"realblur_{kind}") for kind in "jr")
    assert j.archives == r.archives
    assert j.root != r.root
    assert j.lists is not None
    assert r.lists is not None
    assert j.lists.keys() == r.lists.keys() == j.counts.keys()
    assert not set(j.lists.values()) & set(r.lists.values())


def held_out(name: str) -> tuple[str, ...]:
    path = ROOT / f"conf/benchmark/{name}.yaml"
    return parse(BenchmarkParams, yaml.safe_load(path.read_text()), where=path.name).validation.sequences


def test_gopros_validation_shares_no_recording_session_with_other_sequences() -> None:
    counts = read_benchmark(MANIFESTS, "gopro").counts
    out = {name for name in counts["train"] if any(fnmatchcase(name, pattern) for pattern in held_out("gopro"))}
    assert len(out) == len(held_out("gopro")) == 2
    rest = (counts["train"].keys() | counts["test"].keys()) - out
    assert not {name.partition("_")[0] for name in out} & {name.partition("_")[0] for name in rest}


def test_both_realblurs_hold_out_the_same_scenes() -> None:
    assert held_out("realblur_j") == held_out("realblur_r")


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_committed_benchmark_leaves_nothing_to_a_default(path: Path) -> None:
    values = yaml.safe_load(path.read_text())
    assert {"title", "licence", "citation", "variants", "archives", "counts"} <= values.keys()
    if synthesis := values.get("synthesis"):
        assert synthesis.keys() == {field.name for field in fields(SynthesisParams)}


def test_the_fetch_stages_files_are_named(mini: Benchmark) -> None:
    assert mini.archive_names == ("mini.zip",)
    assert [own(layout).archive_names for layout in SOURCES_OF_OWN] == [
        ("pairs.csv",),
        ("pairs.csv",),
        ("mine.zip",),
        ("mine.zip",),
        ("mine.zip",),
    ]


SOURCES_OF_OWN: dict[str, dict[str, Any]] = {
    "folders": {"blurred": "a", "sharp": "b"},
    "list": {"list": "a.csv"},
    "table": {"table": "a.parquet"},
    "frames": {"frames": "a"},
    "photographs": {"photographs": "a"},
}


def own(layout: str, **changed: Any) -> Benchmark:  # noqa: ANN401
    values = {"name": "mine", "layout": layout, "splits": {"test": SOURCES_OF_OWN[layout]}} | changed
    return parse(Benchmark, values, where="mine.yaml")


@pytest.mark.parametrize("layout", SOURCES_OF_OWN)
def test_own_data_need_three_keys(layout: str) -> None:
    benchmark = own(layout)
    assert benchmark.is_custom
    assert (benchmark.variants, benchmark.counts, benchmark.archives) == (("blur",), {}, ())
    split = {"train": SOURCES_OF_OWN[layout]}
    assert own(layout, splits=split, test_sequences=["a*"]).test_sequences == ("a*",)


def test_own_photographs_are_scored_by_their_strata() -> None:
    photographs = own("photographs", variants=["blur", "blur_noise_free"], noise_free="blur_noise_free")
    assert [photographs.stratum(f"x_{name}") for name in ("short", "long", "none")] == ["short", "long", None]
    chosen = own("photographs", synthesis={"strata": {"tiny": [1, 2]}})
    assert [chosen.stratum(f"x_{name}") for name in ("short", "tiny")] == [None, "tiny"]
    assert own("frames").stratum("x_short") is None


TRAIN_ONLY = {"train": {"photographs": "a"}}


@pytest.mark.parametrize(
    ("layout", "changed", "message"),
    [
        ("folders", {"splits": {}}, "splits must be train, test or both, got []"),
        ("folders", {"splits": {"validation": {"blurred": "a", "sharp": "b"}}}, "got ['validation']"),
        (
            "folders",
            {"splits": {"test": {"blurred": "a"}}},
            "splits.test of the layout folders needs blurred and sharp;",
        ),
        (
            "frames",
            {"splits": {"test": {"frames": "a", "pairs": 3}}},
            "needs frames, and may have average and light; got",
        ),
        ("list", {"splits": {"test": {}}}, "splits.test of the layout list needs list; got nothing"),
        ("frames", {"splits": {"test": {"frames": "a", "average": 1}}}, "average must be from 2 to 1000 frames, got 1"),
        ("frames", {"splits": {"test": {"frames": "a", "light": "gamma"}}}, "must be one of encoded, linear"),
        ("photographs", {"splits": {"test": {"photographs": "a", "pairs": 0}}}, "pairs must be at least 1, got 0"),
        ("photographs", {"splits": TRAIN_ONLY}, "there is nothing to test on: add splits.test, or test_sequences"),
        ("photographs", {"splits": TRAIN_ONLY, "test_sequences": []}, "test_sequences must name sequences of"),
        ("table", {"test_sequences": ["a"]}, "test_sequences must name sequences of splits.train"),
        ("list", {"archives": [{"name": "a.zip", "sources": ["a"]}]}, "the layout list has no archives"),
        ("list", {"sequence": "(a"}, "sequence '(a' is not a regular expression"),
        ("list", {"sequence": "a"}, "sequence 'a' must have one group, (...), got 0"),
        ("frames", {"sequence": "(a)"}, "sequence is for the layouts folders, list, table, not frames"),
        ("list", {"variants": ["blur", "blur_gamma"]}, "variants of the layout list may be only one, got"),
        ("photographs", {"variants": ["sharp"]}, "may be blur and blur_noise_free, got ['sharp']"),
        ("frames", {"synthesis": {"seed": 1}}, "synthesis is for the layout photographs"),
        ("photographs", {"synthesis": {"photographs": {"test": {"a": 1}}}}, "where splits names the photographs"),
        ("list", {"name": "../mine"}, "name may have letters, digits, - and _, got '../mine'"),
        ("list", {"root": "a"}, "the layout realblur needs root and lists"),
    ],
)
def test_mistakes_in_a_manifest_of_own_data_are_named(layout: str, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        own(layout, **changed)
    assert message in str(caught.value)
    assert str(caught.value).startswith("mine.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_stratum_takes_an_equal_name_before_patterns(mini: Benchmark) -> None:
    found = replace(mini, strata={"all": "clip*", "first": "clip [1]"})
    assert [found.stratum(name) for name in ("clip [1]", "clip 2", "other")] == ["first", "all", None]
    only = replace(mini, strata={"first": "clip [1]"})
    assert only.stratum("clip 1") == "first"
    assert only.stratum("clip 1", ["clip 1", "clip [1]"]) is None
