"""`make logs`, `shell`, `dbshell` and `tunnel`, as somebody at a terminal uses them: each through Session Manager, to what really runs."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import termios
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

import pytest

from lab import tls
from tests.acceptance import app
from tests.acceptance.system import System
from tests.e2e.steps import await_page, succeeded
from tests.tree import ROOT, VENV_BIN

CONNECT = (str(VENV_BIN / "python"), "bin/connect.py")
# The play finds the machine first, and psql may have to be installed.
START_SECONDS = 180
ANSWER_SECONDS = 30


class Terminal:
    """A command that believes in a person at a terminal. `said` is what it has printed, without the terminal's own orders."""

    def __init__(self, *command: str) -> None:
        self.master, slave = pty.openpty()
        # Without a height, psql shows the shortest answer page by page.
        termios.tcsetwinsize(slave, (40, 120))
        # A controlling terminal of its own, which Amazon's client sets to raw and the shell at the other end wants.
        self.process = subprocess.Popen(["setsid", "--ctty", *command], cwd=ROOT, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.text = ""

    @property
    def said(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.text)

    def _read(self, seconds: float) -> bool:
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:  # the other side has closed
            data = b""
        self.text += data.decode(errors="replace")
        return bool(data)

    def await_text(self, pattern: str, seconds: float = ANSWER_SECONDS) -> str:
        """Until the pattern is in what was said since the last `write`; all of that."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.said):
            assert time.monotonic() < deadline, f"nobody says {pattern!r}:\n{self.said}"
            assert self._read(0.5) or re.search(pattern, self.said), f"it has ended without {pattern!r}:\n{self.said}"
        return self.said

    def write(self, line: str) -> None:
        self.text = ""
        os.write(self.master, f"{line}\n".encode())

    def end(self, seconds: float = ANSWER_SECONDS) -> int:
        """Its exit code, once it has come to its end by itself."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end:\n{self.said}"
            self._read(0.2)
        return self.process.returncode


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    opened = Terminal(*CONNECT, *arguments)
    try:
        yield opened
    finally:
        if opened.process.poll() is None:
            os.killpg(opened.process.pid, signal.SIGKILL)
            opened.process.wait()
        os.close(opened.master)


@pytest.fixture(scope="module")
def system(built) -> System:
    await_page(built)
    return built


def test_logs_of_all_instances_and_their_end(recorder, system):
    outcome = succeeded(recorder.run("logs", *CONNECT, "logs", "follow=no", "lines=200"))
    instances = app.instance_ids(system)
    assert f"Logs of {', '.join(instances)}" in outcome.output
    lines = outcome.output.splitlines()
    for instance in instances:
        assert [line for line in lines if line.startswith(f"{instance}  ") and ("gunicorn" in line or "nginx" in line)], outcome.tail()


def test_shell_on_an_instance_that_serves(system):
    with terminal("shell") as shell:
        # What is typed comes back, too: the answer is what nobody typed.
        said = shell.await_text(r"Shell on i-\w+[^\n]*\n(?s:.*)[$#] $", START_SECONDS)
        instance = re.search(r"Shell on (i-\w+)", said)[1]
        assert instance in app.instance_ids(system)
        shell.write("echo answer-$((40 + 2)); systemctl is-active gunicorn")
        shell.await_text(r"answer-42\n+active\n")
        shell.write("exit")
        shell.end()


def test_shell_on_the_bastion(system):
    (bastion,) = system.instances("bastion")
    with terminal("shell", "instance=bastion") as shell:
        shell.await_text(rf"Shell on {bastion['InstanceId']}[^\n]*\n(?s:.*)[$#] $", START_SECONDS)
        shell.write("exit")
        shell.end()


def test_psql_reads_and_refuses_to_write(system):
    app.write_row(system)
    with terminal("dbshell") as psql:
        greeting = psql.await_text(r"=> $", START_SECONDS)
        assert "read-only (WRITE=yes to change that)" in greeting and "SSL connection" in greeting
        psql.write("SELECT 40 + 2 AS answer;")
        psql.await_text(r"\n +42\n(?s:.*)=> $")
        psql.write("SELECT 'rows ' || count(*) FROM guestbook_entry WHERE created_at > now() - interval '10 minutes';")
        psql.await_text(r"\brows [1-9]\d*\b(?s:.*)=> $")
        psql.write("CREATE TABLE connect_rehearsal (n int);")
        psql.await_text(r"cannot execute CREATE TABLE in a read-only transaction(?s:.*)=> $")
        psql.write(r"\q")
        psql.end()


def test_psql_writes_when_asked_to(system):
    table = f"connect_{uuid.uuid4().hex[:12]}"
    with terminal("dbshell", "write=yes") as psql:
        assert "with the right to write" in psql.await_text(r"=> $", START_SECONDS)
        psql.write(f"CREATE TABLE {table} (n int);")
        try:
            psql.await_text(r"\nCREATE TABLE\n(?s:.*)=> $")
        finally:
            psql.write(f"DROP TABLE {table};")
        psql.await_text(r"\nDROP TABLE\n(?s:.*)=> $")
        psql.write(r"\q")
        psql.end()


def assert_postgresql(port: int, name: str) -> None:
    """A handshake with the certificate of RDS's name, and PostgreSQL's own question for the password, at the other end of the tunnel."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as plain:
        plain.sendall(struct.pack("!ii", 8, 80877103))
        assert plain.recv(1) == b"S", "no PostgreSQL with TLS"
        context = ssl.create_default_context(cafile=str(tls.authority()))
        with context.wrap_socket(plain, server_hostname=name) as secure:
            options = b"user\0postgres\0database\0postgresDB\0\0"
            secure.sendall(struct.pack("!ii", 8 + len(options), 196608) + options)
            assert re.match(rb"R....\x00\x00\x00\x0aSCRAM-SHA-256", secure.recv(4096), re.DOTALL)


def test_tunnel_to_the_database(system):
    database = system.database()
    with terminal("tunnel") as tunnel:
        assert database["Endpoint"]["Address"] in tunnel.await_text("Waiting for connections", START_SECONDS)
        assert_postgresql(15432, database["Endpoint"]["Address"])


def test_tunnel_to_an_instance(system):
    with terminal("tunnel", "to=app") as tunnel:
        tunnel.await_text("Waiting for connections", START_SECONDS)
        with urlopen("http://127.0.0.1:18080/health", timeout=ANSWER_SECONDS) as answer:
            assert (answer.status, answer.read().strip()) == (200, b"OK")


def test_a_machine_that_is_not_there_is_named(recorder, system):
    outcome = recorder.run("shell: nobody", *CONNECT, "shell", "instance=i-0123456789abcdef0")
    assert outcome.returncode != 0 and "There is no machine i-0123456789abcdef0" in outcome.output
