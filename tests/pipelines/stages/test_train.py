"""train: a whole small run with two workers, and what stops one before it starts."""

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from banet.closure import changed_files
from banet.config import Params
from banet.data.shards.reader import ShardFolder
from banet.errors import ConfigError, DataError, ModelError, ResourceError
from banet.model.network import BANet
from banet.model.weights import load_weights, save_weights
from banet.tracking.runs import EXPERIMENT, finish_run, open_run
from banet.tracking.store import Store
from banet.tracking.unfinished_runs import code_tags
from banet.train.identity import RunIdentity, identify
from banet.train.run_folder import RunFolder
from pipelines.stages.stage_results import TrainedBy, read_json
from pipelines.stages.train import run_to_continue, train

if TYPE_CHECKING:
    from tests.pipelines.stages.conftest import Line

NETWORK = "banet/model/network.py"
Capture = pytest.CaptureFixture[str]

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # MLflow's own queries
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray's sockets
]


@pytest.mark.distributed
@pytest.mark.usefixtures("ray_session")
def test_two_workers_leave_weights_curve_report_and_a_run_in_mlflow_and_train_once(
    line: "Line",
    tiny_params: Params,
    store: Store,
    tmp_path: Path,
) -> None:
    out, reports, runs = tmp_path / "candidate", tmp_path / "reports", tmp_path / "runs"
    seen = tmp_path / "seen by all nodes"
    elsewhere = replace(tiny_params, cluster=replace(tiny_params.cluster, shards=seen.as_uri()))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):  # once the training is done
        train(elsewhere, shards=line.shards, storage=runs, store=store, out=tmp_path / "file/out", reports=reports)
    report = train(elsewhere, shards=line.shards, storage=runs, store=store, out=out, reports=reports)
    (copy,) = (seen / "tiny").iterdir()  # by their digest; the workers read them there
    assert ShardFolder(copy).summary == ShardFolder(line.shards).summary
    assert (report.steps, report.best_step % 2) == (4, 0)
    assert load_weights(out).config == tiny_params.model
    assert json.loads((reports / "train.json").read_text())["validation_psnr"] == report.validation_psnr
    with (reports / "training.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert [bool(row["validation_psnr"]) for row in rows] == [False, True, False, True]
    run = store.client().get_run(read_json(TrainedBy, out / "run.json", stage="train").run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["recipe.loss.fft_weight"] == "0.01"
    assert run.data.metrics["validation_psnr"] > 0
    assert len(store.client().get_metric_history(run.info.run_id, "loss")) == report.steps  # each step once
    pictures = [file.path for file in store.client().list_artifacts(run.info.run_id, "samples")]
    assert {path.rsplit("_")[-1] for path in pictures} >= {"blurred.png", "restored.png", "sharp.png"}
    assert {"charbonnier", "fft_l1", "gradient_norm", "data_wait", "memory_gib", "samples_per_second"} <= set(
        run.data.metrics
    )
    assert 0 < run.data.metrics["validation_ssim"] < 1
    shown = [file.path for file in store.client().list_artifacts(run.info.run_id, "images")]
    for step in (2, 4):  # the same pictures at every validation
        assert sum(f"restored+step+{step}+" in path and path.endswith(".png") for path in shown) >= 4
    assert list(runs.iterdir()) == []


def refused(error: type[Exception], message: str, params: Params, shards: Path, store: Store) -> None:
    folder = shards.parent
    with pytest.raises(error, match=message) as caught:
        train(params, shards=shards, storage=folder / "runs", store=store, out=folder / "m", reports=folder / "r")
    assert "\n" not in str(caught.value)
    assert not (folder / "m").exists()


def test_missing_and_damaged_shards_stop_a_run_before_it_starts(
    line: "Line",
    tiny_params: Params,
    store: Store,
    tmp_path: Path,
) -> None:
    shards = Path(shutil.copytree(line.shards, tmp_path / "shards"))
    file = shards / "train-00000.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    refused(
        DataError,
        r"train-00000\.parquet has changed since it was written: run the shard stage",
        tiny_params,
        shards,
        store,
    )
    file.write_bytes(content[:-1])
    refused(DataError, r"has \d+ bytes, not \d+: it is damaged", tiny_params, shards, store)
    file.unlink()
    refused(DataError, r"the shard .*train-00000\.parquet is missing: run the shard stage", tiny_params, shards, store)
    refused(DataError, r"holds no shards \(summary\.json is missing\)", tiny_params, tmp_path / "empty", store)


def test_held_out_sequences_must_exist_and_leave_something_to_train(
    line: "Line",
    tiny_params: Params,
    store: Store,
    tmp_path: Path,
) -> None:
    shards = Path(shutil.copytree(line.shards, tmp_path / "shards"))
    for sequences, message in (
        (("rocket_*",), r"'rocket_\*' matches none of coffee_long"),
        (("*",), "nothing to train on"),
    ):
        validation = replace(tiny_params.benchmark.validation, sequences=sequences)
        params = replace(tiny_params, benchmark=replace(tiny_params.benchmark, validation=validation))
        refused(ConfigError, message, params, shards, store)
    phases = (replace(tiny_params.recipe.phases[0], crop=64),)
    params = replace(tiny_params, recipe=replace(tiny_params.recipe, phases=phases))
    refused(DataError, r"flower_long/000001 is 32x40, smaller than the training crop 64", params, shards, store)
    params = replace(tiny_params, benchmark=replace(tiny_params.benchmark, variant="blur_gamma"))
    refused(DataError, r"no variant 'blur_gamma': it holds blur, blur_noise_free", params, shards, store)


def test_weights_of_another_network_and_a_storage_that_cannot_be_written_stop_a_run_before_it_starts(
    line: "Line",
    tiny_params: Params,
    store: Store,
    tmp_path: Path,
) -> None:
    save_weights(BANet(replace(tiny_params.model, channels=8)), tmp_path / "wide")
    recipe = replace(tiny_params.recipe, init_from=str(tmp_path / "wide"))
    shards = Path(shutil.copytree(line.shards, tmp_path / "shards"))
    message = r"recipe\.init_from: .*wide is another network \(channels 8\): set model to it, or name other weights"
    refused(ModelError, message, replace(tiny_params, recipe=recipe), shards, store)
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"file/[0-9a-f]+ cannot be used \(Not a directory\)"):
        train(
            tiny_params,
            shards=shards,
            storage=tmp_path / "file",
            store=store,
            out=tmp_path / "m",
            reports=tmp_path / "r",
        )


