"""`banet deblur`: pictures and videos through a network."""

import os
import sys
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from cyclopts import Parameter, validators

from banet.commands.options import STANDARD, MemorySize, NamedModel, Place, Positive, load_source, numbers
from banet.engines.engine_names import Engine, named_version
from banet.errors import ConfigError, DataError, PartialError

if TYPE_CHECKING:
    from banet.progress import OnProgress
    from banet.restoring.batch import BatchOutcome, Start
    from banet.restoring.by_model import PictureOptions
    from banet.restoring.change import Change
    from banet.restoring.input_files import PictureFile


def deblur(
    given: Place,
    output: Place,
    /,
    *,
    model: str | None = None,
    quality: Annotated[int | None, Parameter(validator=validators.Number(gte=1, lte=100))] = None,
    compare: bool = False,
    report: Path | None = None,
    local_crop: Positive | None = None,
    sub_images: bool = False,
    max_memory: MemorySize | None = None,
    ray: Annotated[bool | None, Parameter(negative="--no-ray")] = None,
    column: str | None = None,
    encoder: str | None = None,
    crf: int | None = None,
    drop: Annotated[list[int] | None, Parameter(converter=numbers, n_tokens=1, metavar="N,N,…")] = None,
    engine: Engine = "torch",
) -> None:
    """Restore pictures of any size: one, a folder with its tree, all that match a pattern, or in tables; or a video.

    For example:
      banet deblur photo.jpg sharp.jpg
      banet deblur photos sharp --report changes.csv
      banet deblur 'photos/**/*.tif' sharp --compare --model models/candidate
      banet deblur panorama.tif sharp.png --max-memory 2GiB
      banet deblur pictures.parquet sharp.parquet
      banet deblur - -
      banet deblur clip.mp4 sharp.mp4 --encoder libx265 --crf 20

    Depth, grey, alpha, colour profile, EXIF data and XMP stay. In a folder, a bad picture does not stop the others, and
    what was done before with the same input, model and options is not done again. A Parquet table is copied with the
    columns `restored` and `error`. Of a video, sound, subtitles and chapters are copied; an interrupted run goes on
    where it was.

    Args:
        given: PNG, JPEG, WebP, TIFF, AVIF, HEIC, …, a Parquet table of such files, or a video; - is standard input.
        output: a file, in the format its ending names; a folder if there are several pictures; - is standard output.
        model: a folder or a models:/ URI; by default the champion last promoted.
        quality: of JPEG, HEIC, WebP and AVIF; by default a JPEG's own, 95 for others, and WebP and AVIF without loss.
        compare: also write NAME-compared beside each output: before and after, side by side.
        report: a table, e.g. changes.csv: how much each picture changed, and where.
        local_crop: average strips over windows of a training crop of this side, pixels; by default as the model says.
        sub_images: restore eight sub-images separately and put them together, as SA* and BA* in Table 9.
        max_memory: what the program may hold in memory, e.g. 2GiB; by default what is free. A picture that needs more
            is restored in pieces, with the same result; features that do not fit in are kept in a file beside OUTPUT.
        ray: spread a folder, or tables, over all machines of the Ray cluster that RAY_ADDRESS names, which is the
            default if it is set, or over the GPUs of this one.
        column: of a table: that of encoded images; by default the only one of bytes, or image, or bytes.
        encoder: of a video, by FFmpeg's name, e.g. libx265 or hevc_nvenc; by default one of the same codec.
        crf: quality of a video on the encoder's scale, 0 the best; by default one that shows no loss.
        drop: numbers of a video's streams to leave out, e.g. 2,3.
        engine: what runs the network; onnxruntime runs it on the CPU, faster than torch and equal but for rounding. It
            needs: pip install 'banet[export]'.
    """
    from banet.restoring.by_model import PictureOptions
    from banet.restoring.input_files import holds_tables, many_pictures
    from banet.restoring.video.restore import is_video

    named_version(engine)  # nothing begins without it
    pictures = PictureOptions(
        local_crop=local_crop,
        sub_images=sub_images,
        quality=quality,
        compare=compare,
        engine=engine,
        max_memory=max_memory,
    )
    clip, options = Path(given), _Options(model, pictures, report)
    if clip.is_file() and is_video(clip):
        if sub_images or compare or report or ray or quality is not None:
            raise ConfigError("--sub-images, --compare, --report, --ray and --quality are for pictures: leave them out")
        note = _video(clip, Path(output), options, encoder=encoder, crf=crf, drop=drop or ())
        print(f"{output}: restored by {note}")
        return
    if encoder or crf is not None or drop:
        raise ConfigError(f"--encoder, --crf and --drop are for videos, {given} is none: leave them out")
    if sub_images and max_memory is not None:
        raise ConfigError("--max-memory does not go with --sub-images, which restores each of them whole: drop one")
    over_ray = os.environ.get("RAY_ADDRESS") not in (None, "", "local") if ray is None else ray
    if holds_tables(given):
        _deblur_tables(given, Path(output), options, column, over_ray=over_ray)
        return
    if column is not None:
        raise ConfigError(f"--column is for Parquet tables, {given} holds none: leave it out")
    files = None if STANDARD in (given, output) else many_pictures(given, Path(output), compare=compare)
    if files is not None:
        _deblur_many(given, files, Path(output), options, over_ray=over_ray)
    elif ray:
        raise ConfigError(f"--ray is for many pictures, {given} is one: name a folder or a pattern, or leave it out")
    else:
        _deblur_one(given, output, options)


