import json
from pathlib import Path

import pytest
import yaml

from banet.errors import ConfigError
from pipelines.graph import Graph, Stage, read_graph
from pipelines.stages.train import CURVES

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's own use of pygtrie

TOY = Graph(
    stages=(
        Stage(name="fetch@far", parents=()),
        Stage(name="fetch@near", parents=()),
        Stage(name="train", parents=("fetch@near",)),
        Stage(name="report", parents=("fetch@far", "train")),
    )
)


def names(graph: Graph) -> list[str]:
    return [stage.name for stage in graph.stages]


def test_graph_is_dvcs_own_with_parents_before_children(toy_project: Path) -> None:
    assert read_graph(toy_project) == TOY


def test_order_does_not_follow_the_file_where_a_parent_stands_below(toy_project: Path) -> None:
    text = (toy_project / "dvc.yaml").read_text()
    report = text[text.index("  report:") :]
    (toy_project / "dvc.yaml").write_text(text.replace(report, "").replace("stages:\n", f"stages:\n{report}"))
    assert sorted(names(read_graph(toy_project))) == sorted(names(TOY))
    assert names(read_graph(toy_project))[-1] == "report"


def test_upstream_keeps_what_the_targets_read_from() -> None:
    assert names(TOY.upstream(["train"])) == ["fetch@near", "train"]
    assert names(TOY.upstream(["report"])) == names(TOY)


def test_a_matrix_is_meant_as_a_whole_by_its_name() -> None:
    assert names(TOY.upstream(["fetch"])) == ["fetch@far", "fetch@near"]
    assert names(TOY.upstream(["fetch@far"])) == ["fetch@far"]


def test_unknown_stage_is_one_line_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        TOY.upstream(["trian"])
    assert str(caught.value) == "unknown stage 'trian': choose from fetch@far, fetch@near, train, report"


def test_no_project_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no DVC project here; .*checkout$") as caught:
        read_graph(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_no_stages_is_one_line(toy_project: Path) -> None:
    (toy_project / "dvc.yaml").unlink()
    with pytest.raises(ConfigError, match="no stages"):
        read_graph(toy_project)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("cmd: python train.py", "cmd: [python", "corrupted"),
        ("cmd: python train.py", "command: python train.py", "validation failed"),
        ("${evaluate_on}", "${evaluate_where}", "evaluate_where"),
        ("- far.txt\n    outs", "- report.txt\n    outs", "report"),  # reads what it writes
    ],
)
def test_broken_dvc_yaml_is_one_line(toy_project: Path, old: str, new: str, says: str) -> None:
    file = toy_project / "dvc.yaml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=says) as caught:
        read_graph(toy_project)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_dvc_plots_is_there() -> None:
    """Every template is a file with DVC's anchors, every column one that a stage writes."""
    graph = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    curves = [settings for plot in graph["plots"] for settings in plot.values()]
    assert {settings["x"] for settings in curves} == {"step"}
    assert {column for settings in curves for column in settings["y"].values()} <= set(CURVES)
    assert {file for settings in curves for file in settings["y"]} <= set(graph["stages"]["train"]["outs"])
    (images,) = graph["stages"]["evaluate"]["plots"]
    (columns,) = images.values()
    assert {columns["x"], columns["y"]} <= {f"{part}_psnr" for part in ("blurred", "restored")}
    for name in {settings["template"] for settings in (*curves, columns)}:
        template = (ROOT / f".dvc/plots/{name}.json").read_text(encoding="utf-8")
        assert json.loads(template)["data"] == {"values": "<DVC_METRIC_DATA>"}
        assert all(anchor in template for anchor in ("<DVC_METRIC_X>", "<DVC_METRIC_Y>", "<DVC_METRIC_COLOR>"))
