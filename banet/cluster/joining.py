"""A Ray cluster that somebody else has started: where it is, whether it is there, and whether it asks for a token."""

import logging
import socket
import time
from contextlib import suppress

CLUSTER_ID = "/ray.rpc.NodeInfoGcsService/GetClusterId"  # what Ray asks a cluster first
ASK_S = 5.0


def address_here() -> str:
    """The address of the cluster that `ray start` runs here, or has run; nothing where that cannot be seen."""
    try:
        from ray._private.utils import read_ray_address
    except ImportError:
        return ""
    return read_ray_address() or ""


def listens(address: str, seconds: float) -> bool:
    """Whether something listens at HOST:PORT, perhaps only after some seconds; True for other forms of addresses."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or "/" in host:
        return True
    end = time.monotonic() + seconds
    while True:
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=ASK_S):
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(1)


def asks_for_token(address: str) -> bool:
    """Whether a cluster refuses who shows no token; True unless it answers one who does not.

    Who shows a token wants it shown as well, which the nodes of a cluster without tokens do not do.

    Args:
        address: HOST:PORT.
    """
    try:
        import grpc
    except ImportError:
        return True
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(CLUSTER_ID)(b"", timeout=ASK_S)
        except (grpc.RpcError, ValueError):  # the latter: no address that gRPC can read
            return True
    return False


def show_token() -> None:
    """Use the token of a cluster that asks for one, if there is a token here.

    `ray start` asks for it wherever one exists, and whoever joins does not send it without this private function of
    Ray or RAY_AUTH_MODE=token in the environment.
    """
    try:
        from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
    except ImportError:
        return
    heard = logging.getLogger(maybe_enable_token_auth_if_token_available.__module__)
    heard.addFilter(lambda _: False)  # it says what it does
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
