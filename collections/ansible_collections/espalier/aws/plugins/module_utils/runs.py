# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which run of Ansible this is, so that another one can tell whether it still lives."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import Any


def machine() -> str:
    """This boot of this machine, and this container of it: process numbers mean something only there."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
        return hashlib.sha256(f"{boot}{os.readlink('/proc/self/ns/pid')}".encode()).hexdigest()[:16]
    except OSError:
        return ""


def started(process: int) -> str:
    """When a process started, in the kernel's count; empty where there is none."""
    try:
        # The name before it may hold spaces and brackets.
        return Path(f"/proc/{process}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def describe(process: int) -> dict[str, Any]:
    return {"host": platform.node(), "machine": machine(), "process": process, "started": started(process)}


def alive(run: dict[str, Any]) -> bool:
    """Whether that run still goes on. Of another machine nobody knows: it does."""
    if not run.get("machine") or run["machine"] != machine():
        return True
    return bool(run["started"]) and started(run["process"]) == run["started"]
