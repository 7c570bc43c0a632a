"""Manifests of released weights: the committed ones fit the project, and mistakes in one are named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from banet.data.manifest import IN_DRIVE_FOLDER
from banet.data.weights_manifest import RELEASED_WEIGHTS, read_weights_manifest
from banet.errors import ConfigError

ROOT = Path(__file__).parents[3]
MANIFESTS = sorted((ROOT / RELEASED_WEIGHTS).glob("*.yaml"))
NAMES = {f"banet{plus}-{trained_on}" for plus in ("", "-plus") for trained_on in ("gopro", "realblur_j", "realblur_r")}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_every_committed_manifest_names_what_this_project_has(path: Path) -> None:
    manifest = read_weights_manifest(path.parent, path.stem)
    assert (ROOT / f"data/benchmarks/{manifest.trained_on}.yaml").is_file()
    assert (ROOT / f"conf/model/{manifest.network}.yaml").is_file()
    assert "not stated" in manifest.licence
    assert all(IN_DRIVE_FOLDER.fullmatch(source) for source in manifest.file.sources)


def test_no_two_manifests_share_a_file_and_none_is_missing() -> None:
    read = [read_weights_manifest(path.parent, path.stem) for path in MANIFESTS]
    assert {manifest.name for manifest in read} == NAMES
    assert len({manifest.file.name for manifest in read}) == len(read)


GOOD = {
    "name": "mine",
    "title": "t",
    "trained_on": "gopro",
    "network": "banet",
    "licence": "-",
    "file": {"name": "a.pth", "sources": ["https://example.org/a.pth"]},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "other"}, "name must be 'mine' like the file name, got 'other'"),
        ({"licence": None}, "licence must be text, got nothing"),
        ({"file": {"name": "a/b.pth", "sources": ["a"]}}, "file: name must be a file name, got 'a/b.pth'"),
        ({"file": {"name": "a.pth", "sources": []}}, "a.pth needs at least one source"),
        ({"file": {"name": "a.pth", "sources": ["synthesis:"]}}, "synthesis: gives no weights"),
        ({"extra": 1}, "extra is unknown"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(GOOD | change))
    with pytest.raises(ConfigError) as caught:
        read_weights_manifest(tmp_path, "mine")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_weights_name_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(GOOD))
    with pytest.raises(ConfigError, match=r"there are no weights 'banet-gopro': .* knows mine"):
        read_weights_manifest(tmp_path, "banet-gopro")
    with pytest.raises(ConfigError, match="has no manifests: run this inside the checkout"):
        read_weights_manifest(tmp_path / "nowhere", "banet-gopro")
