"""Custom pairs in Parquet: both ways to hold images, how rows are named, and what is refused."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from banet.data.images.codec import decode, encode_png
from banet.data.pairs.tables import find_tables, read_names, table_tasks
from banet.errors import DataError
from banet.image import Image

RNG = np.random.default_rng(0)


def picture() -> Image:
    return RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8)


def struct(image: Image, path: str | None) -> dict[str, Any]:
    """As Hugging Face writes images."""
    return {"bytes": encode_png(image), "path": path}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_a_table_of_structs_gives_its_pictures_as_they_are(tmp_path: Path) -> None:
    images = [picture() for _ in range(4)]
    rows = [
        {"sharp": struct(images[0], None), "blurred": struct(images[1], "yard/1.jpg")},
        {"sharp": struct(images[2], "x"), "blurred": struct(images[3], None)},
    ]
    files = find_tables(write(tmp_path / "a.parquet", rows))
    assert read_names(files, "train", None) == [("yard", "1"), ("train", "000002")]
    tasks = list(table_tasks(files, "test", [("yard", "1"), ("b", "2")], "blur"))
    assert [(task.split, task.sequence, task.frame) for task in tasks] == [("test", "yard", "1"), ("test", "b", "2")]
    assert tasks[0].encoded() == {"blur": rows[0]["blurred"]["bytes"], "sharp": rows[0]["sharp"]["bytes"]}


def test_other_formats_become_png_and_columns_name_rows(tmp_path: Path) -> None:
    image = picture()
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    rows = [
        {"blurred": jpeg, "sharp": encode_png(image), "sequence": f"s{i // 2}", "name": f"n/{i}.jpg"} for i in range(3)
    ]
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder/b_10.parquet", rows[2:])
    write(tmp_path / "folder/b_9.parquet", rows[:2])
    files = find_tables(tmp_path / "folder")
    names = read_names(files, "train", None)
    assert names == [("s0", "0"), ("s0", "1"), ("s1", "2")]
    made = [task.encoded() for task in table_tasks(files, "train", names, "blur")]
    np.testing.assert_array_equal(decode(made[2]["blur"], ""), decode(jpeg, ""))
    assert made[2]["blur"].startswith(b"\x89PNG")


def test_a_pattern_names_the_sequences_of_a_table(tmp_path: Path) -> None:
    png = encode_png(picture())
    files = [write(tmp_path / "a.parquet", [{"blurred": png, "sharp": png, "name": "cam1-7.png"}])]
    assert read_names(files, "train", "(cam.)") == [("cam1", "cam1-7")]


def test_rows_without_an_image_are_named_together(tmp_path: Path) -> None:
    png = encode_png(picture())
    halves = [(png, png), (None, png), (png, b"")]
    rows = [{"blurred": blurred, "sharp": sharp} for blurred, sharp in halves]
    files = find_tables(write(tmp_path / "a.parquet", rows))
    tasks = table_tasks(files, "train", [("a", str(i)) for i in range(3)], "blur")
    assert next(tasks).frame == "0"
    with pytest.raises(DataError, match=r"a\.parquet row 2 has no image blur; .*a\.parquet row 3 has no image sharp$"):
        next(tasks)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"image": b"1", "label": b"2"}], "has no column 'blurred': it has image, label"),
        ([{"blurred": b"1"}], "has no column 'sharp': it has blurred"),
        ([{"blurred": b"1", "sharp": "b.png"}], "sharp is string: it must hold encoded images: binary, or structs"),
        ([{"blurred": {"path": "a"}, "sharp": b"1"}], "blurred is struct<path: string>: it must hold encoded images"),
    ],
)
def test_a_table_without_the_columns_is_refused(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DataError) as caught:
        find_tables(write(tmp_path / "a.parquet", rows))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_table_and_a_deep_picture_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("no table")
    with pytest.raises(DataError, match=r"a\.parquet is not a Parquet table, or it is damaged"):
        find_tables(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"nowhere is not a folder: it should hold Parquet tables"):
        find_tables(tmp_path / "nowhere")
    deep = cv2.imencode(".tiff", (levels := picture()).astype(np.uint16) * 257)[1].tobytes()
    files = [write(tmp_path / "b.parquet", [{"blurred": deep, "sharp": deep}])]
    (task,) = table_tasks(files, "train", [("a", "1")], "blur")
    with pytest.raises(DataError, match=r"b\.parquet row 1, blur is 16-bit RGB, .* or write `convert: \[16-bit\]`"):
        task.encoded()
    (task,) = table_tasks(files, "train", [("a", "1")], "blur", ("16-bit",))
    np.testing.assert_array_equal(decode(task.encoded()["blur"], "x"), levels[..., ::-1])
