"""One self-contained HTML page: a file to mail, to attach or to open from a disk, without a server or a network."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping

from markupsafe import Markup

from pipelines.report.data.inputs import ReportInputs
from pipelines.report.figures.distribution import distribution_svg, gain_svg
from pipelines.report.figures.latency_scatter import time_svg
from pipelines.report.figures.training_curves import loss_svg, validation_svg
from pipelines.report.page.benchmark_sections import benchmark_sections
from pipelines.report.page.embedded_pictures import WEBP_QUALITY
from pipelines.report.page.examples import Scene
from pipelines.report.tables.all_tables import paper_tables
from pipelines.report.tables.checks_table import checks_table
from pipelines.report.tables.formats import decibels, gain
from pipelines.report.tables.results import results_table, strata_table, worst_table

_MINUS = re.compile(r"(?<![\w.])-(?=\d|inf)")


def render_page(inputs: ReportInputs) -> str:
    """Make the whole page.

    Raises:
        DataError: a picture is missing or damaged.
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
    evaluations = [each.evaluation for each in inputs.benchmarks]
    script = environment.get_template("slider.js.j2").render()
    return environment.get_template("page.html.j2").render(
        inputs=inputs,
        headline=evaluations[0] if evaluations else None,
        sections=benchmark_sections(inputs.benchmarks),
        results_table=results_table,
        strata_table=strata_table,
        worst_table=worst_table,
        checks_table=checks_table,
        distribution_svg=distribution_svg,
        gain_svg=gain_svg,
        quality=WEBP_QUALITY,
        paper_tables=paper_tables(inputs).values(),
        loss=loss_svg(inputs.log),
        validation=validation_svg(inputs.training, inputs.log),
        timed=any(e.benchmark == "gopro" and e.latency is not None for e in evaluations),
        scatter=time_svg(inputs),
        params=_flat_sections(inputs.params),
        script=Markup(script),  # noqa: S704  # a file of ours without variables
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _place(shown: Scene) -> str:
    """The close-ups' square as a style, in percent of the whole picture."""
    box, width, height = shown.box, shown.width, shown.height
    sides = {"left": box.left / width, "top": box.top / height, "width": box.side / width, "height": box.side / height}
    return "; ".join(f"{name}: {share:.2%}" for name, share in sides.items())


def _typeset(text: str) -> str:
    """Turn ASCII into arrows, en dashes for no value, minus signs, and note marks that never wrap."""
    joined = text.replace(" -> ", " \u2192\u00a0").replace(" [", "\u00a0[")
    return "\u2013" if text == "-" else _MINUS.sub("\u2212", joined)


def _flat_sections(params: Mapping[str, object]) -> dict[str, list[tuple[str, str]]]:
    """Name every setting by its path in its section; settings outside any section come first, under the name ""."""
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
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
