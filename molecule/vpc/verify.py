"""Asked over AWS's API: ranges, zones, and where each subnet's packets leave the network."""

from __future__ import annotations

import pytest

from tests.acceptance import network
from tests.acceptance.system import only, tags_of

ZONES = ["us-east-1b", "us-east-1c", "us-east-1d"]
SUBNETS = {
    "public": ["172.20.0.0/24", "172.20.1.0/24", "172.20.2.0/24"],
    "private": ["172.20.4.0/24", "172.20.5.0/24", "172.20.6.0/24"],
    "database": ["172.20.8.0/26", "172.20.8.64/26", "172.20.8.128/26"],
}
CHECKS = (network.check_vpc, network.check_internet_gateway, network.check_subnets, network.check_nat_gateways, network.check_routes)
KINDS = {
    "describe_vpcs": "Vpcs",
    "describe_subnets": "Subnets",
    "describe_internet_gateways": "InternetGateways",
    "describe_route_tables": "RouteTables",
    "describe_addresses": "Addresses",
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_defaults(defaults, check):
    check(defaults)


def test_altered_ranges_and_zones(altered):
    assert only(altered.described("describe_vpcs", "Vpcs"), "VPC")["CidrBlock"] == "172.20.0.0/20"
    for tier, blocks in SUBNETS.items():
        found = [(subnet["AvailabilityZone"], subnet["CidrBlock"]) for subnet in altered.subnets(tier)]
        assert found == list(zip(ZONES, blocks, strict=True)), tier


def test_one_gateway_serves_all_zones(altered):
    gateway = only(network.nat_gateways(altered), "NAT gateway")
    assert gateway["SubnetId"] == altered.subnets("public")[0]["SubnetId"]
    assert {network.default_route(altered, subnet) for subnet in altered.subnets("private")} == {gateway["NatGatewayId"]}
    assert {network.default_route(altered, subnet) for subnet in altered.subnets("database")} == {None}
    assert len(altered.described("describe_addresses", "Addresses")) == 1


def test_no_machine_gets_a_public_address_by_itself(account):
    assert not [subnet for subnet in account.described("describe_subnets", "Subnets") if subnet["MapPublicIpOnLaunch"]]


def test_load_balancers_of_a_cluster_find_their_subnets(account):
    wanted = {"public": "kubernetes.io/role/elb", "private": "kubernetes.io/role/internal-elb"}
    for tier in SUBNETS:
        for subnet in account.subnets(tier):
            tags = {key: value for key, value in tags_of(subnet).items() if key.startswith("kubernetes.io/")}
            marked = account.environment == "altered" and tier in wanted
            assert tags == ({wanted[tier]: "1", "kubernetes.io/cluster/shop-cluster": "shared"} if marked else {}), tier


def test_names_and_tags(account):
    prefix = "shop" if account.environment == "altered" else account.prefix
    for operation, key in KINDS.items():
        for found in account.described(operation, key) + network.nat_gateways(account):
            tags = tags_of(found)
            assert tags["Name"].startswith(f"{prefix}-") and tags["ManagedBy"] == "espalier", f"{key}: {tags}"
            assert tags.get("Team") == ("shop" if account.environment == "altered" else None)


def test_gone(account):
    for operation, key in KINDS.items():
        assert not account.described(operation, key), key
    alive = {"Name": "state", "Values": ["pending", "available"]}
    assert not account.client("ec2").describe_nat_gateways(Filters=[alive])["NatGateways"]
