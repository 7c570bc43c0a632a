"""Too little memory, told in one line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from banet.errors import BanetError, ResourceError
from banet.model.network_config import BANetConfig

# Torch on a CPU and on a GPU, oneDNN, numpy, OpenCV and C++ each say it with an error and in words of their own.
_TOLD = re.compile(
    "not enough memory|allocate memory|insufficient memory|out of memory|unable to allocate|bad_alloc"
    "|could not create a (primitive|memory)|ALLOC_FAILED",
    re.IGNORECASE,
)


@contextmanager
def enough_memory(
    what: str, remedy: str, *, size: tuple[int, ...] | None = None, config: BANetConfig | None = None
) -> Iterator[None]:
    """Turn every library's error of too little memory into one line.

    Args:
        what: the picture that is worked on.
        remedy: what to do.
        size: height and width of the picture, pixels, if they are known; more dimensions are left out.
        config: of the network that restores the picture, if one does.

    Raises:
        ResourceError: there was too little memory.
    """
    try:
        yield
    except BanetError:
        raise
    except Exception as error:
        if not is_too_little_memory(error):
            raise
        named = f"{what}, {size[0]}x{size[1]} (height x width)," if size else what
        need = "more memory than there is"
        if size and config:
            need = f"about {size[0] * size[1] * bytes_per_pixel(config) / 2**30:.1f} GiB of memory, more than there is"
        raise ResourceError(f"{named} needs {need}: {remedy}") from None


def is_too_little_memory(error: Exception) -> bool:
    """Whether a library says that memory ran out."""
    return isinstance(error, MemoryError) or _TOLD.search(str(error)) is not None


def bytes_per_pixel(config: BANetConfig) -> float:
    """Return about how much memory restoring in float32 takes per pixel of the picture.

    Fitted to peaks measured on a CPU, within 15 %: 540 for banet_mini, 1230 for banet, 1480 for banet_plus.
    """
    return 300 + 11 * config.stem_channels + 2.5 * config.channels
