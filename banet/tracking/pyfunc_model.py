"""The program inside a registered version: MLflow runs this file when it logs and when it loads one.

It is never imported: MLflow's models-from-code runs it instead of unpickling an object. A version carries this file,
the modules of `banet` that it imports (`code/`), and the weights (`artifacts/weights/`).
"""

import base64
from pathlib import Path

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel, PythonModelContext

from banet.data.images.codec import decode_picture, encode_png
from banet.errors import DataError
from banet.image import Image, require_image
from banet.inference import restore
from banet.memory import enough_memory
from banet.model.network import BANet
from banet.model.weights import load_weights

MOST_PIXELS = 2**25  # of an encoded image: a file of a few kilobytes may claim many more
_TOO_LARGE = "make it smaller, or restore it in parts"


class Restoring:
    """Restores an image or a list of images, and returns arrays for arrays and PNG bytes for encoded images.

    An image is a uint8 RGB array (H, W, 3) or what numpy makes one of, or a PNG or JPEG file as bytes or as base64
    text, which JSON for a scoring server contains. Sizes may differ within a list. A file has at most 33.5 megapixels;
    its colour profile and EXIF data are kept.

    `predict` is not defined in the body of a subclass of `PythonModel`: MLflow would check it against its type hint and
    accept lists alone. A declared signature would turn a bare array into a data frame.
    """

    model: BANet

    def predict(
        self, context: PythonModelContext, model_input: list[bytes | np.ndarray]
    ) -> list[bytes | np.ndarray] | bytes | np.ndarray:
        """Restore one image, or each of a list."""
        if isinstance(model_input, list):
            return [self._one(image) for image in model_input]
        return self._one(model_input)

    def _one(self, image: Image | bytes | str) -> Image | bytes:
        if isinstance(image, str):
            try:
                image = base64.b64decode(image)
            except ValueError:
                raise DataError("the image is text but not base64: give the bytes of a PNG or JPEG file") from None
        if isinstance(image, bytes | bytearray | memoryview):
            with enough_memory("the image", _TOO_LARGE):
                picture = decode_picture(bytes(image), "the image", most_pixels=MOST_PIXELS)
            return encode_png(self._restored(picture.pixels), profile=picture.profile, exif=picture.exif)
        return self._restored(require_image(image))

    def _restored(self, image: Image) -> Image:
        with enough_memory("the image", _TOO_LARGE, size=image.shape, config=self.model.config):
            return restore(self.model, image)


class ModelOfRecord(Restoring, PythonModel):  # type: ignore[misc]  # mlflow has no types
    """A trained network behind MLflow's pyfunc interface.

    It runs on the CPU, unless `mlflow.pyfunc.load_model(…, model_config={"device": "cuda"})` names another device.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the version's weights."""
        device = context.model_config["device"]
        self.model = load_weights(Path(context.artifacts["weights"])).to(device)


mlflow.models.set_model(ModelOfRecord())
