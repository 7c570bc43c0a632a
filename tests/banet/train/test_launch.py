"""What is checked before Ray Train starts; `tests/pipelines/stages/test_train.py` trains with it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from banet.config import BenchmarkParams, ClusterParams, LossParams, PhaseParams, RecipeParams, ValidationParams
from banet.data.sharding.writer import ShardWriter
from banet.data.shards.reader import Pair
from banet.errors import ResourceError
from banet.model.network_config import BANetConfig

if TYPE_CHECKING:
    from banet.train.ray_worker import TrainingJob


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    folder = tmp_path / "shards"
    folder.mkdir()
    writer = ShardWriter(folder, ("blur",))

    def pair(sequence: str, frame: int) -> Pair:
        sharp = torch.randint(0, 256, (24, 32, 3), generator=generator, dtype=torch.uint8).numpy()
        images = {"sharp": sharp, "blur": sharp // 2}
        return Pair(key=f"{sequence}/{frame}", split="train", sequence=sequence, images=images)

    writer.write("train", (pair(sequence, i) for sequence in ("a", "b") for i in range(3)))
    writer.finish("test")
    return folder


def job(shards: Path, steps: int, cluster: ClusterParams) -> "TrainingJob":
    from banet.train.ray_worker import TrainingJob

    return TrainingJob(
        shards=str(shards),
        benchmark=BenchmarkParams(name="test", variant="blur", validation=ValidationParams(sequences=("b",))),
        model=BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2),
        recipe=RecipeParams(
            name="test",
            seed=0,
            init_from=None,
            phases=(PhaseParams(steps=steps, crop=16, batch_size=4, lr_start=1e-3, lr_end=0.0),),
            loss=LossParams(fft_weight=0.01),
            log_every=2,
            validate_every=4,
        ),
        cluster=cluster,
        folder=str(shards.with_name("run")),
    )


@pytest.mark.distributed
@pytest.mark.usefixtures("ray_session")
def test_a_run_that_needs_more_than_there_is_says_so_at_once(shards: Path, tmp_path: Path) -> None:
    from banet.train.launch import launch

    many = job(shards, 8, ClusterParams(workers=4, cpus_per_worker=1.0, gpus_per_worker=0))
    with pytest.raises(ResourceError, match=r"Ray has 3 logical CPUs, the run needs 5 .*lower cluster\.workers"):
        launch(many)
    small = replace(many, cluster=ClusterParams(workers=8, cpus_per_worker=0.25, gpus_per_worker=0))
    with pytest.raises(ResourceError, match=r"the run needs 4 \(8 workers x 0\.25 and 2 for the data\)"):
        launch(small)
    gpus = replace(many, cluster=ClusterParams(workers=2, cpus_per_worker=0.5, gpus_per_worker=64))
    with pytest.raises(ResourceError, match=r"the run needs 128: lower cluster\.gpus_per_worker"):
        launch(gpus)
