"""`banet serve`: pictures restored over HTTP; `banet drift`: have they moved away from the shards?"""

import json
import os
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from banet.commands.evaluate import SHARDS
from banet.commands.options import Positive
from banet.errors import MovedError, ResourceError
from banet.files import writing_to

# Seconds that Ray's controller, which inherits them, gives what listens: it kills what took 5 to start.
PATIENCE = {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60", "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60"}
Seconds = Annotated[float, Parameter(validator=validators.Number(gt=0))]
Days = Annotated[float, Parameter(validator=validators.Number(gt=0, lte=36500))]


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
    watch: Path | None = None,
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
        watch: folder that gets size, brightness, sharpness and noise of each picture, for `banet drift`.
    """
    from banet.cluster.ray_session import start_ray
    from banet.serving.followed_model import Source

    try:
        from banet.serving.application import RequestLimits
        from banet.serving.deploy import require_free, run, stop
    except ImportError as error:
        raise ResourceError(f"the package {error.name} is not installed: pip install 'banet[serve]'") from None

    os.environ.update(PATIENCE | os.environ)
    require_free(host, port)
    if watch is not None:
        watch = watch.absolute()  # replicas work elsewhere
        with writing_to(watch):
            watch.mkdir(parents=True, exist_ok=True)
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
        run(source, limits, host=host, port=port, replicas=replicas, look_every=look_every, watched=watch)
        print(f"http://{host}:{port}/ restores with {address}: POST a PNG or JPEG; Ctrl-C ends it", flush=True)
        while True:
            time.sleep(3600)
    finally:
        stop()


def drift(
    served: Path,
    /,
    *,
    shards: Path | None = None,
    benchmark: str | None = None,
    variant: str | None = None,
    since: Days | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    fail: bool = False,
) -> None:
    """Say whether what is served has moved away from the blurred pictures of the shards.

    For example:
      banet drift served
      banet drift served --benchmark gopro --since 7
      banet drift served --shards data/shards/mine --json --fail

    Args:
        served: the folder of `banet serve --watch`.
        shards: folder of shards; by default data/shards/BENCHMARK.
        benchmark: by default that of params.yaml.
        variant: which blurred pictures; by default that of params.yaml, or the shards' first.
        since: only the pictures of the last so many days.
        as_json: print JSON in place of the table.
        fail: exit with status 3 if something has moved.
    """
    from banet.config import read_params
    from banet.data.served.drift import compare_served, format_drift
    from banet.progress import ProgressBar

    if shards is None and benchmark is None:
        trained = read_params(Path("params.yaml")).benchmark
        benchmark, variant = trained.name, variant or trained.variant
    begin = datetime.now(UTC) - timedelta(days=since) if since is not None else None
    with ProgressBar("drift", unit=" pictures of the shards") as bar:
        report = compare_served(
            served, shards or SHARDS / str(benchmark), variant=variant, since=begin, on_progress=bar.to
        )
    if as_json:
        print(json.dumps({"moved": report.moved, **asdict(report)}, default=datetime.isoformat, indent=2))
    else:
        print(format_drift(report))
    if fail and report.moved:
        raise MovedError(f"what is served has moved away from {report.benchmark}: {', '.join(report.moved)}")
