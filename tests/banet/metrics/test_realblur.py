"""RealBlur's score against its six steps written out with scikit-image, and step by step by hand."""

import dataclasses
import math

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from banet.errors import DataError
from banet.image import Image
from banet.metrics import realblur
from banet.metrics.realblur import RealBlurScore, realblur_score

TOLERANCE = 1e-6
HOMOGRAPHY = np.array([[1.004, 0.003, 1.3], [-0.002, 0.997, -0.8], [1e-5, -2e-5, 1]])


def photograph(height: int, width: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """A smooth coloured picture, 0 to 255, with enough structure to align."""
    rng = np.random.default_rng(seed)
    coarse, fine = (gaussian_filter(rng.normal(size=(height, width, 3)), (s, s, 0.5)) for s in (6, 2))
    return np.asarray((120 + 60 * coarse / coarse.std() + 25 * fine / fine.std()).clip(0, 255), np.float64)


def to_8_bit(picture: npt.NDArray[np.float64]) -> Image:
    return (picture + 0.5).clip(0, 255).astype(np.uint8)


def pair(height: int = 96, width: int = 128, *, seed: int = 0) -> tuple[Image, Image]:
    """A picture and the same blurred, noisy, darker and moved by a little homography."""
    sharp = photograph(height, width, seed)
    blurred = gaussian_filter(sharp, (1.0, 1.4, 0)) + np.random.default_rng(seed + 1).normal(0, 3, sharp.shape)
    moved = cv2.warpPerspective(0.9 * blurred, HOMOGRAPHY, (width, height), borderMode=cv2.BORDER_REFLECT)
    return to_8_bit(moved), to_8_bit(sharp)


def six_steps(restored: Image, sharp: Image, *, align: bool = True) -> tuple[float, float]:
    """PSNR and SSIM, one step after the other, nothing shared with the package."""
    z, x = (image.astype(np.float32) / 255 for image in (restored, sharp))
    zs = (np.sum(x * z) / np.sum(z * z)) * z
    warp = np.eye(3, dtype=np.float32)
    if align:
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0)
        template, moving = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), cv2.cvtColor(zs, cv2.COLOR_RGB2GRAY)
        _, warp = cv2.findTransformECC(
            template, moving, warp, cv2.MOTION_HOMOGRAPHY, criteria, inputMask=None, gaussFiltSize=5
        )
    size = (x.shape[1], x.shape[0])
    zr = cv2.warpPerspective(
        zs, warp, size, flags=cv2.INTER_CUBIC + cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
    )
    cr = cv2.warpPerspective(
        np.ones_like(zs),
        warp,
        size,
        flags=cv2.INTER_NEAREST + cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    zr, xr = zr * cr, x * cr
    error = np.sum((xr - zr) ** 2, dtype=np.float64) / np.sum(cr)
    _, ssim_map = structural_similarity(
        xr.astype(np.float64),  # as the benchmark's own version of scikit-image, 0.17, converts them
        zr.astype(np.float64),
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        full=True,
    )
    inside, known = (ssim_map * cr)[5:-5, 5:-5], cr[5:-5, 5:-5]
    return 10 * math.log10(1 / error), float(np.mean(inside.sum(axis=(0, 1)) / known.sum(axis=(0, 1))))


@pytest.mark.parametrize(("size", "seed"), [((96, 128), 0), ((97, 131), 1), ((60, 45), 2), ((40, 300), 3)])
def test_equals_the_six_steps(size: tuple[int, int], seed: int) -> None:
    restored, sharp = pair(*size, seed=seed)
    score = realblur_score(restored, sharp)
    psnr, ssim = six_steps(restored, sharp)
    assert score.aligned
    assert score.psnr == pytest.approx(psnr, abs=TOLERANCE)
    assert score.ssim == pytest.approx(ssim, abs=TOLERANCE)


def test_part_of_the_image_is_not_covered_by_the_moved_one() -> None:
    """The pair above moves by little more than a pixel; here a broad margin of the mask is empty."""
    sharp = photograph(96, 128)
    restored, sharp_8 = to_8_bit(np.roll(sharp, 7, axis=1)), to_8_bit(sharp)
    score = realblur_score(restored, sharp_8)
    assert (score.psnr, score.ssim) == pytest.approx(six_steps(restored, sharp_8), abs=TOLERANCE)
    moved, valid, aligned = realblur._align(realblur._unit(restored), realblur._unit(sharp_8))
    assert aligned
    assert not valid[:, -7:].any()
    assert valid[:, :-8].all()
    assert np.isfinite(moved).all()


def test_a_known_homography_is_undone() -> None:
    picture = photograph(120, 160)
    unwarped = to_8_bit(gaussian_filter(picture, (1.3, 1.3, 0)))
    warped = cv2.warpPerspective(unwarped, HOMOGRAPHY, (160, 120), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    sharp = to_8_bit(picture)
    as_it_lies, alone, undone = (
        six_steps(warped, sharp, align=False),
        *(realblur_score(image, sharp) for image in (unwarped, warped)),
    )
    assert undone.aligned
    assert as_it_lies[0] < alone.psnr - 5
    assert undone.psnr == pytest.approx(alone.psnr, abs=0.2)
    assert undone.ssim == pytest.approx(alone.ssim, abs=0.005)
    found = realblur._homography(realblur._unit(warped), realblur._unit(sharp))
    assert found is not None
    corners = np.array([[[0, 0], [159, 0], [159, 119], [0, 119]]], np.float64)
    true, ours = (cv2.perspectiveTransform(corners, matrix.astype(np.float64)) for matrix in (HOMOGRAPHY, found))
    assert np.abs(true - ours).max() < 0.2  # pixels


def test_intensity_factor_by_hand() -> None:
    restored, sharp = (np.array([[values]], np.float32) for values in ([1, 2, 4], [3, 0, 2]))
    assert realblur.intensity_factor(restored, sharp) == pytest.approx(11 / 21)
    assert realblur.intensity_factor(restored, 3 * restored) == 3
    assert realblur.intensity_factor(0 * restored, sharp) == 1
    assert realblur.intensity_factor(restored, sharp).dtype == np.float32


def test_a_darker_copy_is_matched() -> None:
    sharp = 2 * (to_8_bit(photograph(40, 50)) // 2)
    score = realblur_score(sharp // 2, sharp)
    assert score.psnr > 100
    assert score.ssim == pytest.approx(1, abs=1e-6)


def test_warp_and_mask_by_hand() -> None:
    """A place takes its sample two columns to the right and one row up: beyond the sides reflected, and not valid."""
    image = np.random.default_rng(0).random((4, 6, 3), np.float32)
    warp = np.array([[1, 0, 2], [0, 1, -1], [0, 0, 1]], np.float32)
    moved, valid = realblur._warped(image, warp)
    rows, columns = [0, 0, 1, 2], [2, 3, 4, 5, 5, 4]  # -1 is row 0 again; 6 is column 5, 7 is column 4
    np.testing.assert_allclose(moved, image[rows][:, columns], atol=1e-6)
    expected = np.zeros((4, 6), np.bool_)
    expected[1:, :4] = True
    np.testing.assert_array_equal(valid, expected)


def test_psnr_counts_three_channels_of_valid_samples_only_by_hand() -> None:
    sharp = np.zeros((2, 3, 3), np.float32)
    moved = sharp.copy()
    moved[0, 0] = (0.5, 0.25, 0)
    valid = np.array([[True, True, False], [True, False, False]])
    assert realblur._psnr(moved, sharp, valid) == pytest.approx(10 * math.log10(9 / 0.3125))
    assert realblur._psnr(sharp, sharp, valid) == math.inf


def test_matched_intensity_is_not_clipped() -> None:
    """Half of the samples at 255, the others too dark: the factor takes the former beyond white, and that counts."""
    restored = np.full((20, 30, 3), 255, np.uint8)
    restored[:, ::2] = 100
    sharp = np.full((20, 30, 3), 255, np.uint8)
    factor = 255 * (255 + 100) / (255**2 + 100**2)
    error = ((factor - 1) ** 2 + (factor * 100 / 255 - 1) ** 2) / 2
    score = realblur_score(restored, sharp)
    assert factor > 1
    assert not score.aligned  # the sharp image is constant
    assert score.psnr == pytest.approx(-10 * math.log10(error), abs=1e-5)


def test_identical_images_are_infinite() -> None:
    _, sharp = pair()
    assert realblur_score(sharp.copy(), sharp) == RealBlurScore(psnr=math.inf, ssim=1.0, aligned=True)
    black = np.zeros((20, 20, 3), np.uint8)
    assert realblur_score(black, black.copy()) == RealBlurScore(psnr=math.inf, ssim=1.0, aligned=True)


def test_images_that_cannot_be_aligned_are_compared_as_they_lie() -> None:
    _, sharp = pair()
    negative = 255 - sharp  # the correlation falls whichever way it is moved
    score = realblur_score(negative, sharp)
    assert not score.aligned
    assert (score.psnr, score.ssim) == pytest.approx(six_steps(negative, sharp, align=False), abs=TOLERANCE)


@pytest.mark.parametrize("value", [0, 1, 130, 255])
def test_a_constant_restored_image(value: int) -> None:
    _, sharp = pair(30, 40)
    constant = np.full_like(sharp, value)
    score = realblur_score(constant, sharp)
    x = sharp / 255
    error = np.mean(np.square(x - (x.mean() if value else 0)))  # the best constant is the mean
    assert not score.aligned
    assert score.psnr == pytest.approx(-10 * math.log10(error), abs=1e-4)
    assert -1 <= score.ssim < 0.5


def test_two_constant_images_match_in_intensity() -> None:
    restored, sharp = (np.full((15, 16, 3), value, np.uint8) for value in (100, 200))
    score = realblur_score(restored, sharp)
    assert score.psnr > 120
    assert score.ssim == pytest.approx(1)
    assert not score.aligned


def test_a_black_sharp_image_is_refused() -> None:
    restored, sharp = pair(20, 20)
    with pytest.raises(DataError, match=r"sharp image is black, .*: leave this pair out"):
        realblur_score(restored, np.zeros_like(sharp))


@pytest.mark.parametrize("size", [(10, 40), (40, 10), (1, 1), (3, 2)])
def test_images_smaller_than_the_window_are_refused(size: tuple[int, int]) -> None:
    height, width = size
    with pytest.raises(DataError, match=rf"at least 11x11 pixels, got {height}x{width}"):
        realblur_score(*pair(height, width))


def test_the_smallest_images_give_a_defined_result() -> None:
    """Random images of a few pixels lead the alignment anywhere; with whatever it finds, the scores are numbers."""
    rng = np.random.default_rng(5)
    flags = set()
    for k in range(60):
        shape = (11 + k % 3, 11 + k % 5, 3)
        restored, sharp = (rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(2))
        score = realblur_score(restored, sharp)
        flags.add(score.aligned)
        assert math.isfinite(score.psnr)
        assert -1 <= score.ssim <= 1
    assert flags == {True, False}


@pytest.mark.parametrize(("row", "column", "entry"), [(1, 2, np.nan), (0, 2, np.inf), (2, 0, np.inf)])
def test_a_warp_that_is_not_finite_counts_as_none(
    monkeypatch: pytest.MonkeyPatch, row: int, column: int, entry: float
) -> None:
    restored, sharp = pair(30, 40)
    warp = np.eye(3, dtype=np.float32)
    warp[row, column] = entry
    monkeypatch.setattr(cv2, "findTransformECC", lambda *_: (0.5, warp))
    score = realblur_score(restored, sharp)
    assert not score.aligned
    assert (score.psnr, score.ssim) == pytest.approx(six_steps(restored, sharp, align=False), abs=TOLERANCE)


def test_a_warp_that_leaves_nothing_to_compare_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    restored, sharp = pair(30, 40)
    warp = np.array([[1, 0, 36], [0, 1, 0], [0, 0, 1]], np.float32)  # 4 columns are left, within 5 of the side
    monkeypatch.setattr(cv2, "findTransformECC", lambda *_: (0.5, warp))
    score = realblur_score(restored, sharp)
    assert not score.aligned
    assert (score.psnr, score.ssim) == pytest.approx(six_steps(restored, sharp, align=False), abs=TOLERANCE)


def test_a_lack_of_memory_is_not_taken_for_unrelated_images(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        error = cv2.error("Failed to allocate 9 bytes")
        error.code = cv2.Error.StsNoMem
        raise error

    monkeypatch.setattr(cv2, "findTransformECC", fail)
    with pytest.raises(MemoryError, match="9 bytes"):
        realblur_score(*pair(30, 40))


def test_same_score_on_any_number_of_threads_and_their_number_is_left_alone() -> None:
    restored, sharp = pair()
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        score = realblur_score(restored, sharp)
        assert cv2.getNumThreads() == 2
        cv2.setNumThreads(1)
        assert realblur_score(restored, sharp) == score
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)


def test_views_with_any_strides_and_no_image_is_changed() -> None:
    restored, sharp = pair(96, 128)
    copies = restored.copy(), sharp.copy()
    expected = realblur_score(restored[::-1, ::-1].copy(), sharp[::-1, ::-1].copy())
    assert realblur_score(restored[::-1, ::-1], sharp[::-1, ::-1]) == expected
    transposed = (np.asfortranarray(image[::-1, ::-1]) for image in (restored, sharp))
    assert realblur_score(*transposed) == expected
    assert np.array_equal(restored, copies[0])
    assert np.array_equal(sharp, copies[1])


def test_a_result_is_frozen_and_the_version_is_told() -> None:
    score = RealBlurScore(psnr=30.0, ssim=0.9, aligned=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        score.psnr = 40.0  # type: ignore[misc]
    assert realblur.opencv_version() == cv2.__version__
