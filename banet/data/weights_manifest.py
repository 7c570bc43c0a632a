"""Released weights: the checked content of `data/weights/NAME.yaml`. The weights themselves are not shipped."""

from dataclasses import dataclass
from pathlib import Path

from banet.data.manifest import SYNTHESIS, FileSource
from banet.errors import ConfigError
from banet.parsing import parse, read_yaml

RELEASED_WEIGHTS = Path("data/weights")
"""The folder of the manifests in a checkout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsManifest:
    """A checkpoint that somebody released."""

    name: str
    title: str  # which network, trained on what
    trained_on: str  # a benchmark: the weights become a version of banet-<benchmark>
    network: str  # configuration that the checkpoint must have: banet, banet_plus, or imported for other widths
    file: FileSource
    licence: str  # the terms, or that none are stated
    citation: str = ""
    key: str | None = None  # which weights, where the file holds several

    def __post_init__(self) -> None:
        if SYNTHESIS in self.file.sources:
            raise ConfigError(f"file: {SYNTHESIS} gives no weights: name where they are")


def read_weights_manifest(folder: Path, name: str) -> WeightsManifest:
    """Read the manifest `folder/name.yaml`.

    Raises:
        ConfigError: unknown weights (the known ones are named), or a manifest with wrong keys or values.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        remedy = f"{folder} knows {known}" if known else f"{folder} has no manifests: run this inside the checkout"
        raise ConfigError(f"there are no weights {name!r}: {remedy}")
    manifest = parse(WeightsManifest, read_yaml(path), where=str(path))
    if manifest.name != name:
        raise ConfigError(f"{path}: name must be {name!r} like the file name, got {manifest.name!r}")
    return manifest
