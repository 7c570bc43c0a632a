"""Engines by name; does not need torch."""

from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from banet.errors import ResourceError

Engine = Literal["torch", "onnxruntime"]

NEEDS = ("torch", "onnx", "onnxscript", "onnxruntime")  # what writes a network's file and runs it


def named_version(engine: Engine) -> str:
    """Return an engine's name and version.

    Raises:
        ResourceError: packages that it needs are not installed.
    """
    for package in ("torch",) if engine == "torch" else NEEDS:
        try:
            found = version(package)
        except PackageNotFoundError:
            raise ResourceError(f"the package {package} is not installed: pip install 'banet[export]'") from None
    return f"{engine} {found}"
