"""Models on disk."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from banet.errors import ConfigError, ModelError
from banet.model.digest import weights_digest
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import load_weights, save_weights

SMALL = BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, BANet]:
    torch.manual_seed(0)
    model = BANet(SMALL)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, missing from its types
    save_weights(model, tmp_path / "model")
    return tmp_path / "model", model


def test_a_model_comes_back_exactly(saved: tuple[Path, BANet]) -> None:
    folder, model = saved
    loaded = load_weights(folder)
    assert loaded.config == SMALL
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_the_digest_depends_on_weights_and_configuration_alone(saved: tuple[Path, BANet], tmp_path: Path) -> None:
    folder, model = saved
    assert save_weights(model, tmp_path / "again") == weights_digest(folder)
    with torch.no_grad():
        model.get_parameter("output.bias")[0] += 1
    assert save_weights(model, tmp_path / "other") != weights_digest(folder)


def test_missing_and_damaged_files_are_named(saved: tuple[Path, BANet], tmp_path: Path) -> None:
    folder, _ = saved
    with pytest.raises(ModelError, match=r"no model in .*nowhere"):
        load_weights(tmp_path / "nowhere")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ModelError, match=r"model.safetensors is damaged"):
        load_weights(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not JSON"):
        load_weights(folder)


@pytest.mark.parametrize("name", ["a b.pth", "BANet.pth.tar", "last.ckpt", "net.pt", "other.safetensors"])
def test_a_checkpoint_in_the_place_of_a_model_names_the_command_that_imports_it(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"PK")
    command = re.escape(f"`banet import-checkpoint {shlex.quote(str(file))} NEW_FOLDER`")
    for model in (file, tmp_path):  # the file, or the folder that it is in
        with pytest.raises(ModelError, match=rf"{re.escape(name)} is a checkpoint.*{command}"):
            load_weights(model)


def test_other_files_in_the_place_of_a_model_are_named(saved: tuple[Path, BANet], tmp_path: Path) -> None:
    folder, _ = saved
    for part in ("config.json", "model.safetensors"):
        with pytest.raises(ModelError, match=f"name its folder, {re.escape(str(folder))}$"):
            load_weights(folder / part)
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(ModelError, match=r"photo.jpg is a file, and a model is a folder with config.json"):
        load_weights(tmp_path / "photo.jpg")
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config.json cannot be read \(No such file"):
        load_weights(folder)


def test_tensors_that_do_not_fit_are_named(saved: tuple[Path, BANet]) -> None:
    folder, _ = saved
    tensors = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if k != "output.bias"}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"lacks the tensor output\.bias"):
        load_weights(folder)
    save_file(tensors | {"output.bias": torch.zeros(4)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"output\.bias has the shape \[4\], not \[3\]"):
        load_weights(folder)
    save_file(tensors | {"more": torch.zeros(4)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match="the tensor more that"):
        load_weights(folder)
    save_file(tensors | {"output.bias": torch.full((3,), torch.nan)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"output\.bias holds NaN"):
        load_weights(folder)


def test_an_unknown_key_in_the_configuration_is_named(saved: tuple[Path, BANet]) -> None:
    folder, _ = saved
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"width": 3}))
    with pytest.raises(ConfigError, match="width is unknown"):
        load_weights(folder)
