"""The model that commands take: which one, and what is said of the demo's."""

import warnings
from pathlib import Path

import pytest

from banet.commands.options import load_source
from banet.errors import ModelError
from banet.model.digest import weights_digest
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights
from banet.tracking.registry import promote, register
from banet.tracking.store import connect


@pytest.mark.slow
def test_the_demos_champion_names_what_restores_photographs_and_no_champion_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # SQLAlchemy 2.1 deprecates what MLflow 3.17 does on import
        store = connect()
    with pytest.raises(ModelError, match=r"no champion in the store .*`banet pull banet-gopro --champion`"):
        load_source(None)
    save_weights(BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)), tmp_path / "weights")
    for name in ("banet-mini", "banet-minimal"):
        promote(store, register(store, tmp_path / "weights", name=name, run_id=""), reason="test")
    capsys.readouterr()
    for source in (None, "models:/banet-minimal@champion", str(tmp_path / "weights")):
        _, shown, digest = load_source(source)
        assert digest == weights_digest(tmp_path / "weights")
        assert shown in {source, "models:/banet-minimal/1"}
        assert capsys.readouterr().err == ""
    load_source("models:/banet-mini@champion")
    (line,) = capsys.readouterr().err.splitlines()
    assert "models:/banet-mini/1 was trained on a small synthetic benchmark" in line
    assert "`banet pull banet-gopro --champion` brings weights for real photographs" in line
