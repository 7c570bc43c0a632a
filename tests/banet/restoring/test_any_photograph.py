"""What the network changes reaches a photograph's own colours, and nothing else changes."""

from typing import Any

import numpy as np
import pytest
import torch
from icc_profiles import GAMMA, P3, TABLE, profile_of

from banet.data.images.photograph_file import PhotographFile
from banet.inference import restore, restore_array
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.restoring.any_photograph import restore_photograph

Pixels = np.ndarray[Any, np.dtype[Any]]


def samples(channels: int, bits: int = 8) -> Pixels:
    pixels = np.random.default_rng(0).integers(
        0, 2**bits, (150, 31, channels), dtype=np.uint8 if bits == 8 else np.uint16
    )
    if channels in (2, 4):
        pixels[:9, :, -1] = 0
    return pixels


def unchanged(image: Pixels) -> Pixels:
    return image


def brighter(image: Pixels) -> Pixels:
    assert image.dtype == np.float32
    return image + np.float32(0.1)


@pytest.fixture
def model() -> BANet:
    torch.manual_seed(0)
    return BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)).eval()


@pytest.mark.parametrize("profile", ["", "P3", "TABLE", "GREY"])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_network_that_changes_nothing_changes_nothing(channels: int, bits: int, profile: str) -> None:
    """Whatever the colours: a third of those are outside sRGB."""
    icc = {"P3": profile_of(P3, GAMMA), "TABLE": profile_of(P3, TABLE), "GREY": profile_of(None, GAMMA)}.get(
        profile, b""
    )
    if profile and (profile == "GREY") != (channels < 3):
        icc = b""
    photograph = PhotographFile(pixels=samples(channels, bits), bits=bits, profile=icc)
    restored = restore_photograph(photograph, unchanged)
    np.testing.assert_array_equal(restored.pixels, photograph.pixels)
    assert (restored.profile, restored.notes) == (icc, ())


def test_8_bits_of_srgb_are_restored_as_by_the_public_function(model: BANet) -> None:
    photograph = PhotographFile(pixels=samples(3))
    restored = restore_photograph(photograph, lambda image: restore_array(model, image))
    np.testing.assert_array_equal(restored.pixels, restore(model, samples(3)))


def test_16_bits_are_restored_in_float(model: BANet) -> None:
    """Levels between those of 8 bits are used, and the result is that of 8 bits where the input is."""
    eight = samples(3)
    photograph = PhotographFile(pixels=eight * np.uint16(257), bits=16)
    restored = restore_photograph(photograph, lambda image: restore_array(model, image)).pixels
    assert restored.dtype == np.uint16
    assert np.mean(restored % 257 != 0) > 0.8
    assert np.abs(restored / 257 - restore(model, eight)).max() < 0.51


def test_the_network_sees_srgb_and_its_change_comes_back_in_the_profiles_colours() -> None:
    """Green of Display P3 is outside sRGB: seen as its nearest colour, and greener than sRGB afterwards."""
    seen: list[Pixels] = []

    def darker(image: Pixels) -> Pixels:
        seen.append(image.copy())
        return image - np.float32(0.05)

    pixels = np.zeros((8, 8, 3), np.uint16)
    pixels[:, :4], pixels[:, 4:] = (20_000, 60_000, 15_000), (30_000, 30_000, 30_000)
    restored = restore_photograph(PhotographFile(pixels=pixels, bits=16, profile=profile_of(P3, GAMMA)), darker).pixels
    assert seen[0].min() == 0  # clipped red
    assert np.ptp(seen[0][0, 7]) < 1e-3  # neutral stays neutral
    assert restored[0, 0, 1] < 60_000
    assert np.ptp(restored[0, 7].astype(int)) < 60
    assert abs(int(restored[0, 7, 0]) - (30_000 - 0.05 * 65535)) < 600  # gamma 2.2 is close to sRGB's curve
    assert restored[0, 0, 0] < 20_000


def test_grey_gets_the_mean_change() -> None:
    def coloured(image: Pixels) -> Pixels:
        return image + np.array([0.3, 0.0, 0.0], np.float32)

    pixels = np.full((8, 8, 1), 10_000, np.uint16)
    restored = restore_photograph(PhotographFile(pixels=pixels, bits=16), coloured).pixels
    assert restored.shape == (8, 8, 1)
    assert np.abs(restored.astype(int) - (10_000 + 6553.5)).max() <= 1


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_and_colours_under_alpha_0_stay(channels: int) -> None:
    photograph = PhotographFile(pixels=samples(channels, 16), bits=16)
    restored = restore_photograph(photograph, brighter).pixels
    np.testing.assert_array_equal(restored[..., -1], photograph.pixels[..., -1])
    np.testing.assert_array_equal(restored[:9], photograph.pixels[:9])
    assert (restored[9:, :, 0] > photograph.pixels[9:, :, 0]).mean() > 0.8


def test_colours_by_alpha_stay_below_it() -> None:
    pixels = samples(4, 16)
    pixels[..., :3] = np.minimum(pixels[..., :3], pixels[..., 3:])
    restored = restore_photograph(PhotographFile(pixels=pixels, bits=16, premultiplied=True), brighter).pixels
    assert (restored[..., :3] <= restored[..., 3:]).all()


def test_a_profile_of_tables_is_told() -> None:
    photograph = PhotographFile(pixels=samples(3), profile=b"x" * 200)
    restored = restore_photograph(photograph, unchanged)
    assert "profile has tables" in restored.notes[0]
    assert restored.profile == photograph.profile
