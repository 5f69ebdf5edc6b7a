"""Runs the project's commands as a person would, keeps every word they print, and reads Ansible's recap."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.tree import ROOT, VENV_BIN

RECAP = re.compile(r"^(\S+)\s+: (ok=\d+.*)$", re.MULTILINE)


@dataclass
class Outcome:
    """A finished command. `output` is standard output and error as they came."""

    returncode: int
    output: str
    seconds: float
    log: Path

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Ansible's counters by host, empty when no recap was printed."""
        counters = {}
        for host, line in RECAP.findall(self.output.rpartition("PLAY RECAP")[2]):
            counters[host] = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", line)}
        return counters

    def total(self, counter: str) -> int:
        return sum(counters[counter] for counters in self.recap.values())

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.output.splitlines()[-lines:])

    def changed_tasks(self) -> list[str]:
        """Task headings above each `changed:` line."""
        found, heading = [], ""
        for line in self.output.splitlines():
            if line.startswith(("TASK [", "RUNNING HANDLER [")):
                heading = line.strip(" *")
            elif line.startswith("changed:"):
                found.append(f"{heading} {line}")
        return found


@dataclass
class Recorder:
    """One test session's commands. Their output is kept in `folder`, numbered in the order of the calls."""

    folder: Path
    say: Callable[[str], None] = print
    started: float = field(default_factory=time.time)
    count: int = 0

    def run(self, name: str, *command: str, seconds: float = 900, environment: dict[str, str] | None = None, stdin: str = "") -> Outcome:
        """Run to the end. A command that outlives `seconds` is killed with its children, and that is an AssertionError."""
        self.count += 1
        log = self.folder / f"{self.count:02d}-{re.sub(r'[^a-z0-9]+', '-', name.lower())}.log"
        variables = {**clean_environment(), **(environment or {})}
        began = time.monotonic()
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=ROOT, env=variables, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                process.communicate(stdin.encode(), timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise AssertionError(f"{name}: no end after {seconds} s\n{tail_of(log)}") from None
        outcome = Outcome(process.returncode, log.read_text("utf-8", "replace"), time.monotonic() - began, log)
        self.say(f"{outcome.seconds:6.1f} s  {name}")
        return outcome

    def playbook(self, name: str, playbook: str, *options: str, **more) -> Outcome:
        return self.run(name, str(VENV_BIN / "ansible-playbook"), playbook, *options, **more)

    def lab(self, command: str, *options: str, **more) -> Outcome:
        return self.run(f"lab {command}", str(VENV_BIN / "python"), "-m", "lab", command, *options, **more)


def clean_environment() -> dict[str, str]:
    """A new shell with only `.venv` activated: no AWS variable, no colour."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_", "PYTEST_"))}
    return {
        **kept,
        "PATH": f"{VENV_BIN}:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(VENV_BIN.parent),
        "NO_COLOR": "1",
        "ANSIBLE_NOCOLOR": "1",
    }


def tail_of(log: Path, lines: int = 60) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])
