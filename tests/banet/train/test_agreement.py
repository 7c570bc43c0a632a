"""Workers go on together, and leave together for the same reason."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from banet.errors import DataError
from banet.train.agreement import Agreement, Failed, Stopped


def talk(rank: int, ranks: int, folder: str) -> None:
    """One worker: three rounds of each kind; writes what it heard."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks)
    heard: list[object] = []
    rounds = iter(range(100))

    def told() -> str | None:
        return f"worker {rank} was told" if next(rounds) == 2 and rank == 1 else None

    agreement = Agreement(ranks, told, timeout_s=30)
    try:
        for _ in range(3):
            agreement.check()
            heard.append("on")
    except Stopped as stopped:
        heard.append(str(stopped))
    try:
        agreement.fail(DataError("a shard is damaged")) if rank == 1 else agreement.check()
    except Failed as failed:
        heard.append(f"{type(failed.error).__name__}: {failed}")
    heard.append(agreement.equal(7))
    heard.append(agreement.equal(rank))
    heard.append(agreement.total(torch.tensor([1.0 + rank])).tolist())
    asking = Agreement(ranks, lambda: None, asks=lambda: rank == 0, told_together=lambda: "a node goes", timeout_s=30)
    try:
        asking.check()
    except Stopped as stopped:
        heard.append(str(stopped))
    Path(folder, str(rank)).write_text(repr(heard))
    dist.destroy_process_group()


@pytest.mark.slow
def test_all_leave_for_the_reason_of_one(tmp_path: Path) -> None:
    spawn(talk, args=(2, str(tmp_path)), nprocs=2)  # type: ignore[no-untyped-call]
    expected = ["on", "on", "worker 1 was told", "DataError: a shard is damaged", True, False, [3.0], "a node goes"]
    assert [(tmp_path / rank).read_text() for rank in "01"] == [repr(expected)] * 2


def test_one_worker_needs_no_other() -> None:
    reasons = iter([None, "stop"])
    agreement = Agreement(1, lambda: next(reasons))
    agreement.check()
    with pytest.raises(Stopped, match="stop"):
        agreement.check()
    with pytest.raises(Failed) as failed:
        agreement.fail(DataError("gone"))
    assert isinstance(failed.value.error, DataError)
    assert agreement.equal(1)
