"""What a run may choose, and who may write a checkout's files."""

import subprocess
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from pipelines.flows import train_banet
from pipelines.runs.variants import ModelName, Override, choices, settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning"),  # DVC's own use of pygtrie
]
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]


def test_only_what_is_chosen_is_set() -> None:
    assert settings(None, None, None, None, None) == []
    chosen = settings("gopro", None, "paper", 0, ["cluster.workers=4"])
    assert chosen == ["benchmark=gopro", "recipe=paper", "recipe.seed=0", "cluster.workers=4"]


def test_a_form_offers_the_files_of_conf_and_nothing_else_is_taken() -> None:
    model: TypeAdapter[str] = TypeAdapter(ModelName)
    assert "banet_plus" in model.json_schema()["enum"]
    assert set(model.json_schema()["enum"]) == set(choices("model"))
    assert model.validate_python("banet_mini") == "banet_mini"
    with pytest.raises(ValidationError, match=r"no conf/model/nonsense\.yaml: choose from banet, .*banet_mini"):
        model.validate_python("nonsense")


@pytest.mark.parametrize("text", ["seed", "=3", "--force=1", "a b=3", "seed="])
def test_an_override_names_a_parameter_and_a_value(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Override).validate_python(text)


@pytest.mark.server
def test_a_variant_is_an_experiment_of_its_own_and_the_checkout_stays_as_it_is(
    toy_project: Path, monkeypatch: pytest.MonkeyPatch, api: None
) -> None:
    monkeypatch.chdir(toy_project)
    (toy_project / "dvc.yaml").write_text(
        "stages:\n  train:\n    cmd: python train.py\n    params: [seed]\n    outs: [weights.txt]\n"
    )
    (toy_project / "train.py").write_text(
        'from pathlib import Path\nPath("weights.txt").write_text(Path("params.yaml").read_text())\n'
    )
    (toy_project / "params.yaml").write_text("seed: 0\n")
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["dvc", "config", "--unset", "core.no_scm"], check=True)
    for command in (["add", "-A"], ["commit", "-qm", "toy"]):
        subprocess.run([*GIT, *command], check=True)
    state = train_banet(overrides=["seed=7"], return_state=True)
    assert state.is_completed(), state.message
    assert not (toy_project / "weights.txt").exists()
    assert (toy_project / "params.yaml").read_text() == "seed: 0\n"
    name = (state.message or "").split("dvc exp apply ")[1].split("`")[0]
    subprocess.run(["dvc", "exp", "apply", name], check=True)
    assert (toy_project / "weights.txt").read_text() == "seed: 7\n"
    bad = train_banet(overrides=["seed=8"], stages=["trian"], return_state=True)
    assert bad.is_failed()
    assert "unknown stage 'trian'" in (bad.message or "")
