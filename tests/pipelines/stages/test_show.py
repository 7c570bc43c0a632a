import shlex
from pathlib import Path

import pytest

from banet.errors import DataError
from pipelines.stages.show import show


@pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # MLflow's own use of SQLAlchemy
def test_it_ends_with_the_table_and_with_commands_that_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "table.txt").write_text("blurred 25.49 dB, restored 26.33 dB\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/it's here.db")
    shown = show(tmp_path)
    assert shown.startswith("blurred 25.49 dB, restored 26.33 dB\n")
    assert f"report      {tmp_path}/index.html" in shown
    (command,) = (line.removeprefix("MLflow UI   ") for line in shown.splitlines() if line.startswith("MLflow UI"))
    quietly, program, *options = shlex.split(command)
    assert quietly == "MLFLOW_DISABLE_TELEMETRY=true"
    assert (program, options[:2]) == (".venv/bin/mlflow", ["ui", "--backend-store-uri"])
    assert options[2] == f"sqlite:///{tmp_path}/it's here.db"


def test_without_a_report_it_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"table\.txt is missing: run `dvc repro` first"):
        show(tmp_path)
