"""The lab's only door to podman: every container carries the label `espalier.lab` and is found by it."""

from __future__ import annotations

import json
import os
import subprocess

from lab.processes import MARK
from lab.settings import ROOT

LABEL = "espalier.lab"
# Images that were made of instances, tagged with their ids.
IMAGES = "localhost/espalier-ami"


class PodmanError(RuntimeError):
    """podman refused; the message holds its own words."""


def podman(*arguments: str, stdin: bytes | None = None, timeout: float = 120, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    """Run podman with the lab's own configuration.

    Raises PodmanError with podman's stderr when it fails and `check` is true, subprocess.TimeoutExpired after `timeout` seconds.
    """
    environment = {**os.environ, "CONTAINERS_CONF": str(ROOT / "lab" / "containers.conf")}
    # What podman leaves behind a container (conmon, the name server) is podman's, not a part of the lab to be stopped as such.
    environment.pop(MARK, None)
    result = subprocess.run(["podman", *arguments], input=stdin, capture_output=True, timeout=timeout, env=environment, check=False)
    if check and result.returncode != 0:
        raise PodmanError(f"podman {' '.join(arguments[:3])}: {result.stderr.decode(errors='replace').strip()}")
    return result


def containers(kind: str) -> list[dict]:
    """All containers of one kind ("instance", "database", "load_balancer"), running or not, as `podman ps --format json` gives them."""
    answer = podman("ps", "--all", "--filter", f"label={LABEL}={kind}", "--format", "json")
    return json.loads(answer.stdout or b"[]")
