"""Processes by id and start time: an id alone may have gone to somebody else."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

# In the environment of everything that the lab starts: the clone that it belongs to.
MARK = "ESPALIER_LAB_ROOT"


@dataclass(frozen=True)
class Process:
    """`started` is the kernel's start time in clock ticks since boot, None for a process that is not there."""

    pid: int
    started: int | None

    @classmethod
    def of(cls, pid: int) -> Process:
        return cls(pid, start_time(pid))

    def alive(self) -> bool:
        return self.started is not None and start_time(self.pid) == self.started

    def since(self) -> float:
        """Seconds since it was started."""
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return uptime - (self.started or 0) / os.sysconf("SC_CLK_TCK")


def start_time(pid: int) -> int | None:
    """Start time of a process, None when there is none or it is a zombie."""
    try:
        # The command's name is in parentheses and may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def marked() -> dict[Process, str]:
    """Every process on the machine that a lab started, with the clone that it belongs to."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for entry in environment:
            if entry.startswith(MARK.encode() + b"="):
                process = Process.of(int(folder.name))
                if process.started is not None:
                    found[process] = os.fsdecode(entry.partition(b"=")[2])
    return found


def stop(processes: list[Process], patience_seconds: float = 8) -> None:
    """Ask them to end, and end those that do not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            if process.alive():
                os.kill(process.pid, number)
        deadline = time.monotonic() + patience_seconds
        while any(process.alive() for process in processes):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return
