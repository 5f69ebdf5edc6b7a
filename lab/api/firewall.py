"""What security groups allow, for the lab's controller (lab.security_groups): every network interface that something runs behind, its
groups' rules with addresses in place of groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.eks.models import eks_backends

from lab.settings import SETTINGS

ANYWHERE = "0.0.0.0/0"


def interfaces(body: dict) -> dict:
    """`interfaces`: by private address, what may come in (`ingress`) and go out (`egress`), each a list of rules:
    [protocol, first port, last port, ranges].

    Protocols are tcp, udp, icmp, a number, or -1 for all; ports are None for all. A rule that names a group has the group's addresses.
    """
    ec2 = ec2_backends[SETTINGS.account_id][SETTINGS.region]
    living = [interface for interface in ec2.enis.values() if interface.private_ip_address and interface.group_set]
    members: dict[str, list[str]] = {}
    for interface in living:
        for group in interface.group_set:
            if group.id not in members:
                members[group.id] = pods_of(ec2, group.id)
            members[group.id].append(f"{interface.private_ip_address}/32")
    found = {}
    for interface in living:
        groups = [ec2.get_security_group_from_id(group.id) or group for group in interface.group_set]
        found[interface.private_ip_address] = {
            "ingress": allowed((rule for group in groups for rule in group.ingress_rules), members) + endpoint(interface),
            "egress": allowed((rule for group in groups for rule in group.egress_rules), members),
        }
    return {"interfaces": found}


def pods_of(ec2: EC2Backend, group_id: str) -> list[str]:
    """With vpc-cni, pods have the groups of their node: what a cluster's own group may, the pods may."""
    group = ec2.get_security_group_from_id(group_id)
    names = [tag["value"] for tag in group.get_tags() if tag["key"] == "aws:eks:cluster-name"] if group else []
    clusters = eks_backends[SETTINGS.account_id][SETTINGS.region].clusters
    given = [f"{address}/32" for name in names if name in clusters for address in clusters[name].lab_addresses]
    return given or [SETTINGS.pod_cidr] * len(names)


def endpoint(interface: NetworkInterface) -> list[list]:
    """A cluster's public endpoint, which no group guards: here it is where the private one is, and the internet is this machine."""
    return [["tcp", 443, 443, [f"{SETTINGS.gateway}/32"]]] if (interface.description or "").startswith("Amazon EKS ") else []


def allowed(rules: Iterable[Any], members: dict[str, list[str]]) -> list[list]:
    """Each rule as protocol, ports and the IPv4 ranges of the other side. The lab's network knows neither IPv6 nor prefix lists."""
    answer = []
    for rule in rules:
        ranges = [rule.ip_range["CidrIp"]] if rule.ip_range.get("CidrIp") else members.get(rule.source_group.get("GroupId"), [])
        if ranges:
            first, last = rule.from_port, rule.to_port
            every = rule.ip_protocol not in ("tcp", "udp") or first in (None, -1) or last in (None, -1)
            answer.append([rule.ip_protocol, *((None, None) if every else (int(first), int(last))), sorted(ranges)])
    return sorted(answer, key=repr)


def lets_https_out(instance_id: str) -> bool:
    """Whether an instance's groups let it reach AWS by HTTPS, anywhere or at the endpoints of its VPC. One without groups is let out."""
    ec2 = ec2_backends[SETTINGS.account_id][SETTINGS.region]
    instance = ec2.get_instance_by_id(instance_id)
    rules = interfaces({})["interfaces"].get(instance.private_ip if instance else None)
    inside = ip_network(SETTINGS.network_cidr)
    return rules is None or any(
        protocol in ("-1", "tcp")
        and (first is None or first <= 443 <= last)
        and any(ip_network(one, strict=False).overlaps(inside) for one in ranges)
        for protocol, first, last, ranges in rules["egress"]
    )


def install() -> None:
    """Nothing of moto changes."""


ROUTES = {"firewall": interfaces}
