"""Restoring a picture of any size: in one piece where memory allows it, else in pieces, with the same result."""

import tempfile
from pathlib import Path

import numpy.typing as npt
from torch import nn

from banet.errors import ResourceError
from banet.inference import P, require_array, restore_array
from banet.memory import bytes_per_pixel, is_too_little_memory
from banet.model.network import BANet
from banet.progress import OnProgress
from banet.restoring.budget import free_memory, resident_memory
from banet.restoring.piecewise import least_memory, restore_in_pieces

PIECE = 2**27  # bytes: larger pieces are not faster
BESIDE = 2**27  # bytes that torch takes when it first computes
HELD = 3  # times a piece's tensors: allocators keep what they got for others


def restore_any_size(
    model: BANet,
    image: npt.NDArray[P],
    *,
    in_one_piece: nn.Module | None = None,
    max_memory: int | None = None,
    folder: Path | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> npt.NDArray[P]:
    """Return the restored image, as `restore` does.

    Args:
        model: on a CPU or a GPU.
        image: RGB (H, W, 3), from 8x8 up: uint8, or float32 in [0, 1], whose result is not clamped.
        in_one_piece: what restores where memory allows one piece, e.g. `with_engine`; None: the model.
        max_memory: what this process may hold in all, bytes: resident on a CPU, allocated on a GPU; None: what is free.
            Features that do not fit in are kept in a file.
        folder: for that file; None: the system's for temporary files.
        on_progress: is told how much is done, if it is done in pieces.

    Raises:
        DataError: not a uint8 RGB image, or smaller than 8x8.
        ResourceError: too little memory, or space in the folder.
    """
    image = require_array(image)
    config, parameter = model.config, next(model.parameters())
    height, width, _ = image.shape
    free = free_memory(parameter.device, max_memory)
    # Half: the estimate may be off, onnxruntime takes half as much again, and others take memory too.
    if height * width * bytes_per_pixel(config) < free / 2 or config.attention == "sa":
        try:
            return restore_array(in_one_piece or model, image)
        except Exception as error:
            if config.attention == "sa" or not is_too_little_memory(error):
                raise
    features = height * width * config.channels * parameter.itemsize * 11 // 40  # a quarter, and a tenth for margins
    strips = 6 * sum(config.kernels) * (height + width) * config.channels
    left = free - strips - image.nbytes - BESIDE
    smallest = least_memory(model, height, width)
    largest = max(PIECE, 4 * smallest)  # for the large halos of local strips
    in_file = features + HELD * largest > left
    piece = min(largest, (left if in_file else left - features) // HELD)
    if piece < smallest:
        held, least, found = (
            f"{size / 2**30:.2f} GiB" for size in (resident_memory(), free + HELD * (smallest - piece), max(free, 0))
        )
        raise ResourceError(
            f"the image, {height}x{width} (height x width), needs {least} of memory beside the {held} that are taken, "
            f"{found} are left: allow or free more"
        )
    folder = Path(tempfile.gettempdir()) if folder is None else folder
    return restore_in_pieces(model, image, memory=piece, folder=folder if in_file else None, on_progress=on_progress)
