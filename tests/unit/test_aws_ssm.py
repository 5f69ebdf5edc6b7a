"""The connection espalier.aws.aws_ssm: a real shell on a real terminal, with a stand-in for Amazon's client in between."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.espalier.aws.plugins.plugin_utils import session_holder
from ansible_collections.espalier.aws.plugins.plugin_utils import session_wire as wire

# What session-manager-plugin and the agent do between them: standard input and output against a shell's terminal.
CLIENT = """
import os, pty, sys, threading
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("sh", ["sh"])
def type_on():
    while data := os.read(0, 1024):
        while data:
            data = data[os.write(terminal, data):]
threading.Thread(target=type_on, daemon=True).start()
try:
    while data := os.read(terminal, 1024):
        os.write(1, data)
except OSError:
    pass
"""
MODULE_CODE = b"QUJD" * 5000  # base64, long enough to be kept


@pytest.fixture
def terminated() -> Iterator[tuple[str, list[str]]]:
    """A stand-in for Systems Manager: its address, and the ids of the sessions that it was told to terminate."""
    ids: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.headers["X-Amz-Target"] == "AmazonSSM.TerminateSession"
            ids.append(body["SessionId"])
            answer = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", ids
    server.shutdown()
    server.server_close()


class Holder:
    """A session_holder process, as the connection starts it."""

    def __init__(self, folder: Path, endpoint: str, command: list[str], parent: int, start_seconds: float = 10) -> None:
        self.path = folder / "holder"
        order = {
            "command": command,
            "environment": {"HOME": str(folder)},
            "start_seconds": start_seconds,
            "session": {
                "id": "session-1",
                "region": "us-east-1",
                "endpoint_url": endpoint,
                "credentials": {"aws_access_key_id": "key", "aws_secret_access_key": "secret"},
            },
        }
        self.process = subprocess.Popen(
            [sys.executable, session_holder.__file__, str(self.path), str(parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.process.stdin.write(json.dumps(order).encode())
        self.process.stdin.close()
        self.said = self.process.stdout.readline().decode().strip()

    def connect(self) -> Client:
        return Client(self.path)


class Client:
    """What a worker does."""

    def __init__(self, path: Path) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(str(path))
        self.stream = connection.makefile("rwb")
        connection.close()
        self.greeting = json.loads(self.stream.readline())

    def send(self, command: str, data: bytes = b"", seconds: float = 20) -> None:
        self.stream.write(json.dumps({"command": command, "data": len(data), "seconds": seconds}).encode() + b"\n" + data)
        self.stream.flush()

    def run(self, command: str, data: bytes = b"", seconds: float = 20) -> tuple[int, bytes, bytes]:
        self.send(command, data, seconds)
        head = json.loads(self.stream.readline())
        assert "lost" not in head, head
        return head["code"], self.stream.read(head["output"]), self.stream.read(head["errors"])

    def close(self) -> None:
        self.stream.close()


@pytest.fixture
def start(tmp_path: Path, terminated: tuple[str, list[str]]) -> Iterator[Callable[..., Holder]]:
    """Starts a holder for this process, or for another parent; all are gone at the end."""
    holders = []

    def begin(command: list[str] | None = None, parent: int | None = None, **options: float) -> Holder:
        holders.append(Holder(tmp_path, terminated[0], command or [sys.executable, "-c", CLIENT], parent or os.getpid(), **options))
        return holders[-1]

    yield begin
    for holder in holders:
        with contextlib.suppress(ProcessLookupError):
            holder.process.kill()
        holder.process.wait()
        holder.process.stdout.close()


def gone(holder: Holder) -> bool:
    """Whether the holder ends by itself, within 10 s."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        holder.process.wait(10)
    return holder.process.returncode is not None


def test_a_command_has_its_own_status_output_and_errors(start):
    client = start().connect()
    assert client.run("echo out; echo err >&2; exit 3") == (3, b"out\n", b"err\n")
    assert client.run("printf 'a\\000\\377\\r\\n'") == (0, b"a\0\xff\r\n", b"")
    assert client.run("cat; tty -s || echo none") == (0, b"none\n", b"")


def test_what_would_break_the_shell_breaks_only_the_command(start):
    client = start().connect()
    code, output, errors = client.run("echo 'unbalanced")
    assert code == 2 and not output and b"ntermin" in errors
    assert client.run("exec false")[0] == 1
    assert client.run("echo " + "x" * 20000)[1] == b"x" * 20000 + b"\n"
    assert client.run("true")[0] == 0


@pytest.mark.parametrize("size", [0, 1, 999, 4096, 300_000])
def test_input_arrives_whole(start, size):
    data = os.urandom(size)
    client = start().connect()
    assert client.run("sha256sum", data)[1].split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert client.run("cat", data) == (0, data, b"")


def test_input_that_a_command_does_not_read_is_not_the_next_command(start):
    client = start().connect()
    assert client.run("head -c 3", b"abc" + os.urandom(50_000)) == (0, b"abc", b"")
    assert client.run("exit 4", os.urandom(50_000))[0] == 4
    assert client.run("echo still here")[1] == b"still here\n"


def test_module_code_travels_once_and_its_parameters_every_time(start, tmp_path):
    client = start().connect()
    kept = tmp_path / ".cache" / "espalier-session"
    for secret in (b"first", b"second"):
        data = b"code = '" + MODULE_CODE + b"'; parameters = '" + secret + b"'"
        assert client.run("cat", data) == (0, data, b"")
        assert [path.name for path in kept.iterdir()] == [hashlib.sha256(MODULE_CODE).hexdigest()]
    assert b"first" not in next(kept.iterdir()).read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o700


