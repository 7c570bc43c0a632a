"""Whole or in pieces, by the memory there is: the picture is the same, and too little is one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from banet.errors import DataError, ResourceError
from banet.inference import restore
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.restoring import any_size, budget
from banet.restoring.any_size import restore_any_size
from banet.restoring.budget import available_memory, free_memory, resident_memory
from banet.restoring.piecewise import restore_in_pieces

IMAGE = np.random.default_rng(0).integers(0, 256, (150, 121, 3), dtype=np.uint8)


def network(attention: str = "ba") -> BANet:
    torch.manual_seed(0)
    config = BANetConfig(stem_channels=4, channels=8, modules=2, fusion_channels=2, attention=attention)  # type: ignore[arg-type]
    return BANet(config).eval()


def test_what_fits_in_is_restored_whole_the_rest_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """About 6.6 MB are needed for the whole, 6.3 MB for large pieces, 0.2 MB for features."""
    told: list[int] = []
    folders: list[Path | None] = []

    def spied(*arguments: Any, folder: Path | None, **options: Any) -> np.ndarray:  # noqa: ANN401
        folders.append(folder)
        return restore_in_pieces(*arguments, folder=folder, **options)

    monkeypatch.setattr(any_size, "restore_in_pieces", spied)
    monkeypatch.setattr(any_size, "PIECE", 2**21)
    monkeypatch.setattr(any_size, "BESIDE", 0)
    model = network()
    expected = restore(model, IMAGE)
    for free, where in [(2**30, []), (2**23, [None]), (2**22, [tmp_path]), (2**21, [tmp_path])]:
        monkeypatch.setattr(any_size, "free_memory", lambda *_, free=free: free)
        folders.clear()
        restored = restore_any_size(model, IMAGE, folder=tmp_path, on_progress=lambda done, _: told.append(done))
        assert np.abs(restored.astype(int) - expected).max() <= 1
        assert folders == where
    assert told
    monkeypatch.setattr(any_size, "free_memory", lambda *_: 2**18)
    with pytest.raises(
        ResourceError, match=r"the image, 150x121 .* needs 0\.00 GiB .* 0\.00 GiB are left: allow or free"
    ):
        restore_any_size(model, IMAGE)


def test_where_the_whole_pass_runs_out_of_memory_pieces_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    expected = restore(model, IMAGE)
    monkeypatch.setattr(BANet, "forward", lambda *_: torch.empty(10**15))
    assert np.abs(restore_any_size(model, IMAGE).astype(int) - expected).max() <= 1
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        restore_any_size(network("sa"), IMAGE)


def test_self_attention_is_restored_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(any_size, "free_memory", lambda *_: 0)
    model = network("sa")
    np.testing.assert_array_equal(restore_any_size(model, IMAGE), restore(model, IMAGE))


def test_what_restore_refuses_is_refused() -> None:
    with pytest.raises(DataError, match=r"7x20 \(height x width\), the network restores from 8x8 up"):
        restore_any_size(network(), IMAGE[:7, :20])
    with pytest.raises(DataError, match="16 bit"):
        restore_any_size(network(), IMAGE.astype(np.uint16))  # type: ignore[type-var]


def test_memory_is_that_of_this_process_and_machine() -> None:
    before = resident_memory()
    held = np.ones(2**26, np.uint8)
    assert 0.9 * held.nbytes < resident_memory() - before < 2 * held.nbytes
    cpu = torch.device("cpu")
    assert 2**26 < available_memory() < 2**50
    assert free_memory(cpu, 2**30 + resident_memory()) == pytest.approx(min(2**30, available_memory()), rel=0.1)
    assert free_memory(cpu, 1) < 0


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, figures = tmp_path / "memory.max", tmp_path / "memory.stat"
    monkeypatch.setattr(budget, "_CGROUPS", ((str(limit), str(figures), "anon"),))
    without = available_memory()
    limit.write_text("max\n")
    figures.write_text("anon 1000000\nfile 5\n")
    assert available_memory() == pytest.approx(without, rel=0.2)
    limit.write_text("3000000\n")
    assert available_memory() == 2_000_000
