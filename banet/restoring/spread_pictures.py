"""Many pictures over all machines of a Ray cluster, by Ray Data; this one alone reads and writes the files."""

import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from banet.data.images.photograph_file import PhotographFile
from banet.errors import BanetError, DataError, ResourceError
from banet.inference import fastest_device
from banet.progress import OnProgress
from banet.restoring.batch import BatchOutcome, Outputs, Restoration, Restored, Start, encode, read, read_file, restore
from banet.restoring.budget import available_memory, resident_memory
from banet.restoring.input_files import PictureFile

TRIES = 3  # of a picture whose process was killed
_BLOCKS = 10_000  # at most: what Ray's scheduler holds of each is not nothing
_BLOCK = 2**20  # bytes that a worker is given at once of what is read in order; more only if one picture has more

Row = dict[str, Any]
"""A picture to restore: its `number`, `content`, `digest`, `fault` if it cannot be read, name (`where`), `ending`."""


def restore_over_ray(
    start: Start,
    pictures: list[PictureFile],
    folder: Path,
    *,
    on_progress: OnProgress = lambda done, total: None,
    on_message: Callable[[str], None] = lambda text: None,
) -> BatchOutcome:
    """Do what `restore_all` does, with a process for each GPU of the cluster.

    Without a GPU each process takes as many cores, and threads, as torch has in this one: the sums of a convolution
    depend on their number in the last bits, and outputs are to be the same as here.

    Args:
        start: is sent to these processes, with all that it refers to.
        pictures: from `many_pictures`; read in order, done in any.
        folder: of the outputs; holds the record.
        on_progress: is told how many are done.
        on_message: is told of outputs that look wrong.

    Raises:
        ResourceError: the folder cannot be written.
        PartialError: the disk is full; what was done before is recorded.
        ServiceError: there is no cluster where one is named, or Ray has ended on this node.
    """
    outputs, left = Outputs(folder, start("cpu", None), on_message), dict(enumerate(pictures))
    try:
        for number, picture in enumerate(pictures):
            if (done := outputs.record.done(picture)) is not None:
                outputs.keep_done(left.pop(number), done)
        for number, digest, found in spread(start, _files(left), _read, len(left)) if left else ():
            on_progress(len(pictures) - len(left), len(pictures))
            picture = left.pop(number)
            if isinstance(found, BanetError):
                outputs.fail(picture, found)
                continue
            try:
                outputs.keep(picture, digest, found)
            except DataError as error:
                outputs.fail(picture, error)
        on_progress(len(pictures), len(pictures))
    except ResourceError as error:
        raise outputs.stopped(error, len(pictures)) from None
    return outputs.outcome


def spread(
    start: Start,
    items: list[Row],
    pictures_of: Callable[[Row], Iterable[Row]],
    pictures: int,
    *,
    in_order: bool = False,
) -> Iterator[tuple[int, str, Restored | BanetError]]:
    """Yield number, digest of the input and result of every picture that is done.

    Args:
        start: see `restore_over_ray`.
        items: what pictures are read from.
        pictures_of: reads those of an item, on this node.
        pictures: how many there are.
        in_order: as they are read; else as they are done.
    """
    import ray.data

    from banet.cluster.node_end import while_this_node_lives
    from banet.cluster.ray_session import errors_as_themselves, quiet_ray_data, start_ray

    start_ray()
    context = quiet_ray_data().copy()
    if in_order:
        context.execution_options.preserve_order = True
        context.target_max_block_size = _BLOCK
    node, nodes = ray.get_runtime_context().get_node_id(), [one["Resources"] for one in ray.nodes() if one["Alive"]]
    gpus = int(sum(one.get("GPU", 0) for one in nodes))
    threads = max(1, min(torch.get_num_threads(), int(max(one.get("CPU", 0) for one in nodes))))
    room = gpus or sum(int(one.get("CPU", 0) // threads) for one in nodes)
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, min(pictures, room)), max_tasks_in_flight_per_actor=2)
    with errors_as_themselves():
        with ray.data.DataContext.current(context):
            given = ray.data.from_items(items, override_num_blocks=min(len(items), _BLOCKS))
            results = given.flat_map(pictures_of, num_cpus=0, label_selector={"ray.io/node-id": node}).map(
                _Worker,
                compute=pool,
                fn_constructor_args=(start, threads, ray.remote(num_cpus=0)(_Tries).remote()),
                num_cpus=None if gpus else threads,
                num_gpus=1 if gpus else None,
            )
        for batch in while_this_node_lives(results.iter_batches(batch_size=None, prefetch_batches=0)):
            for number, digest, pickled in zip(batch["number"], batch["digest"], batch["pickled"], strict=True):
                found = pickle.loads(pickled)  # noqa: S301  # from a process that this one started
                if isinstance(found, Exception) and not isinstance(found, BanetError):
                    raise found
                yield int(number), str(digest), found


def photograph_of(row: Row) -> PhotographFile:
    """Decode the picture of a row, see `read`; an empty ending is that of its own format."""
    if row["fault"]:
        raise DataError(row["fault"])
    return read(row["content"], row["where"], row["ending"].lower() or None)


def _files(pictures: Mapping[int, PictureFile]) -> list[Row]:
    return [
        {"number": number, "path": str(one.source.absolute()), "where": str(one.source), "ending": one.target.suffix}
        for number, one in pictures.items()
    ]


def _read(row: Row) -> list[Row]:
    """Read a file, on the node that has it."""
    try:
        content, digest = read_file(Path(row["path"]))
    except DataError as error:
        return [row | {"content": b"", "digest": "", "fault": str(error).replace(row["path"], row["where"])}]
    return [row | {"content": content, "digest": digest, "fault": ""}]


class _Tries:
    """Counts in a process of its own how often a picture was begun: Ray Data restarts killed workers indefinitely."""

    def __init__(self) -> None:
        self.begun: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        self.begun[number] += 1
        return self.begun[number]

    def end(self, number: int) -> None:
        del self.begun[number]


class _Worker:
    """Restores in a process of its own."""

    def __init__(self, start: Start, threads: int, tries: Any) -> None:  # noqa: ANN401  # an actor's handle
        self.start, self.threads, self.tries = start, threads, tries
        self.what: Restoration | None = None

    def __call__(self, row: Row) -> Row:
        """Restore one picture."""
        import ray

        number = int(row["number"])
        try:
            if ray.get(self.tries.begin.remote(number)) > TRIES:
                raise ResourceError(f"the process that restored it was killed {TRIES} times: memory may be short")
            result: Restored | Exception = self._restored(row)
        except Exception as error:  # of ours as of the picture; the driver raises others
            result = error
        self.tries.end.remote(number)
        return {"number": row["number"], "digest": row["digest"], "pickled": pickle.dumps(result)}

    def _restored(self, row: Row) -> Restored:
        photograph = photograph_of(row)
        if self.what is None:
            self.what = self._begin()
        after = restore(self.what, photograph, row["where"])
        return encode(self.what, photograph, after, row["ending"].lower() or photograph.ending)

    def _begin(self) -> Restoration:
        from banet.cluster.ray_session import use_threads

        device, memory = fastest_device(), None
        if device == "cpu":
            torch.set_num_threads(self.threads)
            use_threads(self.threads)
            beside = max(1, len(os.sched_getaffinity(0)) // self.threads)  # processes on this machine
            memory = (available_memory() + resident_memory()) // beside if beside > 1 else None
        return self.start(device, memory)
