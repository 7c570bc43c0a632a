"""A benchmark of a few tiny pairs, made once a session by the stages themselves."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from banet.config import Params, read_params
from banet.data.manifest import ArchiveSource, Benchmark, SynthesisParams
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights
from banet.parsing import parse, read_yaml
from banet.tracking.store import Store, connect
from pipelines.stages.fetch import fetch
from pipelines.stages.shard import shard
from pipelines.stages.stage_results import RUN, TrainedBy, write_json

ROOT = Path(__file__).parents[3]
TINY = BANetConfig(name="tiny", stem_channels=4, channels=4, modules=1, fusion_channels=2)


@dataclass(frozen=True)
class Line:
    """Where the tiny line stands after fetch and shard."""

    benchmark: Benchmark
    raw: Path
    shards: Path


@pytest.fixture(scope="session")
def benchmark() -> Benchmark:
    return Benchmark(
        name="tiny",
        title="tiny pairs",
        licence="-",
        citation="-",
        layout="gopro",
        variants=("blur", "blur_noise_free"),
        noise_free="blur_noise_free",
        archives=(ArchiveSource(name="tiny.zip", sources=("synthesis:",)),),
        strata={"short": "*_short", "long": "*_long"},
        counts={"train": {"flower_*": 4, "coffee_*": 4}, "test": {"china_*": 4}},
        synthesis=SynthesisParams(
            seed=0,
            height=32,
            width=40,
            reduction=(0.4, 0.5),
            strata={"short": (2.0, 3.0), "long": (4.0, 6.0)},
            roll_sigma=0.4,
            moving_layer_share=0.5,
            highlight_gain=2.0,
            iso_gain=2.0,
            photographs={"train": {"flower": 2, "coffee": 2}, "test": {"china": 2}},
        ),
    )


@pytest.fixture(scope="session")
def line(benchmark: Benchmark, tmp_path_factory: pytest.TempPathFactory) -> Line:
    folder = tmp_path_factory.mktemp("line")
    fetch(benchmark, folder / "raw")
    shard(benchmark, folder / "raw", folder / "shards")
    return Line(benchmark=benchmark, raw=folder / "raw", shards=folder / "shards")


@pytest.fixture
def tiny_params() -> Params:
    values = read_yaml(ROOT / "params.yaml")
    assert isinstance(values, dict)
    values["benchmark"] = {"name": "tiny", "variant": "blur", "validation": {"sequences": ["coffee_*"]}}
    values["evaluate_on"] = ["tiny"]
    values["model"] = {
        "name": "tiny",
        "stem_channels": 4,
        "channels": 4,
        "modules": 1,
        "kernels": [1, 3],
        "attention": "ba",
        "content": "cpdc",
        "fusion_channels": 2,
    }
    values["recipe"]["phases"] = [{"steps": 4, "crop": 16, "batch_size": 2, "lr_start": 1e-3, "lr_end": 0.0}]
    values["recipe"] |= {"log_every": 1, "validate_every": 2}
    return parse(Params, values, where="params.yaml")


@pytest.fixture
def own_params(tiny_params: Params, tmp_path: Path) -> Params:
    """Parameters with a benchmark name of this test's own, so that its registered model is too."""
    name = tmp_path.name.replace("_", "-")
    return replace(tiny_params, benchmark=replace(tiny_params.benchmark, name=name), evaluate_on=(name,))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return connect(f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """What the train stage leaves; other weights each time."""
    folder = tmp_path / "candidate"
    save_weights(BANet(TINY), folder)
    write_json(folder / RUN, TrainedBy(run_id="0" * 32, data_digest="0" * 64))
    return folder


@pytest.fixture(scope="session")
def committed_params() -> Params:
    return read_params(ROOT / "params.yaml")
