import fcntl
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Running

from banet.tracking.version_files import RegisteredModel
from pipelines import flows
from pipelines.flows import train_banet
from pipelines.runs import dvc_runs
from pipelines.runs.dvc_runs import Outcome, ProcessGroups, judge, reproduce
from pipelines.stages.stage_results import write_json

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's own use of pygtrie

BAD_INPUT = """\
import sys

print("error: params.yaml: recipe.steps is 'many'; give a whole number", file=sys.stderr)
sys.exit(2)
"""
FAILS_ONCE = """\
import sys
from pathlib import Path

if not Path("tried").exists():
    Path("tried").touch()
    sys.exit("error: http://127.0.0.1:1 does not answer; start the server")
Path("weights.txt").touch()
"""
SLEEPS = """\
import os, time
from pathlib import Path

Path("pid").write_text(str(os.getpid()))
time.sleep(600)
"""


def run_stage(stage: str, *, force: bool = False) -> tuple[Outcome, list[str]]:
    lines: list[str] = []
    return reproduce(stage, force=force, groups=ProcessGroups(), log=lines.append), lines


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.02)
    return path.read_text()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


# DVC runs, judges and says


@pytest.mark.slow
def test_dvc_runs_what_changed_and_skips_what_did_not(toy_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy_project)
    run_stage("fetch@near")
    outcome, lines = run_stage("train")
    assert outcome == Outcome(succeeded=True, line="", worth_a_retry=False)
    assert (toy_project / "weights.txt").read_text() == "trained"
    assert "step 1" in lines
    assert "" not in lines
    assert "step 1" not in run_stage("train")[1]
    assert "step 1" in run_stage("train", force=True)[1]


@pytest.mark.slow
def test_lines_come_while_the_stage_runs(toy_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy_project)
    run_stage("fetch@near")
    (toy_project / "train.py").write_text(  # not flushed: the flow sees to that; and it waits for the line to arrive
        "import time\nfrom pathlib import Path\n\nprint('step 1')\n"
        "while not Path('heard').exists():\n    time.sleep(0.02)\n"
        "Path('weights.txt').touch()\n"
    )

    def hear(line: str) -> None:
        if line == "step 1":
            (toy_project / "heard").touch()

    assert reproduce("train", force=False, groups=ProcessGroups(), log=hear).succeeded


def test_python_in_dvc_yaml_is_this_interpreter(toy_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy_project)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (toy_project / "dvc.yaml").write_text("stages:\n  which:\n    cmd: python -c 'import sys; print(sys.prefix)'\n")
    assert sys.prefix in run_stage("which")[1]


def test_bad_input_is_the_stages_own_line_and_not_tried_again(
    toy_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toy_project)
    run_stage("fetch@near")
    (toy_project / "train.py").write_text(BAD_INPUT)
    line = "error: params.yaml: recipe.steps is 'many'; give a whole number"
    assert run_stage("train")[0] == Outcome(succeeded=False, line=line, worth_a_retry=False)


def test_dvcs_own_complaint_is_its_line_and_not_tried_again(toy_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy_project)
    outcome, _ = run_stage("train")  # nothing was fetched
    assert not outcome.worth_a_retry
    assert outcome.line.startswith("ERROR: failed to reproduce 'train'")
    assert "near.txt" in outcome.line


DVC_LINE = "ERROR: failed to reproduce 'train': failed to run: python train.py, exited with {}"


@pytest.mark.parametrize(("status", "again"), [(2, False), (1, True), (-9, True), (137, True), (143, False)])
def test_the_stages_status_is_read_from_dvcs_line(status: int, again: bool) -> None:
    lines = ["error: an early one", "error: the last one", DVC_LINE.format(status)]
    assert judge(lines, 255) == Outcome(succeeded=False, line="error: the last one", worth_a_retry=again)


def test_a_stage_that_says_nothing_leaves_dvcs_line() -> None:
    assert judge([DVC_LINE.format(1)], 255).line == DVC_LINE.format(1)
    assert judge([], -9).line == "error: dvc ended with status -9"


def test_who_holds_a_lock_is_part_of_dvcs_line() -> None:
    lines = [
        "ERROR: failed to reproduce 'train': 'weights.txt' is busy, it is being blocked by:",
        "  (PID 12): dvc repro",
    ]
    assert judge(lines, 255).line.endswith("blocked by:   (PID 12): dvc repro")


# Stopping


@pytest.mark.slow
def test_stopping_ends_dvc_and_its_stage(toy_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy_project)
    run_stage("fetch@near")
    (toy_project / "train.py").write_text(SLEEPS)
    groups, outcomes = ProcessGroups(), []
    thread = threading.Thread(
        target=lambda: outcomes.append(reproduce("train", force=False, groups=groups, log=lambda _: None))
    )
    thread.start()
    pid = int(wait_for(toy_project / "pid"))
    groups.stop()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert not is_running(pid)
    assert not outcomes[0].worth_a_retry
    with pytest.raises(RuntimeError, match="being stopped"):
        run = reproduce("train", force=False, groups=groups, log=lambda _: None)
        pytest.fail(f"started after the stop: {run}")


def test_a_stage_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvc_runs, "TERMINATION_GRACE_S", 0.2)
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SLEEPS}"
    groups = ProcessGroups()
    monkeypatch.chdir(tmp_path)
    with groups.start([sys.executable, "-c", deaf], dict(os.environ)) as process:
        wait_for(tmp_path / "pid")
        groups.stop()
        assert process.wait(timeout=10) == -signal.SIGKILL


