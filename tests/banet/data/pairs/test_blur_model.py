"""The physics of the blur: the sRGB curve, light that is kept, streaks without ghosts, the centroid, the noise."""

import cv2
import numpy as np
import pytest

from banet.data.custom_spec import Motion
from banet.data.pairs.blur_model import (
    READ_NOISE,
    SHOT_NOISE,
    SUBSTEPS_PER_PIXEL,
    CameraPath,
    Layer,
    Light,
    add_noise,
    camera_path,
    develop,
    expose,
    exposure,
    linear_to_srgb,
    soft_blob,
    srgb_to_linear,
)

LENGTHS = [3.0, 7.3, 12.0, 21.7]  # pixels


def still(light: Light, path: CameraPath) -> Layer:
    return Layer(light=light, alpha=np.ones(light.shape[:2], dtype=np.float32), path=path)


def straight(length: float, *, substeps: float = SUBSTEPS_PER_PIXEL) -> CameraPath:
    """A path along a row."""
    x = np.linspace(-length / 2, length / 2, int(np.ceil(length * substeps)) + 1)
    return CameraPath(shift=np.stack([x, np.zeros_like(x)], axis=1), roll=np.zeros_like(x))


def dot(size: int, sigma: float, at: tuple[float, float] | None = None) -> Light:
    """A Gaussian dot on black, in the middle unless told otherwise (x, y)."""
    y, x = np.mgrid[:size, :size]
    cx, cy = at or ((size - 1) / 2, (size - 1) / 2)
    light = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
    return np.repeat(light[..., None], 3, axis=2).astype(np.float32)


def centroid(light: Light) -> tuple[float, float]:
    weights = light[..., 1].astype(np.float64)
    y, x = np.mgrid[: light.shape[0], : light.shape[1]]
    return float((weights * x).sum() / weights.sum()), float((weights * y).sum() / weights.sum())


# --- the sRGB curve


def test_the_srgb_curve_is_undone_exactly_at_every_level() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(develop(srgb_to_linear(levels / np.float32(255))), levels)


@pytest.mark.parametrize(
    ("srgb", "light"), [(0, 0), (0.04045, 0.0031308), (0.02, 0.02 / 12.92), (0.5, 0.214041), (1, 1)]
)
def test_the_srgb_curve_by_hand(srgb: float, light: float) -> None:
    assert srgb_to_linear(np.array([srgb]))[0] == pytest.approx(light, rel=1e-4)
    assert linear_to_srgb(np.array([light], dtype=np.float32))[0] == pytest.approx(srgb, abs=1e-4)


def test_a_camera_clips_what_is_too_bright_or_negative() -> None:
    light = np.array([[[-0.5, 1.0, 7.0]]], dtype=np.float32)
    assert develop(light).tolist() == [[[0, 255, 255]]]


# --- the light behind a photograph


