"""Network interfaces that AWS's services put into their customers' subnets. They take the service's address, and as on AWS they hold on to
subnet and security groups until the service is gone."""

from __future__ import annotations

from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_network_interfaces import NetworkInterface


def create(ec2: EC2Backend, subnet_id: str, group_ids: list[str], description: str) -> NetworkInterface:
    """An interface with the subnet's next free address."""
    subnet = ec2.get_subnet(subnet_id)
    interface = ec2.create_network_interface(subnet, subnet.get_available_subnet_ip(None), group_ids=group_ids, description=description)
    interface.requester_managed = True
    interface.status = "in-use"
    return interface


def set_groups(ec2: EC2Backend, interface: NetworkInterface | None, group_ids: list[str]) -> None:
    """Wear other security groups: those of before are free to go."""
    if interface is not None:
        ec2.modify_network_interface_attribute(interface.id, group_ids)


def delete(ec2: EC2Backend, interface: NetworkInterface | None) -> None:
    """Give the address back. Without effect when the interface or its subnet is gone."""
    if interface is not None and ec2.enis.pop(interface.id, None) is not None:
        interface.subnet.del_subnet_ip(interface.private_ip_address)
