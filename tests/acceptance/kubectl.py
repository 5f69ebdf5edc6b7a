"""The cluster as an operator sees it: kubectl and helm with the kubeconfig of a run, and Prometheus through a port-forward."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from lab.settings import SETTINGS
from tests.tree import VENV_BIN

APPLICATION, MONITORING = "django-app", "monitoring"
KUBECONFIG = SETTINGS.state / "kubeconfig"
ENVIRONMENT = {**os.environ, "PATH": f"{VENV_BIN}:{os.environ['PATH']}"}


def run(
    program: str, *arguments: object, check: bool = True, seconds: int = 120, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """kubectl or helm. Raises with its own words when it fails."""
    command = [program, "--kubeconfig", str(KUBECONFIG), *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=seconds, check=False, input=stdin)
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done


def kubectl(*arguments: object, **options) -> str:
    return run("kubectl", *arguments, **options).stdout


def helm(*arguments: object, namespace: str = APPLICATION, **options) -> subprocess.CompletedProcess[str]:
    return run("helm", "--namespace", namespace, *arguments, **options)


def objects(kind: str, namespace: str = "", selector: str = "") -> list[dict]:
    where = ["--namespace", namespace] if namespace else ["--all-namespaces"]
    return json.loads(kubectl("get", kind, *where, *(["--selector", selector] if selector else []), "--output", "json"))["items"]


def pods(namespace: str = APPLICATION, selector: str = "app.kubernetes.io/component=web") -> list[dict]:
    return [pod for pod in objects("pods", namespace, selector) if not pod["metadata"].get("deletionTimestamp")]


def ready(pod: dict) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


@contextlib.contextmanager
def forwarded(service: str, port: int, namespace: str = MONITORING) -> Iterator[str]:
    """Address of a Service that is not public, for as long as the block lasts."""
    command = ["kubectl", "--kubeconfig", str(KUBECONFIG), "--namespace", namespace, "port-forward", f"service/{service}", f":{port}"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        line = process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found, f"{service} cannot be reached: {line}{process.stdout.read() if process.poll() is not None else ''}"
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        process.terminate()
        process.wait(timeout=10)


class Prometheus:
    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, **parameters: str) -> dict | list:
        with urllib.request.urlopen(f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict]:
        return self.ask("query", query=expression)["result"]

    def targets(self) -> list[dict]:
        return self.ask("targets", state="active")["activeTargets"]


@contextlib.contextmanager
def prometheus() -> Iterator[Prometheus]:
    with forwarded("prometheus", 9090) as address:
        yield Prometheus(address)


def expressions(board: Path) -> list[tuple[str, str]]:
    """Panel and expression, with Grafana's variables filled in as they stand when the dashboard is opened."""
    content = json.loads(board.read_text("utf-8"))
    values = {one["name"]: one["current"]["value"] for one in content["templating"]["list"]}
    values |= {"__rate_interval": "2m", "__interval": "15s", "__range": "1h"}
    asked = [
        (panel["title"], target["expr"])
        for panel in content["panels"]
        if panel["type"] not in ("row", "text")
        for target in panel["targets"]
    ]
    asked += [(f"annotation {one['name']}", one["expr"]) for one in content["annotations"]["list"]]
    return [
        (title, re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: values[found[1] or found[2]], expression)) for title, expression in asked
    ]
