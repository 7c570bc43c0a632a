"""What attention sees: the arrays against the modules called by hand, and the sheet that shows them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from banet.analysis.explain import CHANNELS, PANEL, Map, ModuleView, draw, explain, observe
from banet.errors import BanetError, ConfigError, DataError, ModelError
from banet.image import Image
from banet.inference import to_tensor
from banet.model.network import BANet, BlurAwareModule
from banet.model.network_config import BANetConfig


def network(**settings: object) -> BANet:
    """A small network whose masks and strips vary: random weights, three times their usual size."""
    torch.manual_seed(0)
    fields: dict[str, Any] = {"stem_channels": 8, "channels": 16, "modules": 2, "fusion_channels": 8, **settings}
    model = BANet(BANetConfig(**fields)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3) if parameter.ndim > 1 else parameter.fill_(0.1)
    return model


def picture(height: int = 30, width: int = 44) -> Image:
    small = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    large = small.repeat(height // 3 + 1, axis=0).repeat(width // 4 + 1, axis=1)
    return np.ascontiguousarray(large[:height, :width])


def close(part: Map, expected: Tensor) -> bool:
    assert part.dtype == np.float32
    assert part.shape == expected.shape
    assert expected.std() > 1e-4, "the expected map must vary, or the comparison says little"
    return bool(np.allclose(part, expected.numpy(), rtol=1e-4, atol=1e-5))


def features_before(model: BANet, image: Image, number: int) -> Tensor:
    """What the attention of a module is given; Fig. 3 written out, module by module."""
    x = model.down(model.stem(to_tensor(image) - 0.5))
    for module in model.modules_[: number - 1]:
        assert isinstance(module, BlurAwareModule)
        assert module.attention is not None
        f = module.input(x)
        first, bridge, _, second = module.content.children()
        before, behind = (list(part.get_submodule("branches").children()) for part in (first, second))
        bridged = F.leaky_relu(bridge(torch.cat([branch(f) for branch in before], dim=1)), 0.2)
        content = torch.cat([branch(bridged) for branch in behind], dim=1)
        x = F.leaky_relu(x + module.output(torch.cat([content, attended(module.attention, f)[-1]], dim=1)), 0.2)
    features: Tensor = model.modules_[number - 1].get_submodule("input")(x)
    return features


def strip_map(strip: nn.Module, x: Tensor, n: int) -> Tensor:
    """y^n of Eq. (4) from the adaptive windows of the released networks."""
    H, W = x.shape[-2:]
    yv, yh = strip(F.adaptive_avg_pool2d(x, (H, n)), F.adaptive_avg_pool2d(x, (n, W)))
    return F.interpolate(yv, (H, W), mode="nearest") + F.interpolate(yh, (H, W), mode="nearest")


def strips(attention: nn.Module) -> list[nn.Module]:
    return list(attention.get_submodule("pooling.strips").children())


def attended(attention: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mask of MKSP, features after it, mask of AR, features after both: Sec. 3.1 written out."""
    fusion, last = (attention.get_submodule(f"pooling.{name}") for name in ("fusion", "mask"))
    maps = [strip_map(strip, x, n) for n, strip in zip((1, 3, 5, 7), strips(attention), strict=True)]
    mask = torch.sigmoid(last(F.relu(fusion(torch.cat(maps, dim=1)))))
    refinement = attention.get_submodule("refinement")(mask * x)
    return mask, mask * x, refinement, refinement * mask * x


@pytest.mark.parametrize("number", [1, 2])
@torch.no_grad()
def test_every_map_is_what_the_modules_give_when_called_by_hand(number: int) -> None:
    model = network()
    (view,) = observe(model, picture(), [number])
    f = features_before(model, picture(), number)
    attention = model.get_submodule(f"modules_.{number - 1}.attention")
    mask, pooled, refinement, after = (x[0] for x in attended(attention, f))
    assert view.number == number
    assert close(view.steps["before attention"], f[0].abs().mean(0))
    assert close(view.steps["MKSP mask"], mask.mean(0))
    assert close(view.steps["after MKSP"], pooled.abs().mean(0))
    assert close(view.steps["AR mask"], refinement.mean(0))
    assert close(view.steps["after attention"], after.abs().mean(0))
    assert list(view.strips) == [1, 3, 5, 7]
    for (n, part), strip in zip(view.strips.items(), strips(attention), strict=True):
        assert close(part, strip_map(strip, f, n)[0].mean(0))
    assert view.channels
    for channel, part in view.channels.items():
        assert close(part, after[channel])


@pytest.mark.parametrize("length", [9, 13, 30, 55, 83, 97, 111])
@torch.no_grad()
def test_strips_are_spread_as_the_network_spreads_them_at_any_length(length: int) -> None:
    model = network(modules=1)
    image = picture(length * 2, 30)
    (view,) = observe(model, image, [1])
    attention = model.get_submodule("modules_.0.attention")
    f = features_before(model, image, 1)
    for (n, part), strip in zip(view.strips.items(), strips(attention), strict=True):
        assert close(part, strip_map(strip, f, n)[0].mean(0))


