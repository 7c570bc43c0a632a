"""The program inside a registered version: MLflow runs this file when it logs and when it loads one.

It is never imported: MLflow's models-from-code runs it instead of unpickling an object. A version carries this file,
the modules of `banet` that it imports (`code/`), and the weights (`artifacts/weights/`).
"""

import base64
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel, PythonModelContext
from torch import nn

from banet.data.images.codec import decode_picture, encode_png
from banet.data.served.picture_features import PictureFeatures, picture_features
from banet.data.served.served_log import ServedLog
from banet.errors import BanetError, DataError
from banet.image import SMALLEST, Image, require_image
from banet.memory import enough_memory
from banet.model.digest import weights_digest
from banet.model.network import BANet
from banet.model.weights import load_weights
from banet.restoring.any_size import restore_any_size

MOST_PIXELS = 2**25  # of an encoded image: a file of a few kilobytes may claim many more
MOST_BYTES = 2**27  # of all encoded images of one call
TIMEOUT = "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"  # seconds, in the environment of `mlflow models serve`
SERVED_LOG = "BANET_SERVED_LOG"  # in that environment too: a folder that gets a row for each picture (`banet drift`)
_SHARE = 0.9  # of that time; then MLflow answers by itself and lets its thread compute on
_TOO_LARGE = "make it smaller, or restore it in parts"


class RefusedError(DataError, MlflowException):  # type: ignore[misc]  # mlflow has no types
    """What a scoring server answers with status 400 and this one line, without the request, which MLflow would add."""

    def __init__(self, line: str) -> None:
        super().__init__(line, error_code=INVALID_PARAMETER_VALUE)  # type: ignore[call-arg]  # MlflowException's

    @property
    def message(self) -> str:
        """The line."""
        return str(self)

    @message.setter
    def message(self, _: str) -> None:
        pass


class Restoring:
    """Restores an image or a list of images, and returns arrays for arrays and PNG bytes for encoded images.

    An image is a uint8 RGB array (H, W, 3) or what numpy makes one of, or a PNG, JPEG, … file as bytes or as base64
    text, which JSON for a scoring server contains; pixels in JSON are nested lists of whole numbers from 0 to 255.
    Sizes may differ within a list. A file has at most 33.5 megapixels, all of a call 128 MiB; colour profile and EXIF
    data are kept. One call computes at a time, in pieces where memory is short; others wait. In a scoring server, a
    call ends before MLflow gives it up.

    `predict` is not defined in the body of a subclass of `PythonModel`: MLflow would check it against its type hint and
    accept lists alone. A declared signature would turn a bare array into a data frame.
    """

    model: BANet
    _alone = threading.Lock()
    _seconds = _end = float("inf")
    _log: ServedLog | None = None
    _digest = ""  # of the weights
    _features: PictureFeatures | None = None  # of the picture in work

    def predict(
        self, context: PythonModelContext, model_input: list[bytes | np.ndarray]
    ) -> list[bytes | np.ndarray] | bytes | np.ndarray:
        """Restore one image, or each of a list."""
        images = model_input if isinstance(model_input, list) else [model_input]
        try:
            held = sum(len(image) for image in images if isinstance(image, str | bytes))
            if held > MOST_BYTES:
                raise DataError(f"the images have {held / 2**20:.0f} MiB, more than {MOST_BYTES >> 20}: send fewer")
            with self._in_time():
                restored = [self._logged(image) for image in images]
        except BanetError as error:
            raise RefusedError(str(error)) from None
        return restored if isinstance(model_input, list) else restored[0]

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        seconds = _SHARE * float(os.environ.get(TIMEOUT, "inf"))
        end = time.monotonic() + seconds
        if not self._alone.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            raise DataError(f"other images took all of the {seconds:.0f} s that a request has: send it again later")
        try:
            self._seconds, self._end = seconds, end
            yield
        finally:
            self._alone.release()

    def _require_time(self, *_: object) -> None:
        if time.monotonic() > self._end:
            raise DataError(f"restoring takes longer than the {self._seconds:.0f} s that a request has: {_TOO_LARGE}")

    def watch(self, network: nn.Module) -> None:
        """Look at the clock before every layer of a network."""
        for module in network.modules():
            module.register_forward_pre_hook(self._require_time)

    def log_served(self, folder: Path, weights: Path) -> None:
        """Keep a row of each picture in a folder of logs."""
        self._log, self._digest = ServedLog(folder), weights_digest(weights)

    def _logged(self, image: Image | bytes | str | list[object]) -> Image | bytes:
        if self._log is None:
            return self._one(image)
        self._features, status = None, 500
        try:
            restored, status = self._one(image), 200
        except BanetError:
            status = 400
            raise
        finally:
            self._log.add(self._features, status=status, model=self._digest)
        return restored

    def _one(self, image: Image | bytes | str | list[object]) -> Image | bytes:
        if isinstance(image, str):
            try:
                image = base64.b64decode(image)
            except ValueError:
                raise DataError("the image is text but not base64: give the bytes of a PNG or JPEG file") from None
        if isinstance(image, list):
            image = _from_json(image)
        if isinstance(image, bytes | bytearray | memoryview):
            with enough_memory("the image", _TOO_LARGE):
                picture = decode_picture(bytes(image), "the image", most_pixels=MOST_PIXELS)
            return encode_png(self._restored(picture.pixels), profile=picture.profile, exif=picture.exif)
        return self._restored(require_image(image))

    def _restored(self, image: Image) -> Image:
        if self._log is not None and min(image.shape[:2]) >= SMALLEST:
            self._features = picture_features(image)
        with enough_memory("the image", _TOO_LARGE, size=image.shape, config=self.model.config):
            return restore_any_size(self.model, image)


def _from_json(image: list[object]) -> Image:
    try:
        pixels = np.array(image)
    except ValueError:
        raise DataError("the image's rows are of unequal lengths: give (H, W, 3), or a PNG as base64") from None
    if pixels.dtype.kind != "i" or pixels.min() < 0 or pixels.max() > 255:
        raise DataError("the image must be whole numbers from 0 to 255, (H, W, 3), or a PNG as base64 text")
    return pixels.astype(np.uint8)


class ModelOfRecord(Restoring, PythonModel):  # type: ignore[misc]  # mlflow has no types
    """A trained network behind MLflow's pyfunc interface.

    It runs on the CPU, unless `mlflow.pyfunc.load_model(…, model_config={"device": "cuda"})` names another device.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the version's weights."""
        device = context.model_config["device"]
        weights = Path(context.artifacts["weights"])
        self.model = load_weights(weights).to(device)
        self.watch(self.model)
        if folder := os.environ.get(SERVED_LOG):
            self.log_served(Path(folder), weights)


mlflow.models.set_model(ModelOfRecord())
