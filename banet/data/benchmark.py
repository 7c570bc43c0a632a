"""Benchmarks: what `data/benchmarks/NAME.yaml` says of one, checked."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from banet.errors import ConfigError
from banet.parsing import parse, read_yaml

MANIFESTS = Path("data/benchmarks")
"""Where the manifests lie in a checkout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSource:
    """One file that holds the benchmark, or a part of it."""

    name: str  # file name
    sources: tuple[str, ...]  # in order of preference: `synthesis:` (made on the spot) or the path of a file
    sha256: str | None = None  # of the file, where its publisher or we know it


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
    layout: Literal["gopro"]  # split/sequence/{sharp, blur, …}/frame.png under one folder
    variants: tuple[str, ...]  # folders of blurred images to keep, e.g. GoPro's blur or blur_gamma; the first is scored
    archives: tuple[ArchiveSource, ...]
    counts: dict[str, dict[str, int]]  # split: {sequence or pattern: pairs}, what a whole benchmark holds
    strata: dict[str, str] | None = None  # name: pattern of sequences that are also scored apart
    noise_free: str | None = None  # the variant without sensor noise, where there is one
    synthesis: SynthesisParams | None = None

    def __post_init__(self) -> None:
        if not self.variants or not self.archives:
            raise ConfigError("variants and archives must each name at least one")
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
