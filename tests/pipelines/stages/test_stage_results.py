"""The small files between stages: JSON that every reader takes, infinite scores too."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from banet.scoring.aggregate import Comparison, Means
from pipelines.stages.stage_results import read_json, write_json


@dataclass(frozen=True)
class Report:
    name: str
    psnr: float
    blurred_psnr: float
    comparison: Comparison
    strata: dict[str, Comparison]
    some: tuple[Means, ...]


def report(psnr: float, gain: float) -> Report:
    mean = Means(psnr=psnr, ssim_matlab3d=1.0, ssim_channel=1.0, identical=3)
    compared = Comparison(images=3, blurred=mean, restored=mean, gain=gain)
    return Report(
        name="inf", psnr=psnr, blurred_psnr=psnr, comparison=compared, strata={"long": compared}, some=(mean, mean)
    )


@pytest.mark.parametrize("gain", [0.25, math.inf, -math.inf])
def test_infinite_scores_are_written_as_json_has_them_and_read_again(gain: float, tmp_path: Path) -> None:
    def refuse(text: str) -> float:
        raise AssertionError(f"{text} is not JSON")

    path = tmp_path / "report.json"
    write_json(path, report(math.inf, gain))
    values = json.loads(path.read_text(), parse_constant=refuse)
    assert values["comparison"]["blurred"]["psnr"] == "inf"
    assert read_json(Report, path, stage="evaluate") == report(math.inf, gain)


def test_what_is_not_a_number_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "report.json", report(math.nan, 0))
    assert list(tmp_path.iterdir()) == []
