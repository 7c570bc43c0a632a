"""Every command that the README shows works as it is typed there, on small inputs."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from literal_banet import random_tensors
from omegaconf import OmegaConf

from banet.cli import main
from banet.config import Params
from banet.data.images.codec import write_image
from banet.data.sharding.writer import ShardWriter
from banet.data.shards.reader import Pair
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights
from banet.parsing import parse
from banet.tracking.registry import promote, register
from banet.tracking.store import connect
from pipelines.services.settings import FILE, FOLDER

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
LONGEST = 90  # lines
WIDEST = 100  # columns

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


def commands(program: str) -> list[list[str]]:
    return [words[1:] for words in COMMANDS if words[0] == program]


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (40, 48)) -> None:
    write_image(path, np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout with what the README's commands are about: a photograph, clips, a champion, a method's results."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("conf", "dvc.yaml"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("data/benchmarks", "data/weights"):
        shutil.copytree(ROOT / name, folder / name)
    picture(folder / "photo.jpg")
    for frame in range(11):
        picture(folder / f"clips/street/{frame:04d}.png", frame)
    released = {f"module.{name}": tensor for name, tensor in random_tensors().items()}
    torch.save(released, folder / "BANet_GoPro.pth")  # in place of the authors' file, which is not shipped
    rng = np.random.default_rng(0)
    images = {kind: rng.integers(0, 256, (40, 48, 3), dtype=np.uint8) for kind in ("blur", "blur_gamma", "sharp")}
    writer = ShardWriter(folder / "data/shards/gopro", ("blur", "blur_gamma"))
    writer.write(
        "test", iter([Pair(key="GOPR0384_11_00/000001", split="test", sequence="GOPR0384_11_00", images=images)])
    )
    writer.finish("gopro")
    write_image(folder / "results/MPRNet/GOPR0384_11_00-000001.png", images["blur"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("BANET_WEIGHTS", str(folder))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.chdir(folder)
        save_weights(BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)), folder / "weights")
        (folder / "models").mkdir()
        (folder / "models/candidate").symlink_to(folder / "weights")
        store = connect()
        promote(store, register(store, folder / "weights", name="banet-mini", run_id=""), reason="test")
        yield folder


def test_every_command_is_of_a_kind_that_is_tried() -> None:
    assert {words[0] for words in COMMANDS} == {"banet", "dvc", "make", "prefect", "."}
    assert len(COMMANDS) >= 15


@pytest.mark.slow
@pytest.mark.parametrize("words", commands("banet"), ids=" ".join)
def test_banet(words: list[str], checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--size", "16x16"] if words[0] == "info" else []
    assert main([*words, *small]) == 0, capsys.readouterr().err
    for out in (Path(word) for word in words if word in {"sharp.png", "attention.png", "pairs"}):
        assert (checkout / out).exists()


@pytest.mark.parametrize("target", [words[0] for words in commands("make")])
def test_make(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_file_that_a_shell_reads_is_that_of_the_services() -> None:
    """tests/pipelines/services/test_services.py starts them and reads it."""
    assert commands(".") == [[f"{FOLDER}/{FILE}"]]


@pytest.mark.parametrize("words", commands("dvc"), ids=" ".join)
def test_dvc(words: list[str]) -> None:
    """Overrides compose to parameters that a stage accepts; that experiments run is DVC's own affair."""
    from dvc.cli.parser import get_main_parser

    get_main_parser().parse_args(words)
    if words[:2] == ["exp", "run"]:
        with initialize_config_dir(str(ROOT / "conf"), version_base=None):
            found = OmegaConf.to_container(compose("config", words[3::2]), resolve=True)
        parse(Params, found, where="params.yaml")


@pytest.mark.parametrize("words", commands("prefect"), ids=" ".join)
def test_prefect(words: list[str]) -> None:
    """The deployment exists; tests/pipelines/test_deployment.py runs it against a server."""
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    assert words[:2] == ["deployment", "run"]
    assert words[2] in {deployment["name"] for deployment in deployments}


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    lines = README.splitlines()
    assert len(lines) <= LONGEST
    assert max(map(len, lines)) <= WIDEST
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("http") or (ROOT / link).exists(), link
    assert (ROOT / "docs/example.png").stat().st_size < 150_000


def test_its_figures_are_those_that_were_measured() -> None:
    demo = json.loads((ROOT / "benchmarks/results/demo.json").read_text(encoding="utf-8"))
    assert f"{demo['gain']:.2f} dB" in README
    assert f"{demo['peak_pss_gib']:.1f} GiB" in README
    assert f"{round(demo['seconds'] / 60)} minutes" in README
