"""A real S3 server on this machine."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def s3_server(bucket: str) -> Iterator[str]:
    """HOST:PORT of a server with an empty bucket, to whose keys the environment of the block leads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from moto.server import ThreadedMotoServer
    from pyarrow import fs

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in KEYS.items():
                patch.setenv(name, value)
            query = f"endpoint_override={host}:{port}&scheme=http&allow_bucket_creation=true"
            fs.FileSystem.from_uri(f"s3://{bucket}?{query}")[0].create_dir(bucket)
            yield f"{host}:{port}"
    finally:
        server.stop()