def test_the_second_of_two_trainings_is_told_who_holds_it(
    line: "Line", tiny_params: Params, store: Store, tmp_path: Path
) -> None:
    shards = Path(shutil.copytree(line.shards, tmp_path / "shards"))
    name = identify(tiny_params, ShardFolder(shards).summary.digest).fingerprint
    with RunFolder(tmp_path / "runs" / name).claimed():  # as another process would
        refused(
            ResourceError,
            rf"^this training is being run by the process {os.getpid()} on \S+ since .*: wait until it ends, or end it",
            tiny_params,
            shards,
            store,
        )


@pytest.fixture
def identity(tiny_params: Params, tmp_path: Path) -> RunIdentity:
    """Of data of this test's own, so that its runs are too."""
    return identify(tiny_params, str(tmp_path))


@pytest.fixture
def cut_off(identity: RunIdentity, store: Store, tmp_path: Path) -> str:
    """A run of the same parameters and data whose network was another, stopped after a validation."""
    before = RunIdentity(inputs=identity.inputs, code={**identity.code, NETWORK: "0" * 64})
    run_id = open_run(
        store,
        experiment=EXPERIMENT,
        name="cut off",
        fingerprint=before.fingerprint,
        params={},
        tags={"mlflow.source.git.commit": "c0ffee1234"} | code_tags(before.inputs, before.code),
    )
    finish_run(store, run_id, "KILLED")
    checkpoints = RunFolder(tmp_path / before.fingerprint).checkpoints
    checkpoints.folder.mkdir(parents=True)
    checkpoints.save(1500, {})
    return run_id


def resuming(params: Params, run_id: str | None) -> Params:
    return replace(params, cluster=replace(params.cluster, resume=run_id))


def test_a_run_of_changed_code_is_told_and_left_alone(
    tiny_params: Params, identity: RunIdentity, cut_off: str, store: Store, tmp_path: Path, capsys: Capture
) -> None:
    assert run_to_continue(tiny_params, identity, tmp_path, store) is None
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    for fact in (cut_off, "step 1500", "commit c0ffee1", NETWORK, f"cluster.resume: {cut_off}"):
        assert fact in line
    assert "banet/losses.py" not in line  # which is the same


def test_nothing_is_told_where_there_is_nothing_to_continue(
    tiny_params: Params, identity: RunIdentity, cut_off: str, store: Store, tmp_path: Path, capsys: Capture
) -> None:
    other = identify(tiny_params, "other data")
    assert run_to_continue(tiny_params, other, tmp_path, store) is None
    for folder in tmp_path.glob("*/checkpoints"):  # as of a run that was stopped before its first one
        (tmp_path / "none yet" / folder.parent.name / folder.name).mkdir(parents=True)
    assert run_to_continue(tiny_params, identity, tmp_path / "none yet", store) is None
    finish_run(store, cut_off)
    assert run_to_continue(tiny_params, identity, tmp_path, store) is None
    assert capsys.readouterr().err == ""


def test_a_run_of_changed_code_is_continued_on_purpose_and_says_so(
    tiny_params: Params, identity: RunIdentity, cut_off: str, store: Store, tmp_path: Path
) -> None:
    name = run_to_continue(resuming(tiny_params, cut_off), identity, tmp_path, store)
    assert name is not None
    assert name != identity.fingerprint
    assert (tmp_path / name).is_dir()
    assert open_run(store, experiment=EXPERIMENT, name="x", fingerprint=name, params={}, tags={}) == cut_off
    continued_with = json.loads(store.client().get_run(cut_off).data.tags["fingerprint.continued_with"])
    assert changed_files(continued_with, identity.code) == []


def test_a_run_that_cannot_be_continued_is_one_line(
    tiny_params: Params, identity: RunIdentity, cut_off: str, store: Store, tmp_path: Path
) -> None:
    def refused(run_id: str, identity: RunIdentity, storage: Path, fact: str) -> None:
        with pytest.raises(ConfigError, match=r"^cluster\.resume: .*set it to null") as caught:
            run_to_continue(resuming(tiny_params, run_id), identity, storage, store)
        assert fact in str(caught.value)
        assert "\n" not in str(caught.value)

    refused("0" * 32, identity, tmp_path, "0" * 32)
    refused(cut_off, identify(tiny_params, "other data"), tmp_path, "other parameters or data")
    refused(cut_off, identity, tmp_path / "elsewhere", str(tmp_path / "elsewhere"))
    finish_run(store, cut_off)
    refused(cut_off, identity, tmp_path, "has finished")
