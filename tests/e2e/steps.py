"""What the sequences of tests/e2e and tests/rehearse do again and again: judge a run, break something, wait for the repair."""

from __future__ import annotations

import os
import signal
import time

from lab.parts import wanted
from lab.podman import podman
from lab.settings import SETTINGS, Settings
from lab.supervisor import read_pid

# Of a lab as the recorder brings it up.
PARTS = wanted(Settings(kubernetes=False))


def succeeded(outcome):
    assert outcome.returncode == 0, f"exit code {outcome.returncode}, all of it in {outcome.log}\n{outcome.tail()}"
    return outcome


def nothing_changed(outcome) -> None:
    """changed=0 on every host, of which there are some."""
    succeeded(outcome)
    assert outcome.recap, f"no recap in {outcome.log}"
    assert outcome.total("changed") == 0, "\n".join(outcome.changed_tasks())


def await_page(system, seconds: float = 90) -> None:
    """Until both targets are healthy and the page answers."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = sorted(system.target_states().values()), system.get("/").status
            if last == (["healthy", "healthy"], 200):
                return
        except (OSError, AssertionError) as error:
            last = error
        time.sleep(1)
    raise AssertionError(f"no healthy page after {seconds} s: {last!r}")


def kill_part(part: str) -> None:
    process = read_pid(SETTINGS, part)
    assert process and process.alive(), f"the part {part} does not run"
    os.kill(process.pid, signal.SIGKILL)


def kill_one(kind: str) -> None:
    name = podman("ps", "--filter", f"label=espalier.lab={kind}", "--format", "{{.Names}}").stdout.decode().split()[0]
    podman("kill", "--signal", "KILL", name)


def await_replacement(system, gone: str, seconds: float = 180) -> None:
    """Until `gone` is no more, two instances run, and both can be reached through Session Manager."""
    deadline = time.monotonic() + seconds
    running: list[str] = []
    while time.monotonic() < deadline:
        running = [machine["InstanceId"] for machine in system.instances("app")]
        information = system.client("ssm").describe_instance_information()["InstanceInformationList"]
        online = {entry["InstanceId"] for entry in information if entry["PingStatus"] == "Online"}
        container = podman("container", "exists", f"espalier-instance-{gone}", check=False).returncode == 0
        if gone not in running and not container and len(running) == 2 and set(running) <= online:
            return
        time.sleep(1)
    raise AssertionError(f"{gone} was not replaced within {seconds} s: {running}")
