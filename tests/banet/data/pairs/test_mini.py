"""The embedded benchmark: the same seed makes the same bytes, however many processes make them."""

import json
import multiprocessing
import pickle
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from banet.data.archives.open import open_archive
from banet.data.images.codec import decode
from banet.data.manifest import ArchiveSource, Benchmark, SynthesisParams, read_benchmark
from banet.data.names import BLUR, NOISE_FREE, SHARP
from banet.data.pairs import blur_model as synthesis
from banet.data.pairs import mini, photographs
from banet.data.pairs.blur_model import Layer, Light
from banet.data.pairs.mini import shipped, write_archive
from banet.data.pairs.photographs import blurred_pair
from banet.errors import ConfigError, DataError
from banet.image import Image
from banet.metrics.psnr import psnr

TINY = SynthesisParams(
    seed=0,
    height=24,
    width=32,
    reduction=(0.25, 0.25),
    strata={"short": (2, 4)},
    roll_sigma=0.4,
    moving_layer_share=0.33,
    highlight_gain=4,
    iso_gain=4,
    photographs={"train": {"coffee": 5}, "test": {"rocket": 1}},  # more than one process takes at a time
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mini") / "mini.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing, "cpu_count", lambda: 1)
        write_archive(TINY, path, root="tiny")
    return path


def make_pair(params: SynthesisParams, scene: str, stratum: str, number: int) -> dict[str, Image]:
    return blurred_pair(params, shipped(scene).read(number).pixels, scene, stratum, number)


def same(one: dict[str, Any], two: dict[str, Any]) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[kind], two[kind]) for kind in one)


def test_the_number_of_processes_does_not_change_a_byte(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: 2)
    write_archive(TINY, tmp_path / "two.zip", root="tiny")
    assert (tmp_path / "two.zip").read_bytes() == archive.read_bytes()


def test_the_archive_has_gopros_layout_and_says_how_it_was_made(archive: Path) -> None:
    benchmark = Benchmark(
        name="tiny",
        title="Tiny",
        licence="-",
        citation="-",
        layout="gopro",
        variants=(BLUR, NOISE_FREE),
        archives=(ArchiveSource(name="mini.zip", sources=("synthesis:",)),),
        counts={},
    )
    with open_archive(archive) as opened:
        opened.require_whole()
        pairs = list(opened.pairs(benchmark))
        assert [f"{pair.split}/{pair.key}" for pair in pairs] == [
            "test/rocket_short/000001",
            *(f"train/coffee_short/{frame:06d}" for frame in range(1, 6)),
        ]
        made = make_pair(TINY, "coffee", "short", 3)
        stored = {kind: decode(opened.read(name), name) for kind, name in pairs[3].members.items()}
        assert same(stored, made)
        assert json.loads(opened.read("tiny/synthesis.json")) == json.loads(json.dumps(asdict(TINY)))


