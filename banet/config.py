"""The configuration, read once and checked completely: plain mappings in, frozen dataclasses out.

`params.yaml` is parsed only here; other functions take the section they need.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from banet.errors import ConfigError
from banet.model.network_config import BANetConfig
from banet.parsing import parse, read_yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationParams:
    """The training data held out to choose the best weights and the champion."""

    sequences: tuple[str, ...]  # whole sequences, names or patterns such as `rocket_*`


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkParams:
    """What the model is trained on."""

    name: str  # a manifest in data/benchmarks/
    variant: str  # which blurred images, e.g. GoPro's `blur` or `blur_gamma`
    validation: ValidationParams


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardParams:
    """How benchmarks are stored."""

    storage: Literal["raw", "compact"]  # raw: fastest to read; compact: about a third of the bytes, also lossless


@dataclass(frozen=True, slots=True, kw_only=True)
class LossParams:
    """Eq. (8)."""

    fft_weight: float  # lambda; the paper's 0.01
    fft_norm: Literal["backward", "ortho"] = "backward"  # ortho: the effect of lambda does not grow with the crop size


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseParams:
    """One phase of training: a new optimizer and schedule, with the weights and their average of the previous phase."""

    steps: int | None = None  # optimizer steps; either this or epochs
    epochs: int | None = None  # passes over the training pairs
    crop: int  # side of the square training crop, pixels
    batch_size: int  # pairs per optimizer step, summed over workers
    accumulate: int = 1  # parts in which a worker computes its share of a batch, to need less memory
    optimizer: Literal["adam", "adamw"] = "adam"  # Sec. 4.1: adam
    betas: tuple[float, ...] = (0.9, 0.999)  # Sec. 4.1
    weight_decay: float = 0.0  # adam adds it to the gradient, adamw takes it off the weights
    lr_start: float  # Sec. 4.1: 1.0e-4
    lr_end: float  # Sec. 4.1: 1.0e-7; reached at the end of the phase
    warmup_steps: int = 0  # linear from zero to lr_start
    constant: int = 0  # at lr_start before the decay, after any warm-up; in epochs if the phase is, else in steps
    schedule: Literal["cosine", "linear"] = "cosine"  # the decay
    lr_every: Literal["step", "epoch"] = "step"  # when the learning rate changes
    clip_norm: float | None = None  # maximum gradient norm; not in the paper
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # of the network; the loss is always in float32
    compile: Literal["inductor", "aot_eager"] | None = None  # a backend of torch.compile
    ema_decay: float | None = None  # of an average of the weights, which competes with them on the validation images
    clamp_output: bool = False  # to [0, 1] before the loss, as the released training code does

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ConfigError("a phase has exactly one of steps and epochs")
        for key in ("steps", "epochs", "crop", "batch_size", "accumulate"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"{key} must be at least 1, got {value}")
        for key in ("warmup_steps", "constant", "weight_decay"):
            if getattr(self, key) < 0:
                raise ConfigError(f"{key} must be at least 0, got {getattr(self, key)}")
        if self.crop % 2:
            raise ConfigError(f"crop must be even, got {self.crop}")
        if not 0 <= self.lr_end <= self.lr_start:
            raise ConfigError(f"0 <= lr_end <= lr_start must hold, got {self.lr_end} and {self.lr_start}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas must be two numbers from 0 to below 1, got {list(self.betas)}")
        if self.constant >= (self.steps or self.epochs or 0):
            raise ConfigError(f"constant must be shorter than the phase, got {self.constant}")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ConfigError(f"clip_norm must be above 0, or null, got {self.clip_norm}")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ConfigError(f"ema_decay must be between 0 and 1, got {self.ema_decay}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeParams:
    """How the model is trained."""

    name: str
    seed: int  # samples, initial weights
    init_from: str | None  # weights to start from: a folder or a models:/ URI
    phases: tuple[PhaseParams, ...]
    loss: LossParams
    log_every: int  # optimizer steps between points of the training curve
    validate_every: int  # optimizer steps between validations

    def __post_init__(self) -> None:
        if not self.phases:
            raise ConfigError("recipe.phases is empty: a training has at least one phase")
        for key in ("log_every", "validate_every"):
            if getattr(self, key) < 1:
                raise ConfigError(f"recipe.{key} must be at least 1, got {getattr(self, key)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRange:
    """A number of workers that follows what the cluster has, while a run goes on."""

    min: int
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterParams:
    """Where the model is trained; this changes the result only by the order of floating-point sums."""

    workers: int | WorkerRange  # DDP processes
    cpus_per_worker: float  # logical CPUs of Ray; the data stream needs one more in all
    gpus_per_worker: float
    shards: str | None = None  # a folder or URI (s3://…) that all nodes can read; train copies the shards there
    resume: str | None = None  # MLflow id of an unfinished run to continue although its code has changed since
    checkpoint_every: int | str = "5 min"  # optimizer steps, or minutes as "5 min": at most what a killed run repeats
    timeout_s: int = 300  # seconds after which workers that wait for one that hangs are ended and started again

    @property
    def fewest(self) -> int:
        """Workers without which the run does not start."""
        return self.workers if isinstance(self.workers, int) else self.workers.min

    @property
    def most(self) -> int:
        """Workers that the run uses where the cluster has room for them."""
        return self.workers if isinstance(self.workers, int) else self.workers.max

    def checkpoint_is_due(self, steps: int, seconds: float) -> bool:
        """Whether it is time for a checkpoint, so many optimizer steps and seconds after the last one."""
        if isinstance(self.checkpoint_every, int):
            return steps >= self.checkpoint_every
        return seconds >= self._checkpoint_seconds()

    def _checkpoint_seconds(self) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?) ?min", str(self.checkpoint_every))
        return 60 * float(found[1]) if found else 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.fewest <= self.most:
            given = str(self.workers) if isinstance(self.workers, int) else f"{self.fewest} to {self.most}"
            raise ConfigError(f"cluster.workers must be at least 1, and min at most max, got {given}")
        every = self.checkpoint_every if isinstance(self.checkpoint_every, int) else self._checkpoint_seconds()
        if every <= 0:
            raise ConfigError(
                "cluster.checkpoint_every must be a number of steps, or minutes such as 5 min, and above 0, "
                f"got {self.checkpoint_every}"
            )
        if self.timeout_s < 1:
            raise ConfigError(f"cluster.timeout_s must be at least 1, got {self.timeout_s}")
        if self.cpus_per_worker <= 0 or self.gpus_per_worker < 0:
            raise ConfigError(
                "cluster.cpus_per_worker must be above 0 and cluster.gpus_per_worker at least 0, "
                f"got {self.cpus_per_worker} and {self.gpus_per_worker}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """The whole of `params.yaml`."""

    benchmark: BenchmarkParams
    evaluate_on: tuple[str, ...]
    shards: ShardParams
    model: BANetConfig
    recipe: RecipeParams
    cluster: ClusterParams

    def __post_init__(self) -> None:
        for phase in self.recipe.phases:
            for workers in range(self.cluster.fewest, self.cluster.most + 1):
                if phase.batch_size % (workers * phase.accumulate):
                    parts = f" and accumulate {phase.accumulate}" if phase.accumulate > 1 else ""
                    raise ConfigError(
                        f"recipe.phases: batch_size {phase.batch_size} does not divide among "
                        f"cluster.workers {workers}{parts}: change one of them"
                    )
            if phase.precision == "float16" and not self.cluster.gpus_per_worker:
                raise ConfigError(
                    "recipe.phases: precision float16 needs GPUs, and cluster.gpus_per_worker is 0: use bfloat16 or "
                    "float32"
                )
        if self.benchmark.name not in self.evaluate_on:
            raise ConfigError(
                f"evaluate_on {list(self.evaluate_on)} lacks the training benchmark {self.benchmark.name!r}: add it"
            )


def read_params(path: Path) -> Params:
    """Read `params.yaml`.

    Raises:
        ConfigError: unknown, missing or mistyped keys, values out of range, or a file that is not YAML, in one line.
    """
    return parse(Params, read_yaml(path), where=path.name)


def read_model_config(path: Path) -> BANetConfig:
    """Read one file of `conf/model/` and the files named by its `defaults`.

    Raises:
        ConfigError: as `read_params`.
    """
    return parse(BANetConfig, _with_defaults(path), where=str(path))


def _with_defaults(path: Path) -> object:
    values = read_yaml(path)
    if not isinstance(values, dict) or not isinstance(values.get("defaults"), list):
        return values
    merged: dict[object, object] = {}
    for name in values.pop("defaults"):
        base = values if name == "_self_" else _with_defaults(path.with_name(f"{name}.yaml"))
        merged |= base if isinstance(base, dict) else {}
    return merged