def _video(
    clip: Path,
    out: Path,
    options: "_Options",
    *,
    encoder: str | None,
    crf: int | None,
    drop: Collection[int],
) -> str:
    """Restore a video; return where the model is from, and how it was encoded."""
    import torch

    from banet.engines.engine_network import with_engine
    from banet.inference import fastest_device
    from banet.memory import enough_memory
    from banet.progress import ProgressBar
    from banet.restoring.video.frame import by_network
    from banet.restoring.video.restore import restore_video

    (network, source, digest), how = options.network(), options.pictures
    device = torch.device(fastest_device(gpus=how.engine == "torch"))
    in_one_piece = with_engine(network.to(device), how.engine, digest=digest)
    restore = by_network(network, in_one_piece=in_one_piece, max_memory=how.max_memory)
    engine = "" if how.engine == "torch" else f", {named_version(how.engine)}"
    with enough_memory(str(clip), "make it smaller first"), ProgressBar(clip.name, unit=" frames") as bar:
        note = restore_video(
            restore,
            clip,
            out,
            identity=f"{digest}, local_crop {how.local_crop}{engine}",
            device=device,
            encoder=encoder,
            crf=crf,
            drop=drop,
            on_progress=bar.to,
        )
    return f"{source}; {note}"


class _Options(NamedTuple):
    """Of `deblur`."""

    model: str | None
    pictures: "PictureOptions"
    report: Path | None = None

    def network(self) -> NamedModel:
        """Load the model."""
        from banet.model.network import with_local_strips

        found = load_source(self.model)
        if self.pictures.local_crop is not None:
            found = found._replace(network=with_local_strips(found.network, self.pictures.local_crop))
        return found

    def load(
        self, folder: Path | None = None, on_progress: "OnProgress" = lambda done, total: None
    ) -> tuple["Start", str]:
        """Load the model; return what starts it on a device, and where it is from."""
        from banet.progress import say
        from banet.restoring.by_model import by_model

        network, source, digest = self.network()
        if self.pictures.max_memory is not None and network.config.attention == "sa":
            say("self-attention takes the picture whole: --max-memory is not kept")
        named = source if source.startswith("models:") else Path(source).name
        start = by_model(network, self.pictures, name=named, digest=digest, folder=folder, on_progress=on_progress)
        return start, source


