"""What a recipe costs before it is begun."""

from dataclasses import replace
from pathlib import Path

import pytest

from banet.cli import main
from banet.config import RecipeParams
from banet.model.network_config import BANetConfig
from banet.parsing import parse, read_yaml
from banet.train.training_cost import describe_cost, measure_step, recipe_cost

ROOT = Path(__file__).parents[3]
CLUSTER = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
PAPER = parse(RecipeParams, read_yaml(ROOT / "conf/recipe/paper.yaml"), where="paper")


def test_the_paper_s_recipe_on_gopro() -> None:
    first, second = costs = recipe_cost(PAPER, pairs=2103, bytes_per_pixel=3.0, seconds_per_step=[0.5, 2.0])
    assert (first.phase.steps, second.phase.steps) == (788_625, 262_875)
    assert first.read == 3000 * 2103 * 2 * 256 * 256 * 3
    assert first.hours == pytest.approx(788_625 * 0.5 / 3600)
    *_, total = describe_cost(PAPER, costs, 2103)
    assert total.startswith("paper  1,051,500 steps, 4,000.0 epochs, 8,412,000 samples")
    assert total.endswith("255.6 hours")


@pytest.mark.parametrize(
    ("name", "steps", "samples"),  # as in docs/paper.md
    [("paper", 1_051_500, 8_412_000), ("paper_text", 788_625, 6_309_000), ("modern", 788_625, 8_412_000)],
)
def test_the_table_of_recipes(name: str, steps: int, samples: int) -> None:
    recipe = parse(RecipeParams, read_yaml(ROOT / f"conf/recipe/{name}.yaml"), where=name)
    costs = recipe_cost(recipe, pairs=2103, bytes_per_pixel=3, seconds_per_step=None)
    assert (sum(cost.phase.steps for cost in costs), sum(cost.phase.samples for cost in costs)) == (steps, samples)


def test_what_is_read_a_second() -> None:
    """The figures of docs/cluster.md at 100 pairs a second and GPU of GoPro's, compact."""
    first, second = recipe_cost(PAPER, pairs=2103, bytes_per_pixel=0.95, seconds_per_step=[0.08, 0.08])
    assert first.from_folder(0.08) == pytest.approx((200 * 8.953 * 128**2 * 0.95, 200 * 8.953), rel=1e-3)
    assert first.from_object_store(0.08) == (200 * 720 * 1280 * 0.95, 200)
    assert second.from_folder(0.08)[0] == pytest.approx(200 * 24.94 * 128**2 * 0.95, rel=1e-3)
    line = list(describe_cost(PAPER, [first], 2103))[1]
    told = "80 ms per step: reads 27.9 MB in 1,791 tiles a second from a folder, 175.1 MB in 200 requests"
    assert line.strip().startswith(told)
    for gpus in (1, 8, 64, 512):
        read, tiles = (gpus * value for value in first.from_folder(0.08))
        whole, requests = (gpus * value for value in first.from_object_store(0.08))
        row = f"| {gpus} | {read / 1e9:.2g} GB, {tiles:,.0f} tiles | {whole / 1e9:.3g} GB, {requests:,.0f} requests |"
        assert row in CLUSTER, row


def test_a_crop_reads_no_more_than_its_image() -> None:
    (small,) = recipe_cost(
        replace(PAPER, phases=PAPER.phases[:1]), pairs=8, bytes_per_pixel=1, seconds_per_step=[1.0], pixels=65_536
    )
    assert small.from_folder(1.0)[0] == small.from_object_store(1.0)[0]


def test_without_times_there_are_no_hours() -> None:
    lines = list(describe_cost(PAPER, recipe_cost(PAPER, pairs=8, bytes_per_pixel=3, seconds_per_step=None), 8))
    assert not any("hours" in line or "ms" in line for line in lines)


def test_a_step_is_timed() -> None:
    network = BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)
    assert 0 < measure_step(network, PAPER, PAPER.phases[0], device="cpu", workers=8) < 60


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").symlink_to(ROOT / "params.yaml")
    monkeypatch.chdir(tmp_path)
    paper, network = str(ROOT / "conf/recipe/paper.yaml"), str(ROOT / "conf/model/banet.yaml")
    arguments = ["cost", paper, "--model", network, "--pairs", "2103", "--workers", "8"]
    times = ["--seconds-per-step", "0.5", "--seconds-per-step", "2"]
    assert main([*arguments, *times]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "banet on 2,103 pairs, 8 workers"
    assert told[-1].startswith("paper  1,051,500 steps")
    assert main([*arguments, *times[:2]]) == 2
    assert "1 given for 2 phases" in capsys.readouterr().err
    assert main(["cost", paper]) == 2
    assert "give --pairs" in capsys.readouterr().err
