"""Benchmarks: what `data/benchmarks/NAME.yaml` says of one, checked."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from banet.data.links import DRIVE, HUB, WEB
from banet.errors import ConfigError
from banet.parsing import parse, read_yaml

MANIFESTS = Path("data/benchmarks")
"""Where the manifests lie in a checkout."""

SYNTHESIS = "synthesis:"
"""The source of a benchmark that is made on the spot."""

ENDINGS = (".zip", ".tar.gz", ".tgz")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSource:
    """One file that holds the benchmark, or a part of it."""

    name: str  # file name, the same in every benchmark that shares it; .zip, .tar.gz or .tgz
    sources: tuple[str, ...]  # in order of preference; `is_source` says which there are
    bytes: int | None = None  # of the file, where known
    sha256: str | None = None  # of the file, where its publisher or we know it

    def __post_init__(self) -> None:
        if self.name != Path(self.name).name or self.name.startswith(".") or not self.name.endswith(ENDINGS):
            raise ConfigError(f"archives: name must be a file's, ending in {', '.join(ENDINGS)}, got {self.name!r}")
        if not self.sources:
            raise ConfigError(f"archives: {self.name} needs at least one source")
        for source in self.sources:
            if not is_source(source):
                raise ConfigError(
                    f"archives: {self.name} has the unknown source {source!r}: write https://…, gdrive:FILE_ID, "
                    f"hf:datasets/OWNER/NAME/FILE, {SYNTHESIS} or the path of a file"
                )
        if self.bytes is not None and self.bytes < 1:
            raise ConfigError(f"archives: bytes of {self.name} must be at least 1, got {self.bytes}")
        if self.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ConfigError(f"archives: sha256 of {self.name} must be 64 small hex digits, got {self.sha256!r}")

    @property
    def addresses(self) -> tuple[str, ...]:
        """The sources that are downloaded, in order."""
        return tuple(source for source in self.sources if source.startswith((*WEB, DRIVE, HUB)))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The sources that are files on this machine, in order."""
        return tuple(Path(source) for source in self.sources if source not in (*self.addresses, SYNTHESIS))


def is_source(text: str) -> bool:
    """Whether the text is an address, a link of Google Drive or Hugging Face, `synthesis:` or the path of a file."""
    if text.startswith(WEB):
        return re.fullmatch(r"https?://[^\s/]+/\S+", text) is not None
    if text.startswith(DRIVE):
        return re.fullmatch(r"[-\w]{10,}", text.removeprefix(DRIVE)) is not None
    if text.startswith(HUB):
        return re.fullmatch(r"[-.\w]+/[-.\w]+/[^\s/]\S*", text.removeprefix(HUB)) is not None
    return text == SYNTHESIS or (bool(text.strip()) and re.match(r"[A-Za-z][-+.\w]*:", text) is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisParams:
    """How a synthetic benchmark is made; with the versions of its packages it fixes every byte."""

    seed: int
    height: int  # of each picture, pixels
    width: int  # of each picture, pixels
    reduction: tuple[float, ...]  # size of the scene over size of the photograph, smallest and largest, at most 1
    strata: dict[str, tuple[float, ...]]  # name: shortest and longest camera path, pixels
    roll_sigma: float  # standard deviation of the roll over an exposure, degrees
    moving_layer_share: float  # share of the scenes with a second layer on its own path, 0 to 1
    highlight_gain: float  # clipped highlights are this many times brighter at most, from 1 up
    iso_gain: float  # virtual ISO over base ISO at most, from 1 up; drawn log-uniformly
    photographs: dict[str, dict[str, int]]  # split: {scene: pairs a stratum}

    def __post_init__(self) -> None:
        for name, span in self.strata.items():
            if len(span) != 2 or not 0 < span[0] <= span[1]:
                raise ConfigError(f"strata.{name} must be [shortest, longest] path in pixels, got {list(span)}")
        if len(self.reduction) != 2 or not 0 < self.reduction[0] <= self.reduction[1] <= 1:
            raise ConfigError(f"reduction must be [smallest, largest] in (0, 1], got {list(self.reduction)}")
        scenes = [scene for chosen in self.photographs.values() for scene in chosen]
        if len(scenes) > len(set(scenes)):
            raise ConfigError("photographs: a scene stands in two splits: each belongs to one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A benchmark's manifest."""

    name: str
    title: str
    licence: str
    citation: str
    layout: Literal["gopro", "hide", "realblur"]  # how pairs lie in the archive; banet/data/archive.py reads them
    variants: tuple[str, ...]  # folders of blurred images to keep, e.g. GoPro's blur or blur_gamma; the first is scored
    archives: tuple[ArchiveSource, ...]
    counts: dict[str, dict[str, int]]  # split: {sequence or pattern: pairs}, what a whole benchmark holds
    strata: dict[str, str] | None = None  # name: pattern of sequences that are also scored apart
    root: str | None = None  # RealBlur: the folder inside the archive that holds the scenes
    lists: dict[str, str] | None = None  # RealBlur: split: the file in the archive that lists its pairs
    noise_free: str | None = None  # the variant without sensor noise, where there is one
    synthesis: SynthesisParams | None = None

    def __post_init__(self) -> None:
        if not self.variants or not self.archives:
            raise ConfigError("variants and archives must each name at least one")
        names = [archive.name for archive in self.archives]
        if len(names) > len(set(names)):
            raise ConfigError(f"archives: two have one name, {names}")
        if {self.root is not None, self.lists is not None} != {self.layout == "realblur"}:
            raise ConfigError("the layout realblur needs root and lists, and no other layout has them")
        if self.noise_free is not None and self.noise_free not in self.variants:
            raise ConfigError(f"noise_free {self.noise_free!r} is not among variants {list(self.variants)}")

    def stratum(self, sequence: str) -> str | None:
        """Return the name of the stratum that the sequence belongs to, if any."""
        matches = (name for name, pattern in (self.strata or {}).items() if fnmatchcase(sequence, pattern))
        return next(matches, None)


def read_benchmark(folder: Path, name: str) -> Benchmark:
    """Read the manifest `folder/name.yaml`.

    Raises:
        ConfigError: no such benchmark (the known ones are named), or a manifest with wrong keys or values.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
        raise ConfigError(f"there is no benchmark {name!r}: {folder} knows {known}")
    benchmark = parse(Benchmark, read_yaml(path), where=str(path))
    if benchmark.name != name:
        raise ConfigError(f"{path}: name must be {name!r} like the file's, got {benchmark.name!r}")
    return benchmark
