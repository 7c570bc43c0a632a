"""Structural similarity in the two forms that papers on deblurring report; they differ by 0.02 to 0.13.

Both use a Gaussian window (sigma 1.5, 11 taps), population variances, K1 = 0.01, K2 = 0.03 and L = 255.
Source: Wang et al., "Image quality assessment: from error visibility to structural similarity", TIP 2004, Eq. (13).

Names: C channels, H rows, W columns of windows; m the four maps whose local means make a score. An image has five more
rows and columns on each side than it has windows. Filters are products with small band matrices, tile by tile: a tile
stays in the cache, and no product is large enough for a BLAS library to start its threads. They would cost more than
they save, especially when every core is scoring an image already.
"""

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from banet.errors import DataError
from banet.image import Image, require_same_size

RADIUS = 5
WINDOW = 2 * RADIUS + 1  # pixels along a side
_MORE = 2 * RADIUS  # samples that a row of windows needs beyond their number
_SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
_BLOCK = 16  # rows, or columns, that one band matrix gives; measured: with 8 to 24 the time changes by a tenth at most
_TILE = 30 * _BLOCK  # columns filtered together

Float64s = npt.NDArray[np.float64]
Reals = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int16]  # wide enough for a sum of two samples


def ssim_matlab3d(restored: Image, sharp: Image) -> float:
    """SSIM as computed by MATLAB's `ssim` for an RGB array: the image is one volume of H x W x 3 voxels.

    The window runs along rows, columns and channels, all three replicated at their ends; the mean is over all voxels.
    This is the number called SSIM in the papers' tables. Takes uint8 (H, W, 3) of any size, both the same, else
    DataError. Between -1 and 1; 1 for equal images.
    """
    restored, sharp = require_same_size(restored, sharp)
    sides = ((0, 0), (RADIUS, RADIUS), (RADIUS, RADIUS))
    x_CHW, y_CHW = (np.pad(_planes(image), sides, mode="edge") for image in (restored, sharp))
    return _mean_ssim(x_CHW, y_CHW, _channel_weights())


def ssim_channel(restored: Image, sharp: Image) -> float:
    """SSIM of each channel separately, averaged: the Gaussian form of scikit-image, BasicSR and mmagic.

    Equals `structural_similarity(sharp, restored, channel_axis=2, gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=255)`: only windows inside the image count. Takes uint8 (H, W, 3)
    of at least 11 x 11 pixels, both the same size, else DataError. Between -1 and 1; 1 for equal images.
    """
    restored, sharp = require_same_size(restored, sharp)
    height, width, _ = sharp.shape
    if min(height, width) <= _MORE:
        raise DataError(f"ssim_channel needs at least 11x11 pixels, got {height}x{width}: use ssim_matlab3d")
    return _mean_ssim(_planes(restored), _planes(sharp), None)


def ssim_of_valid(restored_HWC: Reals, sharp_HWC: Reals, valid_HW: npt.NDArray[np.bool_]) -> float:
    """`ssim_channel` of images with samples in about [0, 1], averaged over the windows whose centre is valid.

    Takes (H, W, 3) of at least 11 x 11 pixels and (H, W), with a True at least five pixels from every side.
    """
    x_CHW, y_CHW = (np.multiply(image.transpose(2, 0, 1), 255, dtype=np.float64) for image in (restored_HWC, sharp_HWC))
    inside_HW = valid_HW[RADIUS:-RADIUS, RADIUS:-RADIUS]
    total = sum(
        float(ssim_CHW[:, inside_HW[rows, columns]].sum())
        for rows, columns, ssim_CHW in _ssim_in_tiles(x_CHW, y_CHW, None)
    )
    return total / (len(x_CHW) * int(inside_HW.sum()))


def _planes(image_HWC: Image) -> Integers:
    return np.ascontiguousarray(image_HWC.transpose(2, 0, 1), dtype=np.int16)


def _mean_ssim(x_CHW: Integers, y_CHW: Integers, weights_CC: Float64s | None) -> float:
    """Average SSIM over all windows; `weights_CC` spreads them over the channels."""
    C: int = x_CHW.shape[0]
    H: int = x_CHW.shape[1] - _MORE
    W: int = x_CHW.shape[2] - _MORE
    total = sum(float(ssim_CHW.sum()) for _, _, ssim_CHW in _ssim_in_tiles(x_CHW, y_CHW, weights_CC))
    return total / (C * H * W)


def _ssim_in_tiles(
    x_CHW: Integers | Float64s, y_CHW: Integers | Float64s, weights_CC: Float64s | None
) -> Iterator[tuple[slice, slice, Float64s]]:
    """SSIM of every window, tile by tile: rows, columns, and (C, H, W) values that are overwritten by the next tile."""
    scratch = _Scratch()
    H: int = x_CHW.shape[1] - _MORE
    W: int = x_CHW.shape[2] - _MORE
    for top in range(0, H, _BLOCK):
        bottom = min(top + _BLOCK, H)
        for left in range(0, W, _TILE):
            right = min(left + _TILE, W)
            part = slice(None), slice(top, bottom + _MORE), slice(left, right + _MORE)
            means_mWCH = _window_means(_maps(x_CHW[part], y_CHW[part], scratch), scratch)
            if weights_CC is None:
                ssim_CHW = _ssim(means_mWCH, scratch).transpose(1, 2, 0)
            else:
                ssim_CHW = _ssim(_across_channels(means_mWCH, weights_CC, scratch), scratch).transpose(0, 2, 1)
            yield slice(top, bottom), slice(left, right), ssim_CHW


