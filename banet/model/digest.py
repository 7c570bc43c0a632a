"""The files of a model on disk and their digest; does not need torch."""

import hashlib
from pathlib import Path

from banet.errors import ModelError

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


def weights_digest(folder: Path) -> str:
    """SHA-256 over configuration and weights, hexadecimal."""
    digest = hashlib.sha256(read_part(folder, CONFIG))
    digest.update(read_part(folder, WEIGHTS))
    return digest.hexdigest()


def read_part(folder: Path, name: str) -> bytes:
    """Read one file of a model.

    Raises:
        ModelError: it is missing or cannot be read.
    """
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ModelError(f"no model in {folder}: {name} cannot be read ({error.strerror})") from None
