"""How a restored video is encoded: with the codec, the depth and the tags of its source, as far as encoders go."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from banet.data.images.video import ffmpeg_errors, first_error
from banet.errors import ConfigError
from banet.restoring.video.frame import planar_format

if TYPE_CHECKING:
    import av
    from av.codec.codec import PixFmtLoss
    from av.container import OutputContainer
    from av.video.stream import VideoStream

USUAL = "libx264"
ENCODERS = {  # by codec
    "h264": USUAL,
    "hevc": "libx265",
    "vp8": "libvpx",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "prores": "prores_ks",
    "ffv1": "ffv1",
    "mjpeg": "mjpeg",
}
OPTIONS = {  # of a quality at which nothing of the restored detail is seen to be lost
    USUAL: {"crf": "17"}
    # Its code for AVX-512 reads memory that nobody has written: the same frames give other bits each time (x264 165).
    | ({"x264-params": "asm=AVX2"} if torch.backends.cpu.get_cpu_capability() == "AVX512" else {}),
    "libx265": {"crf": "18", "x265-params": "log-level=none"},
    "libvpx": {"crf": "8", "b": "50M"},
    "libvpx-vp9": {"crf": "20", "b": "0", "row-mt": "1", "cpu-used": "2"},
    "libsvtav1": {"crf": "22"},
    "mjpeg": {"flags": "+qscale", "global_quality": "236"},  # 2 of 31
    "ffv1": {"level": "3", "slicecrc": "1"},
}
QUALITIES = {"crf": {}, "cq": {"rc": "vbr", "b": "0"}, "qp": {}}  # options of encoders that say so, and what they need
SHARPER = 2  # times the bit rate of the source, for encoders without such an option
WITHOUT = {"avi": {"bf": "0"}}  # it holds no times of showing, so frames must come in order
X265_SMALLEST = 64  # pixels: it crashes below
TURN = "DISPLAYMATRIX"  # side data
TAGS = {"color_range": 0, "color_primaries": 2, "color_trc": 2, "colorspace": 2}  # of colours, and if not said
TURNING = {"mp4", "mov", "ipod", "3gp", "3g2", "f4v", "psp", "matroska", "webm"}  # containers that hold a rotation


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """All that decides about the encoded samples."""

    encoder: str
    pixels: str  # FFmpeg's name of their format
    options: dict[str, str]
    height: int
    width: int
    rate: Fraction  # frames a second, on average
    time_base: Fraction  # unit of time stamps, seconds
    aspect: Fraction | None  # width over height of a pixel; None: not said
    colours: dict[str, int]  # tags, as in ITU-T H.273
    matrix: list[int]  # how players turn it; empty: they do not

    def configure(self, context: Any) -> None:  # noqa: ANN401 - of an encoder, whose attributes are typed by halves
        """Set up an encoder that is not open."""
        from av.codec.context import Flags

        context.height, context.width, context.pix_fmt = self.height, self.width, self.pixels
        context.time_base, context.framerate = self.time_base, self.rate
        if self.aspect:
            context.sample_aspect_ratio = self.aspect
        for tag, number in self.colours.items():
            setattr(context, tag, number)
        context.thread_type = "AUTO"
        context.flags |= Flags.global_header
        context.options = dict(self.options)

    def converted(self, frame: "av.VideoFrame") -> "av.VideoFrame":
        """Return the frame in the format of the encoder."""
        return frame.reformat(
            format=self.pixels,
            src_color_range=frame.color_range,
            dst_color_range=self.colours["color_range"],
            dst_colorspace=self.colours["colorspace"],
            threads=1,  # as in `restore_frame`
        )

    def add_to(self, out: "OutputContainer") -> "VideoStream":
        """Add the stream to a container."""
        stream: Any = out.add_stream(self.encoder, self.rate)
        self.configure(stream.codec_context)
        if stream.codec.canonical_name == "hevc" and out.format.name in TURNING - {"matroska", "webm"}:
            stream.codec_context.codec_tag = "hvc1"  # the only one that Apple's players know
        if self.matrix:
            stream.set_display_matrix(self.matrix)
        return stream  # type: ignore[no-any-return]


def choose_coding(
    stream: "VideoStream", frame: "av.VideoFrame", container: str, *, encoder: str | None = None, crf: int | None = None
) -> tuple[Coding, str]:
    """Choose how to encode the frames of a stream; return what is lost by it, too, in words.

    Args:
        stream: of the source.
        frame: its first.
        container: FFmpeg's name of the format to write.
        encoder: FFmpeg's name of one; None: one of the source's codec, or else one that loses least.
        crf: its quality, as a number of its own scale; None: one that shows no loss.

    Raises:
        ConfigError: there is no such encoder, or it cannot encode this.
    """
    from av.codec.codec import PixFmtLoss

    bit_rate = int(stream.bit_rate or getattr(stream.container, "bit_rate", 0) or 0)
    found: tuple[Coding, str] | None = None
    faults: dict[str, str] = {}
    for name in (encoder,) if encoder else _usual_encoders(stream, container):
        options = _options(name, crf, SHARPER * bit_rate) | WITHOUT.get(container, {})
        for pixels, loss in _formats(name, planar_format(frame.format)):
            coding = _coding(stream, frame, name, pixels, options)
            if fault := _refused(coding, container):
                faults.setdefault(name, fault)
                continue
            if not loss & ~PixFmtLoss.COLORSPACE:
                return coding, ""
            what = str((loss & ~PixFmtLoss.COLORSPACE).name).lower().replace("|", " and ")
            found = found or (coding, f"less {what}, as {name} takes {pixels} at best")
            break
    if found is None:
        name, fault = next(iter(faults.items()))
        remedy = "choose another, or leave --encoder out" if encoder else "write .mkv or .mp4, or choose an --encoder"
        raise ConfigError(f"the encoder {name} cannot write this video into {container} here ({fault}): {remedy}")
    return found


def _usual_encoders(stream: "VideoStream", container: str) -> list[str]:
    """Return the encoders that are there of those to try, the best first."""
    import av

    with _opened(container) as out:
        of_container = ENCODERS.get(out.default_video_codec, USUAL)
    own = ENCODERS.get(stream.codec.canonical_name, USUAL)
    names = dict.fromkeys((own, USUAL, of_container, "libsvtav1", "libvpx-vp9"))
    return [name for name in names if name in av.codecs_available]


def _coding(stream: "VideoStream", frame: "av.VideoFrame", name: str, pixels: str, options: dict[str, str]) -> Coding:
    return Coding(
        encoder=name,
        pixels=pixels,
        options=options,
        height=frame.height,
        width=frame.width,
        rate=stream.average_rate or Fraction(25),
        time_base=stream.time_base or Fraction(1, 90000),
        aspect=stream.sample_aspect_ratio,
        colours=_colours(frame, pixels),
        matrix=_matrix(frame),
    )


def _opened(container: str) -> "OutputContainer":
    import av

    return av.open(BytesIO(), "w", format=container)


def _options(encoder: str, crf: int | None, bit_rate: int) -> dict[str, str]:
    import av

    try:
        context = av.CodecContext.create(encoder, "w")
    except ValueError:
        raise ConfigError(f"--encoder {encoder}: FFmpeg has none of this name here: try {USUAL} or libx265") from None
    if context.type != "video":
        raise ConfigError(f"--encoder {encoder} encodes no video: try {USUAL} or libx265")
    known = {option.name for option in context.supported_options.private}
    scale = next((name for name in QUALITIES if name in known), None)
    if crf is None:
        otherwise = {**QUALITIES["cq"], "cq": "19"} if scale == "cq" else {"b": str(bit_rate)} if bit_rate else {}
        return OPTIONS.get(encoder, otherwise)
    if scale is None:
        raise ConfigError(f"--crf {crf}: the encoder {encoder} has no such quality: leave it out")
    return OPTIONS.get(encoder, QUALITIES[scale]) | {scale: str(crf)}


def _formats(encoder: str, wanted: str) -> "Iterator[tuple[str, PixFmtLoss]]":
    """Order the formats of an encoder's samples by what they lose of others."""
    import av
    from av.codec.codec import find_best_pix_fmt_of_list

    names = [form.name for form in av.Codec(encoder, "w").video_formats or [] if form.components]
    left = [name for name in names if not name.startswith("yuvj")] or [wanted]
    while left:
        best, loss = find_best_pix_fmt_of_list(left, wanted, "a" in wanted.removeprefix("gray"))
        if best is None:
            return
        yield best.name, loss
        left.remove(best.name)


def _refused(coding: Coding, container: str) -> str:
    """Say why the encoder or the container does not take it; empty if both do."""
    import av

    if coding.encoder == "libx265" and min(coding.height, coding.width) < X265_SMALLEST:
        return f"it takes pictures from {X265_SMALLEST}x{X265_SMALLEST} up"
    if coding.matrix and container not in TURNING:
        return "the container cannot say that the picture is turned"
    with ffmpeg_errors() as lines:
        try:
            with _opened(container) as out:
                coding.add_to(out)
                out.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            return first_error(lines) or str(error)
    return ""


def _colours(frame: "av.VideoFrame", pixels: str) -> dict[str, int]:
    """Return the tags of a frame, or others where samples change between RGB and YUV."""
    import av

    tags = {name: getattr(frame, name) for name in TAGS}
    to_rgb = av.VideoFormat(pixels).is_rgb
    if to_rgb == frame.format.is_rgb:
        return tags
    return tags | ({"colorspace": 0, "color_range": 2} if to_rgb else {"colorspace": 1, "color_range": 1})


def _matrix(frame: "av.VideoFrame") -> list[int]:
    side: Any = frame.side_data
    return next(([int(n) for n in np.frombuffer(data, np.int32)] for data in side if data.type.name == TURN), [])
