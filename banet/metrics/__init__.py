"""Scores of one restored image against its sharp one: 8-bit RGB arrays in, one number out."""

from banet.metrics.checks import Image, require_same_size
from banet.metrics.psnr import psnr
from banet.metrics.ssim import ssim_channel, ssim_matlab3d

__all__ = ["Image", "psnr", "require_same_size", "ssim_channel", "ssim_matlab3d"]
