"""Read from CloudWatch Logs through boto3: what a service, Nginx and a file say arrives there, as an event each, also over an outage."""

from __future__ import annotations

import time
from functools import cache

from tests.molecule.fixtures import account_of

GROUP = {"defaults": "/aws/ec2/django-app", "altered": "/shop/logs"}
UNIT = {"defaults": "gunicorn.service", "altered": "worker.service"}
ARRIVAL_SECONDS = 40
GUNICORN = "[2026-11-23 18:37:13 +0000] [123] [INFO] Booting worker with pid: {}"
TRACEBACK = """Internal Server Error: /basket
Traceback (most recent call last):
  File "/srv/django-app/current/source/shop/views.py", line 7, in basket
    total = 1 / 0
ZeroDivisionError: division by zero"""


@cache
def logs():
    return account_of("store").client("logs")


def stream(machine, kind: str) -> str:
    return f"{machine.output('hostname')}/{kind}"


def messages(machine, kind: str) -> list[str]:
    """What has arrived in a stream; nothing when there is none."""
    client, names = logs(), {"logGroupName": GROUP[machine.variables], "logStreamName": stream(machine, kind)}
    try:
        events = client.get_log_events(**names, startFromHead=True, limit=1000)["events"]
    except client.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in events]


def await_messages(machine, kind: str, *wanted: str) -> list[str]:
    """Wait until all have arrived, and return the whole stream."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while not set(wanted) <= set(found := messages(machine, kind)):
        journal = machine.run("journalctl", "--quiet", "--no-pager", "--lines=20", "--unit=espalier-logs.service").stdout
        assert time.monotonic() < deadline, f"{kind} has {found[-5:]}; the agent says:\n{journal}"
        time.sleep(0.5)
    return found


def say(machine, text: str) -> None:
    machine.output("sh", "-c", 'printf "%s\\n" "$1" >/run/say', "sh", text)


def test_the_agent_runs_now_and_after_a_boot(machine):
    assert machine.unit("espalier-logs.service") == ("active", "enabled")


def test_it_is_nobody_and_writes_nowhere_else(machine):
    process = machine.output("systemctl", "show", "--property", "MainPID", "--value", "espalier-logs.service")
    assert machine.output("stat", "--format", "%U", f"/proc/{process}") == "espalier-logs"
    status = machine.output("cat", f"/proc/{process}/status")
    assert int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd"))) == 0
    assert machine.mode("/usr/local/lib/espalier-logs/espalier_logs.py") == "root root 755"
    python = machine.output("readlink", f"/proc/{process}/exe")
    assert python == "/usr/bin/python3.11"


def test_kinds_have_streams_of_their_own(machine):
    if machine.variables == "defaults":
        say(machine, GUNICORN.format(1))
        say(machine, "INFO shop: an order")
        assert GUNICORN.format(1) not in await_messages(machine, "application", "INFO shop: an order")
        assert "INFO shop: an order" not in await_messages(machine, "gunicorn", GUNICORN.format(1))
    else:
        say(machine, "ERROR out of stock")
        say(machine, "all is well")
        assert "ERROR out of stock" not in await_messages(machine, "worker", "all is well")
        assert "all is well" not in await_messages(machine, "errors", "ERROR out of stock")


def test_what_was_written_before_is_sent(machine):
    if machine.variables == "altered":
        await_messages(machine, "audit", "before the agent")


def test_a_traceback_is_one_event(machine):
    say(machine, TRACEBACK)
    await_messages(machine, "application" if machine.variables == "defaults" else "worker", TRACEBACK)


def test_nginx(machine):
    if machine.variables != "defaults":
        return
    assert machine.get("/what-nobody-has").status == 404
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while not any('"GET /what-nobody-has HTTP/1.1" 404' in line for line in messages(machine, "nginx-access")):
        assert time.monotonic() < deadline, "the access log does not arrive"
        time.sleep(0.5)
    machine.output("sh", "-c", "echo 'an error' >>/var/log/nginx/error.log")
    await_messages(machine, "nginx-error", "an error")


def test_nothing_is_lost_or_doubled_by_a_rotation(machine):
    file, kind = ("/var/log/nginx/access.log", "nginx-access") if machine.variables == "defaults" else ("/var/log/audit.log", "audit")
    # As logrotate does it: the old file is written to until its writer is told.
    script = 'echo one >>"$1"; mv "$1" "$1.1"; : >"$1"; echo two >>"$1.1"; sleep 3; echo three >>"$1"; chgrp adm "$1"'
    machine.output("sh", "-c", script, "sh", file)
    found = await_messages(machine, kind, "one", "two", "three")
    assert [line for line in found if line in ("one", "two", "three")] == ["one", "two", "three"]


def test_nothing_is_lost_by_an_outage(machine):
    """AWS's address leads nowhere for a while, and the agent is killed meanwhile."""
    kind = "application" if machine.variables == "defaults" else "worker"
    target = machine.output("sh", "-c", ". /etc/environment; echo $AWS_ENDPOINT_URL").removeprefix("http://").split(":")[0]
    machine.output("ip", "route", "add", "unreachable", target)
    try:
        say(machine, "during the outage")
        time.sleep(6)
        assert "during the outage" not in messages(machine, kind)
        machine.output("systemctl", "kill", "--signal=KILL", "espalier-logs.service")
    finally:
        machine.output("ip", "route", "delete", "unreachable", target)
    say(machine, "after the outage")
    found = await_messages(machine, kind, "during the outage", "after the outage")
    assert found.index("during the outage") < found.index("after the outage")


def test_a_restart_sends_nothing_twice(machine):
    kind = "application" if machine.variables == "defaults" else "worker"
    say(machine, "before the restart")
    await_messages(machine, kind, "before the restart")
    machine.output("systemctl", "restart", "espalier-logs.service")
    say(machine, "after the restart")
    assert await_messages(machine, kind, "after the restart").count("before the restart") == 1


def test_gone(machine):
    assert machine.run("systemctl", "cat", "espalier-logs.service").returncode != 0
    assert machine.run("id", "espalier-logs").returncode != 0
    for path in ("/usr/local/lib/espalier-logs", "/var/lib/espalier-logs"):
        assert machine.run("test", "-e", path).returncode == 1, f"{path} is left"
    assert messages(machine, "application" if machine.variables == "defaults" else "worker"), "what was sent is gone"
