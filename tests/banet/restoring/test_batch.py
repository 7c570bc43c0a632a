"""Many pictures: what is bad does not stop the others, what is done stays done, and all happens at the same time."""

import errno
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from banet import files
from banet.data.images import photograph
from banet.data.images.codec import read_image, write_image
from banet.errors import DataError, PartialError, ResourceError
from banet.model.network_config import BANetConfig
from banet.restoring import batch
from banet.restoring.batch import BatchOutcome, Restoration, restore_all
from banet.restoring.input_files import RECORD, many_pictures

Pixels = np.ndarray[Any, np.dtype[Any]]


class Network:
    """Inverts, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, image: Pixels) -> Pixels:
        self.calls += 1
        return np.asarray(255 - image, image.dtype)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "trip/b.png", "trip/c.png", "d.png")):
        write_image(tmp_path / "photos" / name, np.full((16, 20, 3), 10 * number, np.uint8))
    return tmp_path / "photos"


def run(
    photos: Path,
    restore: Callable[[Pixels], Pixels],
    *,
    compare: bool = False,
    model: str = "0123",
    **more: Callable[..., None],
) -> BatchOutcome:
    what = Restoration(
        restore=restore,
        config=BANetConfig(),
        facts={"Digest": model},
        options={"model": model, "compare": compare},
        compare=compare,
    )
    out = photos.parent / "out"
    pictures = many_pictures(str(photos), out, compare=compare)
    assert pictures is not None
    return restore_all(what, pictures, out, **more)


def test_a_folder_comes_out_with_its_tree(photos: Path) -> None:
    told: list[tuple[int, int | None]] = []
    outcome = run(photos, Network(), on_progress=lambda done, total: told.append((done, total)))
    assert (outcome.restored, outcome.done_before, outcome.failures) == (4, 0, [])
    out = photos.parent / "out"
    assert read_image(out / "trip/c.png")[0, 0, 0] == 255 - 20
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == [
        RECORD,
        "a.png",
        "b.png",
        "c.png",
        "d.png",
    ]


def test_what_is_done_is_not_done_again_unless_something_differs(photos: Path) -> None:
    network, out = Network(), photos.parent / "out"
    first = run(photos, network)
    again = run(photos, network)
    assert (network.calls, again.restored, again.done_before) == (4, 0, 4)
    assert again.changes == first.changes
    (out / "a.png").unlink()
    write_image(out / "d.png", np.zeros((16, 20, 3), np.uint8))  # edited
    write_image(photos / "trip/b.png", np.ones((16, 20, 3), np.uint8))  # another input
    (photos / "trip/c.png").touch()  # time does not matter
    third = run(photos, network)
    assert (network.calls, third.restored, third.done_before) == (7, 3, 1)
    assert read_image(out / "d.png")[0, 0, 0] == 255 - 30
    assert run(photos, network, model="4567").restored == 4
    assert run(photos, network, model="4567", compare=True).restored == 4
    assert read_image(out / "trip/b-compared.png").shape == (16, 48, 3)
    (out / "trip/b-compared.png").unlink()
    assert run(photos, network, model="4567", compare=True).restored == 1


def test_a_record_that_was_cut_off_costs_its_last_picture_only(photos: Path) -> None:
    network = Network()
    run(photos, network)
    record = photos.parent / "out" / RECORD
    lines = record.read_text().splitlines(keepends=True)
    assert [json.loads(line)["output"] for line in lines] == ["a.png", "d.png", "trip/b.png", "trip/c.png"]
    record.write_text("".join(lines)[:-9])
    assert run(photos, network).restored == 1
    assert run(photos, network).restored == 0


def test_bad_pictures_are_named_and_the_others_are_done(photos: Path) -> None:
    (photos / "b.png").write_bytes(b"no image")
    (photos / "c.png").write_bytes((photos / "a.png").read_bytes()[:60])
    write_image(photos / "tiny.png", np.zeros((1, 1, 3), np.uint8))

    def small_refused(image: Pixels) -> Pixels:
        if image.shape[0] < 8:
            raise DataError("the image is 1x1 (height x width), the network restores from 8x8 up")
        return image

    outcome = run(photos, small_refused)
    assert outcome.restored == 4
    assert [failure.partition(" is ")[0].partition(": ")[0] for failure in outcome.failures] == [
        str(photos / name) for name in ("b.png", "c.png", "tiny.png")
    ]
    assert not (photos.parent / "out/b.png").exists()


def test_a_full_disk_stops_at_once_and_what_was_done_stays_done(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, written, write = Network(), [0], files.write_atomically

    def full(path: Path, content: bytes) -> None:
        written[0] += 1
        if written[0] == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(batch, "write_atomically", full)
    with pytest.raises(PartialError, match=r"the disk of .*trip is full: make room .*; 2 of 4 pictures are done"):
        run(photos, network)
    assert {path.name for path in (photos.parent / "out").rglob("*.*")} == {RECORD, "a.png", "d.png"}
    monkeypatch.setattr(batch, "write_atomically", write)
    assert (run(photos, network).done_before, network.calls <= 6) == (2, True)


def test_an_output_that_cannot_be_written_is_a_bad_picture(photos: Path) -> None:
    (photos.parent / "out/a.png").mkdir(parents=True)
    outcome = run(photos, Network())
    assert outcome.restored == 3
    assert outcome.failures[0].startswith(f"{photos / 'a.png'}: {photos.parent / 'out/a.png'} cannot be written")


def test_a_folder_that_cannot_be_made_is_one_line(photos: Path) -> None:
    (photos.parent / "out").write_text("a file")
    with pytest.raises((ResourceError, DataError), match="out"):
        run(photos, Network())


def test_reading_restoring_and_writing_overlap(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes 0.1 s; 4 pictures take 0.6 s instead of 1.2 s, and what else there is."""
    threads: set[str] = set()

    def slowly(function: Callable[..., Any]) -> Callable[..., Any]:
        def slow(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
            threads.add(threading.current_thread().name)
            time.sleep(0.1)
            return function(*arguments, **options)

        return slow

    monkeypatch.setattr(batch, "read_photograph", slowly(photograph.read_photograph))
    monkeypatch.setattr(batch, "encode_photograph", slowly(photograph.encode_photograph))
    began = time.monotonic()
    assert run(photos, slowly(Network())).restored == 4
    assert time.monotonic() - began < 1.0  # of 1.2
    assert len(threads) == 3


def test_warnings_name_the_output(photos: Path) -> None:
    told: list[str] = []
    run(photos, Network(), on_message=told.append)
    assert len(told) == 4
    assert told[0].startswith(f"{photos.parent / 'out/a.png'}: it changes the colour of a whole block")
