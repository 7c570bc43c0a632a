"""The paper's Tables 1 to 9 as data: `data/published/table1.csv` to `table9.csv`, figures as they are printed there."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from banet.errors import DataError

PUBLISHED = Path("data/published")
"""Where the tables lie in a checkout."""

_METHOD, _MODEL, _SOURCE = "method", "model", "source"  # the first two columns, and the last


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of figures."""

    name: str
    unit: str | None  # None: a ratio, a count, or 1 for yes and 0 for no
    decimals: int  # as the paper prints them all; a figure with others is a slip of the pen


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """What the paper says of one method."""

    method: str  # as the paper writes it, without the number of the reference
    model: str | None  # `model.name` of the same network in conf/model; None for what others have built
    figures: tuple[float | None, ...]  # one a column; None where the paper has a dash
    source: str  # to be cited


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """One of the paper's tables."""

    number: int
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[PublishedRow, ...]  # in the paper's order

    def figure(self, method: str, column: str) -> float | None:
        """What the paper prints for a method; None for a dash.

        Raises:
            DataError: the table has no such method or column.
        """
        methods, columns = [row.method for row in self.rows], [c.name for c in self.columns]
        for kind, name, names in (("method", method, methods), ("column", column, columns)):
            if name not in names:
                raise DataError(f"Table {self.number} has no {kind} {name!r}: it has {', '.join(names)}")
        return self.rows[methods.index(method)].figures[columns.index(column)]


_PSNR = Column(name="psnr_db", unit="dB", decimals=2)
_SSIM = Column(name="ssim", unit=None, decimals=3)  # MATLAB's form in Tables 1 and 2, RealBlur's own in Table 3
_TIME = Column(name="time_ms", unit="ms", decimals=0)  # not synchronised with the device for the fast networks
_PARAMS = Column(name="params_m", unit="M", decimals=0)
_GMACS = Column(name="gmacs", unit="GMAC", decimals=0)  # at 256x256; the paper heads it "GFLOPs"


def _count(name: str) -> Column:
    return Column(name=name, unit=None, decimals=0)


_TABLES: dict[int, tuple[str, tuple[Column, ...]]] = {
    1: ("GoPro test set, trained on GoPro", (_count("code_released"), _PSNR, _SSIM, _TIME, _PARAMS, _GMACS)),
    2: ("HIDE, trained on GoPro", (_count("code_released"), _PSNR, _SSIM, _TIME)),
    3: (
        "RealBlur test set, trained on RealBlur",
        (
            Column(name="realblur_j_psnr_db", unit="dB", decimals=2),
            Column(name="realblur_j_ssim", unit=None, decimals=3),
            Column(name="realblur_r_psnr_db", unit="dB", decimals=2),
            Column(name="realblur_r_ssim", unit=None, decimals=3),
            _TIME,
        ),
    ),
    4: (
        "user study on RealBlur-J: how often BANet was preferred to the method",
        (Column(name="ours_preferred_percent", unit="%", decimals=1),),
    ),
    5: ("parts of the blur-aware module, on GoPro", (*map(_count, ("pdc", "ar", "sp", "mksp", "cpdc")), _PSNR)),
    6: ("number of blur-aware modules, on GoPro", (_count("modules"), _PSNR)),
    7: ("kernels of the strip pooling, with PDC, on GoPro", (_PSNR,)),
    8: ("CPDC against PDC, without attention, on GoPro", (_PSNR, _PARAMS)),
    9: ("blur-aware attention against self-attention, 4 modules, on GoPro", (_count("sub_images"), _PSNR, _TIME)),
}


def read_published(table: int, folder: Path = PUBLISHED) -> PublishedTable:
    """Read one of the paper's tables, 1 to 9.

    Raises:
        DataError: there is no such table or file, or the file has another heading, a figure that is no number or is
            printed with other decimals, a method twice or none, or a row without its source.
    """
    if table not in _TABLES:
        raise DataError(f"there is no published table {table}: the paper has 1 to {max(_TABLES)}")
    caption, columns = _TABLES[table]
    path = folder / f"table{table}.csv"
    heading, *lines = _read_lines(path)
    names = [_METHOD, _MODEL, *(column.name for column in columns), _SOURCE]
    if heading != names:
        raise DataError(f"{path}, line 1: the heading must be {','.join(names)}, got {','.join(heading)}")
    rows = tuple(_row(cells, columns, f"{path}, line {i}") for i, cells in enumerate(lines, start=2))
    methods = [row.method for row in rows]
    for i, method in enumerate(methods):
        if method in methods[:i]:
            raise DataError(f"{path}, line {i + 2}: the method {method} was there before: keep one row of it")
    if not rows:
        raise DataError(f"{path} has no rows: restore it with git checkout")
    return PublishedTable(number=table, caption=caption, columns=columns, rows=rows)


def _read_lines(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8")
        return list(csv.reader(io.StringIO(text), strict=True)) or [[]]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): restore it with git checkout") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a table of comma-separated values: {error}") from None


def _row(cells: list[str], columns: tuple[Column, ...], where: str) -> PublishedRow:
    if len(cells) != len(columns) + 3:
        raise DataError(f"{where}: {len(columns) + 3} cells are needed, got {len(cells)}")
    method, model, *figures, source = cells
    for name, value in ((_METHOD, method), (_SOURCE, source)):
        if not value or value != value.strip():
            raise DataError(f"{where}: {name} must be text without spaces around it, got {value!r}")
    return PublishedRow(
        method=method,
        model=model or None,
        figures=tuple(_figure(c, text, where) for c, text in zip(columns, figures, strict=True)),
        source=source,
    )


def _figure(column: Column, text: str, where: str) -> float | None:
    if not text:
        return None
    pattern = r"[0-9]+" + (rf"\.[0-9]{{{column.decimals}}}" if column.decimals else "")
    if not re.fullmatch(pattern, text):
        raise DataError(
            f"{where}: {column.name} must be a number with {column.decimals} decimals, or empty, got {text!r}"
        )
    return float(text)
