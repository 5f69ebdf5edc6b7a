"""Asked over AWS's API: ranges, zones, and where each subnet's packets leave the network."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

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


def default_group(account) -> dict:
    named = [{"Name": "group-name", "Values": ["default"]}, {"Name": "vpc-id", "Values": [account.vpc_id()]}]
    return only(account.client("ec2").describe_security_groups(Filters=named)["SecurityGroups"], "default security group")


def test_the_default_security_group_is_closed(defaults):
    group = default_group(defaults)
    assert group["IpPermissions"] == group["IpPermissionsEgress"] == []


def test_the_default_security_group_may_stay_as_aws_made_it(altered):
    assert default_group(altered)["IpPermissionsEgress"]


def test_nothing_is_logged_unless_asked(defaults):
    assert not defaults.client("ec2").describe_flow_logs(Filters=defaults.filters)["FlowLogs"]
    with pytest.raises(ClientError, match="NoSuchEntity"):
        defaults.client("iam").get_role(RoleName="defaults-django-flow-logs")


def test_connections_are_logged(altered):
    log = only(altered.client("ec2").describe_flow_logs(Filters=altered.filters)["FlowLogs"], "flow log")
    assert (log["ResourceId"], log["TrafficType"], log["MaxAggregationInterval"]) == (altered.vpc_id(), "REJECT", 60)
    assert (log["LogDestinationType"], log["LogGroupName"]) == ("cloud-watch-logs", "/shop/connections")
    group = only(altered.client("logs").describe_log_groups(logGroupNamePrefix="/shop/connections")["logGroups"], "log group")
    assert group["retentionInDays"] == 90


def test_the_role_of_the_flow_logs_writes_there_and_nowhere_else(altered):
    iam, name = altered.client("iam"), "shop-flow-logs"
    log = only(altered.client("ec2").describe_flow_logs(Filters=altered.filters)["FlowLogs"], "flow log")
    role = iam.get_role(RoleName=name)["Role"]
    assert log["DeliverLogsPermissionArn"] == role["Arn"]
    trust = only(role["AssumeRolePolicyDocument"]["Statement"], "statement")
    assert trust["Principal"] == {"Service": "vpc-flow-logs.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    statements = iam.get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"]["Statement"]
    writing = only([one for one in statements if "logs:PutLogEvents" in one["Action"]], "statement")
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:/shop/connections"
    assert writing["Resource"] == [arn, f"{arn}:*"]


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
    assert not account.client("ec2").describe_flow_logs(Filters=account.filters)["FlowLogs"]
    assert not account.client("logs").describe_log_groups(logGroupNamePrefix="/shop/connections")["logGroups"]
    with pytest.raises(ClientError, match="NoSuchEntity"):
        account.client("iam").get_role(RoleName="shop-flow-logs")
    alive = {"Name": "state", "Values": ["pending", "available"]}
    assert not account.client("ec2").describe_nat_gateways(Filters=[alive])["NatGateways"]
