"""What is looked for before anything runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from banet.config import Params
from banet.errors import ConfigError
from pipelines.stages.check import check

MANIFESTS = Path(__file__).parents[3] / "data/benchmarks"


def test_the_committed_parameters_pass(committed_params: Params) -> None:
    check(committed_params, MANIFESTS)


def test_an_unknown_benchmark_or_variant_is_named_with_the_known_ones(committed_params: Params) -> None:
    with pytest.raises(ConfigError, match=r"there is no benchmark 'gopra': .* knows gopro, hide, mini, realblur"):
        check(replace(committed_params, evaluate_on=("mini", "gopra")), MANIFESTS)
    gamma = replace(committed_params.benchmark, variant="blur_gamma")
    with pytest.raises(ConfigError, match=r"'blur_gamma' .* mini: choose from blur, blur_noise_free"):
        check(replace(committed_params, benchmark=gamma), MANIFESTS)
