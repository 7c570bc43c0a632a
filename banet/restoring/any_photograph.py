"""Restoring a photograph as it is: any depth, grey or colour, with or without alpha, in its own colours."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from banet.data.images.colour_profile import ColourProfile, read_profile
from banet.data.images.photograph_file import PhotographFile, Samples

ROWS = 128  # converted at a time

Restore = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
"""Takes RGB (H, W, 3), uint8 or float32 in [0, 1], and returns the same restored, the latter not clamped."""


def restore_photograph(photograph: PhotographFile, restore: Restore) -> PhotographFile:
    """Return the photograph with its colours restored.

    The network sees sRGB. Its change is added to the colours of the photograph, which is sRGB's where these are inside
    sRGB; those outside are kept and get the change of the nearest colour inside. Grey gets the mean change of the three
    channels. Alpha and the colours where it is 0 stay.

    Args:
        photograph: of at least 8x8 pixels.
        restore: by the network; uint8 is given to it if nothing is lost thereby, else float32.

    Raises:
        DataError, ResourceError: as `restore`.
    """
    colours, profile = photograph.colours, read_profile(photograph.profile) if photograph.profile else None
    notes = photograph.notes
    if photograph.profile and profile is None:
        notes += ("its colour profile has tables: the network saw its values unconverted",)
    if profile is not None and profile.is_srgb():
        profile = None
    if colours.dtype == np.uint8 and colours.shape[2] == 3 and profile is None:
        restored = restore(np.ascontiguousarray(colours))
    else:
        restored = _by_change(colours, profile, 2**photograph.bits - 1, restore)
    pixels = photograph.pixels.copy()
    if photograph.premultiplied:
        restored = np.minimum(restored, pixels[..., -1:])
    alpha = photograph.alpha
    kept = None if alpha is None else (alpha > 0)[..., None]
    np.copyto(pixels[..., : colours.shape[2]], restored, where=True if kept is None else kept)
    return replace(photograph, pixels=pixels, notes=notes)


def _by_change(colours: Samples, profile: ColourProfile | None, most: int, restore: Restore) -> Samples:
    """Add to each colour what the network changes at the nearest colour of sRGB."""
    bands = [slice(top, top + ROWS) for top in range(0, colours.shape[0], ROWS)]
    seen = np.empty((*colours.shape[:2], 3), np.float32)
    for band in bands:
        seen[band] = _inside(_srgb(colours[band], profile, most))
    shown, restored = restore(seen), np.empty_like(colours)
    for band in bands:
        srgb = _srgb(colours[band], profile, most)
        change = np.clip(shown[band], 0, 1) - _inside(srgb)  # exactly 0 where the network changes nothing
        if colours.shape[2] == 1:
            change = change.mean(axis=-1, keepdims=True)
        values = colours[band] / np.float64(most)
        if profile is None:
            values += change
        else:  # what does not change stays, even where a curve gives one light to several values
            values += profile.from_srgb(srgb + change) - profile.from_srgb(srgb)
        restored[band] = np.floor(np.clip(values, 0, 1) * most + 0.5)
    return restored


def _srgb(colours: Samples, profile: ColourProfile | None, most: int) -> npt.NDArray[np.float64]:
    values = colours / np.float64(most)
    return values if profile is None else profile.to_srgb(values)


def _inside(srgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """What the network takes: the nearest colours that sRGB holds."""
    return np.clip(srgb, 0, 1).astype(np.float32)