def test_no_clock_stands_in_the_archive(archive: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_pair_is_three_images_of_the_asked_size() -> None:
    pair = make_pair(TINY, "coffee", "short", 1)
    assert set(pair) == {BLUR, NOISE_FREE, SHARP}
    for image in pair.values():
        assert image.shape == (24, 32, 3)
        assert image.dtype == np.uint8
    assert 12 < psnr(pair[BLUR], pair[SHARP]) < 45


def test_a_pair_is_a_function_of_seed_scene_stratum_and_frame() -> None:
    params = replace(TINY, strata={"short": (2.0, 4.0), "twin": (2.0, 4.0)})
    one = make_pair(params, "coffee", "short", 1)
    assert same(make_pair(params, "coffee", "short", 1), one)
    for other in (
        make_pair(replace(params, seed=1), "coffee", "short", 1),
        make_pair(params, "coffee", "short", 2),
        make_pair(params, "coffee", "twin", 1),
        make_pair(params, "rocket", "short", 1),
    ):
        assert not any(np.array_equal(other[kind], one[kind]) for kind in one)


def test_a_pair_does_not_depend_on_the_other_scenes_and_counts() -> None:
    fewer = replace(TINY, photographs={"train": {"coffee": 1}})
    assert same(make_pair(fewer, "coffee", "short", 4), make_pair(TINY, "coffee", "short", 4))


def test_the_noise_free_image_is_the_same_exposure(monkeypatch: pytest.MonkeyPatch) -> None:
    params = replace(TINY, iso_gain=50, moving_layer_share=1)
    noisy = make_pair(params, "coffee", "short", 1)
    assert not np.array_equal(noisy[BLUR], noisy[NOISE_FREE])
    monkeypatch.setattr(photographs, "add_noise", lambda light, rng, *, gain: light)
    silent = make_pair(params, "coffee", "short", 1)
    assert np.array_equal(silent[BLUR], silent[NOISE_FREE])
    assert np.array_equal(silent[NOISE_FREE], noisy[NOISE_FREE])
    assert np.array_equal(silent[SHARP], noisy[SHARP])


def test_a_higher_iso_makes_more_noise() -> None:
    def noise(iso_gain: float) -> float:
        pairs = [make_pair(replace(TINY, iso_gain=iso_gain), "coffee", "short", frame) for frame in range(1, 7)]
        return float(np.mean([np.mean((p[BLUR].astype(float) - p[NOISE_FREE]) ** 2) for p in pairs]))

    assert noise(1000) > 3 * noise(1)


def test_longer_paths_blur_more() -> None:
    params = replace(TINY, height=48, width=64, reduction=(0.5, 0.5), strata={"short": (2, 3), "long": (15, 20)})

    def mean_psnr(stratum: str) -> float:
        pairs = [make_pair(params, "coffee", stratum, frame) for frame in range(1, 6)]
        return float(np.mean([psnr(p[NOISE_FREE], p[SHARP]) for p in pairs]))

    assert mean_psnr("long") < mean_psnr("short") - 3


def test_a_second_layer_moves_in_its_share_of_the_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    layers: list[int] = []
    original = synthesis.exposure

    def exposure(those: list[Layer], *, margin: int, encoded: bool) -> tuple[Light, Light]:
        layers.append(len(those))
        return original(those, margin=margin, encoded=encoded)

    monkeypatch.setattr(photographs, "exposure", exposure)
    for share, expected in ((0.0, {1}), (1.0, {2}), (0.5, {1, 2})):
        layers.clear()
        for frame in range(1, 8):
            make_pair(replace(TINY, moving_layer_share=share), "coffee", "short", frame)
        assert set(layers) == expected


def test_both_views_of_the_motorcycle_are_used() -> None:
    files = {scene: list(paths) for scene, paths in mini.SCENES.items()}
    assert [len(paths) for scene, paths in files.items() if scene != "motorcycle"] == [1] * (len(files) - 1)
    left, right = (shipped("motorcycle").read(number).pixels for number in (2, 1))
    assert left.shape == right.shape
    assert not np.array_equal(left, right)


def test_the_committed_scenes_are_installed_and_large_enough_for_its_pictures() -> None:
    params = read_benchmark(Path(__file__).parents[4] / "data/benchmarks", "mini").synthesis
    assert params is not None
    for scene in (scene for scenes in params.photographs.values() for scene in scenes):
        photograph = shipped(scene).read(1).pixels
        assert photograph.shape[0] * params.reduction[1] >= params.height + 1
        assert photograph.shape[1] * params.reduction[1] >= params.width + 1


def test_a_scene_in_two_splits_is_refused() -> None:
    with pytest.raises(ConfigError, match="photographs: a scene is in two splits"):
        replace(TINY, photographs={"train": {"coffee": 1}, "test": {"coffee": 1}})


def test_an_unknown_scene_is_named_with_the_known() -> None:
    with pytest.raises(DataError, match=r"there is no scene 'tea': the packages ship .*coffee"):
        make_pair(TINY, "tea", "short", 1)


def test_pictures_larger_than_the_scene_are_refused_with_both_sizes() -> None:
    message = r"the scene coffee is 400x600: reduced by 0.25 it is too small for a 101x32 picture"
    with pytest.raises(DataError, match=message):
        make_pair(replace(TINY, height=101), "coffee", "short", 1)
    fits = make_pair(replace(TINY, height=99, width=149, strata={"short": (2, 2)}), "coffee", "short", 1)
    assert fits[SHARP].shape == (99, 149, 3)


def test_photographs_are_reduced_within_the_range_and_never_below_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    scales: list[float] = []
    original = synthesis.expose

    def expose(image: Image, *, scale: float, highlight_gain: float) -> Light:
        scales.append(scale)
        assert 1 <= highlight_gain <= 4
        return original(image, scale=scale, highlight_gain=highlight_gain)

    monkeypatch.setattr(photographs, "expose", expose)
    params = replace(TINY, reduction=(0.05, 0.5))
    for frame in range(1, 13):
        assert make_pair(params, "coffee", "short", frame)[SHARP].shape == (24, 32, 3)
    assert 25 / 400 <= min(scales) < 0.2  # a picture of 24 rows out of 400
    assert 0.4 < max(scales) <= 0.5


def test_a_photograph_that_is_not_installed_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in ("skimage/data/coffee.tiff", "no_such_package/coffee.png"):
        monkeypatch.setitem(mini.SCENES, "coffee", (missing,))
        with pytest.raises(DataError, match=rf"{missing} is not installed: pip install 'banet\[mini\]'"):
            make_pair(TINY, "coffee", "short", 1)


def test_an_error_of_a_process_keeps_its_line() -> None:
    error = pickle.loads(pickle.dumps(DataError("the scene tea")))  # noqa: S301
    assert isinstance(error, DataError)
    assert str(error) == "the scene tea"
