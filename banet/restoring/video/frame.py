"""One frame of a video through a network: what the network changes is added to the frame's own samples.

A network that changes nothing so gives back the very frame: no sample goes through another colour space and back.

Shapes: ``B`` batch, always 1, ``C`` channels, ``H`` rows, ``W`` columns; chroma planes have fewer.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from banet.errors import DataError
from banet.image import SMALLEST
from banet.memory import bytes_per_pixel
from banet.model.network import BANet
from banet.restoring.any_size import restore_any_size
from banet.restoring.budget import free_memory

if TYPE_CHECKING:
    import av

Restore = Callable[[Tensor], Tensor]
"""Restores float32 (1, 3, H, W), RGB in [0, 1]."""

FULL_RANGE, UNSAID, LARGEST_SD = 2, (0, 2, 3), 576  # numbers of ITU-T H.273; rows
RED_AND_BLUE = {  # how much they weigh in luma, by the number of the matrix in ITU-T H.273
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601
    6: (0.299, 0.114),
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
}


class _Colours(NamedTuple):
    """How the samples of a frame mean colours."""

    bits: int
    weights: tuple[float, float]  # of red and blue in luma
    luma: tuple[float, float]  # black, and the distance to white, in steps of a sample
    chroma: float  # from one end to the other

    @property
    def top(self) -> int:
        return (1 << self.bits) - 1


def by_network(network: BANet, *, in_one_piece: nn.Module | None = None, max_memory: int | None = None) -> Restore:
    """Return what restores frames in one pass each or, with too little memory for that, as `restore_any_size` does.

    Args:
        network: on any device.
        in_one_piece: see `restore_any_size`.
        max_memory: see `restore_any_size`.
    """
    device, restore = next(network.parameters()).device, in_one_piece or network

    def restored(x_BCHW: Tensor) -> Tensor:
        height, width = x_BCHW.shape[2:]
        need = height * width * bytes_per_pixel(network.config)
        if network.config.attention == "sa" or need < free_memory(device, max_memory) / 2:
            return restore(x_BCHW.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]
        picture = x_BCHW[0].permute(1, 2, 0).cpu().numpy()
        y_HWC = torch.from_numpy(restore_any_size(network, picture, in_one_piece=restore, max_memory=max_memory))
        return y_HWC.permute(2, 0, 1)[None].to(device)

    return restored


def restore_frame(frame: "av.VideoFrame", restore: Restore, device: torch.device) -> "av.VideoFrame":
    """Return a frame of the same time, size, depth and tags, restored; alpha is carried.

    What lies outside the colours that the network knows, [0, 1] in RGB, is kept as far as the network does not change
    it. The network sees the frame upright.

    Args:
        frame: one that `require_supported` takes.
        restore: the network.
        device: where it is.
    """
    frame = _with_planes(frame)
    colours = _colours(frame)
    planes = [_plane(frame, i) for i in range(min(len(frame.planes), 3))]
    is_rgb = frame.format.is_rgb
    with torch.inference_mode():
        samples = [torch.from_numpy(plane).to(device).float() for plane in planes]
        rgb = torch.stack([samples[i] for i in (2, 0, 1)]) / colours.top if is_rgb else _to_rgb(samples, colours)
        seen_BCHW = rgb[None].clamp(0, 1)
        turns = frame.rotation // 90
        restored_BCHW = torch.rot90(restore(torch.rot90(seen_BCHW, turns, (2, 3))), -turns, (2, 3))
        change = (restored_BCHW.clamp(0, 1) - seen_BCHW)[0]
        changes = list(change[[1, 2, 0]] * colours.top) if is_rgb else _of_samples(change, samples, colours)
        for plane, sample, by in zip(planes, samples, changes, strict=True):
            written = (sample + by).round_().clamp_(0, colours.top)
            plane[:] = written.to(torch.uint8 if colours.bits == 8 else torch.int32).cpu().numpy()
    return frame


def planar_format(form: "av.VideoFormat") -> str:
    """Return FFmpeg's name of the layout with the same samples, each kind in a plane of its own, in native order."""
    bits = max((part.bits for part in form.components), default=8)
    alpha = "a" if any(part.is_alpha for part in form.components) else ""
    deep = "" if bits <= 8 else f"{bits}le"
    if form.is_rgb or form.has_palette:
        return f"gbr{alpha}p{deep}"
    if len(form.components) == 1:
        return f"gray{deep}"
    across, down = 8 // form.chroma_width(8), 8 // form.chroma_height(8)
    chroma = {(1, 1): "444", (2, 1): "422", (2, 2): "420", (1, 2): "440", (4, 1): "411", (4, 4): "410"}[across, down]
    return f"yuv{alpha}{chroma}p{deep}"


def sample_range(frame: "av.VideoFrame") -> int:
    """Return whether samples take all values, as a number of ITU-T H.273; formats of old said it by their names."""
    return FULL_RANGE if frame.format.name.startswith("yuvj") else frame.color_range


