"""`banet study`: which of two restorations do people prefer? The page that asks, and the report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter, validators

from banet.errors import ConfigError

if TYPE_CHECKING:
    from banet.study.record import Study
    from banet.study.statistics import Interval


study = App(name="study", version_flags=())


@study.default
def ask(
    *,
    first: Annotated[Path, Parameter(alias="--a")],
    second: Annotated[Path, Parameter(alias="--b")],
    out: Path,
    input: Path | None = None,
    port: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=65535))] | None = None,
    seed: Annotated[int, Parameter(validator=validators.Number(gte=0, lt=2**32))] | None = None,
) -> None:
    """Ask people which of two restorations they prefer, on a page of this machine.

    For example:
      banet study --first results/banet --second results/other --out x.jsonl
      banet study --first a --second b --input blurred --out x.jsonl --port 8765
      banet study report x.jsonl

    Args:
        first: folder of one method's restored images.
        second: folder of the other's, of the same names.
        out: gets one line per choice; an existing study is resumed.
        input: folder of the blurred photographs, shown too.
        port: of the page; by default any that is free.
        seed: of orders and sides; by default drawn, and kept in the file.
    """
    from banet.progress import ProgressBar
    from banet.study.record import open_record
    from banet.study.server import Questions, StudyServer
    from banet.study.trials import read_photographs

    if out.is_dir() or not out.parent.is_dir():
        raise ConfigError(f"--out {out}: it must be a file in a folder that exists: name another")
    with ProgressBar("study", unit=" images") as bar:
        shown = read_photographs(first, second, input, on_progress=bar.to)
    count = len(shown.photographs)
    opened = open_record(out, a=str(first), b=str(second), images=count, digest=shown.digest, seed=seed)
    with opened as record, StudyServer(Questions(shown.photographs, record), port or 0) as server:
        text = _count(count, "photograph")
        if shown.left_out:
            text += f" (left out: {shown.left_out} that only one of the two folders holds)"
        if record.choices:
            text += f", {_count(len(record.choices), 'choice')} so far"
        print(f"{text}\nopen {server.url} in a browser of this machine; stop with Ctrl-C", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            print(
                f"\n{_count(len(record.choices), 'choice')} in {out}: the same command resumes the study, "
                f"`banet study report {out}` prints what they say"
            )


@study.command
def report(file: Path, /) -> None:
    """Print what people preferred, and how sure that is.

    For example:
      banet study report x.jsonl

    Args:
        file: the study, as `banet study --out` wrote it.
    """
    from banet.study.record import read_study

    print(format_report(read_study(file)))


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
