"""In pieces as in one piece: every variant, odd sizes, small pieces, a file; and what runs out is halved."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from banet.analysis.complexity import activation_memory
from banet.errors import DataError
from banet.image import to_image
from banet.inference import to_tensor
from banet.model.attention import BlurAwareAttention
from banet.model.network import BANet, BlurAwareModule
from banet.model.network_config import BANetConfig
from banet.restoring.piecewise import least_memory, needs, reach, restore_in_pieces

SMALL = 200_000  # bytes: pieces of about 30x30 places
VARIANTS: list[dict[str, Any]] = [
    {},
    *({"attention": attention} for attention in ("mksp", "sp", "ar", "none")),
    *({"content": content} for content in ("pdc", "pdc_twice")),
    {"fusion_kernel": 3},
    {"strip_windows": "fixed"},
    {"kernels": (2, 5)},
    {"local_crop": 20},
    {"local_crop": 20, "fusion_kernel": 3},
    {"local_crop": 20, "attention": "sp"},
    {"local_crop": 60, "kernels": (2, 3)},  # local along columns alone
]


def network(**variant: Any) -> BANet:  # noqa: ANN401
    """Weights so large that each part of the features shows in the result."""
    torch.manual_seed(0)
    small = {"stem_channels": 6, "channels": 8, "modules": 3, "fusion_channels": 4}
    model = BANet(BANetConfig(**(small | variant))).eval()
    for parameter in model.parameters():
        parameter.data.mul_(2.0)
    return model


def picture(height: int, width: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).random((height, width, 3), dtype=np.float32)


def whole(model: BANet, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        restored: Tensor = model(torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0).to(next(model.parameters())))
    return restored.squeeze(0).permute(1, 2, 0).float().numpy()


def difference(model: BANet, pixels: npt.NDArray[np.float32], **options: Any) -> float:  # noqa: ANN401
    """The largest, relative to the largest change that the network makes."""
    expected = whole(model, pixels)
    restored = restore_in_pieces(model, pixels, **options)
    return float(np.abs(restored - expected).max() / np.abs(expected - pixels).max())


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_variant_equals_the_whole_pass(variant: dict[str, Any]) -> None:
    model, pixels = network(**variant), picture(57, 171)
    assert difference(model, pixels, memory=SMALL) < 2e-6
    halves = whole(model, pixels[:, :96]), whole(model, pixels)[:, :96]
    assert np.abs(halves[0] - halves[1]).max() > 1e-3  # what is beyond a piece matters


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 3), (1, 200), (201, 1), (8, 9), (63, 64), (160, 95)])
@pytest.mark.parametrize("memory", [1, SMALL, 10**9])
def test_any_size_in_pieces_of_any_size(size: tuple[int, int], memory: int) -> None:
    assert difference(network(), picture(*size), memory=memory) < 2e-6


def test_the_smallest_pieces_fit_in_the_least_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pixels = network(), picture(160, 161)
    monkeypatch.setattr("banet.restoring.piecewise.SMALLEST", 1)  # pieces may be cut further
    sizes: list[int] = []
    model.modules_[0].register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0][0, 0].numel()))
    least = least_memory(model, 160, 161)
    restore_in_pieces(model, pixels, memory=least)
    assert max(sizes) * 6 * 8 * 4 <= least < 1.2 * max(sizes) * 6 * 8 * 4


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(dtype: torch.dtype) -> None:
    assert difference(network().to(dtype), picture(97, 60), memory=SMALL) < (1e-6 if dtype == torch.float64 else 0.05)


def test_features_in_a_file_are_the_same_and_the_folder_is_left_empty(tmp_path: Path) -> None:
    model, pixels = network(), picture(97, 60)
    in_file = restore_in_pieces(model, pixels, memory=SMALL, folder=tmp_path)
    np.testing.assert_array_equal(in_file, restore_in_pieces(model, pixels, memory=SMALL))
    assert list(tmp_path.iterdir()) == []


def test_integers_are_rounded_as_whole_pictures_are() -> None:
    model = network()
    image = np.random.default_rng(1).integers(0, 256, (61, 80, 3), dtype=np.uint8)
    image.setflags(write=False)
    with torch.inference_mode():
        expected = model(to_tensor(image))
    restored = restore_in_pieces(model, image, memory=SMALL)
    assert restored.dtype == np.uint8
    assert np.mean(restored != to_image(expected)) < 1e-3  # where a value lies between two levels
    deep = restore_in_pieces(model, image.astype(np.uint16) * 257, memory=SMALL)
    levels = (expected.clamp(0, 1)[0].permute(1, 2, 0) * 65535).numpy()
    assert deep.dtype == np.uint16
    assert np.abs(deep - levels).max() < 1


def test_progress_ends_at_its_total() -> None:
    told: list[tuple[int, int | None]] = []
    restore_in_pieces(
        network(), picture(97, 60), memory=SMALL, on_progress=lambda done, total: told.append((done, total))
    )
    assert len(told) > 20
    assert told == sorted(told)
    assert told[-1] == (49 * 30 * 8, 49 * 30 * 8)  # in, three times twice, out


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if "local_crop" not in variant], ids=str)
def test_the_halo_is_what_the_convolutions_see(variant: dict[str, Any]) -> None:
    model = network(**variant).double()
    x_BCHW = torch.zeros(1, 8, 81, 8, dtype=torch.float64)
    grid = model._grid(x_BCHW)
    module = model.modules_[0]
    assert isinstance(module, BlurAwareModule)
    if isinstance(module.attention, BlurAwareAttention):
        module.attention.pooling = None  # it sees everything
    x_BCHW.requires_grad_(True)
    module(x_BCHW.sin() + 0.1, grid)[:, :, 40].sum().backward()
    assert x_BCHW.grad is not None
    (seen,) = x_BCHW.grad.abs().sum((0, 1, 3)).nonzero(as_tuple=True)
    assert 40 - int(seen.min()) == int(seen.max()) - 40 <= reach(module, grid)
    assert reach(network(**variant).modules_[0], grid) == int(seen.max()) - 40


class OfPicture(nn.Module):
    """One pass over the whole picture, as a network that takes one; features are made of nothing."""

    def __init__(self, model: BANet, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name

    def forward(self, x_BCHW: Tensor) -> Tensor:
        model, (_, _, H, W) = self.model, x_BCHW.shape
        if self.name == "encode":
            return model.down(model.stem(x_BCHW - 0.5))  # type: ignore[no-any-return]
        features = x_BCHW.new_empty(1, model.config.channels, H // 2, W // 2).contiguous(
            memory_format=torch.channels_last
        )
        if self.name == "decode":
            both = torch.cat([model.up(features), model.stem(x_BCHW - 0.5)], dim=1)
            return x_BCHW.add_(model.output(model.merge(both)))
        module = model.modules_[0]
        if self.name == "transform":
            return module(features, model._grid(features))  # type: ignore[no-any-return]
        assert isinstance(module, BlurAwareModule)
        return module.input(features)[:, :, 1:].contiguous(memory_format=torch.channels_last)  # type: ignore[no-any-return]


@pytest.mark.parametrize("variant", [{}, {"fusion_kernel": 3}, {"attention": "none"}, {"local_crop": 40}], ids=str)
def test_the_memory_of_a_piece_is_known(variant: dict[str, Any]) -> None:
    model = network(channels=32, fusion_channels=16, **variant)
    grid = model._grid(torch.empty(1, 32, 80, 80))
    for name, need in needs(model, grid).items():
        peak = activation_memory(OfPicture(model, name), 160, 160, dtype=torch.float32)
        picture = 0 if name in {"encode", "decode"} else 160 * 160 * 3 * 4
        assert 0.8 * need.numbers < (peak - picture) / 80**2 / 4 < 1.05 * need.numbers, name


class Failing(nn.Module):
    """Runs out of memory on features of more than so many places, as torch does on a CPU."""

    def __init__(self, part: nn.Module, places: int) -> None:
        super().__init__()
        self.part, self.places, self.failed = part, places, 0

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if x_BCHW.shape[2] * x_BCHW.shape[3] > self.places:
            self.failed += 1
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")
        return self.part(x_BCHW)  # type: ignore[no-any-return]


def test_where_memory_runs_out_pieces_are_halved() -> None:
    model, pixels = network(), picture(200, 161)
    expected = whole(model, pixels)
    second = model.modules_[1]
    assert isinstance(second, BlurAwareModule)
    failing = second.content = Failing(second.content, 3000)
    restored = restore_in_pieces(model, pixels, memory=10**9)
    assert np.abs(restored - expected).max() < 2e-6 * np.abs(expected - pixels).max()
    assert 1 <= failing.failed <= 4  # later pieces begin with what fitted in


def test_what_cannot_be_halved_fails_as_torch_does() -> None:
    model = network()
    model.merge = Failing(model.merge, 0)  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        restore_in_pieces(model, picture(40, 40), memory=10**9)


def test_too_few_rows_for_fixed_windows_are_told() -> None:
    with pytest.raises(DataError, match=r"7 strips by Eq\. \(2\) need features of at least 7 rows"):
        restore_in_pieces(network(strip_windows="fixed"), picture(9, 60), memory=SMALL)
