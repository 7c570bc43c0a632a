"""Benchmarks: the checked content of `data/benchmarks/NAME.yaml`.

A published benchmark names its archives, their layout and the number of pairs. Custom data name the folders or files
of each split; everything else has a default.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from banet.data.custom_spec import CUSTOM, CustomSplit, Domain, Motion, require_splits
from banet.data.names import BLUR, DRIVE, HUB, NOISE_FREE, WEB, Conversion, chosen, nfc
from banet.errors import ConfigError
from banet.parsing import parse, read_yaml

MANIFESTS = Path("data/benchmarks")
"""The folder of the manifests in a checkout."""

ARCHIVES_LOCK = MANIFESTS / "archives.lock"
"""The digests of the archives as they were first fetched, see banet/data/download/lockfile.py."""

SYNTHESIS = "synthesis:"
"""The source of a benchmark that is generated rather than downloaded."""

DRIVE_FOLDER = "gdrive-folder:"
IN_DRIVE_FOLDER = re.compile(rf"{DRIVE_FOLDER}(?P<id>[-\w]{{10,}})(\?resourcekey=(?P<key>[-\w]+))?/(?P<name>[^\s/].*)")
"""A file by its name, or a pattern that only its name matches, in a shared folder of Google Drive.

Folders of before 2021 need the resource key that is part of the link to them.
"""

Acceptable = Literal["duplicates", "alignment", "blurred_psnr", "exposure", "saturated"]
"""The checks of the data whose error a manifest may accept, see docs/formats.md."""

ENDINGS = (".zip", ".tar.gz", ".tgz")
LISTING = "pairs.csv"
"""The fetch stage's output for custom pairs that are files, see banet/data/archives/file_list.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """One file, and where it comes from."""

    name: str  # file name here, whatever it is called elsewhere
    sources: tuple[str, ...]  # in order of preference, see `is_source`
    bytes: int | None = None  # size of the file, if known
    sha256: str | None = None  # digest of the file, if its publisher or we know it

    def __post_init__(self) -> None:
        if not self.name or self.name != Path(self.name).name or self.name.startswith("."):
            raise ConfigError(f"name must be a file name, got {self.name!r}")
        if not self.sources:
            raise ConfigError(f"{self.name} needs at least one source")
        for source in self.sources:
            if not is_source(source):
                raise ConfigError(
                    f"{self.name} has the unknown source {source!r}: write https://…, gdrive:FILE_ID, "
                    f"{DRIVE_FOLDER}FOLDER_ID/NAME, hf:datasets/OWNER/NAME/FILE, {SYNTHESIS} or the path of a file"
                )
        if self.bytes is not None and self.bytes < 1:
            raise ConfigError(f"bytes of {self.name} must be at least 1, got {self.bytes}")
        if self.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ConfigError(f"sha256 of {self.name} must be 64 lowercase hex digits, got {self.sha256!r}")

    @property
    def addresses(self) -> tuple[str, ...]:
        """The sources to download from, in order."""
        return tuple(source for source in self.sources if source.startswith((*WEB, DRIVE, DRIVE_FOLDER, HUB)))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The sources on this machine, in order."""
        return tuple(Path(source) for source in self.sources if source not in (*self.addresses, SYNTHESIS))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSource(FileSource):
    """One file that holds the benchmark or part of it; its name is the same in every benchmark that shares the file."""

    def __post_init__(self) -> None:
        FileSource.__post_init__(self)  # super() does not work in a class with slots
        if not self.name.endswith(ENDINGS):
            raise ConfigError(f"name must be a file name ending in {', '.join(ENDINGS)}, got {self.name!r}")


def is_source(text: str) -> bool:
    """Whether the text is a web address, a Google Drive or Hugging Face file, `synthesis:` or a path."""
    if text.startswith(WEB):
        return re.fullmatch(r"https?://[^\s/]+/\S+", text) is not None
    if text.startswith(DRIVE):
        return re.fullmatch(r"[-\w]{10,}", text.removeprefix(DRIVE)) is not None
    if text.startswith(DRIVE_FOLDER):
        return IN_DRIVE_FOLDER.fullmatch(text) is not None
    if text.startswith(HUB):
        return re.fullmatch(r"[-.\w]+/[-.\w]+/[^\s/]\S*", text.removeprefix(HUB)) is not None
    return text == SYNTHESIS or (bool(text.strip()) and re.match(r"[A-Za-z][-+.\w]*:", text) is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisParams:
    """How blur is synthesised; together with the package versions this fixes every byte.

    The defaults suit users' own photographs: those of `mini`, with pictures and paths twice as large.
    """

    seed: int = 0
    height: int = 256  # of each picture, pixels
    width: int = 256  # of each picture, pixels
    reduction: tuple[float, ...] = (0.5, 0.6)  # smallest and largest size of the scene over the photograph's, up to 1
    strata: dict[str, tuple[float, ...]] = field(  # name: shortest and longest camera path, pixels
        default_factory=lambda: {"short": (5.0, 15.0), "medium": (15.0, 30.0), "long": (30.0, 60.0)}
    )
    motion: Motion = "walk"  # the camera's path
    light: Domain = "linear"  # what an exposure averages: light, or encoded levels as GoPro's `blur` does
    roll_sigma: float = 0.4  # standard deviation of the roll over an exposure, degrees
    moving_layer_share: float = 0.33  # share of the scenes with a second layer on its own path, 0 to 1
    highlight_gain: float = 4.0  # largest factor on the brightness of clipped highlights, at least 1
    iso_gain: float = 4.0  # largest virtual ISO over base ISO, at least 1; drawn log-uniformly
    photographs: dict[str, dict[str, int]] = field(default_factory=dict)  # of mini: split: {scene: pairs per stratum}

    def __post_init__(self) -> None:
        if not self.strata:
            raise ConfigError("strata must not be empty")
        if not 0 <= self.seed < 2**64 or min(self.highlight_gain, self.iso_gain) < 1:
            raise ConfigError(
                "seed must be from 0 to 2^64 - 1, highlight_gain and iso_gain at least 1, "
                f"got {self.seed}, {self.highlight_gain:g} and {self.iso_gain:g}"
            )
        if min(self.height, self.width) < 1:
            raise ConfigError(f"height and width must be at least 1 pixel, got {self.height}x{self.width}")
        for name, span in self.strata.items():
            if not re.fullmatch(r"[-\w]+", name):
                raise ConfigError(f"strata: a name may have letters, digits, - and _, got {name!r}")
            if len(span) != 2 or not 0 < span[0] <= span[1]:
                raise ConfigError(f"strata.{name} must be [shortest, longest] path in pixels, got {list(span)}")
        if len(self.reduction) != 2 or not 0 < self.reduction[0] <= self.reduction[1] <= 1:
            raise ConfigError(f"reduction must be [smallest, largest] in (0, 1], got {list(self.reduction)}")
        scenes = [scene for chosen in self.photographs.values() for scene in chosen]
        if len(scenes) > len(set(scenes)):
            raise ConfigError("photographs: a scene is in two splits: keep it in one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """The manifest of a benchmark."""

    name: str
    # of the archives (archives/layouts.py) or of custom data (custom_spec.py)
    layout: Literal["gopro", "hide", "realblur", "folders", "list", "table", "frames", "photographs"]
    title: str = ""
    licence: str = ""
    citation: str = ""
    variants: tuple[str, ...] = (BLUR,)  # kinds of blurred images to keep, e.g. GoPro's blur or blur_gamma; the first
    # is scored
    archives: tuple[ArchiveSource, ...] = ()  # of a published benchmark
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # split: {sequence or pattern: pairs} of the whole
    # benchmark; what is not named here is not counted
    strata: dict[str, str] | None = None  # name: pattern of sequences that are also scored separately
    root: str | None = None  # RealBlur: the folder of the scenes inside the archive
    lists: dict[str, str] | None = None  # RealBlur: split: the list of its pairs inside the archive
    noise_free: str | None = None  # the variant without sensor noise, if there is one
    synthesis: SynthesisParams | None = None
    splits: dict[str, CustomSplit] = field(default_factory=dict)  # custom data: split: where its pictures are
    test_sequences: tuple[str, ...] | None = None  # custom data: sequences of the train split, or patterns, to test on
    sequence: str | None = None  # custom data: regular expression whose one group finds the sequence in a path
    convert: tuple[Conversion, ...] = ()  # pictures that are not 8-bit RGB and are converted rather than refused
    accept: tuple[Acceptable, ...] = ()  # checks of the data whose errors are but warnings, see docs/formats.md

    def __post_init__(self) -> None:
        if not self.variants or not (self.archives or self.is_custom):
            raise ConfigError("variants and archives must not be empty")
        names = [archive.name for archive in self.archives]
        if len(names) > len(set(names)):
            raise ConfigError(f"archives: two have the same name, {names}")
        if {self.root is not None, self.lists is not None} != {self.layout == "realblur"}:
            raise ConfigError("the layout realblur needs root and lists, and no other layout has them")
        if self.convert and self.layout == "frames":
            raise ConfigError("convert is for pictures, not for the frames of the layout frames")
        if self.noise_free is not None and self.noise_free not in self.variants:
            raise ConfigError(f"noise_free {self.noise_free!r} is not among variants {list(self.variants)}")
        if self.is_custom:
            self._require_custom()
            return
        for key in ("splits", "test_sequences", "sequence"):
            if getattr(self, key):
                raise ConfigError(f"{key} is for custom data, of the layouts {', '.join(CUSTOM)}, not {self.layout}")

    def _require_custom(self) -> None:
        if self.archives:
            raise ConfigError(f"the layout {self.layout} has no archives: splits says where the pictures are")
        if not re.fullmatch(r"[A-Za-z0-9][-\w.]*", self.name):
            raise ConfigError(f"name may have letters, digits, - and _, got {self.name!r}")
        require_splits(self.layout, self.splits, self.test_sequences, self.sequence)
        made = {BLUR, NOISE_FREE} if self.layout == "photographs" else {self.variants[0]}
        if not made.issuperset(self.variants) or len(self.variants) > len(set(self.variants)):
            known = f"{BLUR} and {NOISE_FREE}" if len(made) > 1 else "only one"
            raise ConfigError(f"variants of the layout {self.layout} may be {known}, got {list(self.variants)}")
        if self.synthesis is not None and (self.layout != "photographs" or self.synthesis.photographs):
            raise ConfigError("synthesis is for the layout photographs, where splits names the photographs")

    @property
    def is_custom(self) -> bool:
        """Whether this is custom data rather than a published benchmark."""
        return self.layout in CUSTOM

    @property
    def archive_names(self) -> tuple[str, ...]:
        """Names of the files that the fetch stage puts into the benchmark's folder, each for `open_archive`."""
        if not self.is_custom:
            return tuple(archive.name for archive in self.archives)
        return (LISTING if self.layout in ("folders", "list") else f"{self.name}.zip",)

    def stratum(self, sequence: str, among: Iterable[str] = ()) -> str | None:
        """Return the name of the stratum of a sequence, if it has one; a pattern that equals another one is no match.

        Args:
            sequence: one of the benchmark's.
            among: all sequences of its split.
        """
        strata = self.strata
        if strata is None and self.layout == "photographs":
            strata = {name: f"*_{name}" for name in (self.synthesis or SynthesisParams()).strata}
        names = {*among, sequence}
        matches = {nfc(pattern): name for name, pattern in (strata or {}).items() if sequence in chosen(pattern, names)}
        return matches.get(nfc(sequence), next(iter(matches.values()), None))


def read_benchmark(folder: Path, name: str) -> Benchmark:
    """Read the manifest `folder/name.yaml`.

    Raises:
        ConfigError: an unknown benchmark (the known ones are named), or a manifest with wrong keys or values.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
        raise ConfigError(f"there is no benchmark {name!r}: {folder} knows {known}")
    benchmark = parse(Benchmark, read_yaml(path), where=str(path))
    if benchmark.name != name:
        raise ConfigError(f"{path}: name must be {name!r} like the file name, got {benchmark.name!r}")
    return benchmark
