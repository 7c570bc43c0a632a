"""The documentation as a site: all pages are in it, links lead somewhere, nothing is loaded from elsewhere."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = {path.name for path in (ROOT / "docs").glob("*.md")}


def pages(nav: list[dict[str, Any]]) -> list[str]:
    """The files that a navigation names, sections and all."""
    entries = [entry for item in nav for entry in item.values()]
    return [name for entry in entries for name in ([entry] if isinstance(entry, str) else pages(entry))]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder to build in, with the pages of this checkout."""
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    return tmp_path


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_page_is_in_the_navigation_once() -> None:
    named = pages(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"])
    assert sorted(named) == sorted(PAGES)


def test_the_site_builds_and_loads_nothing_from_other_hosts(site: Path) -> None:
    built = build(site)
    assert built.returncode == 0, built.stdout + built.stderr
    made = list((site / "site").rglob("index.html"))
    assert len(made) == len(PAGES)
    for page in made:
        html = page.read_text(encoding="utf-8")
        assert not re.search(r"""<(?:script|img|iframe)[^>]+src=["']?https?:""", html), page
        assert not re.search(r"""<link[^>]+rel=["']?(?:stylesheet|preconnect)[^>]+https?:""", html), page


def test_a_link_that_leads_nowhere_fails(site: Path) -> None:
    with (site / "docs/index.md").open("a") as index:
        index.write("\n[gone](gone.md)\n")
    assert build(site).returncode != 0


def test_links_out_of_the_pages_lead_to_files() -> None:
    """In README.md and CONTRIBUTING.md, which are read where the repository is."""
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{name}: {target}"
