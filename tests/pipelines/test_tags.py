"""What runs and versions are tagged with, so that they can be traced."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from banet.config import read_params
from banet.data.data_checks import Check, DataChecks, checks_file, write_checks
from banet.data.shards.reader import ShardFile, Summary
from pipelines.run_tags import run_tags
from pipelines.version_tags import version_tags

ROOT = Path(__file__).parents[2]
CHECK = Check(split="train", name="exposure", severity="warning", value=1.1, found="median 1.1", limits="0.95 to 1.05")
SUMMARY = Summary(
    benchmark="mini",
    variants=("blur",),
    storage="compact",
    digest="d" * 64,
    counts={},
    sizes={},
    blurred_psnr={},
    blurred_ssim={},
    ssim_pairs={},
    identical=0,
    duplicates=(),
    index=ShardFile(name="index.parquet", rows=0, bytes=0, sha256=""),
    files=(),
)


def test_a_run_is_tagged_with_what_started_it_and_the_checks_of_its_own_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no git, no commit
    for variable in ("BANET_FLOW_RUN", "BANET_FLOW_RUN_URL", "DVC_EXP_NAME"):
        monkeypatch.delenv(variable, raising=False)
    chosen = read_params(ROOT / "params.yaml")
    assert run_tags(chosen, tmp_path, SUMMARY) == {}
    write_checks(
        checks_file(tmp_path, "mini"), DataChecks(benchmark="mini", data_digest=SUMMARY.digest, checks=(CHECK,))
    )
    monkeypatch.setenv("DVC_EXP_NAME", "warm-toad")
    monkeypatch.setenv("BANET_FLOW_RUN", "f-1")
    tags = {"dvc.experiment": "warm-toad", "prefect.flow_run_id": "f-1"}
    assert run_tags(chosen, tmp_path, SUMMARY) == tags | {"data_checks": "warning: exposure of train"}
    assert run_tags(chosen, tmp_path, replace(SUMMARY, digest="e" * 64)) == tags


def test_a_version_is_tagged_with_pinned_archives_and_the_outputs_of_its_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert version_tags("gopro") == {}
    manifests = tmp_path / "data/benchmarks"
    manifests.mkdir(parents=True)
    for name in ("gopro", "mini"):
        (manifests / f"{name}.yaml").write_text((ROOT / f"data/benchmarks/{name}.yaml").read_text())
    pin = {"bytes": 9, "sha256": "a" * 64, "source": "hf:datasets/snah/GOPRO_Large/GOPRO_Large.zip"}
    (manifests / "archives.lock").write_text(json.dumps({"GOPRO_Large.zip": pin}))
    outs = {name: [{"path": f"data/{name}", "hash": "md5", "md5": name * 2}] for name in ("raw", "shards", "models")}
    names = {"fetch@gopro": "raw", "shard@gopro": "shards", "train": "models", "report": "models"}
    lock = {"schema": "2.0", "stages": {stage: {"cmd": "x", "outs": outs[out]} for stage, out in names.items()}}
    (tmp_path / "dvc.lock").write_text(json.dumps(lock))
    tags = {name: json.loads(value) for name, value in version_tags("gopro").items()}
    assert tags["archives"] == {"GOPRO_Large.zip": pin}
    assert tags["dvc_stages"] == {
        "fetch@gopro": {"data/raw": "rawraw"},
        "shard@gopro": {"data/shards": "shardsshards"},
        "train": {"data/models": "modelsmodels"},
    }
    made = json.loads(version_tags("mini")["archives"])
    assert made["mini.zip"] == {"sha256": None, "source": "synthesis:"}
