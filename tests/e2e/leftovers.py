"""What of the lab is still on this machine: containers, networks, volumes, processes, sockets, firewall rules, files."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path

from lab.podman import podman
from lab.settings import SETTINGS
from lab.supervisor import LOCK


def leftovers() -> list[str]:
    """One line each; empty when the machine is as if the lab had never been up. Caches are kept on purpose and not listed."""
    return [*of_podman(), *processes(), *sockets(), *firewall(), *links(), *files()]


def of_podman() -> list[str]:
    found = []
    for kind, command in (
        ("container", ("ps", "--all", "--filter", "name=^espalier-", "--format", "{{.Names}}")),
        ("labelled container", ("ps", "--all", "--filter", "label=espalier.lab", "--format", "{{.Names}}")),
        ("network", ("network", "ls", "--filter", f"name=^{SETTINGS.network}$", "--format", "{{.Name}}")),
        ("volume", ("volume", "ls", "--filter", "name=^espalier-", "--format", "{{.Name}}")),
    ):
        found += [f"{kind} {name}" for name in podman(*command).stdout.decode().split()]
    return found


def processes() -> list[str]:
    """Of the lab's parts and of what they start."""
    pattern = re.compile(rb"\0-m\0lab\0run\0|session-manager-plugin")
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes()
        except OSError:
            continue
        if pattern.search(line):
            found.append(f"process {entry.parent.name}: {line.replace(b'\0', b' ').decode(errors='replace').strip()}")
    return found


def sockets() -> list[str]:
    ports = (SETTINGS.api_port, SETTINGS.metadata_port, SETTINGS.session_port, SETTINGS.http_port, SETTINGS.https_port)
    return [f"listener on port {port}" for port in (*ports, SETTINGS.registry_port) if answers(port)]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def firewall() -> list[str]:
    command = shutil.which("iptables-save")
    if command is None:
        return []
    saved = subprocess.run([command], capture_output=True, text=True, check=False).stdout.splitlines()
    mine = re.compile(r"169\.254\.169\.254|espalier|(?<!\d)10\.0\.(?:0\.0/16|\d+\.\d+/32)")
    return [f"firewall rule {line}" for line in saved if mine.search(line)]


def links() -> list[str]:
    """Addresses of the lab's network on this machine."""
    shown = subprocess.run(["ip", "-brief", "address"], capture_output=True, text=True, check=False).stdout.splitlines()
    return [f"network link {line.split()[0]}" for line in shown if f" {SETTINGS.gateway}/" in line or "169.254.169.254" in line]


def files() -> list[str]:
    """The lock of /run stays: removing one that another command waits for would let two commands in. A reboot takes it."""
    folders = [SETTINGS.state, *LOCK.parent.glob("*"), *Path("/tmp").glob("espalier*")]
    return [f"file {path}" for path in folders if path.exists() and path != LOCK]
