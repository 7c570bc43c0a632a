"""The released checkpoints: equal to the literal form of the released networks, exact there and back, or refused."""

import argparse
import hashlib
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from literal_banet import literal_restore, random_tensors, released_shapes
from safetensors.torch import save_file
from torch import Tensor

from banet.errors import ModelError
from banet.model.checkpoint import export_checkpoint, import_checkpoint, released_names
from banet.model.network import BANet
from banet.model.network_config import BANetConfig

Change = Callable[[dict[str, Any]], dict[str, Any]]
SMALL = {"channels": 16, "stem": 8, "modules": 2, "fusion": 8}
STEM, DOWN, LAST = "en_layer1.0.weight", "en_layer2.0.weight", "de_layer3.0.bias"
STRIP = "BAM_2.BA.conv_1_h.weight"
PLUS = {"channels": 192, "fusion": 192}
BANET_PLUS = BANetConfig(name="banet_plus", channels=192, fusion_channels=192)


def image(batch: int, height: int, width: int) -> Tensor:
    """Colours that differ and change slowly, so that every strip has something of its own to average."""
    coarse = torch.rand(batch, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    return F.interpolate(coarse, (height, width), mode="bilinear")


def save(content: object, folder: Path, *, zipped: bool = True) -> Path:
    file = folder / "released.pth"
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file


def model_of(tensors: dict[str, Tensor], folder: Path) -> BANet:
    return import_checkpoint(save({f"module.{name}": tensor for name, tensor in tensors.items()}, folder))


@torch.inference_mode()
def literal(tensors: dict[str, Tensor], x_BCHW: Tensor) -> Tensor:
    """The released network knows even sizes only: pad odd ones by reflection, crop again."""
    H, W = x_BCHW.shape[-2:]
    return literal_restore(tensors, F.pad(x_BCHW, (0, W % 2, 0, H % 2), mode="reflect"))[..., :H, :W]


SIZES = [(8, 8), (46, 38), (64, 82), (33, 47), (40, 61), (15, 30)]
CASES = [(SMALL | {"fusion": fusion}, size) for fusion in (8, 16) for size in SIZES]  # C/2 as in BANet, C as in BANet+
DEEP_OR_WIDE = [SMALL | {"modules": 10}, {"modules": 2}, PLUS | {"modules": 1}]


@pytest.mark.parametrize(("widths", "size"), [*CASES, *((widths, (36, 50)) for widths in DEEP_OR_WIDE)])
@torch.inference_mode()
def test_equals_the_released_wiring(tmp_path: Path, widths: dict[str, int], size: tuple[int, int]) -> None:
    tensors, x = random_tensors(**widths), image(2, *size)
    expected = literal(tensors, x)
    assert 0.1 < (expected - x).std() < 2  # an ordinary scale: equal for a reason
    torch.testing.assert_close(model_of(tensors, tmp_path)(x), expected, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_every_tensor_counts_in_the_comparison(tmp_path: Path) -> None:
    """Were two tensors of one shape exchanged, or one not used, the comparison above would see it."""
    tensors, x = random_tensors(**SMALL | {"modules": 1}), image(1, 32, 26)
    model = model_of(tensors, tmp_path)
    expected, state = literal(tensors, x), model.state_dict()
    for ours in released_names(1).values():
        kept = state[ours].clone()
        state[ours].copy_(kept.roll(1, 0))
        assert (model(x) - expected).abs().max() > 1e-4, ours
        state[ours].copy_(kept)
    assert (model(x) - expected).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("config", "parameters", "digest"),  # of the public list of tensors: "name,64x3x3x3" a line
    [
        (BANetConfig(), 17_988_547, "b3e549d29efe5acfa5d15e78e744e698bd3d16542b6c5753d2dcfff1f702ae6e"),
        (BANET_PLUS, 40_768_131, "4b6fc569a37aad7d2f50a2ae0f204b0ce80a49e638ddb4198472d089787ad5e7"),
    ],
)
def test_names_and_shapes_are_those_of_the_released_files(config: BANetConfig, parameters: int, digest: str) -> None:
    with torch.device("meta"):
        state = BANet(config).state_dict()
    shapes = {old: list(state[ours].shape) for old, ours in released_names(10).items()}
    assert len(shapes) == len(state) == 310
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == parameters
    assert shapes["BAM_7.BA.fuse_conv.weight"] == [config.fusion_channels, 2 * config.channels, 1, 1]
    assert "BAM_7.BA.fuse_conv.bias" not in shapes
    lines = "".join(f"{name},{'x'.join(map(str, shape))}\n" for name, shape in shapes.items())
    assert hashlib.sha256(lines.encode()).hexdigest() == digest
    assert shapes == released_shapes(channels=config.channels, fusion=config.fusion_channels)


@pytest.mark.parametrize(("widths", "expected"), [({}, BANetConfig()), (PLUS, BANET_PLUS)])
def test_the_released_networks_are_known(tmp_path: Path, widths: dict[str, int], expected: BANetConfig) -> None:
    zero = torch.zeros(())  # one number for every tensor: the whole file is small
    tensors = {name: zero.expand(shape) for name, shape in released_shapes(**widths).items()}
    assert model_of(tensors, tmp_path).config == expected


def test_the_configuration_is_read_off_the_shapes(tmp_path: Path) -> None:
    tensors = random_tensors(channels=12, stem=6, modules=3, fusion=5)
    tensors[DOWN] = tensors[DOWN].to(memory_format=torch.channels_last)
    tensors["BAM_2.final_conv.bias"] = tensors["BAM_1.final_conv.bias"]  # tied in the file, free in the model
    model = model_of(tensors, tmp_path)
    assert model.config == BANetConfig(name="imported", stem_channels=6, channels=12, modules=3, fusion_channels=5)
    assert not model.training
    assert all(parameter.requires_grad and parameter.is_contiguous() for parameter in model.parameters())
    assert len({parameter.data_ptr() for parameter in model.parameters()}) == len(model.state_dict())


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("key", [None, "model_state", "model_state_dict", "state_dict"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before-torch-1.6"])
def test_reads_every_form_of_the_file(tmp_path: Path, prefix: str, key: str | None, zipped: bool) -> None:
    tensors = random_tensors(**SMALL)
    content: dict[str, Any] = {prefix + name: tensor for name, tensor in tensors.items()}
    if key:
        content = {"epoch": 7, key: content, "optimizer_state": {"exp_avg": torch.zeros(2)}, "best": 31.2}
    state = import_checkpoint(save(content, tmp_path, zipped=zipped)).state_dict()
    assert torch.equal(state["down.0.weight"], tensors[DOWN])
    assert torch.equal(state["stem.0.weight"], tensors[STEM][:, [2, 1, 0]])  # BGR to RGB
    assert torch.equal(state["output.bias"], tensors[LAST][[2, 1, 0]])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in random_tensors(**SMALL).items()}
    state = model_of(tensors, tmp_path).state_dict()
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert torch.equal(state["down.0.weight"], tensors[DOWN].float())


def test_a_file_comes_back_to_the_bit(tmp_path: Path) -> None:
    tensors = random_tensors(**SMALL)
    export_checkpoint(model_of(tensors, tmp_path), tmp_path / "new" / "back.pth")
    back = torch.load(tmp_path / "new" / "back.pth", weights_only=True)
    assert list(back) == [f"module.{name}" for name in tensors]
    assert all(torch.equal(back[f"module.{name}"], tensor) for name, tensor in tensors.items())


def test_a_model_comes_back_to_the_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = BANetConfig(name="imported", stem_channels=8, channels=16, modules=2, fusion_channels=16)
    model = BANet(config)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, missing from its types
    export_checkpoint(model, tmp_path / "model.pth")
    back = import_checkpoint(tmp_path / "model.pth")
    assert back.config == config
    assert all(tensor.is_contiguous() for tensor in torch.load(tmp_path / "model.pth", weights_only=True).values())
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in back.state_dict().items())


def refusal(file: Path) -> str:
    with pytest.raises(ModelError) as caught:
        import_checkpoint(file)
    message = str(caught.value)
    assert message.startswith(str(file)) and "\n" not in message
    assert caught.value.__context__ is None or caught.value.__suppress_context__  # no traceback of torch's
    return message.removeprefix(str(file)).lstrip(": ")


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere.pth").startswith("cannot be read (No such file or directory)")
    assert refusal(tmp_path).startswith("cannot be read (Is a directory)")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before-torch-1.6"])
def test_a_truncated_file_is_refused(tmp_path: Path, zipped: bool) -> None:
    file = save(random_tensors(**SMALL), tmp_path, zipped=zipped)
    whole = file.read_bytes()
    for length in (5, 10, len(whole) // 2, len(whole) - 5):
        file.write_bytes(whole[:length])
        assert refusal(file) == "is cut off, damaged or not a PyTorch checkpoint: fetch it again"


OTHER_FILES = [
    (b"", "is empty"),
    (b"PK", "is not a PyTorch checkpoint: name a released .pth file"),
    (b"checkpoint\nfoo\n", "is not a PyTorch checkpoint"),
    (b"\x89PNG\r\n", "is not a PyTorch checkpoint"),
    (b"<html>", "is a web page"),
    (b"\n <!DOCTYPE html>\n<title>Google Drive - Virus scan warning", "is a web page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer.* `git lfs pull`"),
    (b"\x1f\x8b\x08\0", "is a packed archive: unpack it"),
    (b"BANet.pth".ljust(257, b"\0") + b"ustar\0", "is a packed archive: unpack it"),
    ((64).to_bytes(8, "little") + b'{"en_layer1.0.we', "is a damaged safetensors file"),
]


@pytest.mark.parametrize(("content", "message"), OTHER_FILES)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "other.pth").write_bytes(content)
    assert re.match(message, refusal(tmp_path / "other.pth"))


def test_other_archives_are_refused(tmp_path: Path) -> None:
    torchscript = {"constants.pkl": pickle.dumps(()), "data.pkl": pickle.dumps({}, protocol=2), "version": b"3"}
    for members, message in (
        ({"data.txt": b"text"}, "is a zip archive but no checkpoint"),
        ({"BANet.pth": b""}, "is a zip archive but no checkpoint: unpack it, and name other/BANet.pth"),
        (torchscript, "is a TorchScript program"),  # of which torch warns besides
    ):
        with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
            for name, content in members.items():
                archive.writestr(f"other/{name}", content)
        assert refusal(tmp_path / "other.pth").startswith(message)


@dataclass
class Code:
    """Unpickled, it makes the folder."""

    folder: Path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("kind", ["zip", "before-torch-1.6", "pickle-2", "pickle-3", "pickle-4", "pickle-5"])
def test_code_in_a_file_is_refused_and_does_not_run(tmp_path: Path, kind: str) -> None:
    content, file = {"model_state": {STEM: torch.zeros(1)}, "extra": Code(tmp_path / "made")}, tmp_path / "released.pth"
    if kind.startswith("pickle"):
        file.write_bytes(pickle.dumps(content["extra"], protocol=int(kind[-1])))
    else:
        save(content, tmp_path, zipped=kind == "zip")
    expected = r"holds code .* nothing of it ran: get the weights .* with torch\.save\(model\.state_dict\(\), file\)"
    assert re.fullmatch(expected, refusal(file))
    assert not (tmp_path / "made").exists()
    if kind.startswith("pickle"):  # the trap is real
        pickle.loads(file.read_bytes())  # noqa: S301 - our own
        assert (tmp_path / "made").exists()


def test_objects_beside_tensors_are_named(tmp_path: Path) -> None:
    file = save({"options": argparse.Namespace(), "model_state": {STEM: torch.zeros(1)}}, tmp_path)
    assert refusal(file).startswith("holds code or Python objects (argparse.Namespace), so it was refused")


@pytest.mark.parametrize("content", [{}, {"epoch": 1}, [torch.zeros(1)], torch.zeros(1), {"model_state": {"epoch": 1}}])
def test_a_file_without_named_tensors_is_refused(tmp_path: Path, content: object) -> None:
    assert refusal(save(content, tmp_path)).startswith("holds no tensors by name")


def without(part: str) -> Change:
    return lambda tensors: {name: value for name, value in tensors.items() if part not in name}


def renamed(old: str, new: str) -> Change:
    return lambda tensors: {name.replace(old, new): value for name, value in tensors.items()}


def put(name: str, value: object) -> Change:
    return lambda tensors: tensors | {name: value}


BAD_TENSORS = [
    (without("BAM_2.BA.conv_5"), "lacks the tensor BAM_2.BA.conv_5.weight: take a released checkpoint of BANet"),
    (without("en_layer"), "lacks the tensor en_layer1.0.weight and 3 more: take"),
    (without("BAM"), "lacks the tensor BAM_1.input_conv.weight and 29 more"),
    (put("more", torch.zeros(1)), "has the tensor more that the network has no place for: take"),
    (renamed("_d1_2", "_x"), "lacks the tensor BAM_1.content_conv_d1_2.weight and 3 more and has the tensor BAM_1.con"),
    (lambda _: {"a": torch.zeros(1)}, "holds 1 tensors such as a and none with a name of the released network"),
    (renamed("en_layer", "encoder"), "lacks the tensor en_layer1.0.weight and 3 more and has the tensor encoder1.0."),
    (renamed("BAM_2.", "BAM_3."), "lacks the tensor BAM_2.input_conv.weight and 29 more and has the tensor BAM_3."),
    (renamed("BAM_1.", "BAM_0."), "lacks the tensor BAM_1.input_conv.weight and 29 more and has the tensor BAM_0."),
    (put(f"module.{LAST}", torch.zeros(3)), f"holds {LAST} twice, with and without module."),
    (put("_orig_mod.more", torch.zeros(1)), "has the tensor more that the network has no place for: take"),
    (put(LAST, 5), f"{LAST} is of type int, not a tensor"),
    (put(STRIP, torch.zeros(8, 16, 1, 3)), f"{STRIP} has the shape [8, 16, 1, 3], not [8, 16, 3, 1]: take"),
    (put(STEM, torch.zeros(8, 1, 3, 3)), f"{STEM} has the shape [8, 1, 3, 3], not [8, 3, 3, 3]: take"),
    (put(DOWN, torch.zeros(18, 8, 3, 3)), "en_layer2.0.bias has the shape [16], not [18]: take"),
    (
        put(DOWN, torch.zeros(15, 8, 3, 3)),
        "model.channels must be even (strips and PDC branches have C/2), got 15: take",
    ),
    (put(STEM, torch.tensor(1.0)), f"{STEM} has the shape [], not [64, 3, 3, 3]: take"),
    (put(LAST, torch.full((3,), torch.nan)), f"{LAST} holds NaN or infinite"),
    (put(STRIP, torch.full((8, 16, 3, 1), -torch.inf)), f"{STRIP} holds NaN or infinite"),
    (put(LAST, torch.full((3,), 1e300, dtype=torch.float64)), f"{LAST} holds NaN or infinite"),
    (put(LAST, torch.zeros(3, dtype=torch.int64)), f"{LAST} is a tensor of another kind (int64, strided, on cpu)"),
    (put(LAST, torch.ones(3).to_sparse()), f"{LAST} is a tensor of another kind (float32, sparse_coo, on cpu)"),
    (put(LAST, torch.zeros(3, device="meta")), f"{LAST} is a tensor of another kind (float32, strided, on meta)"),
]


@pytest.mark.parametrize(("change", "message"), BAD_TENSORS)
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, change: Change, message: str) -> None:
    assert refusal(save(change(random_tensors(**SMALL)), tmp_path)).startswith(message)


