"""`banet …`: what each command makes, and one line for each mistake."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from literal_banet import random_tensors

from banet.cli import app, main
from banet.data.images.codec import read_image, write_image
from banet.inference import restore, restore_sub_images
from banet.model.network import BANet, with_local_strips
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights
from banet.restoring.budget import resident_memory
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
@pytest.mark.parametrize("command", ["deblur", "explain"])
def test_too_little_memory_is_one_line(
    command: str, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.nn.Conv2d, "forward", lambda *_: torch.empty(10**15))
    assert main([command, str(photo), str(tmp_path / "out.png"), "--model", str(tmp_path / "model")]) != 0
    said = capsys.readouterr().err
    assert f"error: {photo}, 37x51 (height x width), needs about 0.0 GiB of memory, more than there is: make it" in said
    assert said.count("\n") == 1


def test_deblur_within_a_limit_of_memory_gives_the_same_picture(
    model: BANet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a picture of this size, the features beside the program are more than the limit."""
    photo, out, weights = tmp_path / "photo.png", tmp_path / "out.png", str(tmp_path / "model")
    write_image(photo, np.random.default_rng(0).integers(0, 256, (600, 901, 3), dtype=np.uint8))
    limit = f"{resident_memory() // 10**6 + 300}MB"
    assert main(["deblur", str(photo), str(out), "--model", weights, "--max-memory", limit]) == 0
    difference = read_image(out).astype(int) - restore(model, read_image(photo))
    assert np.abs(difference).max() <= 1
    assert np.mean(difference != 0) < 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out.png", "photo.png"]
    capsys.readouterr()
    assert main(["deblur", str(photo), str(out), "--model", weights, "--max-memory", "100MB"]) != 0
    said = capsys.readouterr().err
    assert "error: the image, 600x901 (height x width), needs" in said
    assert "allow or free more" in said


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--max-memory", "2"], "'2' is no size of memory: write 2GiB or 500MB"),
        (["--max-memory", "0GB"], "'0GB' is no size of memory: write 2GiB or 500MB"),
        (["--max-memory", "2GiB", "--sub-images"], "--max-memory does not go with --sub-images"),
    ],
)
def test_a_limit_of_memory_that_cannot_be_kept_is_one_line(
    options: list[str], reason: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deblur", str(photo), str(tmp_path / "out.png"), "--model", str(tmp_path / "model"), *options]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


@pytest.mark.slow
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
        ("missing.jpg", "photo.png", "missing.jpg cannot be read (No such file or directory)"),
        ("text.jpg", "out.png", "text.jpg is not an image, or a damaged one"),
        ("empty.jpg", "out.png", "empty.jpg is empty"),
        ("photo.png", "out.xyz", "out.xyz: no image format has the ending '.xyz'"),
        ("photo.png", "nowhere/out.png", "the folder nowhere does not exist"),
        ("tiny.png", "out.png", "tiny.png: the image is 7x9 (height x width), the network restores from 8x8 up"),
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
    before = Path(out).read_bytes() if Path(out).exists() else None
    assert main(["deblur", photo, out, "--model", "model"]) == 2
    lines = capfd.readouterr().err.splitlines()  # type: ignore[attr-defined]
    assert len([line for line in lines if line.startswith("error: ")]) == 1
    assert message in lines[-1]
    assert (Path(out).read_bytes() if Path(out).exists() else None) == before


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def test_deblur_takes_local_strips_and_sub_images(photo: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)).eval()
    torch.nn.init.normal_(model.output.weight, std=5.0)  # so that strips show in eight bits
    save_weights(model, tmp_path / "strong")
    out = tmp_path / "out.png"
    expected = {
        (): restore(model, read_image(photo)),
        ("--local-crop", "20"): restore(with_local_strips(model, 20), read_image(photo)),
        ("--sub-images",): restore_sub_images(model, read_image(photo)),
    }
    for flags, image in expected.items():
        assert run("deblur", photo, out, "--model", tmp_path / "strong", *flags) == 0
        np.testing.assert_array_equal(read_image(out), image)
    assert len({image.tobytes() for image in expected.values()}) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("model")
def test_info_says_what_a_model_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", tmp_path / "model", "--size", "16x24") == 0
    text = capsys.readouterr().out
    assert text.startswith(str(tmp_path / "model"))
    assert "latency at 16x24" in text
    (tmp_path / "base.yaml").write_text("{name: base, stem_channels: 4, channels: 4, modules: 1, fusion_channels: 2}")
    (tmp_path / "twin.yaml").write_text("{defaults: [base, _self_], name: twin, modules: 2}")
    assert run("info", tmp_path / "twin.yaml", "--size", "8x8", "--dtype", "bfloat16") == 0
    text = capsys.readouterr().out
    assert "twin.yaml, weights at random\nname " in text
    assert "cpu" in text
    assert "bfloat16" in text


