"""The result of the evaluate stage: one registered version on one benchmark."""

from dataclasses import dataclass

from banet.analysis.profile import Latency
from banet.scoring.aggregate import AlignedMeans, Comparison, Means
from banet.scoring.pictures import Sample

EVALUATIONS = "evaluate"  # folder, with a folder per benchmark
METRICS = "metrics.json"
SCORES = "scores.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterReport:
    """The best single filter, chosen on another split, which a model has to beat."""

    filter: str
    chosen_on: str  # split
    gain: float  # dB
    scores: Means


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The few numbers by which experiments are compared; DVC's metrics."""

    psnr: float  # dB, of the restored images
    gain: float  # dB
    ssim_matlab3d: float
    ssim_channel: float
    aligned_psnr: float | None = None  # dB, with RealBlur's protocol
    aligned_ssim: float | None = None
    latency_ms: float | None = None  # median, for one image of the benchmark's size, synchronised


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
    gain: float  # dB, restored minus blurred, over the images with both finite
    strata: dict[str, Comparison]  # in the order of the report; may be empty
    noise_free: Comparison | None  # the same images, blurred without noise
    best_filter: FilterReport | None
    samples: tuple[Sample, ...]  # evenly spaced over the benchmark
    trained_variant: str | None = None  # that the model was trained on; None if unknown
    realblur: AlignedMeans | None = None  # of the restored images, with RealBlur's protocol
    worst: tuple[Sample, ...] = ()  # the images with the lowest restored PSNR, the worst first
    latency: Latency | None = None  # for restoring one image of the benchmark's size
    data_digest: str = ""  # of the shards

    @property
    def headline(self) -> Headline:
        """The few numbers by which experiments are compared."""
        return Headline(
            psnr=self.restored.psnr,
            gain=self.gain,
            ssim_matlab3d=self.restored.ssim_matlab3d,
            ssim_channel=self.restored.ssim_channel,
            aligned_psnr=None if self.realblur is None else self.realblur.psnr,
            aligned_ssim=None if self.realblur is None else self.realblur.ssim,
            latency_ms=None if self.latency is None else self.latency.median_ms,
        )
