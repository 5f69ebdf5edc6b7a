"""What a VPC refuses and moto does not, and what takes time.

- DeleteSubnet, DeleteSecurityGroup (also while another group's rule names it), DeleteVpc, DetachInternetGateway and ReleaseAddress
  are refused while something depends on the thing.
- A NAT gateway is `pending` before it is `available` and `deleting` before it is `deleted`; until then it keeps its address, its
  network interface and its Elastic IP. An interface endpoint keeps its network interfaces, with its security groups, while it is
  `deleting`. Each takes a minute, divided by the time scale.
- Their network interfaces have addresses of their subnets.
- DescribeTags calls a NAT gateway `natgateway`, as AWS does: asked for that type, moto finds none of its tags.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable

from moto.ec2.exceptions import DependencyViolationError, EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.nat_gateways import NatGateway
from moto.ec2.models.vpcs import VPCEndPoint
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE

from lab.settings import SETTINGS

# AWS says "a few minutes" for both directions; about one is what is seen.
MINUTE_SECONDS = 60

_due: list[tuple[float, Callable[[], None]]] = []


def later(seconds: float, action: Callable[[], None]) -> None:
    """Do it when that many of AWS's seconds are over."""
    _due.append((time.monotonic() + SETTINGS.scaled(seconds), action))


def do_due() -> None:
    """Do what has become due. Called once a second by the instances controller's look at the account."""
    now = time.monotonic()
    ripe = [entry for entry in _due if entry[0] <= now]
    for entry in ripe:
        _due.remove(entry)
        entry[1]()


# --- refusals


def interfaces(ec2: EC2Backend, **wanted: str) -> Iterable[NetworkInterface]:
    """The network interfaces of a `subnet_id`, a `vpc_id` or with a security group `group_id`."""
    for interface in list(ec2.enis.values()):
        if (
            wanted.get("subnet_id", interface.subnet.id) != interface.subnet.id
            or wanted.get("vpc_id", interface.subnet.vpc_id) != interface.subnet.vpc_id
        ):
            continue
        if "group_id" not in wanted or wanted["group_id"] in {group.id for group in interface.group_set}:
            yield interface


