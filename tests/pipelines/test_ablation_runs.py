"""An ablation table's networks are trained once each, by DVC's own command, and shown beside the paper's figures."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from banet.analysis.published import PUBLISHED, PublishedTable, read_published
from banet.errors import ConfigError, ServiceError
from banet.tracking.runs import EXPERIMENT, finish_run, log_metrics, open_run, runs_of
from banet.tracking.store import Store, connect
from pipelines.ablation_runs import AblationNetwork, compose_params, main, networks_of, train_missing, trained_runs
from pipelines.report.tables.ablation import ablation_table

ROOT = Path(__file__).parents[2]
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=main"]
SCORE = "mini/blur/restored_psnr"
LOG_A_RUN = """
from dataclasses import asdict
from pathlib import Path

from banet.config import read_params
from banet.tracking.runs import EXPERIMENT, finish_run, log_metrics, open_run
from banet.tracking.store import connect
from banet.train.identity import identify

params, store = read_params(Path("params.yaml")), connect()
if params.model.channels == 24:
    raise SystemExit("error: no room for 24 channels")
fingerprint = identify(params, "digest").fingerprint
run = open_run(store, experiment=EXPERIMENT, name="toy", fingerprint=fingerprint, params=asdict(params), tags={})
log_metrics(store, run, {"mini/blur/restored_psnr": 20.0 + params.model.channels})
finish_run(store, run)
Path("done.txt").write_text(fingerprint)
"""
DVC_YAML = """
stages:
  evaluate:
    matrix:
      benchmark: ${evaluate_on}
    cmd: python log_a_run.py
    deps:
      - log_a_run.py
    params:
      - model
    outs:
      - done.txt
"""

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(ROOT)
    return connect()


def train(store: Store, network: AblationNetwork, *, score: float | None, finish: bool = True) -> None:
    run = open_run(
        store,
        experiment=EXPERIMENT,
        name="test",
        fingerprint=network.fingerprint,
        params=asdict(network.params),
        tags={},
    )
    if score is not None:
        log_metrics(store, run, {network.score(1): score})
    if finish:
        finish_run(store, run)


@pytest.mark.slow
def test_networks_that_several_tables_show_are_trained_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    tables = [read_published(number) for number in (5, 6, 9)]
    networks = networks_of(tables, ["model.channels=16"], "digest")
    names = [network.params.model.name for network in networks]
    assert names == ["pdc135", "net2", "sp", "mksp1357", "net5", "banet", "stack4", "stack8", "stack12", "sa"]
    assert {network.params.model.channels for network in networks} == {16}
    assert len({network.fingerprint for network in networks}) == len(names)
    assert {name: n.parts for name, n in zip(names, networks, strict=True) if n.parts != (1,)} == {
        "stack4": (1, 8),
        "sa": (1, 8),
    }
    assert networks_of(tables, ["model.channels=16"], "other data")[0].fingerprint != networks[0].fingerprint


@pytest.mark.parametrize(
    ("override", "facts"),
    [
        ("recipe.sed=1", ("recipe.sed=1", "sed")),
        ("recipe=papers", ("recipe=papers", "papers")),
        ("recipe.seed=one", ("seed", "one")),
        ("cluster.workers=3", ("batch_size", "3")),
    ],
)
def test_a_wrong_override_is_one_line(override: str, facts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError) as error:
        compose_params([override])
    assert "\n" not in str(error.value)
    assert all(fact in str(error.value) for fact in facts)


@pytest.mark.parametrize(
    ("tables", "overrides", "facts"),
    [
        ("4", "", ("'4'", "5, 6, 7, 8, 9")),
        ("", "", ("''",)),
        ("5 x", "", ("'5 x'",)),
        ("5", "benchmark=gopro", ("gopro", "dvc exp run -S benchmark=gopro shard@gopro")),
    ],
)
def test_what_cannot_be_done_is_said_first(
    tables: str, overrides: str, facts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError) as error:
        main(tables, overrides)
    assert all(fact in str(error.value) for fact in facts)


@pytest.mark.slow
def test_a_network_counts_as_trained_when_its_run_is_finished_and_scored(store: Store) -> None:
    table = read_published(8)
    finished, unfinished, unscored = networks_of([table], [], "digest")
    train(store, finished, score=26.0)
    train(store, unfinished, score=27.0, finish=False)
    train(store, unscored, score=None)
    train(store, replace(unfinished, fingerprint="another recipe"), score=28.0)
    runs = trained_runs(store, [finished, unfinished, unscored])
    assert runs.keys() == {finished.fingerprint}
    shown = ablation_table(table, list(runs.values()))
    assert [row.figures[-3:] for row in shown.rows] == [("26.00", "", "1"), ("", "", ""), ("", "", "")]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Store]:
    """A project whose evaluate stage only logs a run, with this checkout's conf/."""
    root = tmp_path / "toy"
    root.mkdir()
    (root / "conf").symlink_to(ROOT / "conf")
    (root / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / "log_a_run.py").write_text(LOG_A_RUN)
    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    subprocess.run([*GIT, "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "config", "hydra.enabled", "true"], check=True)
    subprocess.run([*GIT, "add", "."], check=True)
    subprocess.run([*GIT, "commit", "--quiet", "--message", "toy"], check=True)
    return connect


@pytest.mark.slow
def test_dvc_trains_what_is_missing_and_leaves_the_checkout_alone(
    toy: Callable[[], Store], capfd: pytest.CaptureFixture[str]
) -> None:
    store = toy()
    rows = tuple(row for row in read_published(5, ROOT / PUBLISHED).rows if row.model == "net2")
    table = PublishedTable(number=5, caption="one network", rows=rows)
    networks = networks_of([table], ["model.channels=8"], "digest")
    for trained in (0, 1):
        train_missing(store, networks, ["model.channels=8"])
        assert f"networks: 1, trained already: {trained}" in capfd.readouterr().out
    assert [run.model for run in runs_of(store, EXPERIMENT)] == ["net2"]
    shown = ablation_table(table, list(trained_runs(store, networks).values()))
    assert shown.headings[-3] == "here, mini (blur), mini, 8 channels: PSNR dB"
    assert [row.figures[-3:] for row in shown.rows] == [("28.00", "", "1")]
    changed = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    assert changed == ""
    with pytest.raises(ServiceError) as error:
        train_missing(store, networks_of([table], ["model.channels=24"], "digest"), ["model.channels=24"])
    assert "net2" in str(error.value) and "no network is trained twice" in str(error.value)
    assert "error: no room for 24 channels" in capfd.readouterr().out


@pytest.mark.slow
def test_an_interruption_ends_what_was_started(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n")
    (tmp_path / "starts.py").write_text(
        "from banet.errors import raise_on_signals\nfrom pipelines.ablation_runs import _run\n"
        "raise_on_signals()\n_run('endless', 'endless')\n"
    )
    with subprocess.Popen(
        [sys.executable, "starts.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        started = int(process.stdout.readline())
        process.terminate()
        assert process.wait(60) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(started, 0)
