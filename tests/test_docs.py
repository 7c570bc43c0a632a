"""The documentation: its pages as a site, its links, and the commands, options and imports that it shows."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from banet.cli import app

ROOT = Path(__file__).parents[1]
PAGES = {path.name for path in (ROOT / "docs").glob("*.md")}
TEXTS = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


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


def options(commands: App) -> dict[str, set[str]]:
    """The options of each command, and of those below it."""
    found = {}
    for name in commands:
        if not name.startswith("-"):
            below = options(commands[name]).values()
            arguments = commands[name].assemble_argument_collection(default_parameter=app.default_parameter)
            found[name] = {name for argument in arguments for name in argument.names}.union({"--help"}, *below)
    return found


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_the_commands_and_options_that_a_page_shows_exist(page: Path) -> None:
    known, text = options(app), page.read_text(encoding="utf-8")
    for option in re.findall(r"`(--[a-z][a-z-]*)", text):
        assert any(option in of_command for of_command in known.values()), option
    lines = re.findall(r"^\s*(?:[A-Z_]+=\S+ )*banet ([a-z][a-z-]*)(.*)$", text, re.MULTILINE)
    for command, line in lines + re.findall(r"`banet ([a-z][a-z-]*)([^`]*)`", text):
        assert command in known, command
        given = re.findall(r"(?<=\s)--[a-z][a-z-]*", line.partition("#")[0])
        assert known[command] >= set(given), (command, line)


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_the_names_that_a_page_imports_of_ours_exist(page: Path) -> None:
    for program in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for statement in ast.walk(ast.parse(program)):
            if isinstance(statement, ast.ImportFrom) and str(statement.module).partition(".")[0] == "banet":
                module = import_module(str(statement.module))
                assert all(hasattr(module, alias.name) for alias in statement.names), ast.unparse(statement)