def test_a_damaged_part_is_not_kept(start, tmp_path):
    client = start().connect()
    script = wire.store_request("0" * 64, MODULE_CODE, "nonce")
    assert script.count(b"\n") > 1
    # By hand, through the same loop: a digest that is not the part's.
    body = wire.lines(MODULE_CODE)
    assert (
        client.run(f'p={tmp_path}; t="$p/x"; head -c {len(body)} | tr -d "\\n" >"$t"; [ "$(sha256sum <"$t" | cut -c1-64)" = 0 ]', body)[0]
        == 1
    )


def test_zip_archives_are_kept_without_their_dates():
    def archive(year: int) -> bytes:
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as writer:
            for name in ("ansible/__init__.py", "ansible/module.py"):
                writer.writestr(zipfile.ZipInfo(name, (year, 2, 3, 4, 5, 6)), "print('hello')\n" * 50)
        return base64.b64encode(memory.getvalue())

    assert archive(2025) != archive(2026)
    assert wire.undated(archive(2025)) == wire.undated(archive(2026))
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(wire.undated(archive(2026))))) as reader:
        assert reader.testzip() is None
        assert reader.read("ansible/module.py") == b"print('hello')\n" * 50
        assert reader.getinfo("ansible/module.py").date_time == (1980, 1, 1, 0, 0, 0)
    assert wire.undated(MODULE_CODE) == MODULE_CODE


def test_no_line_is_longer_than_a_terminal_takes():
    request = wire.run_request("echo " + "x" * 9000, wire.split_parts(os.urandom(9000) + MODULE_CODE), set(), "nonce")
    assert max(len(line) for line in (request + wire.bootstrap("nonce")).splitlines()) < 4095


def test_lines_of_others_are_passed_over():
    answer = wire.Answer()
    lines = [b"", b"Broadcast message from root@host", b"o%%%", b"ob2s=\r\n", b"r0\n", b"end-other\n"]
    assert [answer.take(line, "mine") for line in lines] == [False] * 6
    assert answer.take(b"end-mine\n", "mine")
    assert (answer.code, bytes(answer.output)) == (0, b"ok")


def test_a_second_client_is_told_that_the_session_is_taken(start):
    holder = start()
    first = holder.connect()
    assert first.greeting == {"busy": False}
    assert holder.connect().greeting == {"busy": True}
    first.close()
    time.sleep(0.2)
    assert holder.connect().run("echo next")[1] == b"next\n"


def test_a_command_that_misses_its_deadline_ends_the_session(start, terminated, tmp_path):
    holder = start()
    client = holder.connect()
    client.send("sleep 77", seconds=0.5)
    assert json.loads(client.stream.readline()) == {"lost": "no end after 0.5 s", "started": True}
    assert gone(holder)
    assert terminated[1] == ["session-1"]
    assert not holder.path.exists()


def test_a_client_that_goes_away_in_the_middle_ends_the_session(start, terminated):
    holder = start()
    client = holder.connect()
    client.send("sleep 77")
    time.sleep(0.3)
    client.close()
    assert gone(holder)
    assert terminated[1] == ["session-1"]


def test_the_session_ends_with_its_run(start, terminated):
    run = subprocess.Popen(["sleep", "60"])
    holder = start(parent=run.pid)
    client = holder.connect()
    assert client.run("echo alive")[1] == b"alive\n"
    run.kill()
    run.wait()
    assert gone(holder)
    # Its shell ended by itself, and the session with it.
    assert terminated[1] == []


def test_a_session_that_was_lost_between_two_commands_is_told_from_one_lost_in_the_middle(start):
    holder = start()
    client = holder.connect()
    client.send("kill -9 0; sleep 5")
    assert json.loads(client.stream.readline())["started"] is True
    assert gone(holder)
    holder = start()
    client = holder.connect()
    # The shell ends after the answer.
    client.run("(sleep 0.3; kill -9 0) >/dev/null 2>&1 &")
    time.sleep(1)
    client.send("echo too late")
    assert json.loads(client.stream.readline())["started"] is False


def test_a_shell_that_never_answers_is_given_up(start, terminated):
    holder = start(["sleep", "60"], start_seconds=0.5)
    assert holder.said.startswith("the shell did not answer within 0.5 s")
    assert gone(holder)
    assert terminated[1] == ["session-1"]


def test_a_client_program_that_fails_is_quoted(start, terminated):
    holder = start(["sh", "-c", "echo Cannot perform start session: no route"])
    assert holder.said == "the session ended: Cannot perform start session: no route"
    assert gone(holder)


def test_what_was_sent_is_never_quoted(start):
    """A shell that is gone lets the terminal repeat what it is sent: a module's arguments, secrets and all."""
    holder = start(
        ["sh", "-c", r'read -r first; printf "ready-%s \n" "${first##* }"; head -c 900; echo; echo Exiting session with a reason']
    )
    client = holder.connect()
    client.send("true", b"secret " * 200)
    lost = json.loads(client.stream.readline())["lost"]
    assert "Exiting session with a reason" in lost
    assert base64.b64encode(b"secret " * 3).decode()[:20] not in lost and len(lost) < 250
