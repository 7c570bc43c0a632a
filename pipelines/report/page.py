"""One self-contained HTML page: a file to mail, to attach or to open from a disk, without a server or a network."""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from banet.errors import DataError
from pipelines.report.figures import loss_svg, validation_svg
from pipelines.report.inputs import ReportInputs
from pipelines.report.tables import Table, decibels, gain, results_table, strata_table
from pipelines.stages.outputs import EvaluationReport, Sample

_MINUS = re.compile(r"(?<![\w.])-(?=\d|inf)")
_PNG = b"\x89PNG\r\n\x1a\n"
_PICTURE_BYTES = 12_000_000  # of the page, shared by its benchmarks; keeps it under 15 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One PNG, inside the page."""

    role: str  # blurred, restored, sharp
    note: str  # its PSNR
    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The pictures of one sample."""

    key: str
    gained: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What the page shows of one benchmark."""

    evaluation: EvaluationReport
    results: Table
    strata: Table | None
    scenes: tuple[Scene, ...]
    left_out: tuple[str, ...]  # keys of samples that would have made the page too large


def render_page(inputs: ReportInputs) -> str:
    """Make the whole page.

    Raises:
        DataError: a sample's picture is missing or no PNG.

    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pipelines.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(decibels=decibels, gain=lambda value: _typeset(gain(value)), typeset=_typeset)
    budget = _PICTURE_BYTES // max(1, len(inputs.evaluations))
    return environment.get_template("page.html.j2").render(
        inputs=inputs,
        headline=inputs.evaluations[0] if inputs.evaluations else None,
        parts=[_part(*each, budget) for each in zip(inputs.evaluations, inputs.folders, strict=True)],
        # Drawn by matplotlib from numbers alone, so there is nothing to escape.
        loss=Markup(loss_svg(inputs.log)),  # noqa: S704
        validation=Markup(validation_svg(inputs.training, inputs.log)),  # noqa: S704
        params=_flat_sections(inputs.params),
    )


def _part(evaluation: EvaluationReport, folder: Path, budget: int) -> Part:
    scenes: list[Scene] = []
    left_out: list[str] = []
    for sample in evaluation.samples:
        scene = _scene(sample, folder)
        size = sum(len(picture.uri) for picture in scene.pictures)
        if size <= budget:
            scenes.append(scene)
            budget -= size
        else:
            left_out.append(sample.key)
    return Part(
        evaluation=evaluation,
        results=results_table(evaluation),
        strata=strata_table(evaluation),
        scenes=tuple(scenes),
        left_out=tuple(left_out),
    )


def _scene(sample: Sample, folder: Path) -> Scene:
    return Scene(
        key=sample.key,
        gained=_typeset(gain(sample.restored_psnr - sample.blurred_psnr)),
        pictures=(
            _picture("blurred", f"{decibels(sample.blurred_psnr)} dB", folder / sample.blurred),
            _picture("restored", f"{decibels(sample.restored_psnr)} dB", folder / sample.restored),
            _picture("sharp", "ground truth", folder / sample.sharp),
        ),
    )


def _picture(role: str, note: str, path: Path) -> Picture:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): run the evaluate stage again") from None
    if not content.startswith(_PNG) or len(content) < 24:
        raise DataError(f"{path} is no PNG: run the evaluate stage again")
    return Picture(
        role=role,
        note=note,
        uri="data:image/png;base64," + base64.b64encode(content).decode(),
        width=int.from_bytes(content[16:20]),  # PNG's first chunk, IHDR, begins with both sizes
        height=int.from_bytes(content[20:24]),
    )


def _typeset(text: str) -> str:
    """Turn ASCII into what a typesetter uses: arrows, a dash for no value, and a minus as wide as the plus."""
    arrows = text.replace(" -> ", " \u2192\u00a0")
    return "\u2013" if text == "-" else _MINUS.sub("\u2212", arrows)


def _flat_sections(params: Mapping[str, object]) -> dict[str, list[tuple[str, str]]]:
    """Name every setting by its path inside its section; settings outside any section come first, under no name."""
    sections: dict[str, list[tuple[str, str]]] = {"": []}
    for name, value in params.items():
        title, rows = (name, _flat(value)) if isinstance(value, Mapping) else ("", _flat(value, name))
        sections.setdefault(title, []).extend(rows)
    return {title: rows for title, rows in sections.items() if rows}


def _flat(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value, start=1):
            yield from _flat(item, f"{path} {number}")
    elif isinstance(value, list | tuple):
        yield path, ", ".join(map(_shown, value)) or "none"
    else:
        yield path, _shown(value)


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
