"""A shell inside an instance, on a terminal of its own, as Session Manager's agent starts it."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import pty
import signal
import struct
import termios
import tty
from dataclasses import dataclass
from pathlib import Path

from lab.podman import podman

# The agent's account on an instance; it makes it with sudo rights when it first starts.
AGENT_USER = "ssm-user"
AGENT_UNIT = "amazon-ssm-agent.service"
# The agent reads the terminal in pieces of this size.
CHUNK_BYTES = 1024


class NotReady(RuntimeError):
    """The instance cannot take a session; the message says why."""


@dataclass(frozen=True)
class Machine:
    """A running container as the kernel knows it. `started` tells a process id's first owner from its next."""

    container_id: str
    pid: int
    started: str

    @classmethod
    def find(cls, container: str) -> Machine | None:
        """The running container of that name, None when there is none."""
        answer = podman("inspect", "--type", "container", "--format", "{{.Id}} {{.State.Pid}}", container, check=False, timeout=20)
        if answer.returncode != 0:
            return None
        container_id, pid = answer.stdout.decode().split()
        started = _start_time(int(pid))
        return cls(container_id, int(pid), started) if started else None

    @property
    def root(self) -> Path:
        """The machine's file system, from outside."""
        return Path(f"/proc/{self.pid}/root")

    def alive(self) -> bool:
        return _start_time(self.pid) == self.started

    def not_ready_because(self) -> str:
        """Why no session can be had now; empty when one can. Cheap: no process is started."""
        if not self.alive():
            return "its machine does not run"
        # systemd keeps this link for exactly as long as a unit is active.
        if not os.path.lexists(self.root / f"run/systemd/units/invocation:{AGENT_UNIT}"):
            return "its agent does not run"
        if (self.root / "usr/bin/cloud-init").exists() and not (self.root / "run/cloud-init/result.json").exists():
            return "cloud-init has not finished"
        return ""

    def facts(self) -> dict[str, str]:
        """What the agent reports of its platform."""
        release = {}
        for line in (self.root / "etc/os-release").read_text().splitlines():
            key, _, value = line.partition("=")
            release[key] = value.strip('"')
        return {
            "name": release.get("NAME", "Linux"),
            "version": release.get("VERSION_ID", ""),
            "hostname": (self.root / "etc/hostname").read_text().strip(),
        }

    def account(self, name: str) -> tuple[int, int, str]:
        """User id, group id and home of an account. Raises NotReady when the machine has none of that name."""
        for line in (self.root / "etc/passwd").read_text().splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return int(fields[2]), int(fields[3]), fields[5]
        raise NotReady(f"there is no user {name}")


def _start_time(pid: int) -> str:
    try:
        # The command, in parentheses, may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Shell:
    """The process and its terminal. It ends with `kill`, with its own exit, with the machine, or with this process."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int) -> None:
        self._process = process
        self._terminal = terminal

    @classmethod
    async def start(cls, machine: Machine, command: str = "") -> Shell:
        """A login-less `sh`, or one command. Raises NotReady when the machine cannot."""
        user, group, home = machine.account(AGENT_USER)
        # runc, not podman: a shell in 40 ms instead of 190, and killing a `podman exec` leaves its process behind.
        # setpriv: not even our own violent end leaves a shell behind.
        arguments = ["setpriv", "--pdeathsig", "KILL", "runc", "exec", "--tty", "--cwd", "/usr/bin", "--user", f"{user}:{group}"]
        for name, value in {"HOME": home, "TERM": "xterm-256color", "LANG": "C.UTF-8"}.items():
            arguments += ["--env", f"{name}={value}"]
        arguments += [machine.container_id, "sh", *(["-c", command] if command else [])]
        terminal, outer = pty.openpty()
        try:
            # The terminal that counts is the one that runc makes inside.
            tty.setraw(outer)
            process = await asyncio.create_subprocess_exec(*arguments, stdin=outer, stdout=outer, stderr=outer, start_new_session=True)
        except BaseException:
            os.close(terminal)
            raise
        finally:
            os.close(outer)
        os.set_blocking(terminal, False)
        return cls(process, terminal)

    async def read(self) -> bytes:
        """The next output, empty at the end."""
        while True:
            try:
                return os.read(self._terminal, CHUNK_BYTES)
            except BlockingIOError:
                await self._wait(readable=True)
            except OSError as error:
                if error.errno == errno.EIO:
                    return b""
                raise

    async def write(self, data: bytes) -> None:
        """Type `data`, waiting while the terminal is full."""
        while data:
            try:
                data = data[os.write(self._terminal, data) :]
            except BlockingIOError:
                await self._wait(readable=False)

    def resize(self, payload: bytes) -> None:
        """Give the terminal the client's size: JSON with `cols` and `rows`."""
        size = json.loads(payload)
        rows, columns = int(size["rows"]), int(size["cols"])
        if rows > 0 and columns > 0:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            if self._process.returncode is None:
                # It is not the outer terminal's foreground process, so the kernel does not tell it.
                self._process.send_signal(signal.SIGWINCH)

    async def close(self) -> None:
        """End the shell and what runs in its foreground: the kernel hangs up the inner terminal when runc is gone."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        os.close(self._terminal)

    async def _wait(self, *, readable: bool) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        add, remove = (loop.add_reader, loop.remove_reader) if readable else (loop.add_writer, loop.remove_writer)
        add(self._terminal, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            remove(self._terminal)
