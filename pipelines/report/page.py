"""One self-contained HTML page: a file to mail, to attach or to open from a disk, without a server or a network."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from pipelines.report.distribution import distribution_svg, gain_svg
from pipelines.report.every_table import measured, paper_tables
from pipelines.report.figures import loss_svg, validation_svg
from pipelines.report.formats import Table
from pipelines.report.images import ImageRow, worst_table
from pipelines.report.inputs import ReportInputs
from pipelines.report.pictures import Picture, Scene, attention, scene
from pipelines.report.scatter import time_svg
from pipelines.report.tables import decibels, gain, results_table, strata_table
from pipelines.stages.outputs import EvaluationReport

_MINUS = re.compile(r"(?<![\w.])-(?=\d|inf)")
_PICTURE_BYTES = 12_000_000  # of the page, shared by its benchmarks; keeps it under 15 MB
_ATTENTION_SHARE = 3  # at most one part in so many is for pictures of attention


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What the page shows of one benchmark."""

    evaluation: EvaluationReport
    results: Table
    strata: Table | None
    scenes: tuple[Scene, ...]
    left_out: tuple[str, ...]  # keys of samples that would have made the page too large
    attention: tuple[Picture, ...]  # masks and attended features, where the evaluate stage drew them
    distribution: Markup  # empty for too few images
    gain: Markup
    worst: Table


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
    environment.filters.update(
        decibels=decibels, gain=lambda value: _typeset(gain(value)), typeset=_typeset, place=_place
    )
    script = environment.get_template("slider.js.j2").render()
    budget = _PICTURE_BYTES // max(1, len(inputs.evaluations))
    evaluated = zip(inputs.evaluations, inputs.folders, inputs.images, strict=True)
    return environment.get_template("page.html.j2").render(
        inputs=inputs,
        headline=inputs.evaluations[0] if inputs.evaluations else None,
        parts=[_part(*each, budget) for each in evaluated],
        paper=[(table, _has_ours(table)) for table in paper_tables(inputs).values()],
        loss=_drawn(loss_svg(inputs.log)),
        validation=_drawn(validation_svg(inputs.training, inputs.log)),
        scatter=_drawn(time_svg(inputs.published[1], measured(inputs))),
        params=_flat_sections(inputs.params),
        script=Markup(script),  # noqa: S704  # ours alone: nothing is put into it
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _part(evaluation: EvaluationReport, folder: Path, images: Sequence[ImageRow], budget: int) -> Part:
    attended: list[Picture] = []
    reserve = budget // _ATTENTION_SHARE
    for sample in evaluation.samples:
        picture = attention(sample, folder)
        if picture is not None and len(picture.uri) <= reserve:
            attended.append(picture)
            reserve -= len(picture.uri)
    budget -= sum(len(picture.uri) for picture in attended)
    scenes: list[Scene] = []
    left_out: list[str] = []
    for sample in evaluation.samples:
        shown = scene(sample, evaluation, folder)
        if shown.size <= budget:
            scenes.append(shown)
            budget -= shown.size
        else:
            left_out.append(sample.key)
    return Part(
        evaluation=evaluation,
        results=results_table(evaluation),
        strata=strata_table(evaluation),
        scenes=tuple(scenes),
        left_out=tuple(left_out),
        attention=tuple(attended),
        distribution=_drawn(distribution_svg(evaluation.benchmark, images)),
        gain=_drawn(gain_svg(evaluation.benchmark, images)),
        worst=worst_table(evaluation.benchmark, images),
    )


def _drawn(svg: str) -> Markup:
    """A figure, to be put into the page as it is: matplotlib and `drawing.svg` escape the words in it."""
    return Markup(svg)  # noqa: S704


def _has_ours(table: Table) -> bool:
    """Whether a table of the paper holds anything measured here, and so is shown open."""
    return any(row.strong for row in table.rows)


def _place(shown: Scene) -> str:
    """The close-ups' square as a style, in shares of the whole picture."""
    whole, box = shown.pictures[0], shown.box
    return "; ".join(
        f"{name}: {100 * pixels / full:.2f}%"
        for name, pixels, full in (
            ("left", box.left, whole.width),
            ("top", box.top, whole.height),
            ("width", box.side, whole.width),
            ("height", box.side, whole.height),
        )
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
