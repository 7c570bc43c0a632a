"""`banet serve`: pictures restored over HTTP."""

import os
import time
from typing import Annotated

from cyclopts import Parameter, validators

from banet.commands.options import Positive
from banet.errors import ResourceError

# Seconds that Ray's controller, which inherits them, gives what listens: it kills what took 5 to start.
PATIENCE = {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60", "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60"}
Seconds = Annotated[float, Parameter(validator=validators.Number(gt=0))]


def serve(
    model: str | None = None,
    /,
    *,
    host: str = "127.0.0.1",
    port: Positive = 8000,
    replicas: Positive = 1,
    max_requests: Positive = 64,
    max_mib: Positive = 64,
    max_megapixels: Positive = 34,
    timeout: Seconds = 60.0,
    look_every: Seconds = 10.0,
) -> None:
    """Restore pictures over HTTP: POST a PNG or JPEG to /, and get one back.

    For example:
      banet serve
      banet serve models:/banet-gopro@champion --replicas 2
      banet serve models/candidate --port 8080 --max-megapixels 12

    Args:
        model: a folder or a models:/ URI; by default the champion last promoted. A champion that moves is followed.
        host: the address to listen on; others can reach it only if you name one, as in --host 0.0.0.0.
        port: the port to listen on.
        replicas: processes that restore, on this machine or on the cluster that RAY_ADDRESS names.
        max_requests: in progress and waiting; more are answered with 503 and Retry-After.
        max_mib: size of a body.
        max_megapixels: size of a picture, by its header.
        timeout: seconds from a request to its answer.
        look_every: seconds between two looks at the registry.
    """
    from banet.ray_session import start_ray
    from banet.serving.followed_model import Source

    try:
        from banet.serving.application import RequestLimits
        from banet.serving.deploy import require_free, run, stop
    except ImportError as error:
        raise ResourceError(f"the package {error.name} is not installed: pip install 'banet[serve]'") from None

    os.environ.update(PATIENCE | os.environ)
    require_free(host, port)
    store = None
    if model is None or model.startswith("models:"):
        from banet.tracking.store import connect

        store = connect().uri
    source = Source(model=model, store=store)
    address, load = source.newest()
    load()  # what cannot be loaded is said here, not by replicas that come and go
    limits = RequestLimits(requests=max_requests, body=max_mib * 2**20, pixels=max_megapixels * 10**6, seconds=timeout)
    start_ray()
    try:
        run(source, limits, host=host, port=port, replicas=replicas, look_every=look_every)
        print(f"http://{host}:{port}/ restores with {address}: POST a PNG or JPEG; Ctrl-C ends it", flush=True)
        while True:
            time.sleep(3600)
    finally:
        stop()
