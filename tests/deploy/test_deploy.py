"""What deploy/ holds fits the schemas of the tools that read it, our versions, and the commands that exist."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import dropwhile, groupby
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = ("compose.yaml", "ray-cluster.yaml", "rayjob.yaml")
LOOPBACK, EVERYWHERE = "127.0.0.1:", "0.0.0.0"  # noqa: S104

Check = Callable[[dict[str, Any]], None]


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def read(name: str) -> Any:  # noqa: ANN401
    return yaml.safe_load(text(name))


def by_schema(name: str) -> Check:
    schema = json.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def check(config: dict[str, Any]) -> None:
        validator.validate(config)

    return check


def by_ray(config: dict[str, Any]) -> None:
    """As `ray up` does before it starts anything: fill in the provider's defaults, then Ray's own schema."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(deepcopy(config)))


CHECKS = {
    "compose.yaml": by_schema("compose.schema.json"),
    "ray-cluster.yaml": by_ray,
    "rayjob.yaml": by_schema("rayjob.schema.json"),
}
WRONG: dict[str, list[tuple[str, object]]] = {  # by file: where, and what; a key that ends in ! is added
    "compose.yaml": [
        ("services.mlflow.port!", ["5000"]),
        ("services.mlflow.ports", "127.0.0.1:5000:5000"),
        ("services.mlflow.depends_on.postgres.condition", "healthy"),
        ("services.postgres.healthcheck.interval", "5"),
        ("services.ray-worker.deploy.replicas", "two"),
        ("services.driver.healthcheck.retry!", 3),
        ("secrets.ray_token.files!", "x"),
        ("service!", {}),
    ],
    "ray-cluster.yaml": [
        ("cluster_names!", "banet"),
        ("docker.images!", "banet"),
        ("docker.run_options", "--ulimit=nofile=65536"),
        ("auth.user!", "banet"),
        ("provider.worker_ips", "192.0.2.11"),
        ("max_workers!", "two"),
        ("head_start_ray_commands", "ray start"),
    ],
    "rayjob.yaml": [
        ("spec.backOffLimit!", 3),
        ("spec.backoffLimit", "20"),
        ("spec.preRunningDeadlineSeconds", 0),
        ("spec.shutdownAfterJobFinishes!", True),
        ("spec.ttlSecondsAfterFinished!", 60),
        ("spec.deletionStrategy.deletionRules", []),
        ("spec.deletionStrategy.deletionRules.0.condition.jobDeploymentStatus!", "Failed"),
        ("spec.deletionStrategy.deletionRules.0.condition.jobStatus", "Succeeded"),
        ("spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0),
        ("spec.rayClusterSpec.workerGroupSpecs.0.replica!", 8),
        ("spec.rayClusterSpec.workerGroupSpecs.0.template.spec.containers.0.resources.limits.nvidia\\.com/gpu", 1),
        ("spec.rayClusterSpec.workerGroupSpecs.0.template.spec.volumes.0.emptyDir!", {}),
        ("kind", "RayCluster"),
    ],
}


def change(config: Any, path: str, value: object) -> None:  # noqa: ANN401
    *steps, last = (step.replace("\\.", ".") for step in re.split(r"(?<!\\)\.", path.removesuffix("!")))
    for step in steps:
        config = config[int(step) if isinstance(config, list) else step]
    assert (last in config) != path.endswith("!"), path
    config[last] = value


@pytest.mark.parametrize("name", FILES)
def test_it_fits_its_schema(name: str) -> None:
    CHECKS[name](read(name))


@pytest.mark.parametrize(("name", "path", "value"), [(name, *each) for name in FILES for each in WRONG[name]])
def test_a_wrong_key_or_type_is_refused(name: str, path: str, value: object) -> None:
    config = deepcopy(read(name))  # anchors are one object
    change(config, path, value)
    with pytest.raises((jsonschema.ValidationError, click.ClickException, ValueError, TypeError)):
        CHECKS[name](config)


def test_the_rules_of_a_rayjob_keep_their_order_and_workers_may_come_and_go() -> None:
    """KubeRay's operator checks these itself, beyond a schema."""
    spec = read("rayjob.yaml")["spec"]
    rules = [(r["policy"], *sorted(r["condition"].items())) for r in spec["deletionStrategy"]["deletionRules"]]
    assert len({(policy, first) for policy, first, *_ in rules}) == len(rules)
    for group in spec["rayClusterSpec"]["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        volumes = {volume["name"] for volume in group["template"]["spec"]["volumes"]}
        for container in group["template"]["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_what_a_compose_service_names_is_there() -> None:
    compose = read("compose.yaml")
    for service in compose["services"].values():
        assert set(service.get("secrets", ())) <= compose["secrets"].keys()
        assert service.get("depends_on", {}).keys() <= compose["services"].keys()
        assert {config["source"] for config in service.get("configs", ())} <= compose["configs"].keys()


def test_versions_are_those_that_are_tested() -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(line.split("==") for line in constraints.splitlines() if "==" in line)
    package = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    python = re.search(r"on Python (3\.\d+)\.", constraints)
    assert package and python
    for name in ("ray", "mlflow", "prefect", "psycopg"):
        assert name in pinned
    assert read("rayjob.yaml")["spec"]["rayClusterSpec"]["rayVersion"] == pinned["ray"]
    assert re.findall(r"^FROM \S+/python:([\d.]+)-", text("Containerfile"), re.MULTILINE) == [python[1]]
    assert "pip install --no-cache-dir --constraint constraints.txt --editable" in text("Containerfile")
    for name in (*FILES, "Containerfile"):  # one image has them all: MLflow and Prefect cannot be of another version
        images = re.findall(r"\S*\bbanet:([\d.]+)", text(name))
        assert images and set(images) == {package[1]}, name
    others = {service["image"] for service in read("compose.yaml")["services"].values()} - {f"banet:{package[1]}"}
    assert {image.partition(":")[0] for image in others} == {"docker.io/library/postgres"}


@pytest.mark.parametrize("name", FILES)
def test_what_listens_says_so_and_passwords_are_elsewhere(name: str) -> None:
    comments = " ".join(re.findall(r"(?:^|\s)# ?(.*)", text(name)))
    settings = re.sub(r"(^|\s)#.*", "", text(name), flags=re.MULTILINE)
    assert "listen" in comments
    assert EVERYWHERE not in settings or EVERYWHERE in comments
    assert re.search(r"RAY_AUTH_MODE[:=] ?token|mode: token", settings)
    assert not re.search(r"serviceType|enableIngress|network_mode|hostNetwork", settings)
    assert not re.search(r"://[^/\s@]*:[^/\s@]*@", settings), "a password in an address"
    for key, value in re.findall(r"([A-Z_]*(?:PASS|TOKEN|AUTH_STRING|KEY)[A-Z_]*)[:=] *(.+)", settings):
        assert value.startswith(("/run/secrets/", '"$$(cat /run/secrets/')), key


def test_the_host_sees_loopback_ports_only_and_git_no_secret() -> None:
    compose = read("compose.yaml")
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports and all(port.startswith(LOOPBACK) for port in ports)
    files = [secret["file"] for secret in compose["secrets"].values()]
    files += [service["env_file"] for service in compose["services"].values() if "env_file" in service]
    for file in files:
        ignored = subprocess.run(["git", "check-ignore", "-q", f"deploy/{file}"], cwd=ROOT, check=False)
        assert ignored.returncode == 0, file


def programs(script: str) -> Iterator[list[str]]:
    """The commands of a line for a shell, without assignments and `exec`."""
    words = shlex.split(script, comments=True)
    if words[:2] == ["bash", "-c"]:
        yield from programs(words[2])
        return
    for joined, command in groupby(words, lambda word: word == "&&"):
        left = [] if joined else list(dropwhile(lambda word: word == "exec" or re.match(r"\w+=", word), command))
        if left:
            yield left


def commands() -> Iterator[list[str]]:
    for service in read("compose.yaml")["services"].values():
        command = service.get("command", "")
        yield from programs(command if isinstance(command, str) else command[-1])
    yield from programs(read("rayjob.yaml")["spec"]["entrypoint"])
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        for line in read("ray-cluster.yaml")[key]:
            yield from programs(line)
    docs = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```\n(.*?)^```", docs, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield from (words for words in programs(line) if words[0] in {"ray", "dvc", "prefect"})


@pytest.mark.slow
@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*Any type hint:UserWarning")  # the tools' own
def test_commands_exist_with_their_options(words: list[str]) -> None:
    program, *rest = words
    if program == "ray":
        from ray.scripts.scripts import cli

        parse_click(cli, rest)
    elif program == "mlflow":
        from mlflow.cli import cli

        parse_click(cli, rest)
    elif program == "prefect":
        from prefect.cli import deploy, server, worker

        apps = {"server": server.server_app, "worker": worker.worker_app, "deploy": deploy.deploy_app}
        group, *arguments = [word for word in rest if word != "--no-prompt"]
        apps[group].parse_args(arguments, exit_on_error=False, print_error=False)
    elif program in {"dvc", "python"}:
        from dvc.cli.parser import get_main_parser

        assert program == "dvc" or rest[:2] == ["-m", "dvc"]
        get_main_parser().parse_args(rest if program == "dvc" else rest[2:])
    else:
        assert program in {"cd", "rm"}, program


def parse_click(group: click.Command, words: list[str]) -> None:
    """Find a command and read its options; the files that they name need not exist."""
    while isinstance(group, click.Group):
        found = group.commands[words[0]]
        group, words = found, words[1:]
    group.make_parser(click.Context(group)).parse_args(words)


def test_the_plan_shows_what_was_measured() -> None:
    docs = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
    measured = json.loads((ROOT / "benchmarks/results/ranks.json").read_text(encoding="utf-8"))
    assert f"{measured['bytes_per_pixel']:.2f} bytes per pixel" in docs
    for each in measured["rounds"]:
        cpu, memory = each["cpu_of_node"], each["memory_gib"]
        shares = f"{each['waited']:.1%} | {each['worst_waited']:.1%} | {each['cpu_of_rank']:.3f}"
        ray = f"{cpu['raylet'] + cpu['gcs_server']:.3f}"
        row = f"| {each['ranks']} | {shares} | {ray} | {memory['ranks']:.2f} | {memory['object_store']:.2f}"
        assert f"{row} | {memory['all']:.2f} |" in docs
