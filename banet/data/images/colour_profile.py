"""From the colours of an ICC profile to sRGB and back: profiles of three curves and a matrix, or of one curve for grey.

Cameras, phones and editors write such profiles; those with tables are of printers and scanners. Values that sRGB
cannot hold are below 0 or above 1 and come back as they were.
"""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

_SRGB_COLOURANTS = np.array(  # XYZ of red, green and blue, under D50 as all profiles are
    [[0.43606567, 0.38514709, 0.14306641], [0.22248840, 0.71687317, 0.06060791], [0.01391602, 0.09707642, 0.71409607]]
)
_STEPS = 65536  # of a curve; the levels of 16 bits are among them
_LEAST = 0.5 / 255  # a profile that differs less from sRGB is taken for it


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourProfile:
    """How the values of a picture become colours."""

    curves: tuple[Numbers, ...]  # light for `_STEPS` values from 0 to 1, one for grey or three
    matrix: Numbers  # from the light of the three to that of sRGB; 1x1 for grey

    def to_srgb(self, values: Numbers) -> Numbers:
        """Convert values in [0, 1], (..., 3) or (..., 1), to sRGB, not clamped."""
        levels = np.linspace(0, 1, _STEPS)
        light = np.stack([np.interp(values[..., i], levels, curve) for i, curve in enumerate(self.curves)], axis=-1)
        return _encoded(light @ self.matrix.T)

    def from_srgb(self, srgb: Numbers) -> Numbers:
        """Convert sRGB, clamped or not, to values in [0, 1]."""
        light, levels = _decoded(srgb) @ np.linalg.inv(self.matrix).T, np.linspace(0, 1, _STEPS)
        return np.stack([np.interp(light[..., i], curve, levels) for i, curve in enumerate(self.curves)], axis=-1)

    def is_srgb(self) -> bool:
        """Whether converting changes nothing that 8 bits show."""
        steps = np.linspace(0, 1, 9)
        grid = np.stack(np.meshgrid(*[steps] * len(self.curves)), axis=-1)
        return bool(np.abs(self.to_srgb(grid) - grid).max() < _LEAST)


def read_profile(profile: bytes) -> ColourProfile | None:
    """Read an ICC profile of RGB or grey; None if it is damaged or made of tables alone."""
    try:
        tags = _tags(profile)
        if profile[16:20] == b"GRAY":
            return ColourProfile(curves=(_curve(tags[b"kTRC"]),), matrix=np.eye(1))
        curves = tuple(_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
        colourants = np.array([_fixed(tags[name][8:20]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]).T
        np.linalg.inv(colourants)  # raises if there is no way back
        return ColourProfile(curves=curves, matrix=np.linalg.inv(_SRGB_COLOURANTS) @ colourants)
    except (KeyError, struct.error, ValueError, np.linalg.LinAlgError):
        return None


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = (struct.unpack_from(">4sII", profile, 132 + 12 * number) for number in range(min(count, 1000)))
    return {name: profile[start : start + size] for name, start, size in entries}


def _fixed(content: bytes) -> Numbers:
    return np.frombuffer(content, ">i4") / 65536


def _curve(tag: bytes) -> Numbers:
    """Sample a curve, which must not fall."""
    x = np.linspace(0, 1, _STEPS)
    if tag[:4] not in (b"curv", b"para"):
        raise ValueError
    (number,) = struct.unpack_from(">H" if tag[:4] == b"para" else ">I", tag, 8)
    if tag[:4] == b"para":
        curve = _parametric(number, _fixed(tag[12 : 12 + 4 * (1, 3, 4, 5, 7)[min(number, 4)]]), x)
    elif number == 0:
        curve = x
    elif number == 1:
        curve = x ** (struct.unpack_from(">H", tag, 12)[0] / 256)
    else:
        levels = np.frombuffer(tag, ">u2", number, 12) / 65535
        curve = np.interp(x, np.linspace(0, 1, number), levels)
    if not np.isfinite(curve).all() or (np.diff(curve) < 0).any() or curve[-1] <= curve[0]:
        raise ValueError
    return curve


def _parametric(kind: int, parameters: Numbers, x: Numbers) -> Numbers:
    """Functions 0 to 4 of the ICC's specification, section 10.18."""
    g, a, b, c, d, e, f = np.pad(parameters, (0, 7 - len(parameters)))
    if kind == 0:
        return np.asarray(x**g)
    if kind < 3:  # c, where it is given, is added on both sides of -b/a
        return np.asarray(np.where(x >= -b / a, np.maximum(a * x + b, 0) ** g, 0) + c)
    return np.asarray(np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f))


def _encoded(light: Numbers) -> Numbers:
    """The curve of sRGB (IEC 61966-2-1), continued below 0 by its mirror image."""
    size = np.abs(light)
    return np.copysign(np.where(size <= 0.0031308, 12.92 * size, 1.055 * size ** (1 / 2.4) - 0.055), light)


def _decoded(srgb: Numbers) -> Numbers:
    size = np.abs(srgb)
    return np.copysign(np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4), srgb)
