"""Eqs. (6) to (8) against independent float64 sums, values and gradients."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from banet.losses import charbonnier, fft_l1, total_loss

Norm = Literal["backward", "ortho"]
Array = npt.NDArray[np.float64]
NORMS: tuple[Norm, Norm] = ("backward", "ortho")
SIZES = [(10, 14), (7, 9), (64, 96)]


def random_pair(height: int, width: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(0)
    restored, sharp = (torch.from_numpy(rng.random((2, 3, height, width))).to(dtype) for _ in range(2))
    return restored, sharp


def residual(pair: tuple[Tensor, Tensor]) -> Array:
    return np.asarray(pair[0].double() - pair[1].double(), np.float64)


def expected_charbonnier(d: Array) -> float:
    return float(np.sqrt(d**2 + 1e-6).mean())


def expected_fft_l1(d: Array, norm: Norm) -> float:
    spectrum = np.fft.fft2(d) * (1 if norm == "backward" else 256 / np.sqrt(d.shape[-2] * d.shape[-1]))
    return float((np.abs(spectrum.real).mean() + np.abs(spectrum.imag).mean()) / 2)


def dft(length: int) -> npt.NDArray[np.complex128]:
    return np.asarray(np.exp(-2j * np.pi * np.outer(np.arange(length), np.arange(length)) / length), np.complex128)


def expected_fft_gradient(d: Array, norm: Norm) -> Array:
    """By hand: d|Re F|/dd + d|Im F|/dd with explicit matrices, F = R d C."""
    H, W = d.shape[-2:]
    rows, columns = dft(H), dft(W)
    spectrum = rows @ d @ columns
    signs = np.sign(spectrum.real) - 1j * np.sign(spectrum.imag)
    gradient = (rows.T @ signs @ columns.T).real / (2 * d.size)
    return gradient * (1 if norm == "backward" else 256 / np.sqrt(H * W))


def gradient_of(loss: Callable[..., Tensor], pair: tuple[Tensor, Tensor], **options: object) -> Array:
    x = pair[0].clone().requires_grad_()
    loss(x, pair[1], **options).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.dtype == pair[0].dtype
    return x.grad.double().numpy()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_charbonnier_is_the_mean_of_roots(size: tuple[int, int], dtype: torch.dtype, tolerance: float) -> None:
    pair = random_pair(*size, dtype)
    d = residual(pair)
    assert charbonnier(*pair).item() == pytest.approx(expected_charbonnier(d), rel=tolerance)
    by_hand = d / np.sqrt(d**2 + 1e-6) / d.size
    np.testing.assert_allclose(gradient_of(charbonnier, pair), by_hand, rtol=1e-4, atol=tolerance / d.size)


def test_charbonnier_of_equal_images_is_epsilon() -> None:
    x = torch.rand(1, 3, 8, 8)
    assert charbonnier(x, x).item() == pytest.approx(1e-3)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-6)])
def test_fft_l1_is_the_mean_over_real_and_imaginary_parts(
    size: tuple[int, int], dtype: torch.dtype, tolerance: float, norm: Norm
) -> None:
    pair = random_pair(*size, dtype)
    d = residual(pair)
    assert fft_l1(*pair, norm=norm).item() == pytest.approx(expected_fft_l1(d, norm), rel=tolerance)
    by_hand = expected_fft_gradient(d, norm)
    atol = 10 * tolerance * np.abs(by_hand).max()
    np.testing.assert_allclose(gradient_of(fft_l1, pair, norm=norm), by_hand, rtol=0, atol=atol)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("weight", [0.01, 0.3])
def test_total_loss_weighs_the_fft_term(weight: float, norm: Norm) -> None:
    pair = random_pair(24, 18)
    d = residual(pair)
    expected = expected_charbonnier(d) + weight * expected_fft_l1(d, norm)
    assert total_loss(*pair, fft_weight=weight, fft_norm=norm).item() == pytest.approx(expected, rel=1e-6)
    by_hand = d / np.sqrt(d**2 + 1e-6) / d.size + weight * expected_fft_gradient(d, norm)
    found = gradient_of(total_loss, pair, fft_weight=weight, fft_norm=norm)
    np.testing.assert_allclose(found, by_hand, rtol=0, atol=1e-5 * np.abs(by_hand).max())


def test_the_defaults_are_the_papers_weight_and_the_released_transform() -> None:
    pair = random_pair(20, 30)
    assert total_loss(*pair).item() == total_loss(*pair, fft_weight=0.01, fft_norm="backward").item()
    assert fft_l1(*pair).item() == fft_l1(*pair, norm="backward").item()


def test_at_weight_zero_charbonnier_is_left() -> None:
    pair = random_pair(10, 14)
    assert total_loss(*pair, fft_weight=0.0).item() == charbonnier(*pair).item()
    np.testing.assert_array_equal(gradient_of(total_loss, pair, fft_weight=0.0), gradient_of(charbonnier, pair))


def test_the_two_transforms_are_equal_at_256() -> None:
    pair = random_pair(256, 256)
    assert fft_l1(*pair, norm="ortho").item() == pytest.approx(fft_l1(*pair).item(), rel=1e-6)
    ortho, backward = (gradient_of(fft_l1, pair, norm=norm) for norm in ("ortho", "backward"))
    np.testing.assert_allclose(ortho, backward, rtol=0, atol=1e-5 * np.abs(backward).max())
    assert fft_l1(*pair).item() == pytest.approx(expected_fft_l1(residual(pair), "backward"), rel=1e-6)


def test_ortho_weighs_every_crop_alike_and_backward_doubles_with_the_side() -> None:
    generator = torch.Generator().manual_seed(0)
    white = {side: torch.randn(1, 3, side, side, generator=generator) * 0.1 for side in (64, 128, 256, 512)}
    value = {norm: {s: fft_l1(d, torch.zeros_like(d), norm=norm).item() for s, d in white.items()} for norm in NORMS}
    for side in white:
        assert value["ortho"][side] == pytest.approx(value["ortho"][256], rel=0.03)
        assert value["backward"][side] == pytest.approx(value["backward"][256] * side / 256, rel=0.03)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats_are_summed_in_float32(dtype: torch.dtype) -> None:
    bright = torch.ones(1, 3, 512, 512, dtype=dtype)  # the transform's first element is 2^18: beyond float16
    dark = torch.zeros_like(bright)
    with torch.autocast("cpu", dtype=dtype):
        assert total_loss(bright, dark).dtype == torch.float32
        assert total_loss(bright, dark).item() == pytest.approx(np.sqrt(1 + 1e-6) + 0.01 / 2, rel=1e-6)
        assert charbonnier(bright, bright).item() == pytest.approx(1e-3)  # eps^2 is zero in float16
        assert np.isfinite(gradient_of(total_loss, (bright, dark))).all()
    mixed = total_loss(random_pair(16, 16, dtype)[0], random_pair(16, 16)[1])
    assert mixed.dtype == torch.float32


@pytest.mark.parametrize("norm", NORMS)
def test_the_gradient_at_equal_images_is_zero(norm: Norm) -> None:
    x = torch.rand(1, 3, 9, 12)
    assert (gradient_of(total_loss, (x, x.clone()), fft_norm=norm) == 0).all()
