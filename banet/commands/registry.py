"""`banet models`, `lineage`, `promote` and `register`: what the registry holds, and how to change it by hand."""

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from banet.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from banet.tracking.store import Store
    from banet.tracking.version_files import RegisteredModel
    from banet.tracking.versions import Version

PREFIX = "banet-"  # of every registered model: banet-<training benchmark>
RUN = "run.json"  # what the train stage leaves beside the weights: the run that made them
_NAME = re.compile(r"banet-[A-Za-z0-9_][A-Za-z0-9_.-]*")


def models(name: str | None = None, /) -> None:
    """List the registered models: versions, aliases, scores, when and why promoted.

    For example:
      banet models
      banet models banet-mini

    Args:
        name: one registered model; by default all of them.
    """
    from banet.tracking.store import connect
    from banet.tracking.versions import versions

    store = connect()
    found = versions(store, name)
    if not found and name is not None:
        raise _unknown(store, name)
    none = f"no models are registered in {store.shown}: run `make demo`, or `banet register DIR --name NAME`"
    print(format_versions(found) if found else none)


def lineage(model: str, /, *, json: bool = False) -> None:
    """Print where a version came from: commit, parameters, data, stages, runs, scores, promotion.

    For example:
      banet lineage models:/banet-mini@champion
      banet lineage banet-mini/3 --json

    Args:
        model: NAME@ALIAS or NAME/VERSION, with or without models:/ before it.
        json: print JSON; what is missing is null.
    """
    from json import dumps

    from banet.lineage.trace import format_lineage, trace
    from banet.tracking.load import find_registered

    store, found = find_registered(model if model.startswith("models:") else f"models:/{model}")
    traced = trace(store, found)
    print(dumps(traced, indent=2) if json else format_lineage(traced))


def promote(name: str, version: str, /, *, reason: str) -> None:
    """Make a version the champion by hand, to go back to an older one for instance.

    For example:
      banet promote banet-mini 3 --reason "version 4 rings at strong edges"

    Args:
        name: a registered model, e.g. banet-mini.
        version: its number, as `banet models` lists it.
        reason: why; it is kept with the version.
    """
    from banet.tracking.store import connect
    from banet.tracking.versions import versions

    reason = " ".join(reason.split())
    if not reason:
        raise ConfigError("--reason is empty: say why, for whoever looks at the version later")
    store = connect()
    found = versions(store, name)
    if not found:
        raise _unknown(store, name)
    chosen = next((one.model for one in found if str(one.model.version) == version.strip()), None)
    if chosen is None:
        there = ", ".join(str(one.model.version) for one in reversed(found))
        raise ModelError(f"{name} has no version {version} in {store.shown}: there is {there}")
    print(make_champion(store, chosen, reason))


def make_champion(store: "Store", chosen: "RegisteredModel", reason: str) -> str:
    """Make a version the champion, unless it is; return the line that says so.

    Raises:
        ModelError: the version cannot be fetched.
    """
    from banet.tracking import registry

    before = registry.champion(store, chosen.name)
    if before == chosen:
        return f"{chosen.name} version {chosen.version} is the champion already: nothing changed"
    try:
        with tempfile.TemporaryDirectory() as folder:  # a champion that cannot be fetched would stop everybody
            registry.pull(store, chosen.name, chosen.version, Path(folder) / "weights", chosen.digest)
    except ModelError as error:
        raise ModelError(f"{chosen.name} version {chosen.version} cannot become the champion: {error}") from None
    instead = "" if before is None else f", instead of version {before.version}"
    registry.promote(store, chosen, reason=f"by hand{instead}: {reason}")
    return f"{chosen.name}: version {chosen.version} is the champion{instead}"


