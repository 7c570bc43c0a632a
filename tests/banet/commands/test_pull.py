"""`banet pull`: a checkpoint with the released names comes from a server, is pinned, and becomes a version, once."""

import hashlib
import re
import shutil
import threading
import warnings
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml
from literal_banet import literal_restore, random_tensors

from banet.cli import main
from banet.data.download.sources import Limits
from banet.tracking.load import load_model
from banet.tracking.registry import champion
from banet.tracking.store import Store, connect
from banet.tracking.versions import Version, versions

NARROW = {"channels": 16, "stem": 8, "modules": 1, "fusion": 8}
MANIFEST = {
    "name": "narrow",
    "title": "a narrow network",
    "network": "imported",
    "licence": "not stated",
    "file": {"name": "narrow.pth"},
}


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


class Site(ThreadingHTTPServer):
    """A folder of files on loopback."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.folder, self.asked = folder, list[str]()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """The client went away: it reads the headers of a file before the file."""

    def put(self, seed: int = 0, name: str = "released.pth") -> str:
        """Release other weights under a name; returns the file's digest."""
        torch.manual_seed(seed)
        tensors = {f"module.{key}": value + 0.01 * torch.rand(()) for key, value in random_tensors(**NARROW).items()}
        torch.save(tensors, self.folder / name)
        return hashlib.sha256((self.folder / name).read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # SQLAlchemy 2.1 deprecates what MLflow 3.17 does on import
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    return f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db"


@pytest.fixture
def store(uri: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return connect()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "site").mkdir()
    with Site(tmp_path / "site") as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def trained_on(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Site, store: Store
) -> str:
    """A name of the test's own; the current folder is a checkout with the manifest of narrow weights."""
    name = re.sub(r"\W", "-", request.node.name)
    write_manifest(tmp_path / "checkout", name, f"{site.url}/missing.pth", f"{site.url}/released.pth")
    monkeypatch.chdir(tmp_path / "checkout")
    monkeypatch.delenv("BANET_WEIGHTS", raising=False)
    return name


def write_manifest(checkout: Path, trained_on: str, *sources: str, **changes: object) -> None:
    file = {**MANIFEST["file"], "sources": list(sources)}  # type: ignore[dict-item]
    (checkout / "data/weights").mkdir(parents=True, exist_ok=True)
    values = MANIFEST | {"trained_on": trained_on, "file": file} | changes
    (checkout / "data/weights/narrow.yaml").write_text(yaml.safe_dump(values))


def only(store: Store, trained_on: str) -> Version:
    (found,) = versions(store, f"banet-{trained_on}")
    return found


def error(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    """The one line of an error; what else is said of the sources are lines with the file's name."""
    capsys.readouterr()
    assert main(["pull", "narrow", *arguments]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = [line for line in printed.err.splitlines() if not line.startswith("narrow.pth: ")]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.slow
def test_a_pull_makes_a_version_that_says_where_it_is_from_and_restores_as_released(
    trained_on: str, site: Site, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    digest, url = site.put(), f"{site.url}/released.pth"
    assert main(["pull", "narrow"]) == 0
    out = capsys.readouterr().out
    assert f"a narrow network: {url}, SHA-256 {digest[:12]}; licence: not stated" in out
    version = only(store, trained_on)
    assert (version.origin, version.licence, version.aliases) == (url, "not stated", ("candidate",))
    tags = store.client().get_model_version(version.model.name, str(version.model.version)).tags
    assert (tags["origin_sha256"], tags["manifest"]) == (digest, "narrow")
    pins = yaml.safe_load(Path("data/weights/weights.lock").read_text())
    assert pins["narrow.pth"] == {"bytes": Path("data/downloads/narrow.pth").stat().st_size} | {
        "sha256": digest,
        "source": url,
    }
    assert main(["models", version.model.name]) == 0
    assert f"  from {url}; licence: not stated\n" in capsys.readouterr().out
    content = torch.load(site.folder / "released.pth", weights_only=True)
    x = torch.rand(1, 3, 20, 26)
    with torch.inference_mode():
        expected = literal_restore({name.removeprefix("module."): tensor for name, tensor in content.items()}, x)
        torch.testing.assert_close(load_model(version.model.uri)(x), expected, rtol=0, atol=1e-5)


def test_a_second_pull_downloads_and_registers_nothing(
    trained_on: str, site: Site, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    site.put()
    assert main(["pull", "narrow", "--champion"]) == 0
    asked, version = len(site.asked), only(store, trained_on)
    assert version.reason == "by hand: pulled: a narrow network"
    capsys.readouterr()
    assert main(["pull", "narrow", "--champion", "--reason", "again"]) == 0
    out = capsys.readouterr().out
    assert "registered already" in out and "is the champion already" in out
    assert only(store, trained_on) == version
    assert len(site.asked) == asked
    runs = store.client().search_runs([store.experiment_id(version.model.name)])
    assert len(runs) == 1


def test_the_reason_is_kept_and_needs_a_promotion(
    trained_on: str, site: Site, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    site.put()
    assert "--reason says why" in error(capsys, "--reason", "better")
    assert site.asked == []
    assert main(["pull", "narrow", "--champion", "--reason", "better on streets"]) == 0
    version = only(store, trained_on)
    assert champion(store, version.model.name) == version.model
    assert version.reason == "by hand: better on streets"


def test_other_bytes_than_the_pinned_are_refused(
    trained_on: str, site: Site, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    old = site.put()
    assert main(["pull", "narrow"]) == 0
    new = site.put(1)
    shutil.rmtree("data/downloads")
    line = error(capsys)
    assert f"has the SHA-256 {new}, not {old}" in line
    assert "weights.lock pins" in line
    only(store, trained_on)
    Path("data/weights/weights.lock").unlink()
    assert main(["pull", "narrow"]) == 0
    assert [version.model.version for version in versions(store, f"banet-{trained_on}")] == [2, 1]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["folder", "path", "url"])
def test_a_file_that_somebody_has_is_taken_instead(
    trained_on: str, site: Site, store: Store, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    digest = site.put(name="narrow.pth")
    if by == "folder":
        monkeypatch.setenv("BANET_WEIGHTS", str(site.folder))
    arguments = {"folder": [], "path": ["--from", str(site.folder / "narrow.pth")]}
    assert main(["pull", "narrow", *arguments.get(by, ["--from", f"{site.url}/narrow.pth"])]) == 0
    assert set(site.asked) == ({"/narrow.pth"} if by == "url" else set())
    pin = yaml.safe_load(Path("data/weights/weights.lock").read_text())["narrow.pth"]
    assert pin["sha256"] == digest
    assert str(site.folder) not in pin["source"]  # nobody else's path
    assert only(store, trained_on).origin == pin["source"]


def test_what_is_no_such_network_is_neither_pinned_nor_registered(
    trained_on: str, site: Site, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    site.put()
    write_manifest(Path(), trained_on, f"{site.url}/released.pth", network="banet_plus")
    line = error(capsys)
    assert "another network (imported, 1 modules of 16 channels) than banet_plus of narrow" in line
    assert "set BANET_WEIGHTS to its folder" in line
    (site.folder / "released.pth").write_text("<html>Sign in</html>")
    assert "is a web page" in error(capsys)
    assert "is a web page" in error(capsys, "--from", str(site.folder / "released.pth"))
    assert not list(Path("data/downloads").glob("*.pth"))
    assert not Path("data/weights/weights.lock").exists()
    assert versions(store, f"banet-{trained_on}") == ()


def test_mistakes_and_failing_servers_are_one_line(
    trained_on: str, site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["pull", "other"]) == 2
    assert "there are no weights 'other': data/weights knows narrow" in capsys.readouterr().err
    line = error(capsys)
    assert f"({site.url}/missing.pth: status 404; {site.url}/released.pth: status 404)" in line
    assert "nowhere.pth is not a file" in error(capsys, "--from", "nowhere.pth")
    assert "unknown source 'ftp://x/y'" in error(capsys, "--from", "ftp://x/y")
    monkeypatch.setenv("BANET_WEIGHTS", "nowhere")
    assert "nowhere is not a folder: BANET_WEIGHTS" in error(capsys)
    monkeypatch.delenv("BANET_WEIGHTS")
    write_manifest(Path(), trained_on, "http://127.0.0.1:1/released.pth")
    monkeypatch.setattr("banet.data.download.sources.Limits", partial(Limits, retries=0))
    assert "the connection failed" in error(capsys, status=1)
