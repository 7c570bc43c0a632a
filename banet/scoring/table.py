"""The table of scores, a row per image, as Parquet and CSV; every mean is computed from its rows.

Columns: key, sequence, stratum, variant, then `blurred_`, `restored_` and `filtered_` with each plain score, and for
RealBlur `restored_aligned_psnr`, `restored_aligned_ssim`, `restored_aligned` and `opencv`. Columns without any value
are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from banet.errors import DataError
from banet.files import whole_file, writing_to
from banet.scoring.scores import AlignedScores, ImageScores, Scores

ENDINGS = (".csv", ".parquet")
TABLES = tuple(f"images{ending}" for ending in ENDINGS)  # of an evaluation

_TEXTS = ("key", "sequence", "stratum", "variant")
_PARTS = ("blurred", "restored", "filtered")
_SCORES = tuple(field.name for field in fields(Scores))
_ALIGNED = {  # column: field of AlignedScores
    "restored_aligned_psnr": "psnr",
    "restored_aligned_ssim": "ssim",
    "restored_aligned": "aligned",
    "opencv": "opencv",
}
_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(_TEXTS, pa.string()),
    **{f"{part}_{name}": pa.float64() for part in _PARTS for name in _SCORES},
    **dict.fromkeys(("restored_aligned_psnr", "restored_aligned_ssim"), pa.float64()),
    "restored_aligned": pa.bool_(),
    "opencv": pa.string(),
}


def write_table(path: Path, rows: Sequence[ImageScores]) -> None:
    """Write rows as CSV or Parquet, by the file's ending, completely or not at all; equal rows give equal bytes.

    Raises:
        ResourceError: the disk is full, or cannot be used.
    """
    flat = [_flat(row) for row in rows]
    filled = {name for row in flat for name, value in row.items() if value is not None}
    schema = pa.schema([(name, kind) for name, kind in _TYPES.items() if name in _TEXTS or name in filled])
    table = pa.Table.from_pylist(flat, schema=schema)
    with writing_to(path.parent), whole_file(path) as partial:
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(table, partial)
        else:
            pq.write_table(table, partial)


def read_table(path: Path) -> list[ImageScores]:
    """Read what `write_table` wrote, to the last digit.

    Raises:
        DataError: the file is missing, damaged, or another table.
    """
    try:
        table = _read_csv(path) if path.suffix == ".csv" else pq.read_table(path, partitioning=None)
        return [_row(values) for values in table.to_pylist()]
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is not a table of scores ({reason}): score the images again") from None


def _flat(row: ImageScores) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(row, name) for name in _TEXTS}
    for part in _PARTS:
        scores = getattr(row, part)
        values |= {f"{part}_{name}": getattr(scores, name, None) for name in _SCORES}
    return values | {column: getattr(row.realblur, name, None) for column, name in _ALIGNED.items()}


def _row(values: Mapping[str, Any]) -> ImageScores:
    restored = _scores(values, "restored")
    if restored is None:
        raise KeyError("restored_psnr")
    aligned: dict[str, Any] = {name: values.get(column) for column, name in _ALIGNED.items()}
    return ImageScores(
        key=values["key"],
        sequence=values["sequence"],
        stratum=values["stratum"],
        variant=values["variant"],
        blurred=_scores(values, "blurred"),
        restored=restored,
        filtered=_scores(values, "filtered"),
        realblur=AlignedScores(**aligned) if aligned["opencv"] is not None else None,
    )


def _scores(values: Mapping[str, Any], part: str) -> Scores | None:
    if values.get(f"{part}_psnr") is None:
        return None
    return Scores(**{name: values[f"{part}_{name}"] for name in _SCORES})


def _read_csv(path: Path) -> pa.Table:
    options = pyarrow.csv.ConvertOptions(
        column_types=_TYPES, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    return pyarrow.csv.read_csv(path, convert_options=options)
