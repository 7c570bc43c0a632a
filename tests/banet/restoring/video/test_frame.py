"""Frames to colours and back: FFmpeg's own colours, and nothing lost where the network changes nothing."""

from typing import Any

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Interpolation
from films import samples_of, scene
from torch import Tensor

from banet.errors import ResourceError
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.restoring.budget import resident_memory
from banet.restoring.video.frame import by_network, restore_frame

CPU = torch.device("cpu")
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def frame_of(pixels: str, *, size: tuple[int, int] = (33, 47), matrix: int = 1, samples: int = 1) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(scene(3, *size), format="rgb24")
    frame = frame.reformat(format=pixels, dst_colorspace=matrix, dst_color_range=samples, threads=1)
    frame.colorspace, frame.color_range, frame.pts = matrix, samples, 7
    return frame


@pytest.mark.parametrize(
    "pixels",
    [
        *("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p", "nv12", "gray", "gray10le"),
        *("yuv420p10le", "p010le", "yuv422p12le", "yuv420p16le", "yuva420p", "yuva444p10le"),
        *("rgb24", "bgra", "gbrp", "gbrp10le", "gbrap12le"),
    ],
)
def test_a_network_that_changes_nothing_gives_back_every_sample(pixels: str) -> None:
    full = 2 if pixels.startswith("yuvj") else 1
    size = (34, 48) if pixels == "p010le" else (33, 47)  # FFmpeg drops a column of it on the way back
    frame = frame_of(pixels, samples=full, size=size)
    restored = restore_frame(frame, lambda x: x, CPU)
    same = restored.reformat(format=pixels, src_color_range=full, dst_color_range=full, threads=1)
    for before, after in zip(samples_of(frame), samples_of(same), strict=True):
        np.testing.assert_array_equal(before, after)
    assert (restored.pts, restored.height, restored.width) == (7, *size)
    assert restored.format.components[0].bits == frame.format.components[0].bits


def test_chroma_is_whole_at_a_height_that_threads_would_share_at_an_odd_row() -> None:
    """By itself, libswscale lost rows of it in about one of four conversions, on two cores."""
    frame = frame_of("p010le", size=(34, 48))
    both = samples_of(frame)[1]
    for _ in range(30):
        blue, red = samples_of(restore_frame(frame, lambda x: x, CPU))[1:]
        np.testing.assert_array_equal(np.stack([blue, red], axis=-1).reshape(both.shape) << 6, both)


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("pixels", ["yuv444p", "yuv444p10le", "yuv444p16le"])
def test_the_network_sees_the_colours_that_ffmpeg_shows(pixels: str, samples: int, matrix: int) -> None:
    seen: list[Tensor] = []
    frame = frame_of(pixels, matrix=matrix, samples=samples, size=(64, 96))
    restore_frame(frame, lambda x: seen.append(x) or x, CPU)  # type: ignore[func-returns-value]
    expected = frame.reformat(format="rgb48le", interpolation=EXACT).to_ndarray().astype(np.float64) / 65535
    difference = np.abs(seen[0][0].permute(1, 2, 0).numpy() - expected)
    assert difference.max() < 1 / 255


@pytest.mark.parametrize(("pixels", "across"), [("yuv420p", 2), ("yuv422p", 2), ("yuv411p", 4)])
def test_chroma_lies_on_every_second_or_fourth_column(pixels: str, across: int) -> None:
    seen: list[Tensor] = []
    ramp = np.arange(64, 192, 2, dtype=np.uint8)
    for name, step in (("yuv444p", 1), (pixels, across)):
        frame = av.VideoFrame(64, 16, name)
        for plane, values in zip(frame.planes, (ramp, ramp[::step], 255 - ramp[::step]), strict=True):
            rows: Any = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)  # type: ignore[call-overload]
            rows[:, : plane.width] = values
        restore_frame(frame, lambda x: seen.append(x) or x, CPU)  # type: ignore[func-returns-value]
    fine, coarse = (x[..., : 64 - across] for x in seen)
    torch.testing.assert_close(coarse, fine, atol=1e-5, rtol=0)


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("pixels", ["yuv444p10le", "yuv420p", "gbrp"])
def test_what_the_network_writes_is_what_ffmpeg_shows(pixels: str, samples: int, matrix: int) -> None:
    target = torch.tensor([0.7, 0.3, 0.2]).view(1, 3, 1, 1)
    matrix = 0 if pixels == "gbrp" else matrix
    frame = frame_of(pixels, matrix=matrix, samples=2 if pixels == "gbrp" else samples)
    restored = restore_frame(frame, target.expand_as, CPU)
    rgb = restored.reformat(format="rgb48le", interpolation=EXACT).to_ndarray() / 65535
    # The frame's chroma is coarser than what the network sees, which remains where they differ.
    assert np.abs(rgb.mean((0, 1)) - [0.7, 0.3, 0.2]).max() < 0.01


def test_the_network_sees_the_frame_upright() -> None:
    sizes = []

    def restore(x: Tensor) -> Tensor:
        sizes.append(tuple(x.shape[2:]))
        changed = x.clone()
        changed[..., :8, :] = 1  # the top
        return changed

    class Turned:
        """A frame with a display matrix, which only containers set."""

        rotation = 90

        def __init__(self, frame: av.VideoFrame) -> None:
            self.frame = frame

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401
            return getattr(self.frame, name)

        def reformat(self, **_: object) -> "Turned":
            return self

    frame = frame_of("gbrp", matrix=0, samples=2)
    restored = restore_frame(Turned(frame), restore, CPU)  # type: ignore[arg-type]
    green = samples_of(restored)[0]
    assert sizes == [(47, 33)]
    assert (green[:, -8:] == 255).all()
    assert not (green[:, :-8] == 255).all()


def test_a_frame_that_needs_too_much_memory_is_restored_in_pieces_with_the_same_result() -> None:
    torch.manual_seed(0)
    network = BANet(BANetConfig(channels=8, stem_channels=4, modules=1)).eval()
    x = torch.rand(1, 3, 600, 800)
    with torch.inference_mode():
        whole = by_network(network)(x)
        most = resident_memory() + 240 * 2**20  # one pass is thought to take 167 MiB, and gets half of what is left
        in_pieces = by_network(network, max_memory=most)(x)
        torch.testing.assert_close(in_pieces, whole, atol=1e-5, rtol=0)
        with pytest.raises(ResourceError, match="600x800"):  # the limit is kept
            by_network(network, max_memory=1)(x)
