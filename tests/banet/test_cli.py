"""`banet deblur`: a picture of any size in, a picture out, and one line for each mistake."""

from pathlib import Path

import numpy as np
import pytest
import torch

from banet import BANet, BANetConfig
from banet.cli import main
from banet.data.codec import read_image, write_image
from banet.model import save_weights
from banet.restore import restore
from banet.tracking.registry import promote, register
from banet.tracking.store import connect

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


@pytest.fixture
def model(tmp_path: Path) -> BANet:
    torch.manual_seed(0)
    model = BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)).eval()
    save_weights(model, tmp_path / "model")
    return model


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    write_image(path, np.random.default_rng(0).integers(0, 256, (37, 51, 3), dtype=np.uint8))
    return path


def test_a_folder_of_weights_restores_a_picture(
    model: BANet, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.png"
    assert main(["deblur", str(photo), str(out), "--model", str(tmp_path / "model")]) == 0
    np.testing.assert_array_equal(read_image(out), restore(model, read_image(photo)))
    assert capsys.readouterr().out == f"{out}: restored by {tmp_path / 'model'}\n"


@pytest.mark.usefixtures("model")
def test_the_champion_is_taken_when_no_model_is_named(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert main(["deblur", str(photo), str(tmp_path / "out.png")]) == 2
    assert "error: no champion in the store" in capsys.readouterr().err
    store = connect(uri)
    promote(store, register(store, tmp_path / "model", name="banet-mini", run_id="0" * 32), reason="test")
    assert main(["deblur", str(photo), str(tmp_path / "out.jpg")]) == 0
    assert "restored by models:/banet-mini/1" in capsys.readouterr().out
    assert read_image(tmp_path / "out.jpg").shape == (37, 51, 3)


@pytest.mark.parametrize(
    ("photo", "out", "message"),
    [
        ("missing.jpg", "out.png", "missing.jpg cannot be read (No such file or directory)"),
        ("text.jpg", "out.png", "text.jpg is not an image, or a damaged one"),
        ("empty.jpg", "out.png", "empty.jpg is empty"),
        ("photo.png", "out.xyz", "out.xyz: no image format has the ending '.xyz'"),
        ("photo.png", "nowhere/out.png", "the folder nowhere does not exist"),
        ("tiny.png", "out.png", "the image is 7x9 (height x width), the network restores from 8x8 up"),
    ],
)
@pytest.mark.usefixtures("model")
def test_a_mistake_is_one_line(
    photo: str, out: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: object
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.jpg").write_text("no image")
    Path("empty.jpg").touch()
    write_image(Path("tiny.png"), np.zeros((7, 9, 3), np.uint8))
    write_image(Path("photo.png"), np.zeros((17, 19, 3), np.uint8))
    assert main(["deblur", photo, out, "--model", "model"]) == 2
    lines = capfd.readouterr().err.splitlines()  # type: ignore[attr-defined]
    assert len([line for line in lines if line.startswith("error: ")]) == 1
    assert message in lines[-1]
    assert not Path(out).exists()