def test_a_photograph_of_full_size_without_highlights_comes_back() -> None:
    image = np.random.default_rng(0).integers(0, 250, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(develop(expose(image, scale=1, highlight_gain=4)), image)


def test_a_photograph_is_made_smaller_in_linear_light() -> None:
    board = np.indices((8, 12)).sum(axis=0) % 2 * np.uint8(240)
    image = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    light = expose(image, scale=0.5, highlight_gain=1)
    assert light.shape == (4, 6, 3)
    mean = srgb_to_linear(np.array([240 / 255]))[0] / 2
    np.testing.assert_allclose(light, mean, rtol=1e-5)  # an average of levels would be much darker


def test_only_clipped_highlights_are_expanded_with_all_their_channels() -> None:
    image = np.array([[[249, 249, 249], [250, 250, 250], [255, 100, 0]]], dtype=np.uint8)
    plain, expanded = (expose(image, scale=1, highlight_gain=gain) for gain in (1, 4))
    np.testing.assert_allclose(expanded[0], plain[0] * np.array([[1], [4], [4]]), rtol=1e-6)


# --- the camera's path


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("seed", range(5))
def test_a_path_is_centred_as_long_as_asked_and_dense(seed: int, length: float) -> None:
    path = camera_path(np.random.default_rng(seed), length=length, roll_sigma=0.4)
    np.testing.assert_allclose(path.shift.mean(axis=0), 0, atol=1e-9)
    assert path.roll.mean() == pytest.approx(0, abs=1e-12)
    steps = np.linalg.norm(np.diff(path.shift, axis=0), axis=1)
    assert 0.75 * length < steps.sum() <= length + 1e-6  # sub-steps cut the corners of a jittering hand
    assert steps.max() <= 1 / SUBSTEPS_PER_PIXEL + 1e-9
    assert np.linalg.norm(path.shift, axis=1).max() <= length / 2 + 1e-6  # what the margin of a picture relies on


def test_paths_go_in_all_directions_and_rolls_to_both_sides() -> None:
    rng = np.random.default_rng(0)
    paths = [camera_path(rng, length=10, roll_sigma=0.4) for _ in range(60)]
    ends = np.array([path.shift[-1] - path.shift[0] for path in paths])
    quadrants = {(bool(x > 0), bool(y > 0)) for x, y in ends}
    assert len(quadrants) == 4
    ranges = np.array([path.roll[-1] - path.roll[0] for path in paths])
    assert ranges.std() == pytest.approx(0.4, rel=0.35)


@pytest.mark.parametrize(("motion", "least", "most"), [("walk", 0.15, 0.45), ("arc", 0.8, 1.0)])
def test_an_arc_spans_nearly_its_length_and_a_walk_turns_back(motion: Motion, least: float, most: float) -> None:
    rng = np.random.default_rng(0)
    paths = [camera_path(rng, length=20, roll_sigma=0, motion=motion).shift for _ in range(60)]
    spans = [float(np.linalg.norm(path[:, None] - path[None], axis=2).max()) / 20 for path in paths]
    assert least < np.median(spans) < most


def test_an_arc_is_centred_as_long_as_asked_and_dense() -> None:
    path = camera_path(np.random.default_rng(3), length=18, roll_sigma=0.4, motion="arc")
    np.testing.assert_allclose(path.shift.mean(axis=0), 0, atol=1e-9)
    steps = np.linalg.norm(np.diff(path.shift, axis=0), axis=1)
    assert steps.sum() == pytest.approx(18, rel=0.02)
    assert steps.max() <= 2 / SUBSTEPS_PER_PIXEL


def test_a_path_is_a_function_of_its_stream() -> None:
    one, same, other = (camera_path(np.random.default_rng(s), length=9, roll_sigma=0.4) for s in (1, 1, 2))
    assert np.array_equal(one.shift, same.shift)
    assert np.array_equal(one.roll, same.roll)
    assert not np.array_equal(one.shift, other.shift)


# --- the exposure


@pytest.mark.parametrize("length", [0.0, 1e-6])
def test_without_motion_the_blurred_image_is_the_sharp_one(length: float) -> None:
    light = np.random.default_rng(0).uniform(0.1, 0.9, (24, 30, 3)).astype(np.float32)
    path = camera_path(np.random.default_rng(0), length=length, roll_sigma=0)
    blurred, sharp = exposure([still(light, path)], margin=4)
    assert blurred.shape == (16, 22, 3)
    np.testing.assert_allclose(blurred, sharp, atol=1e-5)
    np.testing.assert_array_equal(sharp, light[4:-4, 4:-4])


def test_an_encoded_exposure_averages_levels() -> None:
    light = np.zeros((65, 65, 3), dtype=np.float32)
    light[:, 32:] = 1
    linear, encoded = (exposure([still(light, straight(10))], margin=12, encoded=flag)[0] for flag in (False, True))
    at_the_edge = (20, 20, 0)  # lit for a little more than half of the exposure
    assert linear[at_the_edge] == pytest.approx(0.55, abs=0.05)
    np.testing.assert_allclose(linear_to_srgb(encoded), linear, atol=0.02)  # as it was black and white


@pytest.mark.parametrize("length", LENGTHS)
def test_light_is_kept(length: float) -> None:
    period, margin = 16, 16
    y, x = np.mgrid[: 64 + 2 * margin, : 64 + 2 * margin] * 2 * np.pi / period
    scene = 0.5 + 0.2 * np.sin(x) * np.cos(y) + 0.2 * np.sin(2 * x + 1)
    light = np.repeat(scene[..., None], 3, axis=2).astype(np.float32)
    path = camera_path(np.random.default_rng(3), length=length, roll_sigma=0)
    blurred, sharp = exposure([still(light, path)], margin=margin)
    assert blurred.std() < 0.999 * sharp.std()  # it is blurred
    assert blurred.mean() == pytest.approx(sharp.mean(), rel=1e-4)  # whole periods: no light comes or goes


@pytest.mark.parametrize("length", [6.0, 10.0, 15.3, 24.0])
def test_a_straight_path_draws_an_impulse_into_an_even_line_of_its_length(length: float) -> None:
    size = 65
    light = np.zeros((size, size, 3), dtype=np.float32)
    light[32, 32] = 1
    blurred, _ = exposure([still(light, straight(length))], margin=0)
    line = blurred[32, :, 0]
    others = np.delete(blurred[..., 0], 32, axis=0)
    assert others.max() < 1e-6  # horizontal: x is the first coordinate of a shift
    level = np.median(line[line > line.max() / 2])
    lit = np.flatnonzero(line > level / 2)
    assert len(lit) == pytest.approx(length, abs=1.1)
    assert np.diff(lit).max() == 1  # no gap, no ghost
    inside = line[lit[0] + 2 : lit[-1] - 1]
    assert np.abs(inside / level - 1).max() < 0.06
    assert level == pytest.approx(1 / length, rel=0.12)
    assert (lit[0] + lit[-1]) / 2 == pytest.approx(32, abs=0.5)


def test_the_same_measure_sees_the_ghosts_of_a_coarse_path() -> None:
    light = np.zeros((65, 65, 3), dtype=np.float32)
    light[32, 32] = 1
    blurred, _ = exposure([still(light, straight(15, substeps=1 / 3))], margin=0)
    line = blurred[32, :, 0]
    lit = np.flatnonzero(line > line.max() / 2)
    assert np.diff(lit).max() > 1


def test_a_drawn_path_leaves_no_ghosts() -> None:
    path = camera_path(np.random.default_rng(5), length=30, roll_sigma=0)
    blurred, _ = exposure([still(dot(81, 0.6), path)], margin=0)
    lit = (blurred[..., 0] > 0.25 * np.quantile(blurred[blurred > blurred.max() / 20], 0.5)).astype(np.uint8)
    pieces, _ = cv2.connectedComponents(lit, connectivity=8)
    assert pieces == 2  # the streak and what is dark


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("seed", range(4))
def test_the_sharp_image_is_at_the_paths_centroid(seed: int, length: float) -> None:
    path = camera_path(np.random.default_rng(seed), length=length, roll_sigma=0.4)
    blurred, sharp = exposure([still(dot(65, 1.5), path)], margin=0)
    np.testing.assert_allclose(centroid(blurred), centroid(sharp), atol=0.1)


def test_layers_of_different_paths_both_stay_at_their_centroids() -> None:
    rng = np.random.default_rng(1)
    behind = still(dot(81, 1.5, (20, 40)), camera_path(rng, length=5, roll_sigma=0))
    alpha = np.zeros((81, 81), dtype=np.float32)
    alpha[:, 40:] = 1
    front = Layer(light=dot(81, 1.5, (62, 40)), alpha=alpha, path=camera_path(rng, length=20, roll_sigma=0))
    blurred, sharp = exposure([behind, front], margin=0)
    for half in (slice(0, 32), slice(45, 81)):
        np.testing.assert_allclose(centroid(blurred[:, half]), centroid(sharp[:, half]), atol=0.1)


def test_a_roll_leaves_the_middle_and_moves_the_corners() -> None:
    roll = np.linspace(-2, 2, 41)
    path = CameraPath(shift=np.zeros((41, 2)), roll=roll)
    corner = (70.0, 70.0)
    for light, moves in ((dot(81, 1.5), False), (dot(81, 1.5, corner), True)):
        blurred, sharp = exposure([still(light, path)], margin=0)
        assert (blurred.max() < 0.9 * sharp.max()) == moves


def test_an_opaque_layer_hides_what_moves_behind_it() -> None:
    rng = np.random.default_rng(0)
    noise = rng.uniform(0.1, 0.9, (48, 48, 3)).astype(np.float32)
    front = rng.uniform(0.1, 0.9, (48, 48, 3)).astype(np.float32)
    alpha = np.zeros((48, 48), dtype=np.float32)
    alpha[16:32, 16:32] = 1
    layers = [still(noise, straight(10)), Layer(light=front, alpha=alpha, path=straight(0))]
    blurred, sharp = exposure(layers, margin=0)
    inside, left = (slice(17, 31), slice(17, 31)), (slice(4, 44), slice(2, 14))
    np.testing.assert_allclose(blurred[inside], front[inside], atol=1e-5)
    np.testing.assert_allclose(sharp[inside], front[inside], atol=1e-6)
    np.testing.assert_allclose(sharp[left], noise[left], atol=1e-6)
    assert blurred[left].std() < 0.6 * noise[left].std()


def test_a_soft_blob_is_a_mask_inside_the_frame() -> None:
    for seed in range(10):
        mask = soft_blob(np.random.default_rng(seed), (60, 90))
        assert mask.shape == (60, 90)
        assert mask.min() >= 0
        assert mask.max() == pytest.approx(1, abs=1e-5)
        assert 0.02 < mask.mean() < 0.5
        soft = (mask > 0.05) & (mask < 0.95)
        assert 0 < soft.sum() < 0.15 * mask.size


# --- highlights


def test_expanded_highlights_leave_saturated_streaks() -> None:
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    image[18:23, 28:33] = 255

    def saturated(gain: float) -> int:
        light = expose(image, scale=1, highlight_gain=gain)
        blurred, sharp = exposure([still(light, straight(12))], margin=0)
        assert sharp.max() == 1  # the sharp frame clips as a camera does
        assert (develop(sharp) == image).all()
        return int((develop(blurred)[20, :, 0] == 255).sum())

    assert saturated(1) == 0
    assert saturated(4) >= 10  # four times the light of 5 pixels, spread over 12


# --- the sensor's noise


@pytest.mark.parametrize("gain", [1, 4])
@pytest.mark.parametrize("level", [0.0, 0.02, 0.5])
def test_noise_is_poisson_and_gaussian_of_the_gain(gain: float, level: float) -> None:
    light = np.full((300, 300, 3), level, dtype=np.float32)
    noisy = add_noise(light, np.random.default_rng(0), gain=gain).astype(np.float64)
    variance = SHOT_NOISE * gain * level + (READ_NOISE * gain) ** 2
    n = light.size
    assert noisy.mean() == pytest.approx(level, abs=5 * np.sqrt(variance / n) + 1e-7)
    assert noisy.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / n))


def test_noise_differs_from_pixel_to_pixel_and_channel_to_channel() -> None:
    light = np.full((50, 50, 3), 0.5, dtype=np.float32)
    noise = add_noise(light, np.random.default_rng(0), gain=4) - 0.5
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.1
    assert abs(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]) < 0.06