def require_supported(frame: "av.VideoFrame", path: Path) -> None:
    """Check that frames like this one of a video can be restored.

    Raises:
        DataError: they are too small, interlaced, or of a format or colours that are not understood.
    """
    import av

    matrix = frame.colorspace
    if min(frame.height, frame.width) < SMALLEST:
        size = f"{frame.height}x{frame.width}"
        raise DataError(f"{path} is {size} (height x width), the network restores from {SMALLEST}x{SMALLEST} up")
    if frame.interlaced_frame:
        raise DataError(f"{path} is interlaced, two instants in one frame: deinterlace it first, e.g. with bwdif")
    if not frame.format.is_rgb and matrix not in RED_AND_BLUE and matrix not in UNSAID:
        raise DataError(f"{path} has colours of matrix {matrix} of ITU-T H.273: convert it to BT.709 first")
    try:
        _with_planes(frame)
    except (KeyError, ValueError, av.FFmpegError):
        raise DataError(f"{path} has the pixel format {frame.format.name}: convert it to yuv420p first") from None


def _with_planes(frame: "av.VideoFrame") -> "av.VideoFrame":
    """Return a copy of the frame whose planes can be written to, one for each kind of sample, in native byte order."""
    samples = sample_range(frame)
    converted = frame.reformat(
        format=planar_format(frame.format),
        src_color_range=samples,
        dst_color_range=samples,
        threads=1,  # several lose chroma of formats such as p010 where they meet at an odd row
    )
    converted.make_writable()
    converted.color_range = samples
    return converted


def _plane(frame: "av.VideoFrame", number: int) -> npt.NDArray[Any]:
    """Return the samples of one plane, (H, W), to read and write."""
    plane: Any = frame.planes[number]  # a buffer, which its types do not say
    kind = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    return np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width]


def _colours(frame: "av.VideoFrame") -> _Colours:
    """Read the tags of a frame; as players do, BT.601 is assumed where none is there, or BT.709 if it is large."""
    matrix, bits = frame.colorspace, frame.format.components[0].bits
    if matrix in UNSAID:
        matrix = 1 if min(frame.height, frame.width) > LARGEST_SD else 5
    step, top = 1 << (bits - 8), (1 << bits) - 1
    grey = len(frame.format.components) == 1
    full = frame.color_range == FULL_RANGE or (grey and not frame.color_range)  # as FFmpeg assumes
    luma, chroma = ((0, top), top) if full else ((16 * step, 219 * step), 224 * step)
    return _Colours(bits, RED_AND_BLUE[matrix], luma, chroma)


def _to_rgb(samples: list[Tensor], colours: _Colours) -> Tensor:
    """Convert planes to RGB (3, H, W)."""
    (red, blue), (black, span) = colours.weights, colours.luma
    luma = (samples[0] - black) / span
    if len(samples) == 1:
        return luma.expand(3, -1, -1)
    centre = 1 << (colours.bits - 1)
    cb, cr = (_enlarged((plane - centre) / colours.chroma, luma.shape) for plane in samples[1:])
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    return torch.stack([r, (luma - red * r - blue * b) / (1 - red - blue), b])


def _of_samples(change_CHW: Tensor, samples: list[Tensor], colours: _Colours) -> list[Tensor]:
    """Convert a change of RGB to one of each plane."""
    (red, blue), (_, span) = colours.weights, colours.luma
    r, g, b = change_CHW
    luma = red * r + (1 - red - blue) * g + blue * b
    if len(samples) == 1:
        return [luma * span]
    cb, cr = (b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))
    return [luma * span, *(_reduced(part, samples[1].shape) * colours.chroma for part in (cb, cr))]


def _enlarged(plane: Tensor, size: torch.Size) -> Tensor:
    """Bring chroma to the size of luma. As by default in MPEG-2 and later, samples lie on columns, between rows."""
    (height, width), (rows, columns) = size, plane.shape
    across, down = -(-width // columns), -(-height // rows)
    tall = F.interpolate(plane[None, None], (rows * down, columns), mode="bilinear")
    wide = F.interpolate(tall, (rows * down, (columns - 1) * across + 1), mode="bilinear", align_corners=True)
    return F.pad(wide, (0, across - 1, 0, 0), mode="replicate")[0, 0, :height, :width]


def _reduced(plane: Tensor, size: torch.Size) -> Tensor:
    """Bring a change of chroma to the size of its plane, by averages where `_enlarged` puts the samples."""
    (height, width), (rows, columns) = plane.shape, size
    across, down = -(-width // columns), -(-height // rows)
    whole = F.pad(plane[None, None], (0, columns * across - width, 0, rows * down - height), mode="replicate")
    if across > 1:
        whole = F.avg_pool2d(F.pad(whole, (across // 2, across // 2, 0, 0), mode="replicate"), (1, 2), stride=1)
        return F.avg_pool2d(whole, (down, across), stride=(down, across))[0, 0]
    return F.avg_pool2d(whole, (down, 1))[0, 0]
