"""The registered model behind MLflow's own scoring application, as `mlflow models serve` runs it."""

import base64
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.ImageCms
import pyarrow.parquet as pq
import pytest

from banet.data.images.codec import decode_picture, encode_png
from banet.data.served.picture_features import picture_features
from banet.inference import restore
from banet.model.digest import weights_digest
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import load_weights, save_weights
from banet.tracking.pyfunc_package import save_pyfunc

if TYPE_CHECKING:
    from starlette.testclient import TestClient

TIMEOUT = "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 33, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple["TestClient", BANet]]:
    """The application over a tiny network, and the network."""
    folder = tmp_path_factory.mktemp("served")
    save_weights(BANet(BANetConfig(stem_channels=2, channels=4, modules=1, fusion_channels=2)), folder / "weights")
    model = save_pyfunc(folder / "weights", folder / "saved", model_id="m-1", run_id="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")  # the application sets it, for good
        from mlflow.pyfunc import scoring_server
        from starlette.testclient import TestClient

        app = scoring_server.init(scoring_server.load_model_with_mlflow_config(str(model)))
        with TestClient(app) as client:
            yield client, load_weights(folder / "weights")


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_bytes_give_bytes_and_arrays_arrays(served: tuple["TestClient", BANet]) -> None:
    client, model = served
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    inputs = [encoded(encode_png(IMAGE, profile=profile)), IMAGE[:9, :8].tolist()]
    answer = client.post("/invocations", json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    png, pixels = answer.json()["predictions"]
    picture = decode_picture(base64.b64decode(png), "the answer")
    assert np.array_equal(picture.pixels, restore(model, IMAGE))
    assert picture.profile == profile
    assert np.array_equal(np.array(pixels), restore(model, IMAGE[:9, :8]))


def bomb() -> str:
    """A header that claims 40,000 x 40,000 pixels."""
    png = encode_png(IMAGE)
    header = b"IHDR" + (40000).to_bytes(4) * 2 + png[24:29]
    return encoded(png[:12] + header + zlib.crc32(header).to_bytes(4) + png[33:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (lambda: encoded(encode_png(IMAGE)[:-200]), "damaged"),
        (lambda: encoded(b"no image"), "not an image"),
        (bomb, "megapixels"),
        (lambda: "A" * (2**27 + 4), "more than 128"),
        (lambda: [[[1, 2, 3], [4]]], "unequal lengths"),
        (lambda: [[[1, 2, 256]]], "whole numbers from 0 to 255"),
        (lambda: [[[0.5, 0.5, 0.5]]], "whole numbers from 0 to 255"),
        (IMAGE[:7].tolist, "from 8x8 up"),
    ],
)
def test_what_cannot_be_restored_is_a_400_with_its_reason_alone(
    image: Callable[[], Any], reason: str, served: tuple["TestClient", BANet]
) -> None:
    client, _ = served
    answer = client.post("/invocations", json={"inputs": [image()]})
    assert answer.status_code == 400
    said = answer.json()
    assert reason in said["message"], said
    assert len(answer.text) < 1000  # neither the request nor a traceback
    assert client.get("/health").status_code == 200


def test_a_request_that_takes_too_long_ends_before_the_server_s_own_limit(
    served: tuple["TestClient", BANet], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = served
    monkeypatch.setenv(TIMEOUT, "1e-6")
    answer = client.post("/invocations", json={"inputs": [IMAGE.tolist()]})
    assert answer.status_code == 400
    assert "takes longer than the" in answer.json()["message"]
    monkeypatch.delenv(TIMEOUT)
    assert client.post("/invocations", json={"inputs": [IMAGE.tolist()]}).status_code == 200


def test_what_is_served_is_logged_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights"
    save_weights(BANet(BANetConfig(stem_channels=2, channels=4, modules=1, fusion_channels=2)), weights)
    saved = save_pyfunc(weights, tmp_path / "saved", model_id="m-1", run_id="")
    monkeypatch.setenv("BANET_SERVED_LOG", str(tmp_path / "log"))
    from mlflow.pyfunc import load_model

    model = load_model(str(saved))
    answers = model.predict([encode_png(IMAGE), IMAGE[:9, :8]])
    assert len(answers) == 2
    with pytest.raises(Exception, match="damaged"):
        model.predict([encode_png(IMAGE)[:-200]])
    model.unwrap_python_model()._log.close()
    rows = pq.read_table(tmp_path / "log").to_pylist()
    assert [(row["width"], row["height"], row["status"]) for row in rows] == [
        (33, 20, 200),
        (8, 9, 200),
        (None, None, 400),
    ]
    assert rows[0]["brightness"] == pytest.approx(picture_features(IMAGE).brightness)
    assert {row["model"] for row in rows} == {weights_digest(weights)}
