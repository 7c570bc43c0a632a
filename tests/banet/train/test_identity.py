"""A run is named by what decides its weights, and by nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from banet.closure import changed_files
from banet.config import Params, read_params
from banet.train.identity import RunIdentity, identify

ROOT = Path(__file__).parents[3]


@pytest.fixture
def params() -> Params:
    return read_params(ROOT / "params.yaml")


def test_the_fingerprint_follows_what_decides_the_weights_alone(params: Params) -> None:
    name = identify(params, "data").fingerprint
    assert identify(replace(params, cluster=replace(params.cluster, workers=1, resume="a")), "data").fingerprint == name
    assert identify(replace(params, evaluate_on=("mini", "gopro")), "data").fingerprint == name
    assert identify(replace(params, recipe=replace(params.recipe, seed=1)), "data").fingerprint != name
    assert identify(params, "other data").fingerprint != name


def test_the_fingerprint_follows_the_code(params: Params) -> None:
    now = identify(params, "data")
    edited = RunIdentity(inputs=now.inputs, code={**now.code, "banet/losses.py": "0" * 64})
    assert edited.fingerprint != now.fingerprint
    assert edited.inputs == now.inputs


def test_changed_files_are_those_that_differ_came_or_went() -> None:
    before = {"same.py": "aaaa", "edited.py": "bbbb", "gone.py": "cccc"}
    now = {"same.py": "aaaa1111", "edited.py": "ffff1111", "new.py": "dddd1111"}
    assert changed_files(before, now) == ["edited.py", "gone.py", "new.py"]
    assert changed_files(now, now) == []
