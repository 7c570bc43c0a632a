"""`banet deblur` from the command line: one picture, many, standard input; one line for each mistake."""

import csv
import io
import sys
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from banet.cli import main
from banet.data.images.codec import read_image, write_image
from banet.inference import restore
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights

NOISE = np.random.default_rng(0).integers(0, 256, (37, 51, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BANet:
    torch.manual_seed(0)
    model = BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)).eval()
    save_weights(model, tmp_path / "model")
    for name in ("photo.png", "photos/a.png", "photos/trip/b.png"):
        write_image(tmp_path / name, NOISE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return model


def deblur(*arguments: str) -> int:
    return main(["deblur", *arguments, "--model", "model"])


def test_a_jpeg_of_grey_stays_one_with_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PIL.Image.new("L", (20, 16), 90).save(tmp_path / "grey.jpg", quality=60)
    assert deblur("grey.jpg", "out.jpg") == 0
    assert (
        capsys.readouterr().out == "out.jpg: restored by model; as JPEG with the input's tables: lossy, .png is not\n"
    )
    with PIL.Image.open("out.jpg") as out, PIL.Image.open("grey.jpg") as grey:
        assert (out.mode, out.quantization) == ("L", grey.quantization)  # type: ignore[attr-defined]
    assert deblur("grey.jpg", "out.jpg", "--quality", "90") == 0
    assert "as JPEG of quality 90" in capsys.readouterr().out


def test_provenance_comparison_and_report(model: BANet, tmp_path: Path) -> None:
    assert deblur("photo.png", "sharp.png", "--compare", "--report", "changes.csv") == 0
    np.testing.assert_array_equal(read_image(tmp_path / "sharp.png"), restore(model, NOISE))
    both = read_image(tmp_path / "sharp-compared.png")
    np.testing.assert_array_equal(both[:, :51], NOISE)
    np.testing.assert_array_equal(both[:, -51:], restore(model, NOISE))
    said = (tmp_path / "sharp.png").read_bytes()
    assert b'banet:Model="model" banet:Digest="' in said
    assert b'banet:Precision="float32"' in said
    (row,) = csv.DictReader((tmp_path / "changes.csv").read_text().splitlines())
    assert row["picture"] == "sharp.png"
    assert float(row["mean"]) == pytest.approx(np.abs(restore(model, NOISE).astype(int) - NOISE).mean(), abs=1e-3)


@pytest.mark.parametrize("output", ["-", "out.png"])
def test_standard_input_and_output_carry_pictures_and_nothing_else(
    output: str,
    model: BANet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "photo.png").read_bytes())))
    assert deblur("-", output) == 0
    said = capfdbinary.readouterr()
    if output == "-":
        (tmp_path / "out.png").write_bytes(said.out)
        assert b"-: restored by model" in said.err
    np.testing.assert_array_equal(read_image(tmp_path / "out.png"), restore(model, NOISE))


def test_a_folder_goes_on_after_a_bad_picture_and_is_done_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos/bad.png").write_text("no image")
    assert deblur("photos", "out", "--report", "changes.csv") == 1
    said = capsys.readouterr()
    assert said.out == "out: 2 restored by model\n"
    assert "photos/bad.png is not an image" in said.err
    assert said.err.splitlines()[-1] == "error: 1 of 3 pictures could not be restored, named above"
    assert (tmp_path / "out/trip/b.png").exists()
    (tmp_path / "photos/bad.png").unlink()
    assert deblur("photos", "out", "--report", "changes.csv") == 0
    assert capsys.readouterr().out == "out: 0 restored by model, 2 were done before\n"
    rows = list(csv.DictReader((tmp_path / "changes.csv").read_text().splitlines()))
    assert [row["picture"] for row in rows] == ["out/a.png", "out/trip/b.png"]


def test_a_named_cluster_is_left_alone_with_no_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # nobody listens there
    assert deblur("photos", "out", "--no-ray") == 0
    assert (tmp_path / "out/trip/b.png").exists()


def test_a_pattern_is_taken_as_a_folder_is(tmp_path: Path) -> None:
    assert deblur("photos/*/*.png", "out") == 0
    assert (tmp_path / "out/trip/b.png").exists()
    assert not (tmp_path / "out/a.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "photo.png"], "photo.png is the input itself"),
        (["photos", "photos/out"], "photos/out lies inside photos"),
        (["photos", "photo.png"], "photo.png is a file, but several pictures need a folder"),
        (["photos/*.gif", "out"], "no picture matches photos/*.gif"),
        (["photo.png", "-", "--compare"], "--compare writes a second picture"),
        (["photo.png", "out.png", "--quality", "101"], "101"),
        (["photo.png", "out.png", "--ray"], "--ray is for many pictures, photo.png is one"),
        (["clear.png", "out.jpg"], "clear.png: '.jpg' cannot hold transparency"),
        (["clip.mp4", "out.mp4"], "clip.mp4 is no video"),
        (["huge.png", "out.png"], "huge.png has 1600000000 pixels, more than the 179 megapixels"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PIL.Image.new("RGBA", (20, 16)).save(tmp_path / "clear.png")
    (tmp_path / "clip.mp4").touch()
    head = b"IHDR" + (40_000).to_bytes(4) * 2 + b"\x08\x02\0\0\0"
    crc = zlib.crc32(head).to_bytes(4)
    end = b"\0\0\0\0IEND\xae\x42\x60\x82"
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + head + crc + end)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert deblur(*arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == before


def test_an_output_that_cannot_be_written_leaves_what_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.png").mkdir()
    (tmp_path / "out.png/photo.png").mkdir()
    assert deblur("photo.png", "out.png") == 2  # a folder of that name is taken, and holds another one
    assert "cannot be written" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out.png").iterdir()) == ["photo.png"]