Tensors = dict[str, Tensor]
EXTRA = torch.zeros(1)
NESTED: list[tuple[str | None, Callable[[Tensors], object]]] = [  # what the message names, and the file's content
    ("params", lambda w: {"params": w, "iter": 1}),
    ("params_ema", lambda w: {"params_ema": w}),
    ("model", lambda w: {"epoch": 3, "model": w, "optimizer": {"state": {0: {"exp_avg": EXTRA}}, "param_groups": []}}),
    ("net", lambda w: {"net": w, "acc": 30.1}),
    ("generator", lambda w: {"generator": w, "discriminator": {"body.0.weight": EXTRA}}),
    ("state_dict.net", lambda w: {"state_dict": prefixed("net.", w) | {"loss.vgg.0.weight": EXTRA}, "callbacks": {}}),
    ("state.nets.0", lambda w: {"state": {"nets": [w, {"body.weight": EXTRA}]}}),
    ("module", lambda w: {"module": w, "global_steps": 4}),
    ("model", lambda w: prefixed("model.", w)),
    ("ema", lambda w: prefixed("ema.", w) | {"ema_decay": EXTRA}),
    (None, lambda w: prefixed("module.", w) | {"n_averaged": torch.tensor(3)}),
    (None, lambda w: prefixed("module.module.", w)),
    (None, lambda w: prefixed("_orig_mod.module.", w)),
    (None, lambda w: prefixed("module._orig_mod.", w)),
    (None, lambda w: prefixed("_forward_module.", w)),
    (None, lambda w: {name.replace("BAM_1.", "BAM_1._orig_mod."): value for name, value in w.items()}),
    (None, lambda w: w | dict.fromkeys(("total_ops", "en_layer1.total_params", "BAM_1.BA.total_ops"), EXTRA)),
    (None, lambda w: w | {"epoch": 5, "best_psnr": 30.1, "optimizer": {"state": {}}}),
]


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(("where", "nest"), NESTED)
def test_weights_are_found_where_training_programs_keep_them(
    tmp_path: Path, where: str | None, nest: Callable[[Tensors], object]
) -> None:
    tensors, said = random_tensors(**SMALL), list[str]()
    model = import_checkpoint(save(nest(tensors), tmp_path), on_message=said.append)
    assert said == ([f"took the weights under {where}"] if where else [])
    assert all(
        torch.equal(model.state_dict()[ours], tensors[name])
        for name, ours in released_names(2).items()
        if name.startswith("BAM")
    )


