"""`banet deblur` and `banet explain`: one picture through a network."""

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, Token

from banet.commands.options import Positive, load_source
from banet.errors import ConfigError

if TYPE_CHECKING:
    from banet.image import Image
    from banet.model.network import BANet


_SIZES = re.compile(r"(\d+(?:\.\d+)?) ?([kMGT])(i?)B?", re.IGNORECASE)


def _bytes(_: object, tokens: Sequence[Token]) -> int:
    text = tokens[0].value
    found = _SIZES.fullmatch(text)
    if found is None or not float(found[1]):
        raise ValueError(f"{text!r} is no size of memory: write 2GiB or 500MB.")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** ("kmgt".index(found[2].lower()) + 1))


def _numbers(_: object, tokens: Sequence[Token]) -> list[int]:
    text = tokens[0].value
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise ValueError(f"{text!r} is no list of numbers: write 1,5,10.") from None


def deblur(
    photo: Path,
    out: Path,
    /,
    *,
    model: str | None = None,
    local_crop: Positive | None = None,
    sub_images: bool = False,
    max_memory: Annotated[int | None, Parameter(converter=_bytes, n_tokens=1, metavar="SIZE")] = None,
) -> None:
    """Restore one picture of any size.

    For example:
      banet deblur photo.jpg sharp.png
      banet deblur photo.jpg sharp.png --model models:/banet-mini@champion
      banet deblur photo.jpg sharp.png --model models/candidate --local-crop 256
      banet deblur panorama.tif sharp.png --max-memory 2GiB

    Args:
        photo: the blurred picture: PNG, JPEG, …, of 8 bits; a photograph is restored upright, in its own profile.
        out: the restored picture, in the format its ending names, e.g. sharp.png; lossless but for JPEG.
        model: a folder or a models:/ URI; by default the champion last promoted.
        local_crop: average strips over windows of a training crop of this side, pixels; by default as the model says.
        sub_images: restore eight sub-images separately and put them together, as SA* and BA* in Table 9.
        max_memory: what the program may hold in memory, e.g. 2GiB; by default what is free. A picture that needs more
            is restored in pieces, with the same result; features that do not fit in are kept in a file beside `out`.
    """
    from banet.inference import restore_sub_images
    from banet.model.network import with_local_strips
    from banet.progress import ProgressBar, say
    from banet.restoring.any_size import restore_any_size

    if sub_images and max_memory is not None:
        raise ConfigError("--max-memory does not go with --sub-images, which restores each of them whole: drop one")

    def restored(network: "BANet", image: "Image") -> "Image":
        chosen = network if local_crop is None else with_local_strips(network, local_crop)
        if sub_images:
            return restore_sub_images(chosen, image)
        if max_memory is not None and chosen.config.attention == "sa":
            say("self-attention takes the picture whole: --max-memory is not kept")
        with ExitStack() as stack:
            bar = cache(lambda: stack.enter_context(ProgressBar(photo.name, unit=" %")))  # in pieces alone
            return restore_any_size(
                chosen,
                image,
                max_memory=max_memory,
                folder=out.parent,
                on_progress=lambda done, total: bar().to(100 * done // (total or 1), 100),
            )

    source, notes = _picture(photo, out, model, restored, "make it smaller first")
    print(f"{out}: restored by {source}{notes}")


def explain(
    photo: Path,
    out: Path,
    /,
    *,
    model: str | None = None,
    modules: Annotated[list[int] | None, Parameter(converter=_numbers, n_tokens=1, metavar="N,N,…")] = None,
) -> None:
    """Draw what attention sees in a picture: masks, attended features, strips.

    For example:
      banet explain photo.jpg attention.png
      banet explain photo.jpg sheet.png --model models/candidate --modules 1,5,10

    Args:
        photo: the blurred picture: PNG, JPEG, …, of 8 bits.
        out: the sheet of panels, e.g. attention.png.
        model: a folder or a models:/ URI; by default the champion last promoted.
        modules: numbers from 1, e.g. 1,5,10; by default the first, the middle and the last.
    """
    from banet.analysis.explain import explain

    def sheet(network: "BANet", image: "Image") -> "Image":
        return explain(network, image, modules=modules)

    source, notes = _picture(photo, out, model, sheet, "make it smaller first", of_picture=False)
    print(f"{out}: what attention sees in {photo}, by {source}{notes}")


def _picture(
    photo: Path,
    out: Path,
    model: str | None,
    work: Callable[["BANet", "Image"], "Image"],
    too_large: str,
    *,
    of_picture: bool = True,
) -> tuple[str, str]:
    """Write what `work` makes of a picture; return where the model is from, and what else there is to say.

    Args:
        photo: the picture.
        out: the file to write.
        model: as for `deblur`.
        work: makes the output's pixels.
        too_large: the remedy if the memory does not suffice.
        of_picture: whether the output shows the picture and gets its colour profile and EXIF data.

    Raises:
        BanetError: one line that names the file or the model.
    """
    from banet.data.images.codec import loss, read_picture, require_writable, write_image
    from banet.memory import enough_memory

    with enough_memory(str(photo), too_large):
        picture = read_picture(photo)
    profile, exif = (picture.profile, picture.exif) if of_picture else (b"", b"")
    require_writable(out, profile=profile)  # before any work is done for it
    network, source = load_source(model)
    with enough_memory(str(photo), too_large, size=picture.pixels.shape, config=network.config):
        write_image(out, work(network, picture.pixels), profile=profile, exif=exif)
    converted = f"{photo} was {picture.converted}" if picture.converted else ""
    return source, "".join(f"; {note}" for note in (converted, loss(out)) if note)
