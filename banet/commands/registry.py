"""`banet models`, `banet promote` and `banet register`: what the registry holds, and how to change it by hand."""

import argparse
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from banet.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from banet.tracking.store import Store
    from banet.tracking.versions import Version

PREFIX = "banet-"  # of every registered model: banet-<training benchmark>
RUN = "run.json"  # what the train stage leaves beside the weights: the run that made them
_NAME = re.compile(r"banet-[A-Za-z0-9_][A-Za-z0-9_.-]*")


def add_registry(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the three commands to a parser."""
    command = add(
        "models",
        _models,
        "list the registered models: versions, aliases, scores, when and why promoted",
        "banet-mini",
    )
    command.add_argument("name", nargs="?", help="one registered model (default: all)")

    command = add(
        "promote",
        _promote,
        "make a version the champion by hand, to go back to an older one for instance",
        'banet-mini 3 --reason "version 4 rings at strong edges"',
    )
    command.add_argument("name", help="a registered model, e.g. banet-mini")
    command.add_argument("version", help="its number, as `banet models` lists it")
    command.add_argument("--reason", required=True, help="why; it is kept with the version")

    command = add(
        "register",
        _register,
        "make the weights in a folder a version of a registered model",
        "models/released --as banet-gopro",
        "models/candidate --as mini",
    )
    command.add_argument(
        "folder", type=Path, help="model.safetensors and config.json, as import-checkpoint writes them"
    )
    command.add_argument(
        "--as", dest="name", required=True, metavar="NAME", help="banet-<the benchmark it was trained on>"
    )


def _models(parsed: argparse.Namespace) -> None:
    from banet.tracking.store import connect
    from banet.tracking.versions import versions

    store = connect()
    found = versions(store, parsed.name)
    if not found and parsed.name is not None:
        raise _unknown(store, parsed.name)
    none = f"no models are registered in {store.shown}: run `make demo`, or `banet register DIR --as NAME`"
    print(format_versions(found) if found else none)


def _promote(parsed: argparse.Namespace) -> None:
    from banet.tracking.registry import champion, promote, pull
    from banet.tracking.store import connect
    from banet.tracking.versions import versions

    reason = " ".join(parsed.reason.split())
    if not reason:
        raise ConfigError("--reason is empty: say why, for whoever looks at the version later")
    store = connect()
    found = versions(store, parsed.name)
    if not found:
        raise _unknown(store, parsed.name)
    chosen = next((one.model for one in found if str(one.model.version) == parsed.version.strip()), None)
    if chosen is None:
        there = ", ".join(str(one.model.version) for one in reversed(found))
        raise ModelError(f"{parsed.name} has no version {parsed.version} in {store.shown}: there is {there}")
    before = champion(store, chosen.name)
    if before == chosen:
        print(f"{chosen.name} version {chosen.version} is the champion already: nothing changed")
        return
    try:
        with tempfile.TemporaryDirectory() as folder:  # a champion that cannot be fetched would stop everybody
            pull(store, chosen.name, chosen.version, Path(folder) / "weights", chosen.digest)
    except ModelError as error:
        raise ModelError(f"{chosen.name} version {chosen.version} cannot become the champion: {error}") from None
    instead = "" if before is None else f", instead of version {before.version}"
    promote(store, chosen, reason=f"by hand{instead}: {reason}")
    print(f"{chosen.name}: version {chosen.version} is the champion{instead}")


def _register(parsed: argparse.Namespace) -> None:
    from banet.model import load_weights, weights_digest
    from banet.tracking.registry import register
    from banet.tracking.store import connect
    from banet.tracking.versions import versions

    name = parsed.name if parsed.name.startswith(PREFIX) else f"{PREFIX}{parsed.name}"
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"--as {parsed.name!r} is no name of a model: write letters, digits, '.', '_' and '-'")
    load_weights(parsed.folder)  # weights that do not load are no version
    run_id, tags = _made_by(parsed.folder)
    store = connect()
    digest = weights_digest(parsed.folder)
    before = {one.model.version for one in versions(store, name) if one.model.digest == digest}
    model = register(store, parsed.folder, name=name, run_id=run_id, tags=tags)
    lines = [f"{name} version {model.version}, digest {digest[:12]}"]
    if model.version in before:
        lines[0] += ": registered already, with the same weights"
    if name != parsed.name:
        lines.append(f"registered models are called banet-<training benchmark>: {parsed.name} became {name}")
    lines.append(f'next: banet promote {name} {model.version} --reason "…", or --model {model.uri} to try it')
    print("\n".join(lines))


def format_versions(found: "Sequence[Version]") -> str:
    """Lay out versions, a block each: what it is called, how it scored, why it is or is not the champion."""
    lines: list[str] = []
    for one in found:
        aliases = f" ({', '.join(one.aliases)})" if one.aliases else ""
        lines.append(
            f"{one.model.name} {one.model.version}{aliases}, registered {_day(one.registered_at)}, "
            f"digest {one.model.digest[:12]}"
        )
        lines += _score_lines(one)
        if one.promoted_at is not None:
            lines.append(f"  promoted {_day(one.promoted_at)}: {one.reason or 'no reason given'}")
        elif one.refused:
            lines.append(f"  not promoted: {one.refused}")
    return "\n".join(lines)


def _score_lines(one: "Version") -> list[str]:
    """Lay out a line a benchmark, the main scores alone: MLflow's page of the run has them all."""
    lines = []
    for benchmark in sorted({key.partition("/")[0] for key in one.scores}):
        shown = [
            f"{title} {one.scores[f'{benchmark}/{key}']:{form}}{unit}"
            for key, title, form, unit in _MAIN
            if f"{benchmark}/{key}" in one.scores
        ]
        if shown:
            lines.append(f"  {benchmark}: {', '.join(shown)}")
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
