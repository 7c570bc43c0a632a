"""What the workers of a run decide together between two steps: to go on, or to leave at the same step."""

from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist

from banet.errors import BanetError


class Stopped(Exception):  # noqa: N818  # no error
    """A worker was told to stop: all leave at this step."""


class Failed(Exception):  # noqa: N818
    """A worker has met an expected error: all leave."""

    def __init__(self, error: BanetError) -> None:
        super().__init__(str(error))
        self.error = error


class Agreement:
    """One worker's voice. All workers call the same methods in the same order: each call waits for all of them.

    Args:
        ranks: number of workers.
        told: returns why this worker was told to stop, if it was.
        asks: whether this worker wants all to look for what only all together can be told.
        told_together: called by all workers when one asks; returns why they are to stop.
        timeout_s: seconds after which a worker that waits for another raises RuntimeError.
    """

    def __init__(
        self,
        ranks: int,
        told: Callable[[], str | None],
        *,
        asks: Callable[[], bool] = lambda: False,
        told_together: Callable[[], str | None] = lambda: None,
        timeout_s: float = 300,
    ) -> None:
        self._ranks, self._told, self._asks, self._told_together = ranks, told, asks, told_together
        # numbers of the CPU, however gradients travel
        self._group = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout_s)) if ranks > 1 else None

    def check(self) -> None:
        """Go on if all workers can.

        Raises:
            Stopped: one was told to stop; says why.
            Failed: one has met an error.
        """
        reason = self._told()
        self._decide([reason is not None, False, self._asks()], reason)

    def fail(self, error: BanetError) -> None:
        """Make all workers raise `Failed`, this one here and the others where they check next."""
        self._decide([False, True, False], error)

    def equal(self, value: object) -> bool:
        """Whether all workers have the same value."""
        return len(set(map(repr, self._gathered(value)))) == 1

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Add up the values of all workers, in place."""
        if self._group is not None:
            dist.all_reduce(values, group=self._group)
        return values

    def _decide(self, mine: list[bool], why: object) -> None:
        flags = torch.tensor(mine, dtype=torch.int32)
        if self._group is not None:
            dist.all_reduce(flags, dist.ReduceOp.MAX, group=self._group)
        any_stops, any_fails, any_asks = map(bool, flags.tolist())
        if any_stops or any_fails:
            reasons = [reason for reason in self._gathered(why) if reason is not None]
            for reason in reasons:
                if isinstance(reason, BanetError):
                    raise Failed(reason)
            raise Stopped(reasons[0])
        if any_asks and (reason := self._told_together()) is not None:
            raise Stopped(reason)

    def _gathered(self, mine: object) -> list[object]:
        values: list[object] = [mine]
        if self._group is not None:
            values *= self._ranks
            dist.all_gather_object(values, mine, group=self._group)
        return values
