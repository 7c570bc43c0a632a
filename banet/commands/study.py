"""`banet study`: which of two restorations do people prefer? The page that asks, and the report."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from banet.errors import ConfigError

if TYPE_CHECKING:
    from banet.study.record import Study
    from banet.study.statistics import Interval


def add_study(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = add(
        "study",
        _study,
        "ask people which of two restorations they prefer, on a page of this machine, or report what they said",
        "--a results/banet --b results/other --out choices.jsonl",
        "--a results/banet --b results/other --input blurred --out choices.jsonl --port 8765",
        "--report choices.jsonl",
    )
    command.add_argument("--a", type=Path, metavar="DIR", help="folder of one method's restored images")
    command.add_argument("--b", type=Path, metavar="DIR", help="folder of the other's, of the same names")
    command.add_argument("--input", type=Path, metavar="DIR", help="folder of the blurred photographs, shown too")
    command.add_argument("--out", type=Path, metavar="FILE", help="gets a line a choice; a study is gone on with")
    command.add_argument("--port", type=_port, help="of the page (default: any that is free)")
    command.add_argument("--seed", type=_seed, help="of orders and sides (default: drawn, and kept in the file)")
    command.add_argument("--report", type=Path, metavar="FILE", help="print what a study found, and ask nothing")


def _study(parsed: argparse.Namespace) -> None:
    asking = {"--a": parsed.a, "--b": parsed.b, "--out": parsed.out}
    if parsed.report is not None:
        others = asking | {"--input": parsed.input, "--port": parsed.port, "--seed": parsed.seed}
        if given := [name for name, value in others.items() if value is not None]:
            raise ConfigError(f"--report prints a study alone: leave out {', '.join(given)}")
        from banet.study.record import read_study

        print(format_report(read_study(parsed.report)))
        return
    if missing := [name for name, value in asking.items() if value is None]:
        raise ConfigError(f"{', '.join(missing)} missing: name --a DIR --b DIR --out FILE, or --report FILE")
    _ask(parsed)


def _ask(parsed: argparse.Namespace) -> None:
    from banet.progress import StatusLine
    from banet.study.pairs import read_photographs
    from banet.study.record import open_record
    from banet.study.server import Questions, StudyServer

    if parsed.out.is_dir() or not parsed.out.parent.is_dir():
        raise ConfigError(f"{parsed.out}: it must be a file in a folder that exists: name another")
    line = StatusLine("study", sys.stderr)
    try:
        shown = read_photographs(parsed.a, parsed.b, parsed.input, report=line.count)
    finally:
        line.close()
    count = len(shown.photographs)
    opened = open_record(
        parsed.out, a=str(parsed.a), b=str(parsed.b), images=count, digest=shown.digest, seed=parsed.seed
    )
    with opened as record, StudyServer(Questions(shown.photographs, record), parsed.port or 0) as server:
        text = f"{count} photograph{'s' if count > 1 else ''}"
        if shown.left_out:
            text += f" (left out: {shown.left_out} that only one of the two folders holds)"
        if record.choices:
            text += f", {len(record.choices)} choices so far"
        print(f"{text}\nopen {server.url} in a browser of this machine; stop with Ctrl-C", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            print(
                f"\n{len(record.choices)} choices in {parsed.out}: the same command goes on, "
                f"`banet study --report {parsed.out}` prints what they say"
            )


def format_report(study: "Study") -> str:
    """Lay out what was preferred, how sure that is, and how ties and participants were counted."""
    from banet.study.statistics import preference

    header, found = study.header, preference(study.choices)
    lines = [
        f"a: {header.a}",
        f"b: {header.b}",
        f"{_count(len(study.choices), 'choice')} of {_count(found.participants, 'participant')} "
        f"about {found.images} of {_count(header.images, 'photograph')}: a {found.a}, b {found.b}, "
        f"no preference {found.ties}",
    ]
    if found.wilson is None:
        return "\n".join([*lines, "nobody preferred one to the other yet: there is no share to give"])
    named = found.a + found.b
    lines.append(f"a is preferred in {found.share:.1%} of the {_count(named, 'choice')} of a or b")
    lines.append(f"  95 % interval {_shown(found.wilson)} (Wilson, as if all choices were independent)")
    if found.bootstrap is not None:
        lines.append(f"  95 % interval {_shown(found.bootstrap)} (bootstrap over participants, whose choices are not)")
        if found.bootstrap[0] == found.bootstrap[1]:
            lines.append("  all participants chose alike, of which the bootstrap cannot learn: take Wilson's")
    else:
        lines.append("  of one participant: it says nothing about other people")
    if found.ties:
        half = (found.a + found.ties / 2) / len(study.choices)
        lines.append(f"choices of no preference are left out above; as a half for each, a has {half:.1%}")
    lines.append(f"the first of the two places was preferred in {found.left / named:.1%}, whichever method was there")
    return "\n".join(lines)


def _shown(interval: "Interval") -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _port(text: str) -> int:
    return _whole(text, 1, 65535, "port")


def _seed(text: str) -> int:
    return _whole(text, 0, 2**32 - 1, "seed")


def _whole(text: str, low: int, high: int, what: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() else -1
    if not low <= number <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is no {what}: write a number from {low} to {high}")
    return number
