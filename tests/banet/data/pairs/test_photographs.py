"""Pairs of own photographs: which there are, what is refused, and that a large one costs no more than a part of it."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import PIL.ImageCms
import pytest

from banet.data.images.codec import decode, decode_picture, write_image
from banet.data.manifest import SynthesisParams
from banet.data.names import BLUR, NOISE_FREE, SHARP
from banet.data.pairs import blur_model as synthesis
from banet.data.pairs import photographs
from banet.data.pairs.blur_model import Light
from banet.data.pairs.photographs import blurred_pair, find_photographs, photograph_tasks, require_usable
from banet.errors import DataError
from banet.image import Image

PARAMS = SynthesisParams(height=24, width=32, strata={"short": (2.0, 3.0), "long": (4.0, 6.0)})


def noise(height: int, width: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_pair_is_made_of_each_photograph_and_stratum(tmp_path: Path) -> None:
    write_image(tmp_path / "a/1.png", noise(80, 90))
    write_image(tmp_path / "b.jpg", noise(70, 90))
    found = find_photographs(tmp_path)
    require_usable(found, PARAMS)
    tasks = list(photograph_tasks(found, PARAMS, "test", pairs=2, kinds=(NOISE_FREE, SHARP)))
    assert [f"{task.split}/{task.sequence}/{task.frame}" for task in tasks] == [
        f"test/{scene}_{stratum}/{frame:06d}"
        for scene in ("a_1", "b")
        for stratum in ("short", "long")
        for frame in (1, 2)
    ]
    made = tasks[1].encoded()
    again = blurred_pair(PARAMS, noise(80, 90), "a_1", "short", 2)
    assert list(made) == [NOISE_FREE, SHARP]
    for kind, content in made.items():
        np.testing.assert_array_equal(decode(content, ""), again[kind])
    assert again[BLUR].shape == (24, 32, 3)


def test_what_is_wrong_with_photographs_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "small.png", noise(30, 90))
    write_image(tmp_path / "good.png", noise(80, 90))
    cv2.imwrite(str(tmp_path / "grey.png"), noise(80, 90)[..., 0])
    cv2.imwrite(str(tmp_path / "deep.png"), noise(80, 90).astype(np.uint16) * 256)
    monkeypatch.setattr(photographs, "PER_WORKER", 3)  # two processes
    with pytest.raises(DataError) as caught:
        require_usable(find_photographs(tmp_path), PARAMS)
    said = str(caught.value)
    assert "small.png is 30x90: reduced by 0.6 it is too small for a 24x32 picture" in said
    assert "grey.png" not in said
    assert "deep.png is 16-bit RGB, not 8-bit RGB" in said
    assert "or write `convert: [16-bit]` into the manifest" in said
    assert "good.png" not in said
    assert "\n" not in said
    (tmp_path / "small.png").unlink()
    require_usable(find_photographs(tmp_path, ("16-bit",)), PARAMS)
    assert capsys.readouterr().err == "converted to 8-bit RGB: 1 16-bit RGB, 1 grey\n"


def test_the_pairs_keep_the_photographs_colour_profile(tmp_path: Path) -> None:
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    write_image(tmp_path / "a.jpg", noise(80, 90), profile=profile)
    (found,) = find_photographs(tmp_path)
    for photograph, kept in ((found, profile), (replace(found, keep_profile=False), b"")):
        task = next(photograph_tasks([photograph], PARAMS, "test", pairs=1, kinds=(BLUR, SHARP)))
        assert [decode_picture(content, "x").profile for content in task.encoded().values()] == [kept, kept]


def test_two_photographs_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        write_image(tmp_path / name, noise(80, 90))
    with pytest.raises(DataError, match="2 photographs are called a: each needs its own name"):
        find_photographs(tmp_path)


def test_of_a_large_photograph_a_part_is_exposed(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    original = synthesis.expose

    def expose(image: Image, *, scale: float, highlight_gain: float) -> Light:
        shapes.append(image.shape)
        return original(image, scale=scale, highlight_gain=highlight_gain)

    monkeypatch.setattr(photographs, "expose", expose)
    monkeypatch.setattr(photographs, "LARGEST_PART", 100)
    large = noise(400, 500)
    first = blurred_pair(PARAMS, large, "a", "short", 1)
    assert blurred_pair(PARAMS, large, "a", "short", 2)[SHARP].tobytes() != first[SHARP].tobytes()
    blurred_pair(replace(PARAMS, height=40), large, "a", "short", 1)
    blurred_pair(PARAMS, noise(90, 95), "a", "short", 1)
    assert shapes == [(100, 128, 3), (100, 128, 3), (160, 128, 3), (90, 95, 3)]
