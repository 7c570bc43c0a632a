"""The names that other people's programs lean on."""

import inspect
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

import banet
import banet.losses
import banet.metrics
import banet.model

FUNCTIONS: dict[str, tuple[Callable[..., object], list[str]]] = {
    "restore": (banet.restore, ["model", "image"]),
    "psnr": (banet.metrics.psnr, ["restored", "sharp"]),
    "ssim_matlab3d": (banet.metrics.ssim_matlab3d, ["restored", "sharp"]),
    "ssim_channel": (banet.metrics.ssim_channel, ["restored", "sharp"]),
    "realblur_score": (banet.metrics.realblur_score, ["restored", "sharp"]),
    "charbonnier": (banet.losses.charbonnier, ["restored_BCHW", "sharp_BCHW"]),
    "fft_l1": (banet.losses.fft_l1, ["restored_BCHW", "sharp_BCHW"]),
    "total_loss": (banet.losses.total_loss, ["restored_BCHW", "sharp_BCHW"]),
}


def documentation(thing: object) -> str:
    return inspect.getdoc(thing) or ""


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # MLflow's, when it is imported
def test_every_name_in_all_resolves_and_is_documented() -> None:
    assert {"BANet", "BANetConfig", "load_model", "restore"} <= set(banet.__all__)
    assert len(set(banet.__all__)) == len(banet.__all__)
    for name in banet.__all__:
        assert len(documentation(getattr(banet, name))) > 20, name


def test_the_house_says_what_it_is_and_its_version() -> None:
    assert "deblurring" in documentation(banet)
    assert banet.__version__.count(".") == 2


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'banet' has no attribute 'deblur'"):
        banet.deblur  # noqa: B018


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_take_their_arguments_by_place_and_say_what_they_do(name: str) -> None:
    function, leading = FUNCTIONS[name]
    parameters = inspect.signature(function).parameters
    assert list(parameters)[: len(leading)] == leading
    assert all(parameters[p].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in leading)
    assert all(p.default is not inspect.Parameter.empty for n, p in parameters.items() if n not in leading)
    assert len(documentation(function)) > 20


def test_the_network_takes_its_configuration_and_is_documented() -> None:
    assert list(inspect.signature(banet.BANet).parameters) == ["config"]
    assert documentation(banet.BANet)
    assert documentation(banet.BANetConfig)


def test_scores_and_losses_give_what_is_promised() -> None:
    rng = np.random.default_rng(0)
    sharp, restored = rng.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    for metric in (banet.metrics.psnr, banet.metrics.ssim_matlab3d, banet.metrics.ssim_channel):
        assert type(metric(restored, sharp)) is float
    aligned = banet.metrics.realblur_score(restored, sharp)
    assert [type(value) for value in (aligned.psnr, aligned.ssim, aligned.aligned)] == [float, float, bool]
    x, y = torch.rand(2, 2, 3, 8, 8)
    for loss in (banet.losses.charbonnier, banet.losses.fft_l1, banet.losses.total_loss):
        assert loss(x, y).shape == ()
    assert banet.total_loss is banet.losses.total_loss


def test_the_network_s_room_gives_its_names_without_importing_torch() -> None:
    names = "BANet, BANetConfig, BlurAwareModule, export_checkpoint, import_checkpoint, load_weights, save_weights"
    code = f"""
import sys, banet.model
assert "torch" not in sys.modules
from banet.model import {names}, weights_digest, with_local_strips
from banet.model.network import BANet as same
assert BANet is same
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match=r"module 'banet.model' has no attribute 'with_winograd'"):
        banet.model.with_winograd  # noqa: B018
