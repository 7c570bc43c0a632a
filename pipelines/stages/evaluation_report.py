"""What the evaluate stage says of one registered version on one benchmark."""

from dataclasses import dataclass

from banet.analysis.profile import Latency
from banet.scoring.aggregate import AlignedMeans, Comparison, Means
from banet.scoring.pictures import Sample

EVALUATIONS = "evaluate"  # folder, with a folder per benchmark
METRICS = "metrics.json"
SCORES = "scores.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterReport:
    """The best single filter, chosen on another split: what a model has to beat."""

    filter: str
    chosen_on: str  # split
    gain: float  # dB
    scores: Means


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The few numbers of an evaluation that one compares experiments by; DVC's metrics."""

    psnr: float  # dB, of the restored images
    gain: float  # dB
    ssim_matlab3d: float
    ssim_channel: float
    aligned_psnr: float | None = None  # dB, where the protocol is RealBlur's
    aligned_ssim: float | None = None
    latency_ms: float | None = None  # median, of one image of the benchmark's size, synchronised


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """One registered version on one benchmark."""

    benchmark: str
    variant: str  # of the blurred images that were scored
    model: str
    version: int
    images: int
    blurred: Means
    restored: Means
    gain: float  # dB, restored minus blurred, over the images where both are finite
    strata: dict[str, Comparison]  # in the order in which they are shown; may be empty
    noise_free: Comparison | None  # the same images, blurred without noise
    best_filter: FilterReport | None
    samples: tuple[Sample, ...]  # evenly through the benchmark
    trained_variant: str | None = None  # that the model was trained on; None where nobody knows
    realblur: AlignedMeans | None = None  # of the restored images, where the protocol is RealBlur's
    worst: tuple[Sample, ...] = ()  # the images of lowest PSNR restored, the worst first
    latency: Latency | None = None  # of restoring an image of this benchmark's size
    data_digest: str = ""  # of the shards

    @property
    def headline(self) -> Headline:
        """The few numbers."""
        return Headline(
            psnr=self.restored.psnr,
            gain=self.gain,
            ssim_matlab3d=self.restored.ssim_matlab3d,
            ssim_channel=self.restored.ssim_channel,
            aligned_psnr=None if self.realblur is None else self.realblur.psnr,
            aligned_ssim=None if self.realblur is None else self.realblur.ssim,
            latency_ms=None if self.latency is None else self.latency.median_ms,
        )
