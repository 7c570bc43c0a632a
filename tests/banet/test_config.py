"""params.yaml: what is accepted, and what each mistake says."""

from pathlib import Path

import pytest
import yaml

from banet.config import Params, read_params
from banet.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def values() -> dict[str, object]:
    return yaml.safe_load((ROOT / "params.yaml").read_text())  # type: ignore[no-any-return]


def read(tmp_path: Path, values: object) -> Params:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    return read_params(path)


def test_the_committed_parameters_are_valid(tmp_path: Path, values: dict[str, object]) -> None:
    params = read(tmp_path, values)
    assert params.benchmark.name == "mini"
    assert params.model.kernels == (1, 3, 5, 7)


def put(values: dict[str, object], path: str, value: object) -> dict[str, object]:
    """Set a value at a dotted path; lists by number."""
    *parents, last = path.split(".")
    at: object = values
    for key in parents:
        at = at[int(key)] if isinstance(at, list) else at[key]  # type: ignore[index]
    at[last] = value  # type: ignore[index]
    return values


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("recipe.sed", 1, "recipe.sed is unknown: the keys here are name, seed"),
        ("recipe.seed", "1", "recipe.seed must be a whole number, got str '1'"),
        ("recipe.seed", True, "recipe.seed must be a whole number, got bool True"),
        ("recipe.loss.fft_weight", "1e-2", r"fft_weight must be a number, got str '1e-2' \(YAML reads that as text"),
        ("recipe.phases.0.lr_start", "fast", "lr_start must be a number, got str 'fast'$"),
        ("recipe.phases.0.epochs", 3, "exactly one of steps and epochs"),
        ("recipe.phases.0.batch_size", 5, "batch_size 5 does not divide among cluster.workers 2"),
        ("recipe.phases.0.crop", 63, "crop must be even, got 63"),
        ("recipe.phases.0.schedule", "step", "schedule must be one of cosine, linear"),
        ("recipe.phases.0.steps", 0, "steps must be at least 1, got 0"),
        ("recipe.phases.0.accumulate", 4, "batch_size 4 does not divide among cluster.workers 2 and accumulate 4"),
        ("recipe.phases.0.constant", 4000, "constant must be shorter than the phase, got 4000"),
        ("recipe.phases.0.betas", [0.9], r"betas must be two numbers from 0 to below 1, got \[0.9\]"),
        ("recipe.phases.0.clip_norm", 0.0, "clip_norm must be above 0, or null, got 0.0"),
        ("recipe.phases.0.ema_decay", 1.5, "ema_decay must be between 0 and 1, got 1.5"),
        ("recipe.phases.0.precision", "float16", "float16 needs GPUs, and cluster.gpus_per_worker is 0"),
        ("recipe.phases.0.optimizer", "sgd", "optimizer must be one of adam, adamw"),
        ("recipe.phases", [], "recipe.phases is empty"),
        ("recipe", None, "params.yaml: recipe must be a mapping"),
        ("model.attention", "cbam", "model.attention must be one of ba, mksp, sp, ar, sa, none"),
        ("model.kernels", 3, "model.kernels must be a list, each a whole number"),
        ("evaluate_on", ["hide"], "lacks the training benchmark 'mini'"),
        ("cluster.workers", 0, "cluster.workers must be at least 1"),
        ("cluster.workers", {"min": 2, "max": 1}, "at least 1, and min at most max, got 2 to 1"),
        ("cluster.workers", {"min": 1, "max": 3}, "batch_size 4 does not divide among cluster.workers 3: change one"),
        ("cluster.workers", {"min": 1}, "cluster.workers.max is missing: add it, a whole number"),
        ("cluster.workers", "2", r"workers must be a whole number or a mapping with the keys min, max, got str '2'"),
        ("cluster.checkpoint_every", 0, "cluster.checkpoint_every must be a number of steps, or minutes such as 5 min"),
        ("cluster.checkpoint_every", "2 h", "cluster.checkpoint_every must be a number of steps.* got 2 h"),
        ("cluster.checkpoint_every", "0 min", "cluster.checkpoint_every must be .* above 0, got 0 min"),
        ("cluster.timeout_s", 0, "cluster.timeout_s must be at least 1, got 0"),
    ],
)
def test_each_mistake_has_its_line(
    tmp_path: Path, values: dict[str, object], path: str, value: object, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path, put(values, path, value))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("params.yaml: ")


def test_workers_are_a_number_or_a_range_and_checkpoints_come_by_steps_or_minutes(
    tmp_path: Path, values: dict[str, object]
) -> None:
    cluster = read(tmp_path, values).cluster
    assert (cluster.fewest, cluster.most) == (2, 2)
    assert [cluster.checkpoint_is_due(1000, seconds) for seconds in (299.0, 300.0)] == [False, True]
    put(values, "cluster.workers", {"min": 1, "max": 2})
    cluster = read(tmp_path, put(values, "cluster.checkpoint_every", 500)).cluster
    assert (cluster.fewest, cluster.most) == (1, 2)
    assert [cluster.checkpoint_is_due(steps, 1e6) for steps in (499, 500)] == [False, True]
    cluster = read(tmp_path, put(values, "cluster.checkpoint_every", "0.5 min")).cluster
    assert [cluster.checkpoint_is_due(1000, seconds) for seconds in (29.0, 30.0)] == [False, True]


def test_a_missing_key_is_named(tmp_path: Path, values: dict[str, object]) -> None:
    del values["cluster"]["workers"]  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"cluster\.workers is missing: add it, a whole number"):
        read(tmp_path, values)


def test_a_file_that_is_missing_or_no_yaml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"params\.yaml cannot be read"):
        read_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [1\nb: 2")
    with pytest.raises(ConfigError, match=r"params\.yaml is not YAML"):
        read_params(tmp_path / "params.yaml")
