"""The lab's network: podman's bridge whose range is the VPC's, and the doors from it to the lab's own servers."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess

from lab.podman import LABEL, PodmanError, podman
from lab.settings import SETTINGS, Settings

METADATA_ADDRESS = "169.254.169.254/32"
COMMENT = "espalier-lab"
# Linux's number; Python's socket module does not name it.
IP_FREEBIND = 15


def listen(address: str, port: int) -> socket.socket:
    """A listening TCP socket, also on an address that the machine does not have yet: podman's bridge comes with its first container."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        listener.bind((address, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def ensure(settings: Settings = SETTINGS) -> None:
    """Make the network and the doors that are missing. Raises PodmanError when a network of that name has another range."""
    inspected = podman("network", "inspect", settings.network, check=False)
    if inspected.returncode != 0:
        podman(
            "network",
            "create",
            "--label",
            f"{LABEL}=network",
            "--subnet",
            settings.network_cidr,
            "--gateway",
            settings.gateway,
            settings.network,
        )
    else:
        ranges = [subnet["subnet"] for subnet in json.loads(inspected.stdout)[0]["subnets"]]
        if ranges != [settings.network_cidr]:
            raise PodmanError(f"the podman network {settings.network!r} has the range {ranges}, not {settings.network_cidr}; remove it")
    for table, chain, rule in rules(settings):
        if iptables(table, "--check", chain, *rule).returncode != 0:
            added = iptables(table, "--insert", chain, *rule)
            if added.returncode != 0:
                raise RuntimeError(f"iptables: {added.stderr.decode(errors='replace').strip()}")


def at(address: str | None, settings: Settings = SETTINGS) -> list[str]:
    """podman's options for a container with this address, or any.

    The hardware address follows from it: with a new one, the neighbours of a restarted container would talk to nobody until their
    ARP entries expire.
    """
    if not address:
        return ["--network", settings.network]
    octets = ":".join(f"{int(part):02x}" for part in address.split("."))
    return ["--network", settings.network, "--ip", address, "--mac-address", f"02:00:{octets}"]


def rules(settings: Settings) -> list[tuple[str, str, list[str]]]:
    """The lab's firewall rules: table, chain, rule. Every one carries the comment by which `remove` finds it."""
    mark = ["--match", "comment", "--comment", COMMENT]
    inside = ["--source", settings.network_cidr, "--protocol", "tcp"]
    ports = ",".join(map(str, (settings.api_port, settings.metadata_port, settings.cluster_port, settings.pod_identity_port)))
    server = f"{settings.gateway}:{settings.metadata_port}"
    metadata = ["--destination", METADATA_ADDRESS, "--dport", "80", *mark, "--jump", "DNAT", "--to-destination", server]
    doors = ["--destination", settings.gateway, "--match", "multiport", "--dports", ports, *mark, "--jump", "ACCEPT"]
    return [
        # Not an address of this machine: only what comes over the bridge is sent to the lab's server.
        ("nat", "PREROUTING", [*inside, *metadata]),
        # For machines whose firewall lets nothing in.
        ("filter", "INPUT", [*inside, *doors]),
    ]


def iptables(table: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["iptables", "--wait", "10", "--table", table, *arguments], capture_output=True, check=False)


def remove(settings: Settings = SETTINGS) -> list[str]:
    """Remove network and firewall rules, whoever made them, and say what was removed. The network's containers must be gone."""
    removed = []
    for table in ("nat", "filter"):
        for line in iptables(table, "--list-rules").stdout.decode().splitlines():
            words = shlex.split(line)
            if COMMENT in words:
                iptables(table, "--delete", *words[1:])
                removed.append(f"firewall rule in {table} {words[1]}")
    guests = podman("ps", "--all", "--format", "{{.Names}}", "--filter", f"network={settings.network}").stdout.decode().split()
    if guests:
        # Its removal would remove them, too: nodes of a cluster that was given to the lab.
        print(f"lab: the network {settings.network} stays: {', '.join(guests)}, not the lab's own, are in it", flush=True)
    elif podman("network", "exists", settings.network, check=False).returncode == 0:
        podman("network", "rm", "--force", settings.network)
        removed.append(f"network {settings.network}")
    return removed
