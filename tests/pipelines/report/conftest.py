"""A folder of reports as the stages leave it, small but with real PNGs."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from banet.model.network_config import BANetConfig
from banet.scoring.methods import write_method
from banet.scoring.scores import AlignedScores, ImageScores, Scores
from banet.scoring.table import write_table
from banet.tracking.runs import RunScores
from pipelines.report.data.inputs import ReportInputs
from pipelines.report.data.reading import read_inputs

ROOT = Path(__file__).parents[3]

PARAMS = {
    "benchmark": {"name": "mini", "validation": {"sequences": ["coffee_short", "coffee_long"]}},
    "evaluate_on": ["mini"],
    "recipe": {"seed": 0, "init_from": None, "phases": [{"steps": 90, "crop": 64}, {"steps": 10, "crop": 96}]},
}


def scores(psnr: float) -> dict[str, float]:
    return {"psnr": psnr, "ssim_matlab3d": 0.80001 + psnr / 1000, "ssim_channel": 0.70001 + psnr / 1000}


def means(psnr: float) -> dict[str, float]:
    return {**scores(psnr), "identical": 0}


def change(before: float, after: float) -> dict[str, Any]:
    return {"blurred": means(before), "restored": means(after), "gain": after - before}


def metrics(benchmark: str, samples: int = 2) -> dict[str, Any]:
    keys = [f"coffee_long/{i:06d}" for i in range(samples)]
    return {
        "benchmark": benchmark,
        "variant": "blur",
        "model": "banet-mini",
        "version": 3,
        "images": 36,
        **change(25.12, 26.05),
        "strata": {"short": {"images": 24, **change(27, 27.5)}, "long": {"images": 12, **change(22, 21.75)}},
        "noise_free": {"images": 36, **change(25.3, 26.1)},
        "best_filter": {"filter": "unsharp sigma=1.0", "chosen_on": "train", "gain": 0.28, "scores": means(25.4)},
        "samples": [
            {"key": key, "blurred_psnr": 22.5, "restored_psnr": 23.25}
            | {role: f"samples/{i}_{role}.png" for role in ("blurred", "restored", "sharp")}
            for i, key in enumerate(keys)
        ],
        "trained_variant": "blur",
        "realblur": None,
    }


def images(count: int = 36) -> list[ImageScores]:
    """Rows of both variants; every third image is of a long blur, and its restoration is worse than its input."""
    rows = []
    for variant, more in (("blur", 0.0), ("blur_noise_free", 2.0)):
        for i in range(count):
            stratum, before, gained = ("long", 20.0, -0.25) if i % 3 == 0 else ("short", 26.0, 0.5)
            before += i / 10 + more
            rows.append(
                ImageScores(
                    key=f"coffee_{stratum}/{i:06d}",
                    sequence=f"coffee_{stratum}",
                    stratum=stratum,
                    variant=variant,
                    blurred=Scores(psnr=before, ssim_matlab3d=0.8, ssim_channel=0.7),
                    restored=Scores(psnr=before + gained, ssim_matlab3d=0.9, ssim_channel=0.8),
                )
            )
    return rows


def write_evaluation(folder: Path, values: dict[str, Any], size: tuple[int, int] = (30, 41)) -> None:
    (folder / "samples").mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(values))
    write_table(folder / "images.parquet", images())
    rng = np.random.default_rng(0)
    for sample in values["samples"]:
        for role in ("blurred", "restored", "sharp"):
            cv2.imwrite(str(folder / sample[role]), rng.integers(0, 256, (*size, 3), dtype=np.uint8))


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """`reports/` after one whole run on `mini`."""
    folder = tmp_path / "reports"
    write_evaluation(folder / "evaluate" / "mini", metrics("mini"))
    contents = {
        "train.json": {
            "steps": 100,
            "best_step": 80,
            "validation_psnr": 26.41,
            "blurred_validation_psnr": 25.6,
            "parameters": 1184323,
        },
        "registered.json": {"name": "banet-mini", "version": 3, "digest": "9f86d081884c7d65" * 4, "run_id": "3f1c9be0"},
        "promotion.json": {
            "name": "banet-mini",
            "previous_version": None,
            "candidate_version": 3,
            "moved": True,
            "reason": "there was no champion",
            "candidate_psnr": 26.41,
            "previous_psnr": None,
        },
    }
    for name, values in contents.items():
        (folder / name).write_text(json.dumps(values))
    with (folder / "training.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["step", "loss", "lr", "validation_psnr"])
        for step in range(1, 101):
            rows.writerow([step, 0.1 / step, 1e-3, 25.5 + step / 100 if step % 20 == 0 else ""])
    return folder


@pytest.fixture
def latency() -> dict[str, Any]:
    """A time as an evaluation reports it."""
    return {
        "median_ms": 812.4,
        "p25_ms": 801.2,
        "p75_ms": 822.7,
        "runs": 20,
        "warm_up": 5,
        "device": "cuda:0 (NVIDIA H100)",
        "dtype": "float32",
        "memory_format": "channels_last",
        "size": [720, 1280],
    }


@pytest.fixture
def read(reports: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ReportInputs]:
    """Read the folder as it is now, and the paper's tables from the checkout."""
    monkeypatch.chdir(ROOT)

    def _read(
        *benchmarks: str, commit: str | None = "a1b2c3d4e5f60718", runs: tuple[RunScores, ...] = ()
    ) -> ReportInputs:
        return read_inputs(
            reports,
            benchmarks=benchmarks or ("mini",),
            params=PARAMS,
            network=BANetConfig(name="banet_mini", channels=32, modules=2),
            runs=runs,
            package_version="0.1.0",
            commit=commit,
            methods=reports.parent / "methods",
        )

    return _read


