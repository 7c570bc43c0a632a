"""How long `make services` takes until all servers answer, from nothing and again.

    python benchmarks/services.py        (about 3 minutes on 2 idle cores)

Aim: at most 60 s from nothing, on 2 cores that do nothing else. `benchmarks/results/services.json` gets, for
PostgreSQL and SQLite, the seconds of a first start (which creates the databases), of one more that finds everything
running, of the end, and of a start on databases that are there.
"""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "services.json"
AIM = 60.0  # seconds


def free_port() -> str:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


def measured(database: str) -> dict[str, float]:
    """Start and end the servers in a checkout of their own; return seconds by the clock."""
    root = Path(tempfile.mkdtemp(prefix="services-"))
    root.chmod(0o711)  # PostgreSQL's own account has to enter it where this runs as root
    for name in ("banet", "pipelines", "deploy", "prefect.yaml", "prefect.toml"):
        (root / name).symlink_to(ROOT / name)
    ports = {name: free_port() for name in ("MLFLOW_PORT", "PREFECT_PORT", "POSTGRES_PORT")}
    environment = os.environ | ports | {"DATABASE": database, "MLFLOW_AUTH": "0", "PYTHONPATH": str(root)}

    def seconds(command: str) -> float:
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", f"pipelines.services.{command}"], cwd=root, env=environment, check=True)
        return round(time.monotonic() - began, 1)

    try:
        return {"first": seconds("start"), "again": seconds("start"), "end": seconds("stop"), "next": seconds("start")}
    finally:
        seconds("stop")
        shutil.rmtree(root)


def main() -> None:
    """Measure both databases and write the result."""
    result = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cpus": os.cpu_count(),
        "processor": platform.machine(),
        "load before": round(os.getloadavg()[0], 1),
        "aim": AIM,
        "seconds": {database: measured(database) for database in ("postgres", "sqlite")},
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
