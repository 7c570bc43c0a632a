"""A physical model of motion blur: a moving camera, an exposure in linear light, a sensor with noise.

The steps follow Rim et al., ECCV 2022 (RSBlur): exact sRGB, saturated highlights, Poisson-Gaussian noise. The camera
path is the random walk of Boracchi and Foi, IEEE TIP 2012, or a smooth arc. Light is linear float32; the sensor clips
at 1.0.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from banet.data.custom_spec import Motion
from banet.image import Image

Light = npt.NDArray[np.float32]
"""Linear light, float32, (H, W, 3); above 1 where the sensor clips."""

SUBSTEPS_PER_PIXEL = 4  # camera positions per pixel of path, dense enough to leave no ghosts
WALK_STEPS = 2000  # fine steps of the random walk, resampled to the camera positions
HIGHLIGHT = 0.98  # sRGB level above which a pixel counts as clipped
SHOT_NOISE = 8.8915e-5  # variance per unit of light, of the RealBlur camera according to RSBlur
READ_NOISE = 2.9430e-5  # standard deviation in units of light, likewise


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPath:
    """Camera positions at equal intervals of one exposure, centred on their mean."""

    shift: npt.NDArray[np.float64]  # (N, 2), x and y in pixels; mean zero
    roll: npt.NDArray[np.float64]  # (N,), degrees; mean zero


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One rigid part of a scene with its own motion."""

    light: Light  # (H, W, 3)
    alpha: npt.NDArray[np.float32]  # (H, W) in [0, 1]: opacity
    path: CameraPath


def srgb_to_linear(srgb: npt.NDArray[np.floating]) -> Light:
    """Undo the sRGB curve (IEC 61966-2-1); values in [0, 1]."""
    srgb = np.asarray(srgb, dtype=np.float32)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(light: Light) -> npt.NDArray[np.float32]:
    """Apply the sRGB curve; light is clipped to [0, 1]."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def develop(light: Light) -> Image:
    """Turn light into the image that a camera saves: clipped, sRGB, 8 bit."""
    levels: Image = np.floor(linear_to_srgb(light) * 255 + 0.5).astype(np.uint8)
    return levels


def expose(image: Image, *, scale: float, highlight_gain: float) -> Light:
    """Recover the light of a photograph: undo sRGB, brighten clipped highlights, reduce the size in linear light.

    Args:
        image: uint8 RGB.
        scale: size of the result over size of the image, at most 1.
        highlight_gain: factor on pixels whose brightest channel is clipped, at least 1.
    """
    srgb = image.astype(np.float32) / 255
    light = srgb_to_linear(srgb)
    light[srgb.max(axis=2) >= HIGHLIGHT] *= highlight_gain
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(light, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def camera_path(rng: np.random.Generator, *, length: float, roll_sigma: float, motion: Motion = "walk") -> CameraPath:
    """Draw the camera motion of one exposure.

    Args:
        rng: source of all randomness.
        length: length of the path, pixels.
        roll_sigma: standard deviation of the change of roll over the exposure, degrees.
        motion: "walk" has inertia, a pull to the centre, jitter and an occasional jerk: half of the paths span less
            than 0.28 of their length. "arc" is a steady motion with some acceleration, as in exposures of 30 to 50 ms.
    """
    walk = _arc(rng) if motion == "arc" else _random_walk(rng)
    walk *= length / np.abs(np.diff(walk)).sum()
    count = max(8, int(np.ceil(length * SUBSTEPS_PER_PIXEL)) + 1)
    steps = np.linspace(0, len(walk) - 1, count)
    position = np.interp(steps, np.arange(len(walk)), walk)
    position -= position.mean()
    turn = np.linspace(-0.5, 0.5, count) * rng.normal(0, roll_sigma)
    return CameraPath(shift=np.stack([position.real, position.imag], axis=1), roll=turn - turn.mean())


def exposure(layers: list[Layer], *, margin: int, encoded: bool = False) -> tuple[Light, Light]:
    """Average the moving layers, ordered back to front, over the exposure.

    Args:
        layers: of one size.
        margin: pixels cut off each side, since motion moves the border in there.
        encoded: average sRGB levels, as GoPro's `blur` does, rather than light.

    Returns:
        The blurred light and the sharp light, which shows each layer at the centroid of its path (zero by
        construction).
    """
    steps = max(len(layer.path.roll) for layer in layers)
    total = np.zeros_like(layers[0].light)
    for t in np.linspace(0, 1, steps):
        light = _composite([_moved(layer, float(t)) for layer in layers])
        total += linear_to_srgb(light) if encoded else light
    sharp = _composite([(layer.light, layer.alpha) for layer in layers])
    inner = (slice(margin, -margin or None),) * 2
    blurred = total / np.float32(steps)
    return (srgb_to_linear(blurred) if encoded else blurred)[inner], np.clip(sharp, 0, 1)[inner]


def add_noise(light: Light, rng: np.random.Generator, *, gain: float) -> Light:
    """Poisson-Gaussian sensor noise; `gain` is the virtual ISO over the base ISO."""
    shot, read = SHOT_NOISE * gain, READ_NOISE * gain
    photons = rng.poisson(np.maximum(light, 0) / shot)
    return (photons * shot + rng.normal(0, read, light.shape)).astype(np.float32)


def soft_blob(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Draw a mask (H, W) in [0, 1]: a rotated ellipse somewhere in the frame, with an edge about two pixels soft."""
    H, W = shape
    centre = (int(rng.uniform(0.3, 0.7) * W), int(rng.uniform(0.3, 0.7) * H))
    axes = (int(rng.uniform(0.12, 0.3) * W), int(rng.uniform(0.12, 0.3) * H))
    mask = np.zeros(shape, dtype=np.float32)
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, thickness=-1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.0), dtype=np.float32)