@pytest.fixture
def edit(reports: Path) -> Callable[[str, Callable[[dict[str, Any]], None]], None]:
    """Change one JSON file in place."""

    def _edit(name: str, change: Callable[[dict[str, Any]], None]) -> None:
        values = json.loads((reports / name).read_text())
        change(values)
        (reports / name).write_text(json.dumps(values))

    return _edit


@pytest.fixture
def add_benchmark(reports: Path) -> Callable[..., None]:
    """Add an evaluation on another benchmark."""

    def _add(name: str, *, samples: int = 1, size: tuple[int, int] = (30, 41)) -> None:
        write_evaluation(reports / "evaluate" / name, metrics(name, samples), size)

    return _add


@pytest.fixture
def add_method(tmp_path: Path, reports: Path) -> Callable[..., None]:
    """Score the images of another method: those of `images`, `better` dB above blurred; samples of one colour."""

    def _add(
        name: str, better: float, benchmark: str = "mini", *, digest: str = "", size: tuple[int, ...] = ()
    ) -> None:
        rows, samples = [], {}
        for image in (row for row in images() if row.variant == "blur" and row.blurred is not None):
            psnr = image.blurred.psnr + better  # type: ignore[union-attr]
            aligned = AlignedScores(psnr=psnr + 5, ssim=0.9, aligned=True, opencv="4.12.0")
            rows.append(
                ImageScores(
                    key=image.key,
                    sequence=image.sequence,
                    stratum=None,
                    variant="blur",
                    blurred=None,
                    restored=Scores(psnr=psnr, ssim_matlab3d=0.85, ssim_channel=0.75),
                    realblur=aligned if benchmark.startswith("realblur") else None,
                )
            )
        for sample in json.loads((reports / "evaluate" / benchmark / "metrics.json").read_text())["samples"]:
            path = tmp_path / f"restored_{name}" / f"{sample['key'].replace('/', '_')}.png"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), np.full((*(size or (30, 41)), 3), round(100 + 10 * better), dtype=np.uint8))
            samples[sample["key"]] = path
        methods = reports.parent / "methods"
        write_method(methods, name=name, benchmark=benchmark, data_digest=digest, rows=rows, samples=samples)

    return _add
