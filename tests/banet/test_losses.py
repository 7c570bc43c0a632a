"""Eqs. (6) to (8) against independent float64 sums."""

import numpy as np
import pytest
import torch

from banet.losses import charbonnier, fft_l1, total_loss


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    return tuple(torch.from_numpy(rng.random((2, 3, 10, 14))) for _ in range(2))  # type: ignore[return-value]


def test_charbonnier_is_the_mean_of_roots(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    d = (pair[0] - pair[1]).numpy()
    assert charbonnier(*pair).item() == pytest.approx(np.sqrt(d**2 + 1e-6).mean(), rel=1e-12)
    assert charbonnier(pair[0], pair[0]).item() == pytest.approx(1e-3)


def test_fft_l1_is_the_mean_over_real_and_imaginary_parts(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    spectra = [np.fft.fft2(x.numpy()) for x in pair]
    d = spectra[0] - spectra[1]
    expected = (np.abs(d.real).mean() + np.abs(d.imag).mean()) / 2
    assert fft_l1(*pair).item() == pytest.approx(expected, rel=1e-12)


def test_total_loss_weighs_the_fft_term(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    expected = charbonnier(*pair) + 0.01 * fft_l1(*pair)
    assert total_loss(*pair).item() == pytest.approx(expected.item())
    assert total_loss(*pair, fft_weight=0.0).item() == pytest.approx(charbonnier(*pair).item())


@pytest.mark.parametrize("loss", [charbonnier, fft_l1, total_loss])
def test_gradients_are_those_of_finite_differences(loss: object) -> None:
    torch.manual_seed(0)
    x, y = (torch.rand(1, 3, 4, 6, dtype=torch.float64) for _ in range(2))
    assert torch.autograd.gradcheck(lambda z: loss(z, y), x.requires_grad_())  # type: ignore[operator]
