"""A network restores by another engine what it restores by torch, from a file that is made once."""

import re
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from films import film

from banet.cli import main
from banet.data.images.codec import read_image, write_image
from banet.engines import engine_names, engine_network
from banet.engines.against_torch import against_torch
from banet.engines.engine_network import EngineNetwork, with_engine
from banet.errors import ModelError, ResourceError
from banet.inference import restore_array
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights

pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
pytest.importorskip("onnxscript", reason="the extra `export` is not installed")

pytestmark = pytest.mark.slow  # an export takes seconds

TINY = BANetConfig(stem_channels=4, channels=8, modules=1, fusion_channels=4)
DIGEST = "ab" * 32


def network(config: BANetConfig = TINY) -> BANet:
    torch.manual_seed(0)
    return BANet(config).eval()


@pytest.fixture(scope="module", autouse=True)
def cached(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of exported networks, one for all tests."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        with_engine(network(), "onnxruntime", digest=DIGEST)
    return folder / "banet/engines"


@pytest.fixture(autouse=True)
def cache(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cached.parents[1]))


def test_it_restores_as_torch_does_at_any_size_and_is_exported_once(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_network, "export_network", None)  # would fail if it were called
    model = network()
    other = with_engine(model, "onnxruntime", digest=DIGEST)
    assert isinstance(other, EngineNetwork)
    rng = np.random.default_rng(0)
    for height, width in ((8, 8), (9, 40), (61, 35)):
        image = rng.random((height, width, 3), dtype=np.float32)
        np.testing.assert_allclose(restore_array(other, image), restore_array(model, image), rtol=0, atol=1e-5)
        pixels = (255 * image).astype(np.uint8)
        difference = restore_array(other, pixels).astype(int) - restore_array(model, pixels)
        assert np.abs(difference).max() <= 1
    assert with_engine(model, "torch", digest=DIGEST) is model
    assert len(list(cached.glob("*.onnx"))) == 1


def test_another_network_is_another_file_and_torch_takes_what_is_too_small_for_it(cached: Path) -> None:
    model = network(replace(TINY, local_crop=16))
    before = set(cached.glob("*.onnx"))
    other = with_engine(model, "onnxruntime", digest=DIGEST)
    (file,) = set(cached.glob("*.onnx")) - before
    for side in (12, 40):
        image = np.random.default_rng(side).random((side, side, 3), dtype=np.float32)
        np.testing.assert_allclose(restore_array(other, image), restore_array(model, image), rtol=0, atol=1e-5)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match=rf"^onnxruntime .*{file.name}.*delete it$") as error:
        with_engine(model, "onnxruntime", digest=DIGEST)
    assert "\n" not in str(error.value)
    file.unlink()


def test_the_files_that_were_not_used_for_longest_are_removed(cached: Path) -> None:
    kept = list(cached.glob("*.onnx"))
    others = [cached / f"{number}.onnx" for number in range(engine_network.KEPT)]
    for other in others:
        other.write_bytes(b"")
    with_engine(network(), "onnxruntime", digest=DIGEST)
    assert all(file.exists() for file in kept)
    assert len(list(cached.glob("*.onnx"))) == engine_network.KEPT
    for other in others:
        other.unlink(missing_ok=True)


def test_a_missing_package_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def without_onnxscript(package: str) -> str:
        if package == "onnxscript":
            raise PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(engine_names, "version", without_onnxscript)
    with pytest.raises(ResourceError, match=r"onnxscript .*pip install 'banet\[export\]'"):
        with_engine(network(), "onnxruntime", digest=DIGEST)
    assert main(["deblur", "none.png", "out.png", "--engine", "onnxruntime", "--model", "none"]) == 2
    assert "onnxscript" in capfd.readouterr().err


def test_what_separates_it_from_torch_is_measured_in_score_and_time() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(4)]
    found = against_torch(network(), "onnxruntime", zip(images[:2], images[2:], strict=True), digest=DIGEST)
    assert found.images == 2
    assert 0 <= found.largest_difference < 1e-3
    assert found.times_as_fast > 0


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The sizes of what the engine restores."""
    run, found = EngineNetwork.forward, []

    def noted(network: EngineNetwork, x_BCHW: torch.Tensor) -> torch.Tensor:
        found.append(x_BCHW.shape)
        return run(network, x_BCHW)

    monkeypatch.setattr(EngineNetwork, "forward", noted)
    return found


@pytest.mark.parametrize("options", [(), ("--sub-images",), ("--max-memory", "16GiB")])
def test_deblur_restores_by_it_and_does_anew_what_another_engine_has_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    passes: list[torch.Size],
    options: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    save_weights(network(), tmp_path / "model")
    rng = np.random.default_rng(0)
    for number in range(2):
        write_image(tmp_path / f"in/{number}.png", rng.integers(0, 256, (40, 64, 3), dtype=np.uint8))
    command = ["deblur", "in", "out", "--model", "model", *options]
    assert main(command) == 0
    before = [read_image(tmp_path / f"out/{number}.png") for number in range(2)]
    for done in ("2 restored", "0 restored"):
        capfd.readouterr()
        assert main([*command, "--engine", "onnxruntime"]) == 0
        assert done in capfd.readouterr().out
    assert len(passes) == (16 if "--sub-images" in options else 2)
    for number, image in enumerate(before):
        file = tmp_path / f"out/{number}.png"
        assert np.abs(read_image(file).astype(int) - image).max() <= 1
        assert re.search(rb"Engine.{1,3}onnxruntime", file.read_bytes())


def test_frames_of_a_video_go_through_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: list[torch.Size]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_weights(network(), tmp_path / "model")
    film(tmp_path / "clip.mkv", "ffv1", size=(40, 64), times=range(0, 3 * 3600, 3600))
    shown = []
    for engine in ("torch", "onnxruntime"):
        assert main(["deblur", "clip.mkv", f"{engine}.mkv", "--model", "model", "--engine", engine]) == 0
        with av.open(f"{engine}.mkv") as restored:
            shown.append(np.stack([frame.to_ndarray().astype(int) for frame in restored.decode(video=0)]))
    assert passes == 3 * [torch.Size((1, 3, 40, 64))]
    assert np.abs(shown[0] - shown[1]).max() <= 1


def test_evaluate_scores_by_torch_and_says_how_far_the_engine_is_from_it(
    tmp_path: Path, make_shards: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    (tmp_path / "data/benchmarks").mkdir(parents=True)
    (tmp_path / "data/benchmarks/tiny.yaml").write_text(
        "name: tiny\nlayout: folders\nsplits: {train: {blurred: a, sharp: b}, test: {blurred: c, sharp: d}}\n"
    )
    make_shards(("a", "b"), split="test", size=(36, 44), name="data/shards/tiny")
    save_weights(network(), tmp_path / "model")
    assert main(["evaluate", "model", "tiny"]) == 0
    scores = capfd.readouterr().out
    assert main(["evaluate", "model", "tiny", "--engine", "onnxruntime"]) == 0
    printed = capfd.readouterr().out
    assert printed.startswith(scores)
    said = r"onnxruntime \S+: at most 0\.000\d dB from torch on 6 whole images, \S+ times as fast\n"
    assert re.fullmatch(said, printed.removeprefix(scores))
