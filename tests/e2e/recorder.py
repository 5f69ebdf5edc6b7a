"""Runs the project's commands as a person would, keeps every word they print, and reads Ansible's recap."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import uuid
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
        process, log, began = self._start(name, command, environment)
        try:
            process.communicate(stdin.encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(f"{name}: no end after {seconds} s\n{tail_of(log)}") from None
        return self._finish(name, process, log, began)

    def interrupt(self, name: str, *command: str, at: str = "", times: int = 1, after: float = 0, orphan_seconds: float = 180) -> Outcome:
        """Kill a command `after` seconds after it has printed `at` so many times: it alone, with SIGKILL, as the kernel does when memory
        is short.

        An AssertionError when it ends before, or when what it had started is still there after `orphan_seconds`.
        """
        mark = f"ESPALIER_TEST_RUN={uuid.uuid4()}"
        process, log, began = self._start(name, command, dict([mark.split("=")]))
        try:
            self._await(name, process, log, began, at, times)
            reached = time.monotonic()
            while time.monotonic() < reached + after:
                assert process.poll() is None, f"{name}: it ended before {after:.1f} s\n{tail_of(log)}"
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
        outcome = self._finish(name, process, log, began)
        orphans = await_end_of(mark, orphan_seconds)
        assert not orphans, f"{name}: {orphan_seconds} s after its end there are still {orphans}"
        return outcome

    def disturb(self, name: str, *command: str, at: str, act: Callable[[str], None], seconds: float = 900) -> Outcome:
        """Run to the end, and call `act` with what was printed so far as soon as that holds `at`."""
        process, log, began = self._start(name, command, None)
        try:
            self._await(name, process, log, began, at)
            act(log.read_text("utf-8", "replace"))
            process.wait(seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return self._finish(name, process, log, began)

    @staticmethod
    def _await(name: str, process: subprocess.Popen, log: Path, began: float, at: str, times: int = 1, seconds: float = 600) -> None:
        while log.read_text("utf-8", "replace").count(at) < times:
            assert process.poll() is None, f"{name}: it ended before {at!r}\n{tail_of(log)}"
            assert time.monotonic() - began < seconds, f"{name}: no {at!r} after {seconds} s\n{tail_of(log)}"
            time.sleep(0.05)

    def _start(self, name: str, command: tuple[str, ...], environment: dict[str, str] | None) -> tuple[subprocess.Popen, Path, float]:
        self.count += 1
        log = self.folder / f"{self.count:02d}-{re.sub(r'[^a-z0-9]+', '-', name.lower())}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**clean_environment(), **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return process, log, time.monotonic()

    def _finish(self, name: str, process: subprocess.Popen, log: Path, began: float) -> Outcome:
        outcome = Outcome(process.returncode, log.read_text("utf-8", "replace"), time.monotonic() - began, log)
        self.say(f"{outcome.seconds:6.1f} s  {name}")
        return outcome

    def playbook(self, name: str, playbook: str, *options: str, **more) -> Outcome:
        return self.run(name, str(VENV_BIN / "ansible-playbook"), playbook, *options, **more)

    def lab(self, command: str, *options: str, **more) -> Outcome:
        return self.run(f"lab {command}", str(VENV_BIN / "python"), "-m", "lab", command, *options, **more)


def clean_environment() -> dict[str, str]:
    """A new shell with only `.venv` activated: no AWS variable, no colour. A lab that it brings up has no Kubernetes.

    Building a cluster takes longer than all the rest; it has a sequence of its own, tests/rehearse/test_kubernetes.py.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_", "PYTEST_"))}
    return {
        **kept,
        "PATH": f"{VENV_BIN}:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(VENV_BIN.parent),
        "NO_COLOR": "1",
        "ANSIBLE_NOCOLOR": "1",
        "SKIP": "cluster,monitoring",
    }


def await_end_of(mark: str, seconds: float) -> list[str]:
    """Wait until no process has `mark` (name=value) in its environment. Those that still do are killed and returned."""
    deadline = time.monotonic() + seconds
    while (found := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [f"{pid}: {line}" for pid, line in found.items()]


def marked(mark: str) -> dict[int, str]:
    """Command lines by process id. Ansible's workers have sessions of their own, so a process group would not hold them all."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # It may end while it is looked at.
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def tail_of(log: Path, lines: int = 60) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])
