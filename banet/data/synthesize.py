"""`banet synthesize`: pairs of one folder of frames or photographs, as the fetch stage makes them of own data."""

from contextlib import AbstractContextManager
from pathlib import Path

from banet.data.benchmark import BLUR, SynthesisParams
from banet.data.frames import clip_tasks, count_pairs, find_clips
from banet.data.layouts import SHARP
from banet.data.own_data import Plan, write_zip
from banet.data.pair_archive import Report, add_to_folder, write_pairs
from banet.data.photographs import find_photographs, photograph_tasks, require_usable
from banet.data.pictures import VIDEOS
from banet.data.splits import PAIRS, Domain, require_average
from banet.errors import ConfigError, DataError
from banet.files import whole_file, whole_folder, writing_to


def frames_plan(place: Path, split: str, *, average: int, light: Domain) -> Plan:
    """Say what pairs the clips of a folder, or one video, give.

    Raises:
        ConfigError: too few or too many frames to average.
        DataError: what is wrong with the clips.
    """
    require_average(average)
    clips = find_clips(place, average)
    tasks = (task for clip in clips for task in clip_tasks(clip, split, count=average, light=light, blur=BLUR))
    return Plan(total=count_pairs(clips, average), tasks=tasks)


def photographs_plan(place: Path, split: str, params: SynthesisParams, *, pairs: int = PAIRS) -> Plan:
    """Say what pairs the photographs of a folder give, `pairs` of each and each stratum.

    Raises:
        ConfigError: less than one pair.
        DataError: what is wrong with the photographs.
    """
    if pairs < 1:
        raise ConfigError(f"pairs must be at least 1, got {pairs}")
    if place.suffix.lower() in VIDEOS:
        raise DataError(f"{place} is a video: say how many frames are averaged, --average 11")
    photographs = find_photographs(place)
    require_usable(photographs, params)
    tasks = photograph_tasks(photographs, params, split, pairs=pairs, kinds=(BLUR, SHARP))
    return Plan(total=len(photographs) * len(params.strata) * pairs, tasks=tasks)


def require_new(out: Path) -> None:
    """Check an output before any work is done for it.

    Raises:
        DataError: it is there already and not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is there already: name a new folder or .zip, or remove it first")


def write(plan: Plan, out: Path, *, report: Report | None = None) -> int:
    """Write pairs into a folder, or a ZIP by its name, whole or not at all; return how many there are.

    Raises:
        DataError: what is wrong with a picture, or with the output.
        ResourceError: the disk is full, or cannot be written.
    """
    require_new(out)
    zipped = out.suffix.lower() == ".zip"
    opened: AbstractContextManager[Path] = whole_file(out) if zipped else whole_folder(out)
    with writing_to(out.parent), opened as partial:
        if zipped:
            return write_zip(partial, plan, root=out.stem, report=report)
        return write_pairs(plan.tasks, add_to_folder(partial), total=plan.total, report=report)