@pytest.mark.parametrize(("plain", "averaged"), [("params", "params_ema"), (".", "model_ema"), ("net_g", "net_g.ema")])
def test_of_several_weights_the_averaged_ones_are_taken_unless_a_key_chooses(
    tmp_path: Path, plain: str, averaged: str
) -> None:
    tensors, others = random_tensors(**SMALL), random_tensors(**SMALL | {"modules": 1})
    nested: dict[str, Any] = {"iter": 1}
    for key, weights in ((plain, tensors), (averaged, others)):
        nested |= prefixed("" if key == "." else f"{key}.", weights)
    file, said = save(nested, tmp_path), list[str]()
    assert import_checkpoint(file, on_message=said.append).config.modules == 1
    assert import_checkpoint(file, key=plain, on_message=said.append).config.modules == 2
    assert [line.partition(";")[0] for line in said] == [f"took the weights under {key}" for key in (averaged, plain)]
    assert f"--key chooses others of the file: {plain}" in said[0]
    with pytest.raises(ModelError, match=rf"no weights .* under other: choose from .*{re.escape(averaged)}"):
        import_checkpoint(file, key="other")


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    tensors = random_tensors(**SMALL)
    save_file(tensors, tmp_path / "released.safetensors")
    assert torch.equal(
        import_checkpoint(tmp_path / "released.safetensors").state_dict()["down.0.weight"], tensors[DOWN]
    )