def delete_subnet(original: Callable, self: EC2Backend, subnet_id: str):
    if any(interfaces(self, subnet_id=subnet_id)):
        raise DependencyViolationError(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
    subnet = original(self, subnet_id)
    # AWS: the association with a route table goes with its subnet.
    for table in self.route_tables.values():
        for association, associated in list(table._associations.items()):
            if associated == subnet_id:
                del table._associations[association]
    return subnet


def delete_security_group(original: Callable, self: EC2Backend, name: str | None = None, group_id: str | None = None):
    group = self.get_security_group_by_name_or_id(group_id or name)
    if group is not None and group.name != "default":
        others = [other for groups in self.groups.values() for other in groups.values() if other is not group]
        rules = (rule for other in others for rule in (*other.ingress_rules, *other.egress_rules))
        named = any((rule.source_group or {}).get("GroupId") == group.id for rule in rules)
        if named or any(interfaces(self, group_id=group.id)):
            raise DependencyViolationError(f"resource {group.id} has a dependent object")
    return original(self, name, group_id)


def delete_vpc(original: Callable, self: EC2Backend, vpc_id: str):
    groups = [group for group in self.groups.get(vpc_id, {}).values() if group.name != "default"]
    gateways = [gateway for gateway in self.internet_gateways.values() if gateway.vpc and gateway.vpc.id == vpc_id]
    if groups or gateways or any(interfaces(self, vpc_id=vpc_id)):
        raise DependencyViolationError(f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
    return original(self, vpc_id)


def detach_internet_gateway(original: Callable, self: EC2Backend, internet_gateway_id: str, vpc_id: str) -> None:
    if any(interface.public_ip for interface in interfaces(self, vpc_id=vpc_id)):
        raise DependencyViolationError(
            f"Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway."
        )
    original(self, internet_gateway_id, vpc_id)


def release_address(original: Callable, self: EC2Backend, address: str | None = None, allocation_id: str | None = None) -> None:
    found = self.address_by_ip([address]) if address else self.address_by_allocation([allocation_id])
    if found[0].association_id:
        raise EC2ClientError("InvalidIPAddress.InUse", f"Address {found[0].public_ip} is in use.")
    original(self, address, allocation_id)


# --- what takes time


def create_nat_gateway(original: Callable, self: EC2Backend, subnet_id: str, allocation_id: str, *arguments, **options) -> NatGateway:
    gateway = original(self, subnet_id, allocation_id, *arguments, **options)
    gateway.state = "pending"
    own_address(gateway._eni)
    gateway.address_set[0]["privateIp"] = gateway._eni.private_ip_address
    gateway._eni.description = f"Interface for NAT Gateway {gateway.id}"
    gateway._eni.status = "in-use"
    gateway._eni.requester_managed = True

    def ready() -> None:
        if gateway.state == "pending":
            gateway.state = "available"

    later(MINUTE_SECONDS, ready)
    return gateway


def delete_nat_gateway(original: Callable, self: EC2Backend, nat_gateway_id: str) -> NatGateway:
    gateway = self.nat_gateways.get(nat_gateway_id)
    if gateway is None:
        raise EC2ClientError("NatGatewayNotFound", f"NAT gateway {nat_gateway_id} was not found")
    if gateway.state in ("deleting", "deleted"):
        return gateway
    gateway.state = "deleting"

    def gone() -> None:
        for address in self.addresses:
            if address.eni is gateway._eni:
                address.eni = address.association_id = None
        remove_interface(self, gateway._eni)
        original(self, nat_gateway_id)

    later(MINUTE_SECONDS, gone)
    return gateway


def create_vpc_endpoint(original: Callable, self: EC2Backend, *arguments, **options) -> VPCEndPoint:
    endpoint = original(self, *arguments, **options)
    for interface in (self.enis[found] for found in endpoint.network_interface_ids or []):
        own_address(interface)
        interface.description = f"VPC Endpoint Interface {endpoint.id}"
        interface.status = "in-use"
        interface.requester_managed = True
        interface._group_set = [
            self.get_security_group_from_id(group) for group in endpoint.security_group_ids or []
        ] or interface._group_set
    return endpoint


def delete_vpc_endpoints(original: Callable, self: EC2Backend, vpce_ids: list[str] | None = None) -> None:
    for endpoint_id in vpce_ids or []:
        endpoint = self.vpc_end_points.get(endpoint_id)
        if endpoint is None or endpoint.state == "deleting":
            continue
        if not endpoint.network_interface_ids:
            original(self, [endpoint_id])
            del self.vpc_end_points[endpoint_id]
            continue
        endpoint.state = "deleting"
        later(MINUTE_SECONDS, functools.partial(finish_endpoint, self, endpoint))


def finish_endpoint(ec2: EC2Backend, endpoint: VPCEndPoint) -> None:
    for interface in [ec2.enis[found] for found in endpoint.network_interface_ids if found in ec2.enis]:
        remove_interface(ec2, interface)
    ec2.vpc_end_points.pop(endpoint.id, None)


def own_address(interface: NetworkInterface) -> None:
    """moto takes any private address of the world; AWS one of the subnet."""
    address = interface.subnet.get_available_subnet_ip(None)
    interface.private_ip_address = address
    interface.private_ip_addresses = [{"Primary": True, "PrivateIpAddress": address}]


def remove_interface(ec2: EC2Backend, interface: NetworkInterface) -> None:
    if ec2.enis.pop(interface.id, None) is not None:
        interface.subnet.del_subnet_ip(interface.private_ip_address)


def install() -> None:
    for replacement in (
        delete_subnet, delete_security_group, delete_vpc, detach_internet_gateway, release_address,
        create_nat_gateway, delete_nat_gateway, create_vpc_endpoint, delete_vpc_endpoints,
    ):  # fmt: skip
        original = getattr(EC2Backend, replacement.__name__)

        def method(self, *arguments, _replacement=replacement, _original=original, **options):
            return _replacement(_original, self, *arguments, **options)

        setattr(EC2Backend, replacement.__name__, method)
    EC2_PREFIX_TO_RESOURCE["nat"] = "natgateway"
