"""Asked on its socket: how many workers serve, as whom, what they may touch, and that they come back."""

from __future__ import annotations

import json
import time

WORKERS = {"defaults": 3, "altered": 2}


def ask(machine, path: str = "/") -> dict | None:
    """The application's answer; None when there is none."""
    where = (
        ["--unix-socket", "/run/probe.sock", f"http://probe{path}"] if machine.variables == "altered" else [f"http://127.0.0.1:8000{path}"]
    )
    done = machine.run("curl", "--silent", "--fail", "--max-time", "20", *where)
    return json.loads(done.stdout) if done.returncode == 0 else None


def main_process(machine) -> str:
    return machine.output("systemctl", "show", "--property", "MainPID", "--value", "gunicorn.service")


def test_service_and_socket_run_now_and_after_a_boot(machine):
    assert machine.unit("gunicorn.service") == machine.unit("gunicorn.socket") == ("active", "enabled")
    assert machine.mode("/etc/systemd/system/gunicorn.service") == "root root 644"


def test_workers(machine):
    assert ask(machine)
    found = int(machine.output("pgrep", "--count", "--parent", main_process(machine)))
    assert found == WORKERS[machine.variables], f"{found} workers instead of {WORKERS[machine.variables]}"


def test_threads(machine):
    words = machine.output("cat", f"/proc/{main_process(machine)}/cmdline").split("\0")
    assert words[words.index("--threads") + 1] == ("3" if machine.variables == "altered" else "1")


def test_nobody_outside_reaches_it(machine):
    assert not machine.listens(8000)


def test_the_socket_is_the_web_server_s(machine):
    if machine.variables == "altered":
        assert machine.mode("/run/probe.sock") == "root www-data 660"
    else:
        assert "127.0.0.1:8000" in machine.output("ss", "--listening", "--tcp", "--numeric")


def test_it_has_no_rights(machine):
    answer = ask(machine)
    assert answer["user"] == int(machine.output("id", "--user", "probe"))
    assert int(answer["capabilities"], 16) == 0
    assert answer["writes"] == (["/var/lib/probe/data"] if machine.variables == "altered" else []), "the service can change its own code"


def test_environment(machine):
    expected = {"GREETING": 'say "100 %"', "FROM_A_FILE": "yes", "HOME": "/var/lib/probe"}
    found = ask(machine)["environment"]
    assert found == expected if machine.variables == "altered" else found["GREETING"] is found["FROM_A_FILE"] is None


def test_what_it_wants_is_started_before(machine):
    state = machine.run("systemctl", "is-active", "probe-ready.service").stdout.strip()
    assert state == ("active" if machine.variables == "altered" else "inactive")


def test_access_log(machine):
    ask(machine, "/logged")
    lines = machine.output("journalctl", "--quiet", "--no-pager", "--unit", "gunicorn.service")
    assert ("GET /logged" in lines) == (machine.variables == "altered")


def test_it_comes_back_after_a_crash(machine):
    machine.output("kill", "-KILL", main_process(machine))
    deadline = time.monotonic() + 20
    while not ask(machine):
        assert time.monotonic() < deadline, "it stays down"
        time.sleep(0.5)


def test_gone(machine):
    assert not machine.listens(8000) and machine.run("test", "-e", "/run/probe.sock").returncode == 1
    for unit in ("gunicorn.service", "gunicorn.socket"):
        assert machine.run("systemctl", "cat", unit).returncode != 0
