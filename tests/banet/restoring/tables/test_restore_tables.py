"""Tables of pictures: copies with what folders would give, each whole or absent, and what is bad is named."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from banet.cli import main
from banet.data.images.codec import encode_png
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights
from banet.restoring.input_files import RECORD
from banet.restoring.tables import image_table

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int16(), metadata={"unit": "one"}),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("label", pa.dictionary(pa.int8(), pa.string())),
    ],
    metadata={"huggingface": "{}"},
)
FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "tif": "TIFF"}


def deblur(*arguments: str) -> int:
    return main(["deblur", *arguments, "--model", "model"])


def write(file: str, contents: list[bytes | None], **more: Any) -> pa.Table:  # noqa: ANN401
    images = [None if one is None else {"bytes": one, "path": "a"} for one in contents]
    rows = [{"id": number, "image": image, "label": "ab"[number % 2]} for number, image in enumerate(images)]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    Path(file).parent.mkdir(exist_ok=True)
    pq.write_table(table, file, **more)
    return table


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes | None]:
    """Seven, of four formats, in the folder `photos` too."""
    torch.manual_seed(0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    save_weights(BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)), Path("model"))
    random, contents = np.random.default_rng(0), []
    Path("photos").mkdir()
    for number in range(7):
        ending, file = list(FORMATS)[number % 4], io.BytesIO()
        pixels = random.integers(0, 256, (24 + number, 30, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(file, FORMATS[ending])
        contents.append(file.getvalue())
        Path(f"photos/{number}.{ending}").write_bytes(file.getvalue())
    return [*contents]


def expected() -> list[bytes]:
    assert deblur("photos", "pictures") == 0
    return [file.read_bytes() for file in sorted(Path("pictures").glob("[0-9].*"))]


def test_the_copy_has_what_a_folder_gives_beside_all_that_was_there(
    pictures: list[bytes | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write("in.parquet", pictures, row_group_size=4)
    monkeypatch.setattr(image_table, "ROWS", 3)
    assert deblur("in.parquet", "out.parquet") == 0
    copy = pq.read_table("out.parquet")
    assert copy.drop_columns(["restored", "error"]).equals(table, check_metadata=True)
    assert copy["restored"].to_pylist() == expected()
    assert copy["error"].to_pylist() == [None] * 7
    assert [path.name for path in Path().glob("*.part")] == []


def test_bad_rows_and_damaged_tables_are_named_and_all_else_is_done_once(
    pictures: list[bytes | None], capsys: pytest.CaptureFixture[str]
) -> None:
    write("in/a.parquet", [pictures[0], None, b"no image", pictures[1]])
    write("in/none.parquet", [])
    write("in/z.parquet", pictures[:2])
    write("in/damaged.parquet", pictures, row_group_size=2, compression="none", use_dictionary=False)
    content = bytearray(Path("in/damaged.parquet").read_bytes())
    place = pq.read_metadata("in/damaged.parquet").row_group(1).column(0).data_page_offset
    content[place : place + 20] = b"\xff" * 20
    Path("in/damaged.parquet").write_bytes(content)
    for said in ("4 restored by model", "0 restored by model, 4 were done before"):
        assert deblur("in", "out") == 1
        out, err = capsys.readouterr()
        assert out == f"out: {said}\n"
        assert "in/a.parquet: row 2 has no image" in err
        assert "in/a.parquet: row 3 is not an image" in err
        assert "in/damaged.parquet is damaged" in err
        assert "3 of 13 pictures could not be restored, named above" in err.splitlines()[-1]
    assert [bool(one) for one in pq.read_table("out/a.parquet")["restored"].to_pylist()] == [True, False, False, True]
    assert pq.read_table("out/a.parquet")["error"].to_pylist()[1] == "row 2 has no image"
    assert pq.read_metadata("out/none.parquet").num_rows == 0
    assert sorted(path.name for path in Path("out").iterdir()) == [RECORD, "a.parquet", "none.parquet", "z.parquet"]
    Path("out/z.parquet").unlink()
    assert deblur("in", "out") == 1
    assert capsys.readouterr().out == "out: 2 restored by model, 2 were done before\n"


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_over_ray_the_copies_and_their_record_are_the_same(pictures: list[bytes | None]) -> None:
    write("in/a.parquet", [*pictures, b"no image"], row_group_size=3)
    write("in/b.parquet", pictures[::-1])
    assert deblur("in", "here") == 1
    assert deblur("in", "there", "--ray") == 1
    for name in ("a.parquet", "b.parquet"):
        assert Path("there", name).read_bytes() == Path("here", name).read_bytes()
    here, there = (Path(folder, RECORD).read_text().splitlines() for folder in ("here", "there"))
    assert [json.loads(line) for line in here] == [json.loads(line) for line in there]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in.parquet", "in.parquet"], "in.parquet is the input itself"),
        (["in.parquet", "out.png"], "out.png does not end in .parquet"),
        (["in.parquet", "out.parquet", "--column", "id"], "no single column 'id' of encoded images"),
        (["in.parquet", "out.parquet", "--report", "changes.csv"], "--compare and --report are for files of pictures"),
        (["photos", "out", "--column", "image"], "--column is for Parquet tables"),
        (["text.parquet", "out.parquet"], "text.parquet has no column of encoded images"),
        (["two.parquet", "out.parquet"], "two.parquet has 2 columns of bytes, a, b: name that of images, --column"),
        (["twice.parquet", "out.parquet"], "twice.parquet has a column 'error' already"),
        (["empty.parquet", "out.parquet"], "empty.parquet is not a Parquet table"),
        (["none.parquet", "out.parquet"], "none.parquet is not a Parquet table"),
        (["tables", "tables/out"], "tables/out lies inside tables"),
        (["shard.parquet", "out.parquet"], "shard.parquet is a shard of a benchmark: `banet evaluate`"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: list[str], message: str, pictures: list[bytes | None], capsys: pytest.CaptureFixture[str]
) -> None:
    write("in.parquet", pictures)
    write("tables/in.parquet", pictures)
    Path("empty.parquet").touch()
    one = encode_png(np.zeros((8, 8, 3), np.uint8))
    pq.write_table(pa.table({"text": ["a"]}), "text.parquet")
    pq.write_table(pa.table({"a": [one], "b": [one]}), "two.parquet")
    pq.write_table(pa.table({"a": [one], "error": ["a"]}), "twice.parquet")
    shard = {"key": ["a"], "split": ["a"], "sequence": ["a"], "height": [8], "width": [8], "sharp": [one]}
    pq.write_table(pa.table(shard), "shard.parquet")
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*.*")}
    assert deblur(*arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*.*")} == before