def _deblur_one(given: str, output: str, options: _Options) -> None:
    from banet.data.images.heif import require_output
    from banet.data.images.photograph import losses
    from banet.inference import fastest_device
    from banet.progress import ProgressBar, say
    from banet.restoring import batch

    out = None if output == STANDARD else Path(output)
    if out is None and options.pictures.compare:
        raise ConfigError("--compare writes a second picture, for which standard output has no place: name a file")
    if out is not None and out.is_dir():
        out /= Path(given).name
    if out is not None:
        require_output(out)
        if out.exists() and Path(given).exists() and out.samefile(given):
            raise DataError(f"{out} is the input itself, which would be lost: name another output")
    shown = "standard input" if given == STANDARD else given
    photograph = batch.read(_content(given), shown, None if out is None else out.suffix.lower())
    with ExitStack() as stack:
        bar = cache(lambda: stack.enter_context(ProgressBar(Path(shown).name, unit=" %")))  # in pieces alone
        start, source = options.load(
            None if out is None else out.parent, lambda done, total: bar().to(100 * done // (total or 1), 100)
        )
        what = start(fastest_device(), None)
        after = batch.restore(what, photograph, shown)
    ending = photograph.ending if out is None else out.suffix.lower()
    restored = batch.encode(what, photograph, after, ending)
    if out is None:
        sys.stdout.buffer.write(restored.content)
        sys.stdout.buffer.flush()
    else:
        batch.write(restored, out)
    if warning := restored.change.warning():
        say(f"{output}: {warning}")
    _write_report(options.report, {str(out or output): restored.change})
    notes = "".join(f"; {note}" for note in (*restored.notes, *losses(photograph, ending, options.pictures.quality)))
    print(f"{output}: restored by {source}{notes}", file=sys.stderr if out is None else sys.stdout)


def _content(given: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if given == STANDARD else Path(given).read_bytes()
    except OSError as error:
        raise DataError(f"{given} cannot be read ({error.strerror})") from None


def _deblur_many(given: str, pictures: "list[PictureFile]", folder: Path, options: _Options, *, over_ray: bool) -> None:
    from banet.inference import fastest_device
    from banet.progress import ProgressBar
    from banet.restoring.batch import restore_all

    start, source = options.load(None if over_ray else folder)
    with ProgressBar(given, unit=" pictures") as bar:
        if over_ray:
            from banet.restoring.spread_pictures import restore_over_ray

            outcome = restore_over_ray(start, pictures, folder, on_progress=bar.to, on_message=bar.say)
        else:
            what = start(fastest_device(), None)
            outcome = restore_all(what, pictures, folder, on_progress=bar.to, on_message=bar.say)
    _write_report(options.report, outcome.changes)
    _say_outcome(folder, outcome, source, len(pictures))


def _deblur_tables(given: str, output: Path, options: _Options, column: str | None, *, over_ray: bool) -> None:
    from banet.progress import ProgressBar
    from banet.restoring.tables.image_table import find_image_tables
    from banet.restoring.tables.restore_tables import restore_tables

    if options.pictures.compare or options.report:
        raise ConfigError(f"--compare and --report are for files of pictures, {given} holds tables: leave them out")
    tables = find_image_tables(given, output, column)
    folder = tables[0].file.target.parent if Path(given).is_file() else output
    start, source = options.load(None if over_ray else folder)
    with ProgressBar(given, unit=" pictures") as bar:
        outcome = restore_tables(
            start, tables, folder, column=column, over_ray=over_ray, on_progress=bar.to, on_message=bar.say
        )
    _say_outcome(output, outcome, source, sum(table.rows for table in tables))


def _say_outcome(output: Path, outcome: "BatchOutcome", source: str, pictures: int) -> None:
    from banet.progress import say

    before = f", {outcome.done_before} were done before" if outcome.done_before else ""
    notes = "".join(f"; {number}: {note}" for note, number in outcome.notes.items())
    print(f"{output}: {outcome.restored} restored by {source}{before}{notes}")
    if outcome.failures:
        for failure in outcome.failures:
            say(failure)
        raise PartialError(f"{len(outcome.failures)} of {pictures} pictures could not be restored, named above")


def _write_report(report: Path | None, changes: "Mapping[str, Change]") -> None:
    if report is None:
        return
    from banet.files import write_atomically, writing_to
    from banet.restoring.change import table

    with writing_to(report.parent):
        write_atomically(report, table(changes))