@torch.no_grad()
def test_strips_of_equation_4_go_to_the_places_it_says() -> None:
    model = network(modules=1, strip_windows="fixed", kernels=(1, 4))
    seen: list[tuple[Tensor, Tensor]] = []
    model.get_submodule("modules_.0.attention.pooling.strips.1").register_forward_hook(lambda _, __, y: seen.append(y))
    (view,) = observe(model, picture(26, 36), [1])
    yv, yh = (y[0].mean(0) for y in seen[0])
    H, W = 13, 18
    literal = [[yv[i, 4 * j // W] + yh[4 * i // H, j] for j in range(W)] for i in range(H)]
    assert close(view.strips[4], torch.tensor(literal))


@torch.no_grad()
def test_local_strips_have_a_value_for_every_place() -> None:
    model = network(modules=1, local_crop=16)
    (view,) = observe(model, picture(40, 60), [1])
    seen: list[Tensor] = []
    strip = model.get_submodule("modules_.0.attention.pooling.strips.1")
    strip.register_forward_hook(lambda _, __, pair: seen.append(pair[0] + pair[1]))
    model(to_tensor(picture(40, 60)))
    assert close(view.strips[3], seen[0][0].mean(0))


@pytest.mark.parametrize(
    ("attention", "between", "strips"),
    [
        ("ba", ["MKSP mask", "after MKSP", "AR mask"], [1, 3, 5, 7]),
        ("mksp", ["MKSP mask"], [1, 3, 5, 7]),
        ("sp", ["SP mask"], [1]),
        ("ar", ["AR mask"], []),
        ("sa", [], []),
    ],
)
@torch.no_grad()
def test_each_variant_shows_what_it_has(attention: str, between: list[str], strips: list[int]) -> None:
    model = network(attention=attention)
    (view,) = observe(model, picture(), [2])
    assert list(view.steps) == ["before attention", *between, "after attention"]
    assert list(view.strips) == strips
    seen: list[Tensor] = []
    model.get_submodule("modules_.1.attention").register_forward_hook(lambda _, x, y: seen.extend([x[0], y]))
    model(to_tensor(picture()))
    assert close(view.steps["before attention"], seen[0][0].abs().mean(0))
    assert close(view.steps["after attention"], seen[1][0].abs().mean(0))
    assert draw(picture(), [view]).shape[2] == 3


@torch.no_grad()
def test_the_mask_of_sp_and_its_strips() -> None:
    model = network(attention="sp", modules=1)
    (view,) = observe(model, picture(), [1])
    pooling = model.get_submodule("modules_.0.attention.pooling")
    y = strip_map(pooling.get_submodule("strip"), features_before(model, picture(), 1), 1)
    assert close(view.strips[1], y[0].mean(0))
    assert close(view.steps["SP mask"], torch.sigmoid(pooling.get_submodule("mask")(y))[0].mean(0))


def test_the_drawn_channels_are_unlike_one_another() -> None:
    (view,) = observe(network(), picture(), [1])
    assert 2 <= len(view.channels) <= CHANNELS
    flat = [part.ravel() for part in view.channels.values()]
    assert np.corrcoef(flat[0], flat[1])[0, 1] < 0.5
    assert flat[0].std() >= max(part.std() for part in flat)
    assert min(part.std() for part in flat) >= 0.1 * flat[0].std() * 0.999


def test_modules_come_in_the_order_of_their_choice_each_once() -> None:
    model = network(modules=5)
    assert [view.number for view in observe(model, picture(), [4, 1, 4])] == [4, 1]
    (alone,) = observe(model, picture(), [4])
    together = observe(model, picture(), [1, 4])[1]
    assert np.array_equal(alone.steps["after attention"], together.steps["after attention"])
    first = observe(model, picture(), [1])[0].steps["after attention"]
    assert not np.allclose(alone.steps["after attention"], first)


@pytest.mark.slow
@pytest.mark.parametrize(("modules", "drawn"), [(1, [1]), (2, [1, 2]), (10, [1, 5, 10])])
def test_the_first_the_middle_and_the_last_are_drawn_unless_others_are_chosen(modules: int, drawn: list[int]) -> None:
    model = network(modules=modules, stem_channels=4, channels=4, fusion_channels=2)
    sheet = explain(model, picture())
    assert np.array_equal(sheet, explain(model, picture(), modules=drawn))
    assert modules == 1 or not np.array_equal(sheet, explain(model, picture(), modules=[1]))


def hooks_of(model: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


def test_hooks_are_removed_also_when_the_forward_fails() -> None:
    model = network()
    observe(model, picture(), [1, 2])
    assert hooks_of(model) == 0

    class Failing(nn.Module):
        def forward(self, x_BCHW: Tensor) -> Tensor:
            assert hooks_of(model) > 0
            raise MemoryError

    model.up = nn.Sequential(Failing())
    with pytest.raises(MemoryError):
        observe(model, picture(), [1, 2])
    assert hooks_of(model) == 0


def test_the_network_gives_the_same_output_while_it_is_watched_and_learns_nothing() -> None:
    model = network()
    seen: list[Tensor] = []
    handle = model.output.register_forward_hook(lambda _, __, y: seen.append(y.clone()))
    observe(model, picture(), [1, 2])
    with torch.inference_mode():
        model(to_tensor(picture()))
    handle.remove()
    assert torch.equal(seen[0], seen[1])
    assert not seen[0].requires_grad


@pytest.mark.parametrize("modules", [[0], [3], [-1], [1, 3], []])
def test_modules_that_are_not_there_are_refused_with_the_range(modules: list[int]) -> None:
    with pytest.raises(ConfigError) as error:
        explain(network(), picture(), modules=modules)
    assert "1 to 2" in str(error.value)
    assert "\n" not in str(error.value)
    assert not modules or f"no module {modules[-1]} " in str(error.value)


def test_a_network_without_attention_is_refused() -> None:
    with pytest.raises(ModelError, match="plain has no attention"):
        explain(network(name="plain", attention="none"), picture())


def test_values_that_are_not_finite_are_refused_with_the_module() -> None:
    model = network()
    with torch.no_grad():
        model.get_parameter("modules_.1.input.0.weight").fill_(torch.nan)
    observe(model, picture(), [1])
    with pytest.raises(ModelError, match=r"module 2 .*not finite"):
        observe(model, picture(), [1, 2])


@pytest.mark.parametrize("size", [(7, 20), (20, 7)])
def test_smaller_images_are_refused_with_their_size(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=f"{size[0]}x{size[1]}.*8x8"):
        explain(network(), picture(*size))


@pytest.mark.parametrize("image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3))])
def test_what_is_not_uint8_rgb_is_refused(image: Image) -> None:
    with pytest.raises(BanetError, match="uint8 RGB"):
        explain(network(), image)


@pytest.mark.parametrize("size", [(8, 8), (8, 400), (400, 8), (200, 120)])
def test_the_sheet_is_readable_at_any_size_of_the_photograph(size: tuple[int, int]) -> None:
    image = picture(*size)
    image.flags.writeable = False  # as images of shards are
    sheet = explain(network(modules=1), image)
    assert sheet.dtype == np.uint8
    assert 640 <= sheet.shape[1] <= 2000
    assert 200 <= sheet.shape[0] <= 3000
    frame = np.concatenate([sheet[:5].ravel(), sheet[-5:].ravel(), sheet[:, :5].ravel(), sheet[:, -5:].ravel()])
    assert (frame == 255).all(), "nothing is drawn into the margins"


@pytest.mark.slow
def test_the_sheet_is_the_same_every_time_and_shows_the_photograph_and_the_title() -> None:
    model = network(attention="ar")
    views = observe(model, picture(), [1, 2])
    sheet = draw(picture(), views)
    assert np.array_equal(sheet, draw(picture(), observe(model, picture(), [1, 2])))
    assert not np.array_equal(sheet, draw(255 - picture(), views))
    assert not np.array_equal(sheet, draw(picture(), views, title="another"))
    assert sheet.shape[0] > draw(picture(), views[:1]).shape[0]
    shown, own = (np.unique(x @ [65536, 256, 1]) for x in (sheet, picture()))
    assert np.isin(own, shown).all(), "the photograph is enlarged, not smoothed"


def with_step(view: ModuleView, name: str, part: Map) -> ModuleView:
    return replace(view, steps=view.steps | {name: part})


@pytest.mark.slow
def test_the_sheet_changes_with_each_map_and_with_its_range() -> None:
    (view,) = observe(network(), picture(), [1])
    sheet = draw(picture(), [view])
    for name, part in view.steps.items():
        assert not np.array_equal(sheet, draw(picture(), [with_step(view, name, part[::-1])])), name
    for strips in ({1: view.strips[1]}, view.strips | {3: view.strips[3][::-1]}):
        assert not np.array_equal(sheet, draw(picture(), [replace(view, strips=strips)]))
    # The same colours, other numbers: only the words below the panel tell them apart.
    fainter = draw(picture(), [with_step(view, "AR mask", view.steps["AR mask"] / np.float32(2))])
    assert fainter.shape == sheet.shape
    assert 0 < (fainter != sheet).any(axis=2).sum() < PANEL * 20


def test_an_even_map_is_drawn_even_and_one_bright_place_is_seen() -> None:
    (view,) = observe(network(), picture(), [1])
    even = np.full_like(view.steps["AR mask"], 0.5)
    noisy, spot = even.copy(), even.copy()
    noisy[::2] += 1e-7
    spot[7, 9] = 0.9
    flat, rounded, bright = (draw(picture(), [with_step(view, "AR mask", part)]) for part in (even, noisy, spot))
    assert np.abs(flat.astype(int) - rounded).max() < 16
    assert 0 < (flat != bright).any(axis=2).sum() < PANEL * 20