def test_a_cancelled_flow_stops_its_stages(toy_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy_project)
    started = []

    def cancelled(graph: object, *, force: bool, groups: ProcessGroups) -> None:
        block = groups.start([sys.executable, "-c", SLEEPS], dict(os.environ))
        started.append((block, block.__enter__()))
        raise KeyboardInterrupt

    monkeypatch.setattr(flows, "_run_all", cancelled)
    with pytest.raises(KeyboardInterrupt):
        train_banet.fn()
    block, process = started[0]
    assert process.wait(timeout=10) == -signal.SIGTERM
    block.__exit__(None, None, None)


# The flow, on the session's server


def run_flow(stages: list[str] | None = None) -> State[Any]:
    return train_banet(stages=stages, return_state=True)


@pytest.mark.server
@pytest.mark.usefixtures("api")
class TestFlow:
    def test_all_stages_run_in_order_and_targets_keep_to_their_part(
        self, toy_project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(toy_project)
        part = run_flow(stages=["train"])
        assert (part.is_completed(), part.message) == (True, "2 stages are up to date")
        assert not (toy_project / "far.txt").exists()
        whole = run_flow()
        assert (whole.is_completed(), whole.message) == (True, "4 stages are up to date")
        assert (toy_project / "report.txt").read_text() == "trainedfar\n"

    @pytest.mark.slow
    def test_bad_input_is_the_flows_message_and_children_do_not_run(
        self, toy_project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(toy_project)
        (toy_project / "train.py").write_text(BAD_INPUT)
        state = run_flow()
        assert state.is_failed()
        assert state.message == "train: error: params.yaml: recipe.steps is 'many'; give a whole number"
        assert (toy_project / "far.txt").exists()  # a stage beside the failed one
        assert not (toy_project / "report.txt").exists()

    @pytest.mark.slow
    def test_a_failure_that_may_pass_is_tried_again(self, toy_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(toy_project)
        monkeypatch.setattr(flows, "run_stage", flows.run_stage.with_options(retry_delay_seconds=0))
        (toy_project / "train.py").write_text(FAILS_ONCE)
        assert run_flow(stages=["train"]).is_completed()
        assert (toy_project / "tried").exists()

    @pytest.mark.slow
    def test_benchmarks_are_fetched_or_scored_with_all_that_needs(
        self, toy_project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(toy_project)
        stages = {
            "shard": ("touch shards.txt", [], "shards.txt"),
            "evaluate": ("touch scores.txt", ["shards.txt"], "scores.txt"),
        }
        lines = ["stages:"]
        for name, (command, deps, out) in stages.items():
            lines += [f"  {name}:", "    matrix: {benchmark: [mini]}", f"    cmd: {command}", f"    deps: {deps}"]
            lines += [f"    outs: [{out}]"]
        (toy_project / "dvc.yaml").write_text("\n".join(lines))
        state = flows.fetch_benchmarks(return_state=True)
        assert (state.message, (toy_project / "scores.txt").exists()) == ("1 stages are up to date", False)
        state = flows.evaluate_banet(benchmarks=["mini"], return_state=True)
        assert (state.message, (toy_project / "scores.txt").exists()) == ("2 stages are up to date", True)
        state = flows.evaluate_banet(benchmarks=["gopro"], return_state=True)
        assert (state.message or "").startswith("error: unknown stage 'evaluate@gopro': choose from")

    def test_unknown_stage_is_the_flows_message(self, toy_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(toy_project)
        state = run_flow(stages=["trian"])
        assert state.is_failed()
        assert state.message == "error: unknown stage 'trian': choose from fetch@far, fetch@near, train, report"

    @pytest.mark.slow
    def test_what_earlier_runs_left_is_named_and_put_right(
        self, toy_project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A run whose machine died stays RUNNING; a stage whose worker was killed goes on."""
        monkeypatch.chdir(toy_project)
        with get_client(sync_client=True) as client, (toy_project / ".dvc/tmp/train.running").open("w") as stage:
            dead, other = (client.create_flow_run(train_banet, state=Running()) for _ in range(2))
            (toy_project / f".dvc/tmp/{dead.id}.flow").write_text("4710 since yesterday")
            (toy_project / f".dvc/tmp/{other.id}.flow").touch()  # about to be held
            stage.write("4711 since yesterday")
            stage.flush()
            fcntl.flock(stage, fcntl.LOCK_EX)
            assert run_flow(stages=["train"]).is_completed()
            warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
            assert any("train is being run by the process 4711 since yesterday" in line for line in warned)
            assert any(dead.name in line and "crashed" in line for line in warned)
            states = [client.read_flow_run(run.id).state for run in (dead, other)]
            assert [state is not None and state.is_crashed() for state in states] == [True, False]
            assert [mark.stem for mark in (toy_project / ".dvc/tmp").glob("*.flow")] == [str(other.id)]

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # MLflow's own use of SQLAlchemy
    def test_a_version_that_the_store_lacks_is_forgotten_first(
        self, toy_project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What was pulled from a colleague with another store counts as up to date to DVC."""
        monkeypatch.chdir(toy_project)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{toy_project}/mlflow.db")
        registered = toy_project / "reports/registered.json"
        registered.parent.mkdir()
        write_json(registered, RegisteredModel(name="banet-mini", version=3, digest="0" * 64, run_id="0" * 32))
        assert run_flow(stages=["fetch@near"]).is_completed()
        assert not registered.exists()
        warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert any("banet-mini version 3" in line and str(toy_project) in line for line in warned)
