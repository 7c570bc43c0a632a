"""Which code decides a result: a file, and all files of this project that it imports.

DVC's dependencies, a training run's fingerprint, the key of an interrupted evaluation and the code inside a registered
version all come from here.
"""

import ast
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOUSES = ("banet", "pipelines")
CHANGES_NOTHING = {  # files that change no result, with the reason
    Path("banet/__init__.py"): "public names, resolved on first use",
    Path("banet/closure.py"): "which code counts, not the result",
    Path("banet/errors.py"): "names of errors",
    Path("banet/model/__init__.py"): "public names, resolved on first use",
    Path("banet/files.py"): "how files are written, not their content",
    Path("banet/parsing.py"): "values are read unchanged or refused",
    Path("banet/progress.py"): "progress bars",
}


def closure(*files: Path) -> tuple[Path, ...]:
    """Return the files and all that they import of `banet` and `pipelines`, directly or not, relative to the root.

    Imports inside functions count. Imports for type checkers alone do not, and neither do names that are resolved at
    run time, such as the public names of `banet`. Importing a module includes the `__init__.py` of its packages.
    """
    found = {file.resolve().relative_to(ROOT) for file in files}
    waiting = list(found)
    while waiting:
        new = _imported(ROOT / waiting.pop()) - found
        found |= new
        waiting += new
    return tuple(sorted(found))


def deciding(*files: Path) -> tuple[Path, ...]:
    """Return the files of the closure that can change a result: those with code, except `CHANGES_NOTHING`."""
    return tuple(file for file in closure(*files) if file not in CHANGES_NOTHING and _code(_text(file)).body)


def code_digests(*files: Path) -> dict[str, str]:
    """Return the SHA-256 of the code of each deciding file, by its path from the root.

    Comments, docstrings and layout do not count. Digests may differ between versions of Python.
    """
    return {file.as_posix(): code_digest(_text(file)) for file in deciding(*files)}


def code_digest(source: str) -> str:
    """Return the SHA-256 of a program, as `code_digests` does for files."""
    return hashlib.sha256(ast.dump(_code(source)).encode()).hexdigest()


def changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Name the files that differ, were added or are gone, in order; a shortened digest equals the whole one."""
    return sorted(
        file
        for file in before.keys() | now.keys()
        if not (file in before and file in now and now[file].startswith(before[file]))
    )


def digest_of(digests: Mapping[str, str]) -> str:
    """Return one SHA-256 over the result of `code_digests`."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def imports(source: str, package: str = "") -> Iterator[str]:
    """Yield every module that a program imports when it runs; for `from a import b` both a and a.b.

    Args:
        source: of the program.
        package: from which relative imports start.
    """
    for node in _runtime(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _runtime(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below one, except those under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from _runtime(child)


def _text(file: Path) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def _code(source: str) -> ast.Module:
    """Parse a program and drop its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)]
    return tree


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@cache
def _imported(file: Path) -> frozenset[Path]:
    return frozenset(path for name in imports(file.read_text(encoding="utf-8")) for path in _files(name.split(".")))


def _files(name: list[str]) -> Iterator[Path]:
    """The files of a module and its packages; none if it is not ours or not a module."""
    if name[0] not in HOUSES:
        return
    for end in range(1, len(name) + 1):
        inside = Path(*name[:end])
        for file in (inside / "__init__.py", inside.with_suffix(".py")):
            if (ROOT / file).is_file():
                yield file
