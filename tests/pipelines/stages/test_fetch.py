"""fetch: archives kept outside of DVC, pinned at the first fetch, shared, and taken from where somebody has them."""

import errno
import hashlib
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from banet.data.archives.base import Archive
from banet.data.download.sources import Limits
from banet.data.manifest import ArchiveSource, Benchmark
from banet.errors import ConfigError, DataError, ResourceError, ServiceError
from pipelines.stages import fetch as stage
from pipelines.stages.fetch import ArchiveStore, fetch


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


class Mirror(ThreadingHTTPServer):
    """A folder of files on loopback."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.folder, self.asked = folder, list[str]()
        self.url = f"http://127.0.0.1:{self.server_port}"


def write_zip(path: Path, text: str = "one") -> str:
    """Write a small ZIP; returns its digest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(zipfile.ZipInfo("a/train/s/blur/1.png"), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    write_zip(tmp_path / "mirror/a.zip")
    with Mirror(tmp_path / "mirror") as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def store(tmp_path: Path) -> ArchiveStore:
    return ArchiveStore(downloads=tmp_path / "downloads", lock=tmp_path / "archives.lock")


@pytest.fixture
def remote(benchmark: Benchmark, mirror: Mirror) -> Benchmark:
    return from_sources(benchmark, f"{mirror.url}/a.zip")


def from_sources(benchmark: Benchmark, *sources: str, sha256: str | None = None) -> Benchmark:
    archive = ArchiveSource(name="a.zip", sources=sources, sha256=sha256)
    return replace(benchmark, archives=(archive,), synthesis=None)


def test_the_first_fetch_pins_what_comes_and_links_it(
    remote: Benchmark, mirror: Mirror, store: ArchiveStore, tmp_path: Path
) -> None:
    fetch(remote, tmp_path / "raw", store)
    content = (mirror.folder / "a.zip").read_bytes()
    assert [file.name for file in (tmp_path / "raw").iterdir()] == ["a.zip"]
    assert (tmp_path / "raw/a.zip").read_bytes() == content
    assert (tmp_path / "raw/a.zip").samefile(store.downloads / "a.zip")
    pin = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "source": f"{mirror.url}/a.zip"}
    assert yaml.safe_load(store.lock.read_text()) == {"a.zip": pin}
    assert store.lock.read_text().startswith("# Files as they were first fetched")


def test_a_second_fetch_downloads_nothing_and_leaves_the_lock_file(
    remote: Benchmark, mirror: Mirror, store: ArchiveStore, tmp_path: Path
) -> None:
    fetch(remote, tmp_path / "raw", store)
    before = store.lock.read_text(), store.lock.stat().st_mtime_ns
    shutil.rmtree(tmp_path / "raw")  # as DVC does
    mirror.asked.clear()
    fetch(replace(remote, name="other"), tmp_path / "raw", store)  # and a benchmark that shares it
    assert (tmp_path / "raw/a.zip").is_file()
    assert mirror.asked == []
    assert before == (store.lock.read_text(), store.lock.stat().st_mtime_ns)


