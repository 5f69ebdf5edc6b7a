# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs modules on the controller in a Python that has boto3 loaded already."""

from __future__ import annotations

DOCUMENTATION = r"""
name: warm_local
short_description: Run modules on the controller in a warm Python
description:
  - Behaves as P(ansible.builtin.local#connection), and runs Python modules by forking a process that has imported boto3 and the
    module utilities once, instead of starting a new interpreter for each task.
  - The process belongs to one run of Ansible and ends with it. Whatever is not a plain Python module for the controller's own
    interpreter (commands, privilege escalation, async, other interpreters) goes the way of P(ansible.builtin.local#connection).
  - Needs Linux 5.3 or newer (pidfd_open); elsewhere every task goes the way of P(ansible.builtin.local#connection).
author:
  - The Espalier authors
extends_documentation_fragment:
  - connection_pipelining
"""

import contextlib
import fcntl
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ansible import constants as C
from ansible.plugins.connection.local import Connection as LocalConnection
from ansible.utils.display import Display
from ansible_collections.espalier.aws.plugins.plugin_utils import this_run, zygote

display = Display()

ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
START_LIMIT_SECONDS = 20.0


def environment_of(command: str, interpreter: str) -> dict[str, str] | None:
    """The variables of a command that does nothing but run `interpreter` on its standard input; None for any other command."""
    try:
        words = shlex.split(command)
        if words[:2] != ["/bin/sh", "-c"] or len(words) != 3:
            return None
        words = shlex.split(words[2])
    except ValueError:
        return None
    environment = {}
    while words and (match := ASSIGNMENT.fullmatch(words[0])):
        environment[match[1]] = match[2]
        words = words[1:]
    return environment if words in ([interpreter], [interpreter, "&&", "sleep", "0"]) else None


class Connection(LocalConnection):
    """ansible.builtin.local, with a shortcut for modules."""

    transport = "espalier.aws.warm_local"
    has_pipelining = True

    def exec_command(self, cmd, in_data=None, sudoable=True):
        environment = environment_of(cmd, sys.executable) if in_data and not self.become else None
        if environment is None or not hasattr(os, "pidfd_open"):
            return super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        display.vvv("FORK a warm Python", host=self._play_context.remote_addr)
        return self._fork(environment, in_data)

    def _fork(self, environment: dict[str, str], code: bytes) -> tuple[int, bytes, bytes]:
        request = json.dumps({"environment": environment, "directory": self.cwd or os.getcwd(), "code": code.decode()}).encode()
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr, self._socket() as connection:
            socket.send_fds(connection, [zygote.HEADER.pack(len(request))], [stdout.fileno(), stderr.fileno()])
            connection.sendall(request)
            answer = connection.recv(1)
            stdout.seek(0)
            stderr.seek(0)
            # No answer: the process was killed, as a shell would say with 128 + SIGKILL.
            return (answer[0] if answer else 137), stdout.read(), stderr.read()

    def _socket(self) -> socket.socket:
        """A connection to the warm Python of this run, started by whichever worker comes first."""
        # Ansible's own folder for this run: private, inherited by all workers, removed at the end.
        folder = Path(C.DEFAULT_LOCAL_TMP)
        path = folder / "warm"
        with (folder / "warm.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                return self._connect_to(path)
            path.unlink(missing_ok=True)
            child = subprocess.Popen(
                [sys.executable, zygote.__file__, str(path), str(this_run.process_id())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=(folder / "warm.log").open("wb"),
                start_new_session=True,
            )
            deadline = time.monotonic() + START_LIMIT_SECONDS
            while time.monotonic() < deadline and child.poll() is None:
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                    return self._connect_to(path)
                time.sleep(0.02)
        log = (folder / "warm.log").read_text(errors="replace")
        raise RuntimeError(f"the warm Python has not started (in {START_LIMIT_SECONDS:.0f} s at most): {log}")

    @staticmethod
    def _connect_to(path: Path) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            raise
        return connection
