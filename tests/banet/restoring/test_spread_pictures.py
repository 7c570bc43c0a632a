"""Pictures restored over Ray are those restored here, and what goes wrong with one stops no other."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from banet.cli import main
from banet.data.images.codec import write_image
from banet.errors import ModelError, PartialError
from banet.inference import restore_array
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights
from banet.restoring import batch
from banet.restoring.batch import BatchOutcome, Restoration, Start, restore_all
from banet.restoring.input_files import RECORD, many_pictures
from banet.restoring.spread_pictures import restore_over_ray

Pixels = np.ndarray[Any, np.dtype[Any]]

pytestmark = pytest.mark.usefixtures("ray_session")


def starting(change: Callable[[Pixels], None] = lambda image: None) -> Start:
    """A small network, and what else is done to a picture."""
    torch.manual_seed(0)
    network = BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)).eval()

    def start(device: str, max_memory: int | None) -> Restoration:
        network.to(device)

        def restore(image: Pixels) -> Pixels:
            change(image)
            return restore_array(network, image)

        return Restoration(restore=restore, config=network.config, facts={"Digest": "0123"}, options={"model": "0123"})

    return start


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("a.png", "trip/b.jpg", "trip/c.png", "d.png", "e.tif"):
        write_image(tmp_path / "photos" / name, random.integers(0, 256, (40, 52, 3), dtype=np.uint8))
    return tmp_path / "photos"


def over_ray(photos: Path, start: Start, out: str = "out", **more: Callable[..., None]) -> BatchOutcome:
    pictures = many_pictures(str(photos), photos.parent / out, compare=False)
    assert pictures is not None
    return restore_over_ray(start, pictures, photos.parent / out, **more)


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def record(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / RECORD).read_text().splitlines()
    return sorted((json.loads(line) for line in lines), key=lambda entry: str(entry["output"]))


def test_the_outputs_and_their_record_are_the_same(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = photos.parent / "here"
    pictures = many_pictures(str(photos), here, compare=False)
    assert pictures is not None
    one = restore_all(starting()("cpu", None), pictures, here)
    monkeypatch.chdir(photos.parent)  # a relative path means the same to a worker that runs elsewhere
    told: list[tuple[int, int | None]] = []
    many = over_ray(Path("photos"), starting(), on_progress=lambda done, total: told.append((done, total)))
    assert (many.restored, many.failures, told[-1]) == (5, [], (5, 5))
    assert files(photos.parent / "out") == files(here)
    assert record(photos.parent / "out") == record(here)
    assert {Path(name).name: change for name, change in many.changes.items()} == {
        Path(name).name: change for name, change in one.changes.items()
    }


@pytest.mark.slow
def test_the_command_goes_on_after_a_bad_picture_and_names_it(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photos.parent)
    save_weights(BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)), Path("model"))
    (photos / "bad.png").write_bytes(b"no image")
    assert main(["deblur", "photos", "out", "--ray", "--model", "model"]) == 1
    said = capsys.readouterr()
    assert said.out == "out: 5 restored by model\n"
    assert "photos/bad.png is not an image" in said.err
    assert said.err.splitlines()[-1] == "error: 1 of 6 pictures could not be restored, named above"


@pytest.mark.slow
def test_what_is_done_is_not_done_again_here_or_there(photos: Path) -> None:
    over_ray(photos, starting())
    (photos.parent / "out/d.png").unlink()
    again = over_ray(photos, starting())
    assert (again.restored, again.done_before, len(again.changes)) == (1, 4, 5)
    pictures = many_pictures(str(photos), photos.parent / "out", compare=False)
    assert pictures is not None
    assert restore_all(starting()("cpu", None), pictures, photos.parent / "out").done_before == 5
    assert over_ray(photos, starting()).restored == 0


@pytest.mark.slow
def test_bad_pictures_are_named_and_the_others_are_done(photos: Path) -> None:
    (photos / "bad.png").write_bytes(b"no image")
    write_image(photos / "tiny.png", np.zeros((4, 4, 3), np.uint8))
    (photos.parent / "out/a.png").mkdir(parents=True)
    outcome = over_ray(photos, starting())
    assert outcome.restored == 4
    said = "\n".join(sorted(outcome.failures))
    assert len(outcome.failures) == 3
    assert f"{photos / 'bad.png'} is not an image" in said
    assert f"{photos / 'tiny.png'}: the image is 4x4" in said
    assert f"{photos / 'a.png'}: {photos.parent / 'out/a.png'} cannot be written" in said


@pytest.mark.slow
def test_a_picture_whose_process_is_killed_again_and_again_is_named(photos: Path) -> None:
    write_image(photos / "large.png", np.zeros((16, 16, 3), np.uint8))

    def die(image: Pixels) -> None:
        if image.shape[0] == 16:
            os.kill(os.getpid(), signal.SIGKILL)

    outcome = over_ray(photos, starting(die))
    assert outcome.restored == 5
    assert len(outcome.failures) == 1
    assert outcome.failures[0].startswith(f"{photos / 'large.png'}: the process that restored it was killed")


@pytest.mark.slow
def test_what_is_wrong_with_the_model_is_told_once(photos: Path) -> None:
    def refuse(image: Pixels) -> None:
        raise TypeError("a fault of ours")

    with pytest.raises(TypeError, match="a fault of ours"):
        over_ray(photos, starting(refuse))

    driver = os.getpid()

    def start(device: str, max_memory: int | None) -> Restoration:
        if os.getpid() != driver:
            raise ModelError("weights are damaged: pull them again")
        return starting()(device, max_memory)

    outcome = over_ray(photos, start)
    assert outcome.restored == 0
    assert all(line.endswith("weights are damaged: pull them again") for line in outcome.failures)


@pytest.mark.slow
def test_a_full_disk_stops_at_once(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(batch, "write_atomically", full)
    with pytest.raises(PartialError, match="is full: make room and run again; 0 of 5 pictures are done"):
        over_ray(photos, starting())
