"""Starting and ending the service on a Ray that runs."""

import logging
import os
import socket
from pathlib import Path

import ray
import ray.exceptions
from ray import serve

from banet.errors import ConfigError, ResourceError, ServiceError
from banet.serving.application import RequestLimits, application
from banet.serving.followed_model import Source


def run(
    source: Source,
    limits: RequestLimits,
    *,
    host: str,
    port: int,
    replicas: int,
    look_every: float,
    watched: Path | None = None,
) -> None:
    """Start the service, and wait until it answers.

    Raises:
        ResourceError: fewer cores than replicas.
        ServiceError: the replicas do not come up.
    """
    cores = int(ray.cluster_resources().get("CPU", 0))
    if replicas > cores:
        raise ResourceError(f"{replicas} replicas need {replicas} cores, Ray has {cores}: use fewer")
    share = min(cores // replicas, os.cpu_count() or 1)  # on a cluster, no replica has more than a machine
    quiet = {"log_level": "ERROR"}
    logging.getLogger("ray.serve").setLevel(logging.ERROR)  # of this process
    app = application(source, limits, replicas=replicas, cores=share, look_every=look_every, watched=watched)
    try:
        serve.start(http_options={"host": host, "port": port}, logging_config=quiet)
        serve.run(app, name="banet", route_prefix="/", logging_config=quiet)
    except (RuntimeError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ServiceError(f"the service did not start ({reason}): run the same command again later") from None


def stop() -> None:
    """End the service, and this process's Ray with it."""
    serve.shutdown()
    ray.shutdown()


def require_free(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on.

    Raises:
        ConfigError: it is taken, or not one of this machine.
    """
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise ConfigError(f"{host}:{port} cannot be listened on ({error.strerror}): name another --port") from None
