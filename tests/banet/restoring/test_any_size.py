"""Whole or in pieces, by the memory there is: the picture is the same, and too little is one line."""

from pathlib import Path

import numpy as np
import pytest
import torch

from banet.errors import DataError, ResourceError
from banet.inference import restore
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.restoring import any_size
from banet.restoring.any_size import restore_any_size
from banet.restoring.budget import available_memory, free_memory, resident_memory

IMAGE = np.random.default_rng(0).integers(0, 256, (150, 121, 3), dtype=np.uint8)


def network(attention: str = "ba") -> BANet:
    torch.manual_seed(0)
    config = BANetConfig(stem_channels=4, channels=8, modules=2, fusion_channels=2, attention=attention)  # type: ignore[arg-type]
    return BANet(config).eval()


def levels_apart(first: np.ndarray, second: np.ndarray) -> int:
    return int(np.abs(first.astype(int) - second).max())


@pytest.mark.parametrize(
    ("free", "in_pieces", "in_file"), [(2**30, False, False), (2**24, True, False), (2**23, True, True)]
)
def test_what_fits_in_is_restored_whole_the_rest_in_pieces(
    free: int, in_pieces: bool, in_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    folders: list[Path] = []
    monkeypatch.setattr(any_size, "free_memory", lambda *_: free)
    monkeypatch.setattr(any_size, "SMALLEST_PIECE", 2**16)
    monkeypatch.setattr(any_size, "PIECE", 2**21)
    monkeypatch.setattr("banet.restoring.feature_map.shutil.disk_usage", lambda folder: folders.append(folder) or DISK)
    network_ = network()
    restored = restore_any_size(network_, IMAGE, folder=tmp_path, on_progress=lambda done, _: told.append(done))
    assert levels_apart(restored, restore(network_, IMAGE)) <= (1 if in_pieces else 0)
    assert bool(told) == in_pieces
    assert folders == ([tmp_path] if in_file else [])
