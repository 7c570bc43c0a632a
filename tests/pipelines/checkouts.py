"""Checkouts of this repository in which the whole line takes about a minute."""

import shutil
import subprocess
from pathlib import Path

import yaml

REPO = Path(__file__).parents[2]
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=main"]


def make_checkout(root: Path, *, steps: int = 4, checkpoint_every: int | str = "5 min") -> None:
    """A new repository with the files of this one that git has or would take, and a very small recipe."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=REPO, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (REPO / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, root / name)
    params = root / "params.yaml"
    params.write_text(_small_params(params.read_text(), steps, checkpoint_every))
    manifest = root / "data/benchmarks/mini.yaml"
    manifest.write_text(_small_benchmark(manifest.read_text()))
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "checkout"]):
        subprocess.run([*GIT, *command], cwd=root, check=True)


def _small_params(text: str, steps: int, checkpoint_every: int | str) -> str:
    """The same parameters with a training of seconds."""
    params = yaml.safe_load(text)
    params["model"] |= {"channels": 8, "modules": 1, "kernels": [1, 3]}
    phase = params["recipe"]["phases"][0]
    params["recipe"] |= {"phases": [phase | {"steps": steps, "crop": 32, "warmup_steps": 1}]}
    params["recipe"] |= {"log_every": 2, "validate_every": steps}
    params["cluster"] |= {"workers": 1, "checkpoint_every": checkpoint_every}
    return yaml.safe_dump(params, sort_keys=False)


def _small_benchmark(text: str) -> str:
    """The same manifest with fifteen pictures: six to train on, six to choose by, three to test."""
    manifest = yaml.safe_load(text)
    manifest["synthesis"]["photographs"] = {
        "train": {"rocket": 2, "camera": 1, "coins": 1},
        "test": {"coffee": 1},
    }
    manifest["counts"] = {"train": {"rocket_*": 6, "camera_*": 3, "coins_*": 3}, "test": {"coffee_*": 3}}
    return yaml.safe_dump(manifest, sort_keys=False)
