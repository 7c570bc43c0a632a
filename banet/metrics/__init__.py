"""Scores of one restored image against its sharp one: 8-bit RGB arrays in, numbers out."""

from banet.metrics.checks import Image, require_same_size
from banet.metrics.psnr import psnr
from banet.metrics.realblur import RealBlurScore, realblur_score
from banet.metrics.ssim import ssim_channel, ssim_matlab3d

__all__ = ["Image", "RealBlurScore", "psnr", "realblur_score", "require_same_size", "ssim_channel", "ssim_matlab3d"]
