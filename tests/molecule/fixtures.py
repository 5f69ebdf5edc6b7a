"""What a scenario's verify.py works with: the machines and accounts of its inventory, as somebody outside sees them."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import yaml

from lab.podman import podman
from tests.acceptance.system import Answer, System
from tests.tree import ROOT, VENV_BIN

APPLY_SECONDS = 180


def inventory() -> dict:
    """What the scenario's molecule.yml says of its hosts."""
    return yaml.safe_load((Path(os.environ["MOLECULE_INVENTORY"]) / "hosts").read_text("utf-8"))


@dataclass
class Machine:
    """A machine of a scenario. `variables` names its set: "defaults" or "altered"; `alone` when it has configured itself."""

    name: str
    variables: str
    alone: bool

    def run(self, *command: str, user: str = "root", seconds: int = 30) -> subprocess.CompletedProcess[str]:
        """Run a command on it and return it finished, whatever its exit code.

        As `podman exec` would, which takes a fifth of a second each time.
        """
        entered = ["nsenter", "--target", self.process, "--all", "--", *(["runuser", "--user", user, "--"] if user != "root" else [])]
        variables = Path("/proc", self.process, "environ").read_text("utf-8").rstrip("\0").split("\0")
        environment = dict(variable.split("=", 1) for variable in variables)
        return subprocess.run(
            [*entered, *command], env=environment, capture_output=True, encoding="utf-8", errors="replace", timeout=seconds, check=False
        )

    @cached_property
    def process(self) -> str:
        """Process id of its systemd."""
        return podman("inspect", "--format", "{{.State.Pid}}", self.name).stdout.decode().strip()

    def output(self, *command: str, user: str = "root") -> str:
        """What a command that must succeed prints."""
        done = self.run(*command, user=user)
        assert done.returncode == 0, f"{' '.join(command)} answered {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def mode(self, path: str) -> str:
        """Owner, group and mode of a path: `root root 644`."""
        return self.output("stat", "--format", "%U %G %a", path)

    def unit(self, name: str) -> tuple[str, str]:
        """Whether a unit runs, and whether it will after a boot: ("active", "enabled")."""
        return tuple(self.run("systemctl", verb, name).stdout.strip() for verb in ("is-active", "is-enabled"))

    @cached_property
    def address(self) -> str:
        return podman("inspect", "--format", "{{.NetworkSettings.IPAddress}}", self.name).stdout.decode().strip()

    def get(self, path: str, port: int = 80, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """One request from this machine's side of the bridge. Underscores of header names stand for hyphens."""
        connection = http.client.HTTPConnection(self.address, port, timeout=15)
        try:
            connection.request(method, path, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read().decode(errors="replace"))
        finally:
            connection.close()

    def listens(self, port: int) -> bool:
        """Whether somebody outside can connect."""
        with socket.socket() as client:
            client.settimeout(2)
            return client.connect_ex((self.address, port)) == 0


def machines() -> list[Machine]:
    prefix = f"molecule-{os.environ['MOLECULE_SCENARIO_NAME']}"
    project = hashlib.sha1(str(ROOT).encode(), usedforsecurity=False).hexdigest()[:6]
    hosts = inventory()["machines"]["hosts"]
    return [Machine(f"{prefix}-{host}-{project}{suffix}", host, bool(suffix)) for host in hosts for suffix in ("", "-alone")]


def apply(host: str, **variables) -> tuple[subprocess.CompletedProcess[str], Machine]:
    """Apply the role from the controller to the one machine of that set of variables, some of them different."""
    playbook = ROOT / "molecule" / "shared" / "on_machines.yml"
    command = ["ansible-playbook", "--inventory", os.environ["MOLECULE_INVENTORY"], "--limit", host, playbook]
    command += ["--extra-vars", json.dumps(variables)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=APPLY_SECONDS, check=False)
    return done, next(machine for machine in machines() if machine.variables == host and not machine.alone)


def account_of(environment: str) -> System:
    server = json.loads((Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "account.json").read_text())
    return System(environment=environment, endpoint_url=f"http://127.0.0.1:{server['port']}")


def kubernetes(program: str, *arguments: str, check: bool = True) -> str:
    """What kubectl or helm print, asked of the scenario's cluster."""
    kubeconfig = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "kubeconfig"
    environment = {**os.environ, "PATH": f"{VENV_BIN}:{os.environ['PATH']}", "KUBECONFIG": str(kubeconfig)}
    done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, f"{program} {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`machine`: each machine of the scenario. `account`: each of its environments."""
    if "machine" in metafunc.fixturenames:
        metafunc.parametrize("machine", machines(), ids=lambda machine: f"{machine.variables}{'-alone' if machine.alone else ''}")
    if "account" in metafunc.fixturenames:
        accounts = [account_of(host) for host in inventory()["accounts"]["hosts"]]
        metafunc.parametrize("account", accounts, ids=lambda account: account.environment)


@pytest.fixture
def defaults() -> System:
    """The environment that was made with a role's defaults."""
    return account_of("defaults")


@pytest.fixture
def altered() -> System:
    """The environment that was made with most variables altered."""
    return account_of("altered")
