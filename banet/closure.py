"""Which code decides a result: a file, and everything of this project that it imports.

DVC's dependencies, a training run's fingerprint, the key of an interrupted evaluation and the code inside a registered
version are all this one answer.
"""

import ast
import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOUSES = ("banet", "pipelines")
CHANGES_NOTHING = {  # files whose edits change no result, with the reason
    Path("banet/__init__.py"): "public names, resolved on first use",
    Path("banet/closure.py"): "what counts as a result's code, not the result",
    Path("banet/errors.py"): "what errors are called",
    Path("banet/files.py"): "how files are written, not what",
    Path("banet/parsing.py"): "a value is read as it stands, or refused",
    Path("banet/progress.py"): "bars",
}


def closure(*files: Path) -> tuple[Path, ...]:
    """Return the files, and all of `banet` and `pipelines` that they import, directly or not, relative to the root.

    Imports inside functions count; those for type checkers alone do not, nor do names that are resolved at run time, as
    the public names of `banet` are. A package's `__init__.py` counts wherever one of its modules is imported.
    """
    found = {file.resolve().relative_to(ROOT) for file in files}
    waiting = list(found)
    while waiting:
        new = _imported(ROOT / waiting.pop()) - found
        found |= new
        waiting += new
    return tuple(sorted(found))


def deciding(*files: Path) -> tuple[Path, ...]:
    """Return the files of the closure that can change a result: those with code, but for `CHANGES_NOTHING`."""
    return tuple(file for file in closure(*files) if file not in CHANGES_NOTHING and _code(file).body)


def code_digests(*files: Path) -> dict[str, str]:
    """Return the SHA-256 of the code of each deciding file, by its path from the root.

    Comments, docstrings and layout are no code: an edit of those changes no digest. Another version of Python may.
    """
    return {file.as_posix(): hashlib.sha256(ast.dump(_code(file)).encode()).hexdigest() for file in deciding(*files)}


def digest_of(digests: Mapping[str, str]) -> str:
    """Return one SHA-256 over what `code_digests` gave."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def imports(source: str, package: str = "") -> Iterator[str]:
    """Yield every module that a program imports when it runs; of `from a import b` both a and a.b.

    Args:
        source: of the program.
        package: that relative imports start from.
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
    """All nodes below one, but for what stands under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from _runtime(child)


def _code(file: Path) -> ast.Module:
    """Parse a file, docstrings left out."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)]
    return tree


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imported(file: Path) -> set[Path]:
    stat = file.stat()
    return set(_imported_unchanged(file, stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=1024)
def _imported_unchanged(file: Path, changed: int, size: int) -> tuple[Path, ...]:
    return tuple(path for name in imports(file.read_text(encoding="utf-8")) for path in _files(name.split(".")))


def _files(name: list[str]) -> Iterator[Path]:
    """The file of a module and of the packages around it; nothing for what is not ours, or is no module."""
    if name[0] not in HOUSES:
        return
    for end in range(1, len(name) + 1):
        inside = Path(*name[:end])
        for file in (inside / "__init__.py", inside.with_suffix(".py")):
            if (ROOT / file).is_file():
                yield file
