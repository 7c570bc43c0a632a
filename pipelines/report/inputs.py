"""What a report says, as data: everything the page and the tables show, with units."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Means over the images of a benchmark, or of one stratum of it."""

    psnr: float  # dB, inf where every image is equal to its sharp one
    ssim_matlab3d: float  # -1 to 1
    ssim_channel: float  # -1 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One set of inputs, and what the model made of it."""

    images: int
    blurred: Scores
    restored: Scores
    gain: float  # dB, restored minus blurred


@dataclass(frozen=True, slots=True, kw_only=True)
class BestFilter:
    """The best single filter, chosen on another split: what a model has to beat."""

    name: str
    chosen_on: str  # split
    scores: Scores
    gain: float  # dB


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One scene to look at."""

    key: str  # sequence/frame
    blurred_psnr: float  # dB
    restored_psnr: float  # dB
    blurred: Path  # PNG
    restored: Path  # PNG
    sharp: Path  # PNG


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One registered version on one benchmark."""

    benchmark: str
    variant: str
    overall: Comparison
    strata: Mapping[str, Comparison]  # in the order in which they are shown; may be empty
    noise_free: Comparison | None
    best_filter: BestFilter | None
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One row of the training log."""

    step: int
    loss: float
    validation_psnr: float | None  # dB


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How the weights came to be."""

    steps: int
    best_step: int
    validation_psnr: float  # dB, at the best step
    blurred_validation_psnr: float  # dB, of the validation inputs themselves
    parameters: int  # of the network
    run_id: str
    log: tuple[LogRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The version that was scored."""

    name: str
    version: int
    digest: str  # sha256 of the weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Whether the champion changed, and why."""

    moved: bool
    reason: str
    candidate_version: int
    champion_version: int | None  # None: there was none before
    candidate_psnr: float  # dB on the validation data
    champion_psnr: float | None  # dB on the validation data


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInputs:
    """Everything that the report of one run shows."""

    package_version: str
    commit: str | None  # None: not made from a checkout
    params: Mapping[str, object]  # params.yaml as read
    training: Training
    registered: Registered
    promotion: Promotion
    evaluations: tuple[Evaluation, ...]  # the first is the headline