def test_a_pinned_archive_is_not_read_to_its_end_again(
    remote: Benchmark, store: ArchiveStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(remote, tmp_path / "raw", store)

    def fail(_: Path) -> Archive:
        raise AssertionError

    monkeypatch.setattr(stage, "open_archive", fail)
    fetch(remote, tmp_path / "raw", store)
    shutil.rmtree(store.downloads)
    fetch(remote, tmp_path / "raw", store)


def test_other_bytes_than_the_pinned_are_refused_until_the_entry_goes(
    remote: Benchmark, mirror: Mirror, store: ArchiveStore, tmp_path: Path
) -> None:
    old = write_zip(mirror.folder / "a.zip")
    fetch(remote, tmp_path / "raw", store)
    new = write_zip(mirror.folder / "a.zip", "two")
    shutil.rmtree(store.downloads)
    with pytest.raises(DataError) as caught:
        fetch(remote, tmp_path / "raw", store)
    said = str(caught.value)
    assert f"has the SHA-256 {new}, not {old}" in said
    assert f"which {store.lock} pins: if its publisher changed the file, delete the entry a.zip there" in said
    assert "\n" not in said
    assert not (store.downloads / "a.zip").exists()
    store.lock.unlink()
    fetch(remote, tmp_path / "raw", store)
    assert yaml.safe_load(store.lock.read_text())["a.zip"]["sha256"] == new


def test_a_digest_in_the_manifest_stands_above_the_lock_file(
    benchmark: Benchmark, mirror: Mirror, store: ArchiveStore, tmp_path: Path
) -> None:
    digest = write_zip(mirror.folder / "a.zip")
    fetch(from_sources(benchmark, f"{mirror.url}/a.zip", sha256=digest), tmp_path / "raw", store)
    assert not store.lock.exists()
    shutil.rmtree(store.downloads)
    with pytest.raises(DataError, match=f"has the SHA-256 {digest}, not {'0' * 64}"):
        fetch(from_sources(benchmark, f"{mirror.url}/a.zip", sha256="0" * 64), tmp_path / "raw", store)


def test_a_damaged_archive_is_neither_pinned_nor_kept(
    remote: Benchmark, mirror: Mirror, store: ArchiveStore, tmp_path: Path
) -> None:
    content = bytearray((mirror.folder / "a.zip").read_bytes())
    content[content.index(b"one")] ^= 1
    (mirror.folder / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip: .*a/train/s/blur/1\.png"):
        fetch(remote, tmp_path / "raw", store)
    assert not store.lock.exists()
    assert not any(file.suffix == ".zip" for file in store.downloads.iterdir())
    assert list((tmp_path / "raw").glob("*")) == []
    shutil.copy(mirror.folder / "a.zip", store.downloads)  # put there by hand
    with pytest.raises(DataError, match=r"1\.png"):
        fetch(remote, tmp_path / "raw", store)


def test_a_missing_file_says_how_to_use_an_archive_that_one_has(
    benchmark: Benchmark, mirror: Mirror, store: ArchiveStore, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"b\.zip: status 404\); or take a file that you have: set BANET_ARCHIVES"):
        fetch(from_sources(benchmark, f"{mirror.url}/b.zip"), tmp_path / "raw", store)
    mirror.server_close()
    with pytest.raises(ServiceError, match="the connection failed"):
        fetch(from_sources(benchmark, f"{mirror.url}/a.zip"), tmp_path / "raw", store, Limits(retries=0))


@pytest.mark.parametrize("by", ["folder", "manifest"])
def test_an_archive_that_somebody_has_is_linked_and_verified(
    benchmark: Benchmark, mirror: Mirror, store: ArchiveStore, tmp_path: Path, by: str
) -> None:
    own = tmp_path / "own/a.zip"
    digest = write_zip(own)
    store = replace(store, given=own.parent) if by == "folder" else store
    url = f"{mirror.url}/a.zip"
    chosen = (
        from_sources(benchmark, url) if by == "folder" else from_sources(benchmark, url, "/nowhere/a.zip", str(own))
    )
    fetch(chosen, tmp_path / "raw", store)
    assert (tmp_path / "raw/a.zip").samefile(own)
    assert mirror.asked == []
    pin = yaml.safe_load(store.lock.read_text())["a.zip"]
    assert (pin["sha256"], pin["source"]) == (digest, "a file given by hand")  # no path of this machine
    new = write_zip(tmp_path / "own/new.zip", "two")
    (tmp_path / "own/new.zip").replace(own)
    with pytest.raises(DataError, match=f"{own} has the SHA-256 {new}, not {digest}, which .* pins"):
        fetch(chosen, tmp_path / "raw", store)
    assert hashlib.sha256((tmp_path / "raw/a.zip").read_bytes()).hexdigest() == digest  # nothing good is lost


def test_a_folder_without_the_archive_is_no_obstacle_but_a_missing_folder_is(
    remote: Benchmark, mirror: Mirror, store: ArchiveStore, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    fetch(remote, tmp_path / "raw", replace(store, given=tmp_path / "own"))
    assert set(mirror.asked) == {"/a.zip"}
    with pytest.raises(ConfigError, match=r"nowhere is not a folder: .*BANET_ARCHIVES"):
        fetch(remote, tmp_path / "raw", replace(store, given=tmp_path / "nowhere"))


def test_another_disk_gets_a_copy_and_a_full_one_is_one_line(
    remote: Benchmark, store: ArchiveStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", elsewhere)
    fetch(remote, tmp_path / "raw", store)
    assert (tmp_path / "raw/a.zip").read_bytes() == (store.downloads / "a.zip").read_bytes()
    assert not (tmp_path / "raw/a.zip").samefile(store.downloads / "a.zip")
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(ResourceError, match=r"the disk of .*raw2 is full: make room and run again"):
        fetch(remote, tmp_path / "raw2", store)
    assert list((tmp_path / "raw2").iterdir()) == []
    assert (store.downloads / "a.zip").is_file()


@pytest.fixture
def checkout(benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout, and in it one of DVC's temporary workspaces, which is where the stage runs."""
    workspace = tmp_path / "checkout/.dvc/tmp/exps/tmp123"
    manifest = {"name": "own", "title": "t", "licence": "-", "citation": "-", "layout": "gopro", "variants": ["blur"]}
    archives = [{"name": "a.zip", "sources": ["https://127.0.0.1:1/a.zip"]}]
    (workspace / "data/benchmarks").mkdir(parents=True)
    (tmp_path / "checkout/data/benchmarks").mkdir(parents=True)
    text = yaml.safe_dump(manifest | {"archives": archives, "counts": {}})
    (workspace / "data/benchmarks/own.yaml").write_text(text)
    monkeypatch.chdir(workspace)
    return tmp_path / "checkout"


def test_the_command_takes_a_folder_from_the_environment_and_pins_in_the_main_checkout(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_zip(tmp_path / "own/a.zip")
    monkeypatch.setenv("BANET_ARCHIVES", str(tmp_path / "own"))
    stage.main("own", Path("data/raw/own"))
    assert Path("data/raw/own/a.zip").samefile(tmp_path / "own/a.zip")
    assert (checkout / "data/benchmarks/archives.lock").is_file()
    monkeypatch.delenv("BANET_ARCHIVES")
    shutil.copy(tmp_path / "own/a.zip", checkout / "data/downloads")
    stage.main("own", Path("data/raw/own"))
    assert Path("data/raw/own/a.zip").samefile(checkout / "data/downloads/a.zip")


def test_own_data_are_found_from_the_main_checkout_and_listed_as_they_are(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = {"name": "own", "layout": "folders", "splits": {"test": {"blurred": "mine/b", "sharp": "mine/s"}}}
    Path("data/benchmarks/own.yaml").write_text(yaml.safe_dump(manifest))
    for name in ("mine/b/yard/1.jpg", "mine/s/yard/1.png"):
        (checkout / name).parent.mkdir(parents=True)
        (checkout / name).write_text(name)
    stage.main("own", Path("data/raw/own"))
    digest = hashlib.sha256(b"mine/b/yard/1.jpg").hexdigest()
    lines = Path("data/raw/own/pairs.csv").read_text().splitlines()
    assert lines[1] == f"test,yard,1,blur,{checkout}/mine/b/yard/1.jpg,17,{digest}"
    assert [file.name for file in Path("data/raw/own").iterdir()] == ["pairs.csv"]
    (checkout / "mine/s/yard/1.png").unlink()
    with pytest.raises(DataError, match=r"^benchmark own: .*mine/s holds no pictures"):
        stage.main("own", Path("data/raw/own"))
    assert capsys.readouterr().err == ""
