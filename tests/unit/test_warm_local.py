"""The warm Python behind the connection espalier.aws.warm_local: it must behave as a fresh interpreter would."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.espalier.aws.plugins.connection.warm_local import environment_of
from ansible_collections.espalier.aws.plugins.plugin_utils import this_run, zygote

PYTHON = "/usr/bin/python3"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (f"/bin/sh -c '{PYTHON} && sleep 0'", {}),
        (f"/bin/sh -c 'AWS_REGION=us-east-1 EMPTY=\"\" {PYTHON} && sleep 0'", {"AWS_REGION": "us-east-1", "EMPTY": ""}),
        (f"/bin/sh -c '{PYTHON}'", {}),
        # Whatever is more than the interpreter on its standard input takes the ordinary way.
        (f"/bin/sh -c '{PYTHON} script.py && sleep 0'", None),
        ("/bin/sh -c '/usr/bin/python2 && sleep 0'", None),
        (f"/bin/sh -c 'sudo {PYTHON}'", None),
        ("/bin/sh -c 'echo ~'", None),
        ("/bin/sh -c 'unfinished", None),
    ],
)
def test_only_a_plain_module_run_is_taken(command: str, expected: dict | None) -> None:
    assert environment_of(command, PYTHON) == expected


class Warm:
    """A zygote whose parent is a process that the test can end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parent = subprocess.Popen(["sleep", "120"])
        self.process = subprocess.Popen([sys.executable, zygote.__file__, str(path), str(self.parent.pid)])
        deadline = time.monotonic() + 30
        while not path.exists():
            assert time.monotonic() < deadline, "the zygote did not start"
            time.sleep(0.02)

    def run(self, code: str, **environment: str) -> tuple[bytes, str, str]:
        body = json.dumps({"environment": environment, "directory": "/", "code": code}).encode()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.path))
            socket.send_fds(connection, [zygote.HEADER.pack(len(body))], [out.fileno(), err.fileno()])
            connection.sendall(body)
            answer = connection.recv(1)
            out.seek(0)
            err.seek(0)
            return answer, out.read().decode(), err.read().decode()


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with tempfile.TemporaryDirectory() as folder:
        warm = Warm(Path(folder) / "warm")
        yield warm
        warm.parent.kill()
        warm.parent.wait()
        warm.process.wait(timeout=10)


def test_output_environment_and_exit_code_are_the_modules(warm: Warm) -> None:
    code = "import os, sys; print(os.environ['COLOUR'], os.getcwd()); print('oops', file=sys.stderr); sys.exit(3)"
    assert warm.run(code, COLOUR="blue") == (b"\x03", "blue /\n", "oops\n")


def test_one_call_leaves_nothing_to_the_next(warm: Warm) -> None:
    warm.run("import os, builtins; os.environ['LEFT'] = 'over'; builtins.left = 1")
    assert warm.run("import os, builtins; print(os.environ.get('LEFT'), hasattr(builtins, 'left'))")[1] == "None False\n"


def test_an_exception_is_a_failure_with_its_traceback(warm: Warm) -> None:
    answer, _out, error = warm.run("raise ValueError('broken')")
    assert answer == b"\x01"
    assert "ValueError: broken" in error


def test_a_killed_module_gives_no_answer(warm: Warm) -> None:
    assert warm.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")[0] == b""


def test_subprocesses_of_a_module_report_their_exit_code(warm: Warm) -> None:
    assert warm.run("import subprocess; print(subprocess.run(['sh', '-c', 'exit 7']).returncode)")[1] == "7\n"


def test_boto3_is_loaded_and_uses_the_calls_own_endpoint(warm: Warm) -> None:
    code = "import sys; loaded = 'boto3' in sys.modules; import boto3; print(loaded, boto3.client('ec2', 'eu-west-1').meta.endpoint_url)"
    assert warm.run(code, AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_CONFIG_FILE=os.devnull)[1] == "True http://127.0.0.1:1\n"


def test_a_shell_with_a_strange_profile_does_not_keep_it_cold(tmp_path: Path, monkeypatch) -> None:
    """Each module finds the profile again, since it may be the right one."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    warm = Warm(tmp_path / "warm")
    try:
        for _ in range(3):
            # Between two calls it reads a model.
            time.sleep(0.5)
            assert warm.run("import os; print(os.environ['AWS_PROFILE'])")[1] == "nobody\n"
        assert warm.process.poll() is None
    finally:
        warm.parent.kill()
        warm.parent.wait()
        warm.process.wait(timeout=20)


def test_it_ends_with_the_run_that_it_belongs_to(tmp_path: Path) -> None:
    warm = Warm(tmp_path / "warm")
    warm.parent.send_signal(signal.SIGKILL)
    warm.parent.wait()
    assert warm.process.wait(timeout=20) == 0


def test_a_worker_that_outlives_its_run_still_names_it() -> None:
    """What it starts then must end at once, not with the process that adopts orphans."""
    here, there = multiprocessing.Pipe(duplex=False)

    def run() -> None:
        def worker(parent: int) -> None:
            while os.getppid() == parent:
                time.sleep(0.01)
            there.send((this_run.process_id(), os.getppid()))

        multiprocessing.get_context("fork").Process(target=worker, args=(os.getpid(),)).start()
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(20)
    assert here.poll(20), "the worker says nothing"
    named, adopted = here.recv()
    assert named == process.pid != adopted
