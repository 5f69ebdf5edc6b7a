"""Security groups, enforced: a table of nftables with the rules of its groups in the network namespace of every container that has a
network interface of the VPC (instances, load balancers, databases).

As on AWS, replies are let through whatever the rules say, and nobody filters instance metadata and the VPC's name server. AWS's API at the
network's gateway stands for AWS's endpoints: who may not go out to port 443 of anywhere does not reach it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass

from lab import control
from lab.controller import Controller
from lab.podman import LABEL, podman
from lab.processes import Process
from lab.settings import SETTINGS, Settings

TABLE = "espalier_security_groups"
METADATA = "169.254.169.254"
ANYWHERE = "0.0.0.0/0"
# Passes after which podman is asked again for an address that nothing was found behind: NAT gateways and endpoints have no container.
PATIENCE = 5


@dataclass
class Namespace:
    """The network of a container: its first process, and the rules that are in force there."""

    process: Process
    applied: str = ""


class SecurityGroups(Controller):
    name = "security_groups"

    def __init__(self, settings: Settings = SETTINGS) -> None:
        super().__init__(settings)
        self.namespaces: dict[str, Namespace] = {}
        self.in_vain: set[str] = set()
        self.passes = 0

    def reconcile(self) -> None:
        wanted = control.call("firewall", settings=self.settings)["interfaces"]
        self.find(set(wanted))
        for address, rules in wanted.items():
            namespace = self.namespaces.get(address)
            text = ruleset(rules, self.settings)
            digest = hashlib.sha256(text.encode()).hexdigest()
            if namespace is None or namespace.applied == digest:
                continue
            done = apply(namespace.process.pid, text)
            if done.returncode != 0:
                # Mostly a container that has just ended: its successor is found by the next look.
                self.log.warning("%s: %s", address, done.stderr.decode(errors="replace").strip())
                self.namespaces.pop(address)
                continue
            namespace.applied = digest
            self.log.info("%s: %s rules in, %s out", address, len(rules["ingress"]), len(rules["egress"]))

    def find(self, addresses: set[str]) -> None:
        """Know the living containers of these addresses. podman is asked only when one is missing: a look costs a tenth of a second."""
        for address, namespace in list(self.namespaces.items()):
            if address not in addresses or not namespace.process.alive():
                del self.namespaces[address]
        missing = addresses - self.namespaces.keys()
        self.passes += 1
        if not missing or (missing <= self.in_vain and self.passes < PATIENCE):
            return
        self.passes = 0
        for address, pid in containers(self.settings).items():
            if address in missing:
                self.namespaces[address] = Namespace(Process.of(pid))
        self.in_vain = missing - self.namespaces.keys()


def containers(settings: Settings) -> dict[str, int]:
    """First process of each running container of the lab by its address in the lab's network."""
    listed = podman("ps", "--quiet", "--filter", f"label={LABEL}", "--filter", f"network={settings.network}").stdout.decode().split()
    if not listed:
        return {}
    found = {}
    # A container that has ended meanwhile makes podman fail, and tells of the others all the same.
    answer = podman("inspect", "--type", "container", *listed, check=False).stdout
    for container in json.loads(answer or b"[]"):
        network = container["NetworkSettings"]["Networks"].get(settings.network) or {}
        if network.get("IPAddress") and container["State"]["Pid"]:
            found[network["IPAddress"]] = container["State"]["Pid"]
    return found


def ruleset(rules: dict, settings: Settings) -> str:
    """The whole table of one interface, as `nft -f` reads it: what was there before is replaced in one step."""
    inbound = [rule_text(rule, "saddr") for rule in rules["ingress"]]
    outbound = [rule_text(rule, "daddr") for rule in rules["egress"]]
    if any(reaches_aws(rule) for rule in rules["egress"]):
        outbound.append(f"ip daddr {settings.gateway} tcp dport {settings.api_port} accept")
    always = [f"ip daddr {METADATA} accept", f"ip daddr {settings.gateway} meta l4proto {{ tcp, udp }} th dport 53 accept"]

    def chain(hook: str, lines: list[str]) -> str:
        begin = ["ct state established,related accept", 'meta oifname "lo" accept' if hook == "output" else 'meta iifname "lo" accept']
        body = "\n".join(f"    {line}" for line in [*begin, *lines])
        return f"  chain {hook} {{\n    type filter hook {hook} priority filter; policy drop;\n{body}\n  }}"

    tables = [chain("input", inbound), chain("output", [*always, *outbound])]
    return f"table ip {TABLE} {{}}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n" + "\n".join(tables) + "\n}\n"


def rule_text(rule: list, side: str) -> str:
    """One rule of a group as nftables says it."""
    protocol, first, last, ranges = rule
    # No range may lie inside another of the same set: nftables refuses that.
    words = [] if ANYWHERE in ranges else [f"ip {side} {{ {', '.join(dict.fromkeys(ranges))} }}"]
    if first is not None:
        words.append(f"{protocol} dport {first}-{last}" if first != last else f"{protocol} dport {first}")
    elif protocol != "-1":
        words.append(f"meta l4proto {protocol}")
    return " ".join([*words, "accept"])


def reaches_aws(rule: list) -> bool:
    """Whether a rule lets HTTPS out to wherever AWS is."""
    protocol, first, last, ranges = rule
    return ANYWHERE in ranges and protocol in ("-1", "tcp") and (first is None or first <= 443 <= last)


def apply(pid: int, text: str) -> subprocess.CompletedProcess[bytes]:
    """Load a ruleset into the network namespace of a process."""
    command = ["nsenter", "--target", str(pid), "--net", "nft", "--file", "-"]
    return subprocess.run(command, input=text.encode(), capture_output=True, check=False)