def _arc(rng: np.random.Generator) -> npt.NDArray[np.complex128]:
    # A steady motion, acceleration, its change, and a tremble of two to four periods; x real, y imaginary.
    t = np.linspace(-0.5, 0.5, WALK_STEPS + 1)
    acceleration, change, tremble = (complex(*rng.normal(0, sigma, 2)) for sigma in (0.35, 0.5, 0.02))
    swing = np.sin(2 * np.pi * (rng.uniform(2, 4) * t + rng.random()))
    arc: npt.NDArray[np.complex128] = t + acceleration * t**2 + change * t**3 + tremble * swing
    return np.asarray(arc * np.exp(2j * np.pi * rng.random()))


def _random_walk(rng: np.random.Generator) -> npt.NDArray[np.complex128]:
    # Boracchi and Foi's walk over a canvas 60 units long, with the parameter ranges of DeblurGAN.
    span = 60.0
    anxiety = rng.choice([0.01, 0.009, 0.008, 0.007, 0.005, 0.003])  # how restless the hand is
    centripetal, jitter = rng.uniform(0, 0.7), rng.uniform(0, 10)
    jerk = anxiety * rng.uniform(0, 0.2)  # probability of a sudden turn, a step
    jerks = rng.random(WALK_STEPS) < jerk
    turns = np.exp(1j * (np.pi + rng.uniform(-0.5, 0.5, WALK_STEPS)))
    jitters = jitter * (rng.standard_normal(WALK_STEPS) + 1j * rng.standard_normal(WALK_STEPS))
    direction = np.exp(1j * rng.uniform(0, 2 * np.pi))
    position = np.zeros(WALK_STEPS + 1, dtype=np.complex128)
    for i in range(WALK_STEPS):
        push = anxiety * (jitters[i] - centripetal * position[i])
        if jerks[i]:
            push += 2 * direction * turns[i]
        direction = (direction + push) / abs(direction + push)
        position[i + 1] = position[i] + direction * span / WALK_STEPS
    return position


def _moved(layer: Layer, t: float) -> tuple[Light, npt.NDArray[np.float32]]:
    H, W = layer.alpha.shape
    at = t * (len(layer.path.roll) - 1)
    steps = np.arange(len(layer.path.roll))
    dx, dy = (np.interp(at, steps, layer.path.shift[:, axis]) for axis in (0, 1))
    matrix = cv2.getRotationMatrix2D(((W - 1) / 2, (H - 1) / 2), float(np.interp(at, steps, layer.path.roll)), 1.0)
    matrix[:, 2] += (dx, dy)
    light = cv2.warpAffine(layer.light, matrix, (W, H), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    if layer.alpha.min() == 1:
        return np.maximum(light, 0), layer.alpha
    return np.maximum(light, 0), cv2.warpAffine(layer.alpha, matrix, (W, H), flags=cv2.INTER_LINEAR)


def _composite(layers: list[tuple[Light, npt.NDArray[np.float32]]]) -> Light:
    result = layers[0][0]
    for light, alpha in layers[1:]:
        result = result + alpha[..., None] * (light - result)
    return result
