"""`banet synthesize`: pairs of one folder of frames or photographs, as the fetch stage makes them of custom data."""

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, validators

from banet.commands.options import Positive, Size
from banet.data.custom_spec import MOST_AVERAGED, PAIRS, CustomSplit, Domain, Motion
from banet.errors import ConfigError, DataError

if TYPE_CHECKING:
    from banet.data.manifest import SynthesisParams
    from banet.data.pairs.prepare import PairPlan
    from banet.progress import OnProgress

# The second names of options are those of version 0.1.
Frames = Annotated[
    int,
    Parameter(name=("--frames", "--average"), validator=validators.Number(gte=2, lte=MOST_AVERAGED), group="Frames"),
]
Longest = Annotated[float, Parameter(validator=validators.Number(gt=0, lte=1000), group="Photographs")]
Seed = Annotated[int, Parameter(validator=validators.Number(gte=0, lt=2**64), group="Photographs")]


def synthesize(
    source: Path,
    out: Path,
    /,
    *,
    split: Literal["train", "test"] = "train",
    frames: Frames | None = None,
    average_in: Annotated[Domain | None, Parameter(name=("--average-in", "--light"))] = None,
    pairs: Annotated[Positive | None, Parameter(group="Photographs")] = None,
    seed: Seed | None = None,
    size: Annotated[Size | None, Parameter(group="Photographs")] = None,
    motion: Annotated[Motion | None, Parameter(group="Photographs")] = None,
    longest: Longest | None = None,
) -> None:
    """Make blurred and sharp pairs of high-speed frames or of sharp photographs, in GoPro's layout.

    For example:
      banet synthesize clips pairs --frames 11
      banet synthesize video.mp4 pairs.zip --frames 7 --average-in linear
      banet synthesize photographs pairs --pairs 8 --seed 1
      banet synthesize photographs pairs --motion arc --average-in encoded

    Args:
        source: a folder of clips (videos, folders of frames), a video, or a folder of sharp photographs.
        out: a new folder, or a ZIP if it ends in .zip.
        split: which split the pairs belong to.
        frames: the blurred picture is the average of this many, the sharp one is the middle frame.
        average_in: encoded averages the levels, as GoPro's blur; linear averages light, as its blur_gamma. By default
            encoded for frames, linear for photographs.
        pairs: of each photograph and each of three lengths of blur; by default 4.
        seed: the same seed makes the same pairs; by default 0.
        size: of each picture, height x width, pixels; by default 256x256.
        motion: walk is a restless hand, arc a steady motion, as in most blurred photographs; by default walk.
        longest: the longest camera path, pixels; by default 60. The three lengths of blur keep their proportions.
    """
    from banet.data.images.image_files import VIDEOS
    from banet.progress import ProgressBar

    require_new(out)
    if frames is None:
        if source.suffix.lower() in VIDEOS:
            raise DataError(f"{source} is a video: say how many frames are averaged, --frames 11")
        where = CustomSplit(photographs=str(source), pairs=pairs or PAIRS)
    else:
        _refuse({"--pairs": pairs, "--seed": seed, "--size": size, "--motion": motion, "--longest": longest})
        where = CustomSplit(frames=str(source), average=frames, light=average_in or "encoded")
    params = _params(
        longest, seed=seed, height=size and size[0], width=size and size[1], motion=motion, light=average_in
    )
    plan = custom_plan(where, split, params)
    with ProgressBar(str(out)) as bar:
        done = write(plan, out, on_progress=bar.to)
    print(f"{out}: {done} pairs")


def _refuse(options: dict[str, object]) -> None:
    if given := [f"{name} {value}" for name, value in options.items() if value is not None]:
        raise ConfigError(f"{given[0]} is for photographs: leave out --frames")


def _params(longest: float | None, **options: object) -> "SynthesisParams":
    from banet.data.manifest import SynthesisParams

    params = SynthesisParams()
    given = {name: value for name, value in options.items() if value is not None}
    if longest is not None:
        scale = longest / max(span[1] for span in params.strata.values())
        given["strata"] = {name: (span[0] * scale, span[1] * scale) for name, span in params.strata.items()}
    return replace(params, **given)  # type: ignore[arg-type]


def custom_plan(where: CustomSplit, split: str, params: "SynthesisParams") -> "PairPlan":
    """Plan the pairs of one folder as the fetch stage plans those of a manifest with nothing else in it.

    Raises:
        DataError: what is wrong with the clips or photographs.
    """
    from banet.data.manifest import Benchmark
    from banet.data.names import TEST
    from banet.data.pairs.prepare import plan_custom

    layout: Literal["frames", "photographs"] = "frames" if where.frames else "photographs"
    synthesis = params if layout == "photographs" else None
    # as test pairs: a manifest without any would not be accepted
    plan = plan_custom(Benchmark(name="pairs", layout=layout, splits={TEST: where}, synthesis=synthesis), Path())
    return replace(plan, tasks=(replace(task, split=split) for task in plan.tasks))


def require_new(out: Path) -> None:
    """Check an output before any work is done for it.

    Raises:
        DataError: it is there already and not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is there already: name a new folder or .zip, or remove it first")


def write(plan: "PairPlan", out: Path, *, on_progress: "OnProgress | None" = None) -> int:
    """Write pairs into a folder, or a ZIP by its name, whole or not at all; return how many there are.

    Raises:
        DataError: what is wrong with a picture, or with the output.
        ResourceError: the disk is full, or cannot be written.
    """
    from banet.data.pairs.pair_writer import add_to_folder, write_pairs
    from banet.data.pairs.prepare import write_zip
    from banet.files import whole_file, whole_folder, writing_to

    require_new(out)
    zipped = out.suffix.lower() == ".zip"
    opened: AbstractContextManager[Path] = whole_file(out) if zipped else whole_folder(out)
    with writing_to(out.parent), opened as partial:
        if zipped:
            return write_zip(partial, plan, root=out.stem, on_progress=on_progress)
        return write_pairs(plan.tasks, add_to_folder(partial), total=plan.total, on_progress=on_progress)
