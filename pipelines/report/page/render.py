"""One self-contained HTML page: a file to mail, to attach or to open from a disk, without a server or a network."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping

from markupsafe import Markup

from pipelines.report.data.inputs import ReportInputs
from pipelines.report.figures.latency_scatter import time_svg
from pipelines.report.figures.training_curves import loss_svg, validation_svg
from pipelines.report.page.benchmark_sections import drawn, parts
from pipelines.report.page.embedded_pictures import WEBP_QUALITY
from pipelines.report.page.examples import Scene
from pipelines.report.tables.all_tables import measured, paper_tables
from pipelines.report.tables.comparison import SCORED
from pipelines.report.tables.formats import Table, decibels, gain

_MINUS = re.compile(r"(?<![\w.])-(?=\d|inf)")


def render_page(inputs: ReportInputs) -> str:
    """Make the whole page.

    Raises:
        DataError: a sample's picture is missing or no PNG.

    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pipelines.report.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        decibels=decibels, gain=lambda value: _typeset(gain(value)), typeset=_typeset, place=_place
    )
    script = environment.get_template("slider.js.j2").render()
    return environment.get_template("page.html.j2").render(
        inputs=inputs,
        headline=inputs.evaluations[0] if inputs.evaluations else None,
        parts=list(parts(inputs)),
        quality=WEBP_QUALITY,
        paper=[(table, _has_ours(table)) for table in paper_tables(inputs).values()],
        loss=drawn(loss_svg(inputs.log)),
        validation=drawn(validation_svg(inputs.training, inputs.log)),
        timed=any(e.benchmark == "gopro" and e.latency is not None for e in inputs.evaluations),
        scatter=drawn(time_svg(inputs.published[1], measured(inputs))),
        params=_flat_sections(inputs.params),
        script=Markup(script),  # noqa: S704  # ours alone: nothing is put into it
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _has_ours(table: Table) -> bool:
    """Whether a table of the paper holds anything measured or scored here, and so is shown open."""
    return any(row.strong or row.figures[-1] == SCORED for row in table.rows)


def _place(shown: Scene) -> str:
    """The close-ups' square as a style, in shares of the whole picture."""
    box = shown.box
    return "; ".join(
        f"{name}: {100 * pixels / full:.2f}%"
        for name, pixels, full in (
            ("left", box.left, shown.width),
            ("top", box.top, shown.height),
            ("width", box.side, shown.width),
            ("height", box.side, shown.height),
        )
    )


def _typeset(text: str) -> str:
    """Turn ASCII into what a typesetter uses: arrows, a dash for no value, wide minuses, marks that stick."""
    joined = text.replace(" -> ", " \u2192\u00a0").replace(" [", "\u00a0[")
    return "\u2013" if text == "-" else _MINUS.sub("\u2212", joined)


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
