"""Shards in a folder and in an object store: a real S3 server on this machine."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from banet.data.shards.reader import ShardFolder, publish, read_pairs
from banet.data.shards.storage import inside, location, read_range, sizes
from banet.data.stream.training_set import TrainingSet
from banet.errors import ConfigError, DataError, ServiceError
from tests.object_store import s3_server

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URI of an empty bucket."""
    with s3_server("shards") as address:
        yield f"s3://shards?endpoint_override={address}&scheme=http"


def test_what_is_published_is_read_as_the_folder_is(bucket: str, make_shards: Make) -> None:
    folder = make_shards(size=(150, 140))
    place = publish(ShardFolder(folder), str(inside(bucket, "here")))
    assert place == inside(bucket, f"here/tiny/{ShardFolder(folder).summary.digest[:16]}")
    assert sizes(place) == sizes(folder)
    ShardFolder(place).verify()
    for ours, theirs in zip(read_pairs(place, split="train"), read_pairs(folder, split="train"), strict=True):
        assert ours.key == theirs.key
        assert all(np.array_equal(ours.images[kind], theirs.images[kind]) for kind in ("blur", "sharp"))
    near, far = (TrainingSet(folder=at, variant="blur", held_out=("c",), seed=0) for at in (folder, place))
    for sample, same in zip(near.samples(np.arange(9), 32), far.samples(np.arange(9), 32), strict=True):
        assert np.array_equal(sample, same)


def test_only_what_is_missing_is_copied(bucket: str, make_shards: Make, tmp_path: Path) -> None:
    from banet.data.shards import storage as store

    folder = make_shards()
    names = sorted(sizes(folder))
    for place in (tmp_path / "copy", inside(bucket, "again")):
        assert store.copy(folder, names, place) == 3
        assert store.copy(folder, names, place) == 0
        assert sizes(place) == sizes(folder)


def test_a_shared_folder_is_a_place_too(make_shards: Make, tmp_path: Path) -> None:
    place = publish(ShardFolder(make_shards()), (tmp_path / "shared").as_uri())
    assert isinstance(place, Path)
    assert place.parent == tmp_path / "shared/tiny"
    ShardFolder(place).verify()


@pytest.mark.slow
def test_a_store_without_shards_and_one_that_does_not_answer_are_told_apart(bucket: str) -> None:
    with pytest.raises(DataError, match=r"s3://shards/nothing.* holds no shards"):
        ShardFolder(inside(bucket, "nothing"))
    silent = "s3://shards/x?endpoint_override=127.0.0.1:9&scheme=http"
    with pytest.raises(ServiceError, match=r"^the object store of s3://shards/x does not answer as expected \("):
        ShardFolder(silent)
    with pytest.raises(ConfigError, match=r"^ftp://host/x is neither a folder nor the URI of an object store"):
        ShardFolder("ftp://host/x")


def test_a_damaged_object_is_named_where_it_is_read(bucket: str, make_shards: Make) -> None:
    from pyarrow import fs

    folder = make_shards()
    place = publish(ShardFolder(folder), str(inside(bucket, "damaged")))
    name = ShardFolder(folder).summary.files[0].name
    files, path = fs.FileSystem.from_uri(str(inside(place, name)))
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    with files.open_output_stream(path) as stream:
        stream.write(bytes(content))
    shards = ShardFolder(place)
    with pytest.raises(DataError, match=rf"{name}.* has changed since it was written: run the shard stage again"):
        shards.verify()
    with pytest.raises(DataError, match=rf"{name}.* is damaged at .*/00000\d \(.*\): run the shard stage again"):
        list(read_pairs(place, split="train"))


def test_paths_and_uris_are_told_apart(tmp_path: Path) -> None:
    assert location("data/shards/mini") == Path("data/shards/mini")
    assert location("file:///a%20b/c") == Path("/a b/c")
    assert location("s3://bucket/a/") == "s3://bucket/a"
    assert inside("s3://bucket/a?region=x", "b") == "s3://bucket/a/b?region=x"
    assert inside(Path("a"), "b") == Path("a/b")


def test_a_range_beyond_the_end_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert bytes(read_range(tmp_path, "file", "digest", 3, 4)) == b"3456"
    with pytest.raises(ValueError, match="it ends before byte 12"):
        read_range(tmp_path, "file", "digest", 8, 4)
