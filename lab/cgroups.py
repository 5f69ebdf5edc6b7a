"""CPU that a container has used, out of its control group: version 1 or 2."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# systemd in a container moves itself into a child of the container's own group.
CHILD = "/init.scope"


def cpu_file(pid: int, proc: Path = Path("/proc"), root: Path = ROOT) -> Path:
    """The file that counts the CPU time of the container whose first process is `pid`. Raises OSError when there is none."""
    groups = [line.split(":", 2) for line in (proc / str(pid) / "cgroup").read_text().splitlines()]
    for _, controllers, path in groups:
        if "cpuacct" in controllers.split(","):
            return root / "cpuacct" / path.removesuffix(CHILD).lstrip("/") / "cpuacct.usage"
    path = next(path for _, controllers, path in groups if not controllers)
    return root / path.removesuffix(CHILD).lstrip("/") / "cpu.stat"


def cpu_seconds(file: Path) -> float:
    """CPU seconds since the container began. Raises OSError when it has gone."""
    text = file.read_text()
    if file.name == "cpuacct.usage":
        return int(text) / 1e9
    return int(dict(line.split() for line in text.splitlines())["usage_usec"]) / 1e6