def test_weights_of_our_own_names_are_told_from_the_released_ones(tmp_path: Path) -> None:
    state = BANet(TINY).state_dict()
    for content in (state, {"model": prefixed("module.", state)}):
        assert "this project's own network" in refusal(save(content, tmp_path))


def test_a_list_that_contains_itself_has_an_end(tmp_path: Path) -> None:
    content: list[object] = []
    content.append(content)
    assert refusal(save(content, tmp_path)).startswith("holds no tensors by name")


TINY = BANetConfig(stem_channels=4, channels=8, modules=1, fusion_channels=4)
OTHERS = {"attention": "sp", "content": "pdc", "kernels": (1, 3), "fusion_kernel": 3, "strip_windows": "fixed"}


@pytest.mark.parametrize(("key", "value"), [*OTHERS.items(), ("attention", "none")])
def test_networks_without_released_names_are_not_written(tmp_path: Path, key: str, value: object) -> None:
    expected = f"out.pth cannot be written: the model has {key} {value}, the released networks have "
    with pytest.raises(ModelError, match=re.escape(expected)):
        export_checkpoint(BANet(replace(TINY, **{key: value})), tmp_path / "out.pth")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    model = BANet(TINY)
    with pytest.raises(ModelError, match=r"folder cannot be written \(Is a directory\)"):
        export_checkpoint(model, tmp_path / "folder")
    model.get_parameter("stem.0.bias").data[1] = torch.nan
    with pytest.raises(ModelError, match=r"out\.pth: en_layer1\.0\.bias holds NaN"):
        export_checkpoint(model, tmp_path / "out.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
