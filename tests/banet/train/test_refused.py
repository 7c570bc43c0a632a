"""A batch without a finite gradient is kept with the weights that met it, and can be tried again."""

import math
from pathlib import Path

import pytest
import torch

from banet.cli import main
from banet.config import LossParams, PhaseParams
from banet.errors import ModelError
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.train.refused import keep_refused, replay

PHASE = PhaseParams(steps=8, crop=16, batch_size=2, lr_start=1e-2, lr_end=1e-2)


def kept(folder: Path, *, weight: float | None = None) -> Path:
    torch.manual_seed(0)
    model = BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2))
    if weight is not None:
        with torch.no_grad():
            model.get_parameter("output.bias").fill_(weight)
    sharp = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    path = folder / "step-3-rank-0.pt"
    keep_refused(
        path, model, (sharp // 2, sharp), ["sample 4, a/1", "sample 5, b/2"], PHASE, LossParams(fft_weight=0.01)
    )
    return path


def test_every_precision_and_every_sample_has_a_line(tmp_path: Path) -> None:
    full, half, first, second = replay(kept(tmp_path), "cpu")
    assert full.startswith("float32 ")
    assert full.endswith("finite  (the run)")
    assert half.startswith("bfloat16 ")
    assert (first.partition("  ")[0], second.partition("  ")[0]) == ("sample 4, a/1", "sample 5, b/2")
    assert "NOT FINITE" not in full + half + first + second


def test_weights_that_overflow_are_seen(tmp_path: Path) -> None:
    assert all("NOT FINITE" in line for line in replay(kept(tmp_path, weight=math.inf), "cpu"))


@pytest.mark.parametrize("content", [None, b"", b"not a file of torch"])
def test_another_file_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"other\.pt") as caught:
        list(replay(path, "cpu"))
    assert "\n" not in str(caught.value)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(kept(tmp_path))]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "float32",
        "bfloat16",
        "sample",
        "sample",
    ]
    assert main(["replay", str(tmp_path / "none.pt")]) == 2
    assert "none.pt cannot be read" in capsys.readouterr().err
