"""Too little memory: every library's way to tell it becomes one line, and nothing else does."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch

from banet.errors import DataError, ResourceError
from banet.memory import bytes_per_pixel, enough_memory
from banet.model.network_config import BANetConfig

TOO_MANY = 10**15  # bytes


def of_torch() -> object:
    return torch.empty(TOO_MANY, dtype=torch.uint8)


def of_numpy() -> object:
    return np.empty(TOO_MANY, np.uint8)


def of_opencv() -> object:
    side = 10**6
    return cv2.copyMakeBorder(np.zeros((2, 2), np.uint8), side, side, side, side, cv2.BORDER_CONSTANT)


def of_python() -> object:
    return bytes(TOO_MANY)


def of_a_gpu() -> object:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nmore")


@pytest.mark.parametrize("allocate", [of_torch, of_numpy, of_opencv, of_python, of_a_gpu])
def test_each_librarys_error_becomes_one_line(allocate: Callable[[], object]) -> None:
    with pytest.raises(ResourceError) as caught, enough_memory("a.png", "make it smaller", size=(4000, 6000, 3)):
        allocate()
    said = "a.png, 4000x6000 (height x width), needs more memory than there is: make it smaller"
    assert str(caught.value) == said


def test_the_need_is_told_where_a_network_is_known() -> None:
    config = BANetConfig()
    with (
        pytest.raises(ResourceError, match=r"needs about 29\.6 GiB of memory"),
        enough_memory("a.png", "x", size=(4000, 6000), config=config),
    ):
        raise MemoryError
    assert bytes_per_pixel(config) == 300 + 11 * 64 + 2.5 * 128


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), DataError("a.png: out of memory")])
def test_other_errors_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, enough_memory("a.png", "make it smaller"):
        raise error
    assert caught.value is error
