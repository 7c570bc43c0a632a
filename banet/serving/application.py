"""The application: a front that admits requests, and replicas that restore.

The front alone counts, so that the limits and the metrics are those of the whole service however many replicas there
are. It reads bodies and passes them on; replicas decode, restore together what came together, and encode.
"""

import asyncio
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prometheus_client
import torch
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from banet.data.images.codec import DecodedImage, decode_picture, encode_jpeg, encode_png
from banet.data.images.header import PNG, TooLargeError
from banet.data.served.picture_features import PictureFeatures, picture_features
from banet.data.served.served_log import ServedLog
from banet.errors import BanetError, ResourceError
from banet.image import SMALLEST, Image, to_image
from banet.inference import network_input
from banet.model.network import BANet
from banet.restoring.any_size import restore_any_size
from banet.serving.followed_model import Source, follow

BATCH_PIXELS = 2**20  # restored together at most; one picture may have more
DECODED = 8  # pictures that a replica holds decoded; others wait as files
_JPEG = b"\xff\xd8\xff"
_AGAIN = {"Retry-After": "1"}  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What is taken of one request, and of all."""

    requests: int  # in progress and waiting
    body: int  # bytes
    pixels: int  # of one picture, by its header
    seconds: float  # from the whole body to the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a replica makes of a request."""

    status: int
    content: bytes
    media: str
    model: str


def _pixels(images: list[Image]) -> int:
    return sum(min(image.shape[0] * image.shape[1], BATCH_PIXELS) for image in images)


@serve.deployment
class Restorer:
    """A replica with a model of its own, which it exchanges between two batches when the champion moves."""

    def __init__(self, source: Source, limits: RequestLimits, look_every: float, watched: Path | None) -> None:
        self._log = None
        address, load = source.newest()
        self._limits, self._held = limits, (address, load())
        self._room = asyncio.Semaphore(DECODED)
        threading.Thread(target=follow, args=(source, look_every, address, self._take), daemon=True).start()
        if watched is not None:
            self._log = ServedLog(watched)

    def __del__(self) -> None:
        """Write what the log holds: Ray calls this when it ends a replica in order."""
        if self._log is not None:
            self._log.close()

    def _take(self, address: str, model: BANet) -> None:
        self._held = address, model  # at once: a batch keeps the one that it began with

    async def model(self) -> str:
        """Return the address of the model in use."""
        return self._held[0]

    async def __call__(self, content: bytes) -> Answer:
        """Return the restored picture in the format it came in, or why there is none."""
        looked: list[PictureFeatures] = []
        async with self._room:
            answer = await self._answered(content, looked)
        if self._log is not None:
            self._log.add(looked[0] if looked else None, status=answer.status, model=answer.model)
        return answer

    def _decoded(self, content: bytes, looked: list[PictureFeatures]) -> DecodedImage:
        picture = decode_picture(content, "the picture", most_pixels=self._limits.pixels)
        if self._log is not None and min(picture.pixels.shape[:2]) >= SMALLEST:
            looked.append(picture_features(picture.pixels))
        return picture

    async def _answered(self, content: bytes, looked: list[PictureFeatures]) -> Answer:
        try:
            picture = await asyncio.to_thread(self._decoded, content, looked)
            if min(picture.pixels.shape[:2]) < SMALLEST:
                return self._refusal(400, f"the picture is smaller than {SMALLEST}x{SMALLEST}")
            restored, model = await self._restored(picture.pixels)
            if isinstance(restored, BanetError):
                raise restored
            encode, media = (encode_png, "image/png") if content.startswith(PNG) else (encode_jpeg, "image/jpeg")
            encoded = await asyncio.to_thread(encode, restored, profile=picture.profile, exif=picture.exif)
            return Answer(status=200, content=encoded, media=media, model=model)
        except TooLargeError as error:
            return self._refusal(413, str(error))
        except (ResourceError, MemoryError) as error:
            return self._refusal(413, str(error) or "the picture needs more memory than there is")
        except BanetError as error:
            return self._refusal(400, str(error))

    def _refusal(self, status: int, line: str) -> Answer:
        return Answer(status=status, content=f"{line}\n".encode(), media="text/plain", model=self._held[0])

    @serve.batch(max_batch_size=BATCH_PIXELS, batch_wait_timeout_s=0.005, batch_size_fn=_pixels)  # type: ignore[untyped-decorator]
    async def _restored(self, images: list[Image]) -> list[tuple[Image | BanetError, str]]:
        address, model = self._held
        return [(image, address) for image in await asyncio.to_thread(restore_together, model, images)]


