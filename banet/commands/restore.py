"""`banet deblur` and `banet explain`: one picture through a network."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, Token

from banet.commands.options import Positive, load_source

if TYPE_CHECKING:
    from banet.image import Image
    from banet.model.network import BANet


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
) -> None:
    """Restore one picture of any size.

    For example:
      banet deblur photo.jpg sharp.png
      banet deblur photo.jpg sharp.png --model models:/banet-mini@champion
      banet deblur photo.jpg sharp.png --model models/candidate --local-crop 256

    Args:
        photo: the blurred picture: PNG, JPEG, …, of 8 bits; a photograph is restored upright, in its own profile.
        out: the restored picture, in the format its ending names, e.g. sharp.png; lossless but for JPEG.
        model: a folder or a models:/ URI; by default the champion last promoted.
        local_crop: average strips over windows of a training crop of this side, pixels; by default as the model says.
        sub_images: restore eight sub-images separately and put them together, as SA* and BA* in Table 9.
    """
    from banet.inference import restore, restore_sub_images
    from banet.model.network import with_local_strips

    def restored(network: "BANet", image: "Image") -> "Image":
        chosen = network if local_crop is None else with_local_strips(network, local_crop)
        return restore_sub_images(chosen, image) if sub_images else restore(chosen, image)

    remedy = "make it smaller first" + ("" if sub_images else ", or add --sub-images")
    source, notes = _picture(photo, out, model, restored, remedy)
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
