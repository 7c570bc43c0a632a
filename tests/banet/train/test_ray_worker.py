"""Ray Train, really: two workers, one checkpoint folder, a run that goes on."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from banet.config import BenchmarkParams, ClusterParams, LossParams, PhaseParams, RecipeParams, ValidationParams
from banet.data.sharding.writer import ShardWriter
from banet.data.shards.reader import Pair
from banet.errors import ModelError, ResourceError
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
        refused=str(shards.with_name("refused")),
    )


@pytest.mark.distributed
@pytest.mark.usefixtures("ray_session")
def test_two_workers_train_one_model_and_a_finished_run_is_not_trained_again(shards: Path, tmp_path: Path) -> None:
    from banet.train.ray_worker import kept_checkpoint, launch

    told = tmp_path / "told.txt"

    def tell(step: int, metrics: object) -> None:
        with told.open("a") as stream:
            stream.write(f"{step} {'validation_psnr' in metrics}\n")  # type: ignore[operator]

    work = job(shards, 8, ClusterParams(workers=2, cpus_per_worker=0.5, gpus_per_worker=0))
    result = launch(work, storage=tmp_path / "runs", name="once", on_progress=tell)
    assert result.steps == 8
    assert result.best_step in (4, 8)
    assert told.read_text().split("\n")[:-1] == ["2 False", "4 True", "6 False", "8 True"]
    assert kept_checkpoint(tmp_path / "runs" / "once") == "the checkpoint of step 8 is kept"
    assert kept_checkpoint(tmp_path / "runs" / "never") == "no checkpoint was written yet"
    again = launch(work, storage=tmp_path / "runs", name="once", on_progress=tell)
    assert len(told.read_text().split("\n")) == 5
    for name, tensor in result.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name


@pytest.mark.distributed
@pytest.mark.usefixtures("ray_session")
def test_a_loss_that_is_not_finite_ends_as_one_line(shards: Path, tmp_path: Path) -> None:
    from banet.train.ray_worker import launch

    fast = job(shards, 8, ClusterParams(workers=1, cpus_per_worker=0.5, gpus_per_worker=0))
    phase = replace(fast.recipe.phases[0], lr_start=1e30)
    fast = replace(fast, recipe=replace(fast.recipe, phases=(phase,)))
    with pytest.raises(ModelError, match=r"^the loss is \w+ at step \d: lower lr_start"):
        launch(fast, storage=tmp_path / "runs", name="fast", on_progress=lambda _step, _metrics: None)


@pytest.mark.distributed
@pytest.mark.usefixtures("ray_session")
def test_a_run_that_needs_more_than_there_is_says_so_at_once(shards: Path, tmp_path: Path) -> None:
    from banet.train.ray_worker import launch

    many = job(shards, 8, ClusterParams(workers=4, cpus_per_worker=1.0, gpus_per_worker=0))
    with pytest.raises(ResourceError, match=r"Ray has 3 logical CPUs, the run needs 5 .*lower cluster\.workers"):
        launch(many, storage=tmp_path / "runs", name="many", on_progress=lambda _step, _metrics: None)
    gpus = replace(many, cluster=ClusterParams(workers=2, cpus_per_worker=0.5, gpus_per_worker=64))
    with pytest.raises(ResourceError, match=r"the run needs 128: lower cluster\.gpus_per_worker"):
        launch(gpus, storage=tmp_path / "runs", name="gpus", on_progress=lambda _step, _metrics: None)
