"""Seed: Network."""

from __future__ import annotations

from tests.acceptance import cluster
from tests.acceptance.system import System, only, tags_of

ZONES = ["us-east-1a", "us-east-1b"]
SUBNETS = {
    "public": ["10.0.1.0/24", "10.0.2.0/24"],
    "private": ["10.0.10.0/24", "10.0.11.0/24"],
    "database": ["10.0.20.0/24", "10.0.21.0/24"],
}
ANYWHERE = "0.0.0.0/0"


def check_vpc(system: System) -> None:
    vpc = only(system.described("describe_vpcs", "Vpcs"), "VPC")
    assert vpc["CidrBlock"] == "10.0.0.0/16"
    for attribute in ("enableDnsSupport", "enableDnsHostnames"):
        answer = system.client("ec2").describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute=attribute)
        assert answer[attribute[0].upper() + attribute[1:]]["Value"] is True, attribute


def check_internet_gateway(system: System) -> None:
    gateway = only(system.described("describe_internet_gateways", "InternetGateways"), "internet gateway")
    assert [attachment["VpcId"] for attachment in gateway["Attachments"]] == [system.vpc_id()]


def check_subnets(system: System) -> None:
    for tier, blocks in SUBNETS.items():
        found = [(subnet["AvailabilityZone"], subnet["CidrBlock"], subnet["VpcId"]) for subnet in system.subnets(tier)]
        assert found == [(zone, block, system.vpc_id()) for zone, block in zip(ZONES, blocks, strict=True)], tier


def nat_gateways(system: System) -> list[dict]:
    """Of the VPC, since moto does not filter them by tag."""
    filters = [{"Name": "vpc-id", "Values": [system.vpc_id()]}, {"Name": "state", "Values": ["available"]}]
    return system.client("ec2").describe_nat_gateways(Filters=filters)["NatGateways"]


def check_nat_gateways(system: System) -> None:
    gateways = nat_gateways(system)
    assert sorted(gateway["SubnetId"] for gateway in gateways) == sorted(subnet["SubnetId"] for subnet in system.subnets("public"))
    addresses = {address["AllocationId"] for gateway in gateways for address in gateway["NatGatewayAddresses"]}
    owned = system.described("describe_addresses", "Addresses")
    assert addresses == {address["AllocationId"] for address in owned}, "an elastic address belongs to no NAT gateway"


def check_routes(system: System) -> None:
    gateway = only(system.described("describe_internet_gateways", "InternetGateways"), "internet gateway")["InternetGatewayId"]
    nat_of_subnet = {entry["SubnetId"]: entry["NatGatewayId"] for entry in nat_gateways(system)}
    nat_of_zone = {subnet["AvailabilityZone"]: nat_of_subnet[subnet["SubnetId"]] for subnet in system.subnets("public")}
    for subnet in system.subnets("public"):
        assert default_route(system, subnet) == gateway, subnet["CidrBlock"]
    for subnet in system.subnets("private"):
        assert default_route(system, subnet) == nat_of_zone[subnet["AvailabilityZone"]], subnet["CidrBlock"]
    for subnet in system.subnets("database"):
        assert default_route(system, subnet) is None, f"{subnet['CidrBlock']} has a route to the internet"


def default_route(system: System, subnet: dict) -> str | None:
    """Where 0.0.0.0/0 of a subnet leads, by its own route table, which must exist: the VPC's main table is nobody's choice."""
    mine = {"Name": "association.subnet-id", "Values": [subnet["SubnetId"]]}
    table = only(system.client("ec2").describe_route_tables(Filters=[mine])["RouteTables"], f"route table of {subnet['CidrBlock']}")
    assert tags_of(table).get("Project") == system.project
    routes = [route for route in table["Routes"] if route.get("DestinationCidrBlock") == ANYWHERE]
    return (routes[0].get("NatGatewayId") or routes[0].get("GatewayId")) if routes else None


def rules(group: dict) -> set[tuple]:
    """Inbound rules as (protocol, from, to, source); each must say why it is there."""
    found = set()
    for rule in group["IpPermissions"]:
        sources = [*rule["IpRanges"], *rule.get("Ipv6Ranges", []), *rule["UserIdGroupPairs"], *rule.get("PrefixListIds", [])]
        for source in sources:
            assert source.get("Description"), f"{group['GroupName']}: a rule without a description: {rule}"
            name = source.get("CidrIp") or source.get("CidrIpv6") or source.get("GroupId") or source["PrefixListId"]
            found.add((rule["IpProtocol"], rule.get("FromPort"), rule.get("ToPort"), name))
    return found


def check_security_groups(system: System) -> None:
    group = {role: system.security_group(role) for role in ("load_balancer", "app", "database", "bastion", "endpoints")}
    identity = {role: found["GroupId"] for role, found in group.items()}
    assert all(found["VpcId"] == system.vpc_id() for found in group.values())
    public = {rule for rule in rules(group["load_balancer"]) if rule[3] != "::/0"}
    assert public == {("tcp", 80, 80, ANYWHERE), ("tcp", 443, 443, ANYWHERE)}
    # Once a cluster exists, its pods reach the database and its Prometheus the instances.
    pods = cluster.group(system)
    assert rules(group["app"]) == {("tcp", 80, 80, identity["load_balancer"]), *([("tcp", 8001, 8001, pods)] if pods else [])}
    clients = [identity["app"], identity["bastion"], *([pods] if pods else [])]
    assert rules(group["database"]) == {("tcp", 5432, 5432, client) for client in clients}
    assert rules(group["bastion"]) == set()
    assert rules(group["endpoints"]) == {("tcp", 443, 443, "10.0.0.0/16")}


def check_vpc_endpoints(system: System) -> None:
    endpoints = system.described("describe_vpc_endpoints", "VpcEndpoints")
    names = sorted(endpoint["ServiceName"].rpartition(".")[2] for endpoint in endpoints)
    assert names == ["ec2messages", "ssm", "ssmmessages"]
    private = {subnet["SubnetId"] for subnet in system.subnets("private")}
    for endpoint in endpoints:
        assert endpoint["VpcEndpointType"] == "Interface"
        assert set(endpoint["SubnetIds"]) == private
        assert endpoint["PrivateDnsEnabled"] is True
        assert [entry["GroupId"] for entry in endpoint["Groups"]] == [system.security_group("endpoints")["GroupId"]]


def check_network_tags(system: System) -> None:
    """Everything is found by its tags: one forgotten tag is one orphan after destroy."""
    described = {
        "describe_vpcs": "Vpcs",
        "describe_subnets": "Subnets",
        "describe_internet_gateways": "InternetGateways",
        "describe_route_tables": "RouteTables",
        "describe_security_groups": "SecurityGroups",
        "describe_vpc_endpoints": "VpcEndpoints",
        "describe_addresses": "Addresses",
    }
    for operation, key in described.items():
        found = system.described(operation, key)
        assert found, key
        for resource in found:
            tags = tags_of(resource)
            assert tags.get("ManagedBy") == "espalier" and tags.get("Name"), f"{key}: {tags}"
    inside = {"Name": "vpc-id", "Values": [system.vpc_id()]}
    for operation, key in (("describe_subnets", "Subnets"), ("describe_vpc_endpoints", "VpcEndpoints")):
        everything = getattr(system.client("ec2"), operation)(Filters=[inside])[key]
        assert len(everything) == len(system.described(operation, key)), f"{key} of the VPC without our tags"
