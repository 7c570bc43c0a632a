"""The paper's Tables 1 to 9, read from `data/published/table1.csv` to `table9.csv`."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from banet.config import read_model_config
from banet.errors import DataError
from banet.model.network_config import BANetConfig

MODELS = Path("conf/model")
"""Folder of the networks' configurations in a checkout."""

PUBLISHED = Path("data/published")
"""Folder of the tables in a checkout."""

_CAPTIONS = {
    1: "GoPro test set, trained on GoPro",
    2: "HIDE, trained on GoPro",
    3: "RealBlur test set, trained on RealBlur",
    4: "user study on RealBlur-J: how often BANet was preferred to the method",
    5: "parts of the blur-aware module, on GoPro",
    6: "number of blur-aware modules, on GoPro",
    7: "kernels of the strip pooling, with PDC, on GoPro",
    8: "CPDC against PDC, without attention, on GoPro",
    9: "blur-aware attention against self-attention, 4 modules, on GoPro",
}


_SCORES = {  # benchmark: the table with scores on it, the beginning of its columns there, what was trained on
    "gopro": (1, "", "gopro"),
    "hide": (2, "", "gopro"),
    "realblur_j": (3, "realblur_j_", "realblur_j"),
    "realblur_r": (3, "realblur_r_", "realblur_r"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """What the paper reports for one method.

    `ssim` is MATLAB's form in Tables 1 and 2, and RealBlur's own in Table 3. `time_ms` was not synchronised with the
    device for the fast networks. `gmacs` counts 256x256 pixels. `code_released` and the parts of a module are 1 or 0.
    """

    method: str  # as the paper writes it, without the number of the reference
    model: str | None  # `model.name` of the same network in conf/model; None for methods of other authors
    figures: Mapping[str, float | None]  # by column; None where the paper has a dash


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """One of the paper's tables."""

    number: int
    caption: str
    rows: tuple[PublishedRow, ...]  # in the paper's order

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of figures, in the paper's order."""
        return tuple(self.rows[0].figures)

    def figure(self, method: str, column: str) -> float | None:
        """What the paper prints for a method; None for a dash."""
        return next(row.figures[column] for row in self.rows if row.method == method)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedScores:
    """What the paper reports for one network on one benchmark."""

    method: str
    psnr: float  # dB
    ssim: float  # MATLAB's form; RealBlur's own if `aligned`
    aligned: bool  # scored by RealBlur's protocol
    trained_on: str  # a benchmark
    source: str


def published_scores(config: BANetConfig, benchmark: str) -> PublishedScores | None:
    """What the paper reports for exactly this network; None for other networks and benchmarks, or outside a checkout.

    Raises:
        DataError: a table is damaged.
    """
    known = MODELS / f"{config.name}.yaml"
    if benchmark not in _SCORES or not PUBLISHED.is_dir() or not known.is_file() or read_model_config(known) != config:
        return None
    number, prefix, trained_on = _SCORES[benchmark]
    table = read_published(number)
    for row in table.rows:
        psnr, ssim = row.figures[f"{prefix}psnr_db"], row.figures[f"{prefix}ssim"]
        if row.model == config.name and psnr is not None and ssim is not None:
            return PublishedScores(
                method=row.method,
                psnr=psnr,
                ssim=ssim,
                aligned=bool(prefix),
                trained_on=trained_on,
                source=f"Tsai et al. 2022, Table {number}: {table.caption}",
            )
    return None


def read_published(number: int, folder: Path = PUBLISHED) -> PublishedTable:
    """Read one of the paper's tables, 1 to 9.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = folder / f"table{number}.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = tuple(_row(cells) for cells in csv.DictReader(file))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): restore it with git checkout") from None
    return PublishedTable(number=number, caption=_CAPTIONS[number], rows=rows)


def _row(cells: dict[str, str]) -> PublishedRow:
    method, model, _ = (cells.pop(name) for name in ("method", "model", "source"))
    figures = {column: float(text) if text else None for column, text in cells.items()}
    return PublishedRow(method=method, model=model or None, figures=figures)