class _Scratch:
    """Memory shared by all tiles of an image: allocating fresh pages for each would cost as much as the arithmetic."""

    def __init__(self) -> None:
        self._parts: dict[str, Float64s] = {}

    def array(self, name: str, *shape: int) -> Float64s:
        """Return the array of this name in a shape; its values are not reset."""
        size = math.prod(shape)
        if name not in self._parts or self._parts[name].size < size:
            self._parts[name] = np.empty(size)
        return self._parts[name][:size].reshape(shape)


def _maps(x_CHW: Integers | Float64s, y_CHW: Integers | Float64s, scratch: _Scratch) -> Float64s:
    """Stack s = x + y, d = x - y, s^2 and d^2: SSIM needs only xy and x^2 + y^2, and both follow from these."""
    maps_mCHW = scratch.array("maps", 4, *x_CHW.shape)
    np.add(x_CHW, y_CHW, out=maps_mCHW[0])
    np.subtract(x_CHW, y_CHW, out=maps_mCHW[1])
    np.multiply(maps_mCHW[:2], maps_mCHW[:2], out=maps_mCHW[2:])
    return maps_mCHW


def _across_channels(means_mWCH: Float64s, weights_CC: Float64s, scratch: _Scratch) -> Float64s:
    """Filter along channels: (m, C, W, H)."""
    m, W, C, H = means_mWCH.shape
    means_mCWH = scratch.array("channels", m, C, W, H)
    np.copyto(means_mCWH, means_mWCH.swapaxes(1, 2))
    volume_mCN = scratch.array("volume", m, C, W * H)
    np.matmul(weights_CC, means_mCWH.reshape(m, C, W * H), out=volume_mCN)
    return volume_mCN.reshape(m, C, W, H)


def _ssim(means: Float64s, scratch: _Scratch) -> Float64s:
    """SSIM of every voxel, Eq. (13), both of its fractions doubled; overwrites the `means` of the four maps.

    4 xy = s^2 - d^2 and 2 (x^2 + y^2) = s^2 + d^2, of the means, and of the variances (then 4 times the covariance).
    """
    np.multiply(means[:2], means[:2], out=means[:2])
    means[2:] -= means[:2]
    mean_s, mean_d, variance_s, variance_d = means
    mean_s += 2 * _C1
    variance_s += 2 * _C2
    above: Float64s = np.subtract(mean_s, mean_d, out=scratch.array("above", *mean_s.shape))
    above *= np.subtract(variance_s, variance_d, out=scratch.array("covariance", *mean_s.shape))
    mean_s += mean_d
    variance_s += variance_d
    mean_s *= variance_s
    above /= mean_s
    return above


def _window_means(maps_mCHW: Float64s, scratch: _Scratch) -> Float64s:
    """Filter along rows and columns, without padding: (m, W, C, H), smaller by ten each way.

    Columns come first in memory: both filters are then products of a band matrix with long rows.
    """
    m, C, height, width = maps_mCHW.shape
    H, W = height - _MORE, width - _MORE
    down_mWCH = scratch.array("down", m, width, C, H)
    np.matmul(maps_mCHW.swapaxes(2, 3), _band(H).T, out=down_mWCH.transpose(0, 2, 1, 3))
    down_mWN = down_mWCH.reshape(m, width, C * H)
    across_mWN = scratch.array("across", m, W, C * H)
    whole = W // _BLOCK * _BLOCK
    if whole:
        windows = sliding_window_view(down_mWN, _BLOCK + _MORE, axis=1)[:, :whole:_BLOCK].swapaxes(2, 3)
        np.matmul(_band(_BLOCK), windows, out=across_mWN[:, :whole].reshape(m, -1, _BLOCK, C * H))
    if whole < W:
        np.matmul(_band(W - whole), down_mWN[:, whole:], out=across_mWN[:, whole:])
    return across_mWN.reshape(m, W, C, H)


@cache
def _band(n: int) -> Float64s:
    """Return the (n, n + 10) matrix that maps n + 10 samples to the means of their n windows; n is at most a block."""
    band = np.zeros((n, n + _MORE))
    for tap, weight in enumerate(_taps()):
        band[np.arange(n), np.arange(n) + tap] = weight
    return band


def _taps() -> Float64s:
    """Return the 11 weights of the Gaussian window; they sum to 1."""
    offsets = np.arange(-RADIUS, RADIUS + 1, dtype=np.float64)
    taps: Float64s = np.exp(-0.5 * np.square(offsets / _SIGMA))
    taps /= taps.sum()
    return taps


def _channel_weights() -> Float64s:
    """Return the window along three channels, the outer ones replicated five times, as a (3, 3) matrix."""
    weights_CC = np.zeros((3, 3))
    for channel in range(3):
        for offset, weight in zip(range(-RADIUS, RADIUS + 1), _taps(), strict=True):
            weights_CC[channel, min(max(channel + offset, 0), 2)] += weight
    return weights_CC