def test_a_released_checkpoint_comes_in_and_goes_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = {
        f"module.{name}": value for name, value in random_tensors(channels=8, stem=4, modules=2, fusion=4).items()
    }
    torch.save(tensors, tmp_path / "released.pth")
    assert run("import-checkpoint", tmp_path / "released.pth", tmp_path / "imported") == 0
    assert "imported, 2 modules of 8 channels" in capsys.readouterr().out
    assert run("export-checkpoint", tmp_path / "imported", tmp_path / "back.pth") == 0
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert list(back) == list(tensors)
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    before = (tmp_path / "imported" / "model.safetensors").read_bytes()
    assert run("import-checkpoint", tmp_path / "back.pth", tmp_path / "imported") == 2
    assert "imported is there already: name a new folder, or remove it first" in capsys.readouterr().err
    assert (tmp_path / "imported" / "model.safetensors").read_bytes() == before
    torch.save({"params": tensors, "params_ema": tensors}, tmp_path / "two.pth")
    assert run("import-checkpoint", tmp_path / "two.pth", tmp_path / "plain", "--key", "params") == 0
    assert "took the weights under params; --key chooses" in capsys.readouterr().out
    (tmp_path / "cut.pth").write_bytes((tmp_path / "back.pth").read_bytes()[:-500])
    assert run("import-checkpoint", tmp_path / "cut.pth", tmp_path / "new") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("model")
def test_explain_draws_a_sheet(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sheet.png"
    assert run("explain", photo, out, "--model", tmp_path / "model", "--modules", "1") == 0
    assert min(read_image(out).shape[:2]) > 300
    out.unlink()
    assert run("explain", photo, out, "--model", tmp_path / "model", "--modules", "1,2") == 2
    assert "error: " in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ("deblur a.png b.png --modl m", ["--modl", "--model"]),
        ("deblur a.png b.png --winograd", ["--winograd", "banet deblur --help"]),
        ("deblur a.png b.png c.png", ["c.png", "banet deblur --help"]),
        ("deblur a.png", ["deblur", "OUT"]),
        ("deblur a.png b.png --model", ["--model"]),
        ("deblur a.png b.png --local-crop 0", ["--local-crop", "0", ">= 1"]),
        ("deblurr a.png b.png", ["deblurr", "deblur", "banet --help"]),
        ("info model --dtype float64", ["--dtype", "float64", "float32", "bfloat16"]),
        ("info model --size 720", ["--size", "'720'", "720x1280"]),
        ("info model --size 0x8", ["--size", "'0x8'", "720x1280"]),
        ("explain a.png b.png --modules first", ["--modules", "'first'", "1,5,10"]),
        ("score", ["--restored"]),
        ("score --restored r --protocol hide", ["--protocol", "hide", "gopro", "realblur"]),
        ("score --restored r --workers two", ["--workers", "two", "int"]),
        ("evaluate m gopro --device gpu", ["--device", "gpu", "cpu", "cuda"]),
        ("promote banet-mini 3", ["--reason"]),
        ("register weights", ["--name"]),
        ("study --first a", ["--second"]),
        ("study report", ["FILE"]),
    ],
)
def test_a_wrong_option_is_one_line_that_says_what_is_accepted(
    arguments: str, facts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert [fact for fact in facts if fact not in printed.err] == []


COMMANDS = {
    "cost",
    "replay",
    "serve",
    "drift",
    *("deblur", "explain", "info", "import-checkpoint", "export-checkpoint", "export", "synthesize"),
    *("models", "lineage", "promote", "pull", "register", "score", "evaluate", "study"),
}


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert set(re.findall(r"^│ ([a-z][a-z-]+)  ", capsys.readouterr().out, re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize("command", [*sorted(COMMANDS), "study report"])
def test_every_help_has_examples_that_are_accepted_as_they_stand(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    examples = re.findall(r"^  banet (.+)$", text, re.MULTILINE)
    assert any(example.startswith(f"{command} ") or example == command for example in examples)
    for example in examples:
        app.parse_args(shlex.split(example), exit_on_error=False, print_error=False)


def test_the_help_imports_nothing_heavy() -> None:
    code = "import sys; from banet.cli import main; main(['--help']); main(['score', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert {"cyclopts", "banet"} <= loaded
    assert loaded.isdisjoint({"torch", "numpy", "ray", "mlflow", "cv2", "pyarrow", "flask", "scipy", "yaml", "tqdm"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "nowhere"], "error: no model in nowhere: config.json cannot be read"),
        (["info", "nowhere.yaml"], "error: nowhere.yaml cannot be read"),
        (["info", "model", "--device", "tpu"], "error: tpu is not a device"),
        (["deblur", "photo.png", "out.png", "--model", "model", "--local-crop", "9"], "local_crop must be even and at"),
        (["import-checkpoint", "nowhere.pth", "new"], "error: nowhere.pth cannot be read"),
        (["register", "nowhere", "--as", "tiny"], "error: no model in nowhere"),  # the flags of 0.1
        (["study", "--a", "nowhere", "--b", "there", "--out", "x.jsonl"], "error: nowhere is not a folder"),
        (["export-checkpoint", "nowhere", "new.pth"], "error: no model in nowhere"),
        (["export", "nowhere", "new.pt2"], "error: no model in nowhere"),
        (["export", "model", "new.pth"], "error: new.pth: no form has the ending '.pth': use .onnx or .pt2"),
    ],
)
@pytest.mark.usefixtures("model", "photo")
def test_a_mistake_with_models_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_with_one_line(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "import sys, time; from banet import cli; cli.app.command(lambda: (print('on', flush=True), time.sleep(60)), "
    )
    code += "name='wait'); sys.argv[1:] = ['wait']; sys.exit(cli.main())"
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # else ignored where the tests are
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        signal.signal(signal.SIGINT, ours)
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (128 + number, f"stopped by {number.name}: nothing half-written is left\n")
