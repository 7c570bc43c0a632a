"""Conversion to sRGB and back, against LittleCMS, and without loss for colours that sRGB cannot hold."""

import io

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
from icc_profiles import ADOBE, GAMMA, LINE, P3, SRGB_CURVE, TABLE, profile_of

from banet.data.images.colour_profile import read_profile


@pytest.mark.parametrize("curve", [GAMMA, SRGB_CURVE, TABLE, LINE])
@pytest.mark.parametrize("colourants", [P3, ADOBE])
def test_it_converts_as_littlecms_does(colourants: list[list[float]], curve: bytes) -> None:
    content = profile_of(colourants, curve)
    profile = read_profile(content)
    assert profile is not None
    assert not profile.is_srgb()
    values = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    littlecms = PIL.ImageCms.profileToProfile(
        PIL.Image.fromarray(values),
        PIL.ImageCms.ImageCmsProfile(io.BytesIO(content)),
        PIL.ImageCms.createProfile("sRGB"),
        renderingIntent=PIL.ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    ours = np.clip(profile.to_srgb(values / 255), 0, 1) * 255
    difference = np.abs(ours - np.asarray(littlecms))
    assert difference.max() < (6 if curve == LINE else 2)  # 8 bits of light are few in the dark
    assert difference.mean() < 0.5


@pytest.mark.parametrize("curve", [GAMMA, SRGB_CURVE, LINE])
def test_every_colour_comes_back(curve: bytes) -> None:
    profile = read_profile(profile_of(P3, curve))
    assert profile is not None
    levels = np.random.default_rng(0).integers(0, 65536, (500, 3))
    levels[:8] = [[65535 * bit for bit in (i & 1, i >> 1 & 1, i >> 2)] for i in range(8)]
    srgb = profile.to_srgb(levels / 65535)
    assert srgb.min() < -0.1
    assert srgb.max() > 1.05
    np.testing.assert_array_equal(np.floor(profile.from_srgb(srgb) * 65535 + 0.5), levels)


def test_a_profile_of_srgb_is_known() -> None:
    profile = read_profile(PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes())
    assert profile is not None
    assert profile.is_srgb()


def test_grey_has_one_curve() -> None:
    grey = read_profile(profile_of(None, GAMMA))
    assert grey is not None
    levels = np.arange(256)[:, None] / 255
    np.testing.assert_allclose(grey.from_srgb(grey.to_srgb(levels)), levels, atol=1e-9)
    assert 0.005 < np.abs(grey.to_srgb(levels) - levels).max() < 0.05


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * 300,
        profile_of(P3, GAMMA)[:200],
        profile_of(P3, b"mft2" + bytes(20)),
        profile_of([[0.0] * 3] * 3, GAMMA),
    ],
)
def test_what_is_no_such_profile_is_none(content: bytes) -> None:
    assert read_profile(content) is None