def restore_together(model: BANet, images: list[Image]) -> list[Image | BanetError]:
    """Restore pictures, those of one size in one pass; an expected error takes the place of a picture."""
    restored: dict[int, Image | BanetError] = {}
    for size in dict.fromkeys(image.shape for image in images):
        same = [number for number, image in enumerate(images) if image.shape == size]
        if len(same) > 1:
            with torch.inference_mode():
                y_BCHW = model(torch.cat([network_input(model, images[number]) for number in same]))
            restored |= {number: to_image(y_BCHW[at : at + 1]) for at, number in enumerate(same)}
            continue
        try:
            restored[same[0]] = restore_any_size(model, images[same[0]])
        except BanetError as error:
            restored[same[0]] = error
    return [restored[number] for number in range(len(images))]


@serve.deployment
class Front:
    """What listens: it admits as many requests as are allowed, and passes them to the replicas."""

    def __init__(self, restorer: DeploymentHandle, limits: RequestLimits) -> None:
        self._restorer, self._limits, self._waiting = restorer, limits, 0
        self._registry = registry = prometheus_client.CollectorRegistry()
        self._requests = prometheus_client.Counter("banet_requests", "answers by status", ["status"], registry=registry)
        self._seconds = prometheus_client.Histogram("banet_seconds", "from body to answer", registry=registry)
        waiting = prometheus_client.Gauge("banet_waiting", "requests in progress and waiting", registry=registry)
        waiting.set_function(lambda: self._waiting)

    async def __call__(self, request: Request) -> Response:
        """Answer POST / with a picture, and GET /health and /metrics."""
        match request.method, request.url.path:
            case "GET", "/health":
                model = await self._restorer.model.remote()
                return JSONResponse({"model": model, "waiting": self._waiting})
            case "GET", "/metrics":
                return Response(
                    prometheus_client.generate_latest(self._registry), media_type="text/plain; version=0.0.4"
                )
            case "POST", "/":
                answer = await self._answered(request)
                self._requests.labels(str(answer.status_code)).inc()
                return answer
            case _, "/" | "/health" | "/metrics":
                return PlainTextResponse("POST a PNG or JPEG to /\n", 405)
        return PlainTextResponse("there are /, /health and /metrics\n", 404)

    async def _answered(self, request: Request) -> Response:
        if self._waiting >= self._limits.requests:
            return PlainTextResponse("too many requests are waiting: try again later\n", 503, _AGAIN)
        self._waiting += 1
        try:
            content = await self._body(request)
            return content if isinstance(content, Response) else await self._passed_on(content)
        finally:
            self._waiting -= 1

    async def _body(self, request: Request) -> bytes | Response:
        most, content = self._limits.body, bytearray()
        too_long = PlainTextResponse(f"the body is longer than {most} bytes\n", 413)
        if int(request.headers.get("content-length", "0")) > most:
            return too_long
        async for part in request.stream():
            content += part
            if len(content) > most:
                return too_long
        if not content.startswith((PNG, _JPEG)):
            return PlainTextResponse("the body is no PNG or JPEG\n", 415)
        return bytes(content)

    async def _passed_on(self, content: bytes) -> Response:
        begun = time.perf_counter()
        try:
            found: Any = await asyncio.wait_for(self._restorer.remote(content), self._limits.seconds)
        except TimeoutError:
            return PlainTextResponse(
                f"not restored within {self._limits.seconds:.0f} s: try again later\n", 503, _AGAIN
            )
        except Exception as error:  # a replica was lost; its successor is being started
            return PlainTextResponse(f"a replica failed ({type(error).__name__}): try again later\n", 503, _AGAIN)
        self._seconds.observe(time.perf_counter() - begun)
        return Response(found.content, found.status, {"X-Model": found.model}, media_type=found.media)


def application(
    source: Source, limits: RequestLimits, *, replicas: int, cores: float, look_every: float, watched: Path | None
) -> Any:  # noqa: ANN401  # ray has no types
    """Return the application, with so many replicas of so many cores, which log what they get in a folder."""
    most = limits.requests + 16  # beside those refused by us, with a time to come again
    restorer = Restorer.options(  # type: ignore[attr-defined]  # ray has no types
        num_replicas=replicas,
        max_ongoing_requests=limits.requests,
        ray_actor_options={"num_cpus": cores},
    ).bind(source, limits, look_every, watched)
    front = Front.options(  # type: ignore[attr-defined]
        max_ongoing_requests=most, max_queued_requests=most, ray_actor_options={"num_cpus": 0}
    )
    return front.bind(restorer, limits)
