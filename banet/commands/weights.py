"""`banet info`, `explain`, `import-checkpoint`, `export-checkpoint`, `export`: a look into a network; its weights."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from banet.commands.options import Size, load_source, numbers
from banet.errors import ModelError


def info(
    model: str | None = None,
    /,
    *,
    device: str = "cpu",
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    size: Size = (256, 256),
) -> None:
    """Say what a model costs: parameters, GMACs, receptive field, memory, latency.

    For example:
      banet info models/candidate
      banet info conf/model/banet_plus.yaml
      banet info models/candidate --device cuda --dtype bfloat16 --size 720x1280

    Args:
        model: a folder, a models:/ URI, or a file of conf/model/; by default the champion last promoted.
        device: where the latency is measured: cpu, cuda, cuda:1.
        dtype: of weights and image.
        size: of the timed image, height x width, pixels.
    """
    import torch

    from banet.analysis.profile import describe
    from banet.config import read_model_config
    from banet.model.network import BANet

    if model and model.endswith((".yaml", ".yml")):
        network, source = BANet(read_model_config(Path(model))), f"{model}, weights at random"
    else:
        network, source, _ = load_source(model)
    costs = describe(network, device=device, dtype=getattr(torch, dtype), latency_size=size)
    print(f"{source}\n{costs}")


def import_checkpoint(file: Path, out: Path, /, *, key: str | None = None) -> None:
    """Make a model of a checkpoint that the authors released, or that their code has trained.

    For example:
      banet import-checkpoint BANet.pth models/released
      banet import-checkpoint net_g_latest.pth models/trained --key params

    Args:
        file: of torch.save (.pth, .pt, .ckpt) or .safetensors; nothing in it is unpickled but weights.
        out: a new folder for weights and configuration.
        key: which weights, where the file holds several; by default averaged ones such as params_ema.
    """
    from banet.files import whole_folder
    from banet.model import checkpoint
    from banet.model.weights import save_weights

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ModelError(f"{out} is there already: name a new folder, or remove it first")
    said: list[str] = []
    network = checkpoint.import_checkpoint(file, key=key, on_message=said.append)
    try:
        with whole_folder(out) as folder:
            digest = save_weights(network, folder)
    except OSError as error:
        raise ModelError(f"{out} cannot be written ({error.strerror}): name another folder") from None
    config = network.config
    result = f"{out}: {config.name}, {config.modules} modules of {config.channels} channels, digest {digest[:12]}"
    print(result, *said, sep="\n")


def export_checkpoint(model: str, file: Path, /) -> None:
    """Write a model as a checkpoint that the released code reads.

    For example:
      banet export-checkpoint models/candidate BANet.pth

    Args:
        model: a folder or a models:/ URI.
        file: the .pth file.
    """
    from banet.model import checkpoint

    network, source, _ = load_source(model)
    checkpoint.export_checkpoint(network, file)
    print(f"{file}: the weights of {source} under the released names, for BGR images")


def export(model: str, file: Path, /, *, dtype: Literal["float32", "float16"] = "float32") -> None:
    """Write a model for other runtimes: ONNX, or an archive of torch.export.

    For example:
      banet export models/candidate banet.onnx
      banet export models:/banet-gopro@champion banet.pt2
      banet export models/candidate half.onnx --dtype float16

    Args:
        model: a folder or a models:/ URI.
        file: ends in .onnx or .pt2; it takes images of any size from 8x8 up, and is checked at eight sizes.
        dtype: of weights and arithmetic; float16 halves the file. Input and output are float32.
    """
    from banet.engines.export import CHECKED, export_network, require_exportable, smallest_side

    require_exportable(file)
    network, source, digest = load_source(model)
    difference = export_network(network, file, digest=digest, source=source, precision=dtype)
    smallest = smallest_side(network.config)
    print(
        f"{file}: {source} in {dtype}, digest {digest[:12]}, for images from {smallest}x{smallest} up; "
        f"differs from torch by at most {difference:.1g} of 1 at {len(CHECKED)} sizes"
    )


def explain(
    photo: Path,
    out: Path,
    /,
    *,
    model: str | None = None,
    modules: Annotated[list[int] | None, Parameter(converter=numbers, n_tokens=1, metavar="N,N,…")] = None,
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
    from banet.analysis import explain as drawing
    from banet.data.images.codec import loss, read_picture, require_writable, write_image
    from banet.memory import enough_memory

    remedy = "make it smaller first"
    with enough_memory(str(photo), remedy):
        picture = read_picture(photo)
    require_writable(out)  # before any work is done for it
    network, source, _ = load_source(model)
    with enough_memory(str(photo), remedy, size=picture.pixels.shape, config=network.config):
        write_image(out, drawing.explain(network, picture.pixels, modules=modules))
    converted = f"{photo} was {picture.converted}" if picture.converted else ""
    notes = "".join(f"; {note}" for note in (converted, loss(out)) if note)
    print(f"{out}: what attention sees in {photo}, by {source}{notes}")
