"""Networks written for other runtimes are read back by these runtimes, and compared at sizes of their own."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from banet.engines import export
from banet.engines.export import export_network, smallest_side
from banet.errors import ConfigError, ModelError
from banet.model.network import BANet
from banet.model.network_config import BANetConfig

TINY = BANetConfig(stem_channels=2, channels=4, modules=1, fusion_channels=2)
SIZES = [(1, 8, 8), (3, 9, 15), (1, 101, 40), (2, 8, 200)]


def network(config: BANetConfig = TINY) -> BANet:
    torch.manual_seed(0)
    return BANet(config).eval()


def require_facts(facts: dict[str, str], model: BANet, precision: str) -> None:
    assert (facts["digest"], facts["source"], facts["precision"]) == ("ab" * 32, "models/here", precision)
    assert int(facts["smallest_side"]) == smallest_side(model.config)
    assert json.loads(facts["config"]) == json.loads(json.dumps(asdict(model.config)))
    assert json.loads(facts["normalisation"]) == {
        "colours": "RGB",
        "layout": "BCHW",
        "range": [0, 1],
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
        "clamp_output": True,
    }


@pytest.mark.slow
def test_onnxruntime_runs_it_at_any_size(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    model, file = network(), tmp_path / "new" / "banet.onnx"
    assert export_network(model, file, digest="ab" * 32, source="models/here") <= 1e-4
    assert list(file.parent.iterdir()) == [file]  # the weights are inside
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    require_facts(session.get_modelmeta().custom_metadata_map, model, "float32")
    for batch, height, width in SIZES:
        x = torch.rand(batch, 3, height, width)
        (restored,) = session.run(["restored"], {"image": x.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(restored), model(x), rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_torch_runs_it_at_any_size(precision: export.Precision, tmp_path: Path) -> None:
    model, file = network(), tmp_path / "banet.pt2"
    tolerance = export.TOLERANCES[precision]
    assert export_network(model, file, digest="ab" * 32, source="models/here", precision=precision) <= tolerance
    names = ("digest", "source", "precision", "smallest_side", "config", "normalisation")
    facts = dict.fromkeys(names, "")
    program = torch.export.load(file, extra_files=facts)
    require_facts(facts, model, precision)
    assert {str(weight.dtype) for weight in program.state_dict.values()} == {f"torch.{precision}"}
    assert next(model.parameters()).dtype == torch.float32  # as it was
    restore = program.module()
    for batch, height, width in SIZES:
        x = torch.rand(batch, 3, height, width)
        with torch.no_grad():
            torch.testing.assert_close(restore(x), model(x), rtol=0, atol=tolerance)
    with pytest.raises(AssertionError, match="Guard failed"):
        restore(torch.rand(1, 3, 7, 8))


@pytest.mark.parametrize(
    ("option", "smallest"),
    [({}, 8), ({"strip_windows": "fixed"}, 13), ({"strip_windows": "fixed", "kernels": (1, 3)}, 8)],
)
def test_the_smallest_side_is_one_that_the_network_takes(option: dict[str, str], smallest: int) -> None:
    config = replace(TINY, **option)  # type: ignore[arg-type]
    assert smallest_side(config) == smallest
    assert network(config)(torch.rand(1, 3, smallest, smallest)).shape[2:] == (smallest, smallest)


@pytest.mark.slow
def test_local_strips_are_exported_for_images_beyond_their_window(tmp_path: Path) -> None:
    config = replace(TINY, local_crop=14)
    assert smallest_side(config) == 15
    assert export_network(network(config), tmp_path / "local.pt2", digest="", source="") <= 1e-4
    x = torch.rand(1, 3, 15, 37)
    restored = torch.export.load(tmp_path / "local.pt2").module()(x)
    torch.testing.assert_close(restored, network(config)(x), rtol=0, atol=1e-4)


@pytest.mark.slow
def test_what_computes_something_else_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(export.TOLERANCES, "float16", 1e-9)
    (tmp_path / "banet.pt2").write_bytes(b"the one before")
    with pytest.raises(ModelError, match=r"banet.pt2 is not written: at 8x8 it differs from torch by .*1e-09") as error:
        export_network(network(), tmp_path / "banet.pt2", digest="", source="", precision="float16")
    assert "\n" not in str(error.value)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("banet.pt2", b"the one before")]


def test_other_endings_and_places_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.pth.* '.pth': use .onnx or .pt2$"):
        export_network(network(), tmp_path / "model.pth", digest="", source="")
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=r"file/banet.pt2 cannot be written"):
        export_network(network(), tmp_path / "file" / "banet.pt2", digest="", source="")
