"""A Prefect plugin: inside this project, `prefect deployment run train-banet` means train-banet/train-banet.

It also says which stages run here when a worker or a run is started: a new run waits for what is left behind.

Prefect asks for FLOW/DEPLOYMENT. Its plugin hook is public, but the clients that look up a deployment are not: if a
later Prefect moves them, this plugin does nothing, and the long form still works. `prefect.toml` enables the plugin.
"""

import functools
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from prefect.plugins import HookContext, register_hook

from pipelines.running import running

CLIENTS = "prefect.client.orchestration._deployments.client"
METHOD = "read_deployment_by_name"


@register_hook
def setup_environment(*, ctx: HookContext) -> None:
    """Let both clients of Prefect take a name without a slash as that of both the flow and the deployment."""
    accept_short_names(CLIENTS)
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    if words[:2] in (["worker", "start"], ["deployment", "run"]):
        for line in running(Path.cwd()):
            print(f"a new run will wait: {line}", file=sys.stderr)  # noqa: T201


def accept_short_names(module_name: str) -> None:
    """Wrap the look-up of both clients in the module; do nothing if it or they are missing."""
    try:
        module = import_module(module_name)
    except ImportError:
        return
    for name in ("DeploymentClient", "DeploymentAsyncClient"):
        client = getattr(module, name, None)
        look_up = getattr(client, METHOD, None)
        if callable(look_up) and not getattr(look_up, "accepts_short_names", False):
            setattr(client, METHOD, _with_short_names(look_up))


def _with_short_names(look_up: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a client's method, sync or async: what it returns, a deployment or a coroutine, is passed on unchanged."""

    @functools.wraps(look_up)
    def wrapper(self: object, name: str, *args: object, **kwargs: object) -> object:
        return look_up(self, name if "/" in name else f"{name}/{name}", *args, **kwargs)

    wrapper.accepts_short_names = True  # type: ignore[attr-defined]
    return wrapper