def register(folder: Path, /, *, name: Annotated[str, Parameter(alias="--as")]) -> None:
    """Make the weights in a folder, with the code that restores with them, a version of a registered model.

    For example:
      banet register models/released --name banet-gopro
      banet register models/candidate --name mini

    Args:
        folder: holds model.safetensors and config.json, as import-checkpoint writes them.
        name: banet-<the benchmark it was trained on>; banet- may be left out.
    """
    from banet.model.weights import load_weights
    from banet.tracking.store import connect

    full = name if name.startswith(PREFIX) else f"{PREFIX}{name}"
    if _NAME.fullmatch(full) is None:
        raise ConfigError(f"--name {name!r} is no name of a model: write letters, digits, '.', '_' and '-'")
    load_weights(folder)  # weights that do not load are no version
    run_id, tags = _made_by(folder)
    model, line = register_folder(connect(), folder, full, run_id=run_id, tags=tags)
    lines = [line]
    if full != name:
        lines.append(f"registered models are called banet-<training benchmark>: {name} became {full}")
    lines.append(f'next: banet promote {full} {model.version} --reason "…", or --model {model.uri} to try it')
    print("\n".join(lines))


def register_folder(
    store: "Store", folder: Path, name: str, *, tags: Mapping[str, str], run_id: str = ""
) -> tuple["RegisteredModel", str]:
    """Make the weights in a folder a version, unless they are one; return it with the line that says which."""
    from banet.model.digest import weights_digest
    from banet.tracking import registry
    from banet.tracking.versions import versions

    digest = weights_digest(folder)
    before = {one.model.version for one in versions(store, name) if one.model.digest == digest}
    model = registry.register(store, folder, name=name, run_id=run_id, tags=tags)
    line = f"{name} version {model.version}, digest {digest[:12]}, code {model.code[:12]}"
    if model.version in before:
        line += ": registered already, with the same weights and code"
    elif before:
        line += f": a new version, because version {max(before)} has the same weights but other code"
    return model, line


def format_versions(found: "Sequence[Version]") -> str:
    """Lay out versions, a block each: what it is called, how it scored, why it is or is not the champion."""
    lines: list[str] = []
    for one in found:
        aliases = f" ({', '.join(one.aliases)})" if one.aliases else ""
        lines.append(
            f"{one.model.name} {one.model.version}{aliases}, registered {_day(one.registered_at)}, "
            f"digest {one.model.digest[:12]}, code {one.model.code[:12] or 'unknown'}"
        )
        if one.origin:
            lines.append(f"  from {one.origin}; licence: {one.licence or 'unknown'}")
        lines += _score_lines(one)
        if one.promoted_at is not None:
            lines.append(f"  promoted {_day(one.promoted_at)}: {one.reason or 'no reason given'}")
        elif one.refused:
            lines.append(f"  not promoted: {one.refused}")
    return "\n".join(lines)


def _score_lines(one: "Version") -> list[str]:
    """A line per benchmark, variant and options with the main scores: MLflow's page of the run has them all."""
    lines = []
    for place in sorted({key.rpartition("/")[0] for key in one.scores}):
        shown = [
            f"{title} {one.scores[f'{place}/{key}']:{form}}{unit}"
            for key, title, form, unit in _MAIN
            if f"{place}/{key}" in one.scores
        ]
        if shown:
            lines.append(f"  {place}: {', '.join(shown)}")
    return lines or ["  no scores yet"]


_MAIN = (
    ("restored_psnr", "PSNR", ".2f", " dB"),
    ("gain", "gain", "+.2f", " dB"),
    ("restored_ssim_matlab3d", "SSIM matlab3d", ".4f", ""),
    ("restored_aligned_psnr", "PSNR aligned", ".2f", " dB"),
    ("restored_aligned_ssim", "SSIM aligned", ".4f", ""),
)


def _made_by(folder: Path) -> tuple[str, dict[str, str]]:
    """The run that the weights name and the tags to trace them by; no run where they name none."""
    try:
        values = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        values = {}
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder / RUN} cannot be read ({error}): remove it, and the version gets a new run"
        ) from None
    texts = {key: value for key, value in values.items() if isinstance(value, str)} if isinstance(values, dict) else {}
    tags = {key: texts[key] for key in ("data_digest",) if key in texts}
    return texts.get("run_id", ""), tags


def _unknown(store: "Store", name: str) -> ModelError:
    from banet.tracking.versions import versions

    names = sorted({one.model.name for one in versions(store)})
    there = f"there is {', '.join(names)}" if names else "no models are registered there"
    return ModelError(f"no registered model {name} in {store.shown}: {there}")


def _day(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
