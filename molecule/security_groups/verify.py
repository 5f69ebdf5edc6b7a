"""Asked over AWS's API: who may reach whom on which port, and that every rule says why."""

from __future__ import annotations

from tests.acceptance import network
from tests.acceptance.network import rules
from tests.acceptance.system import tags_of

ROLES = ("load_balancer", "app", "database", "bastion", "endpoints")


def outbound(group: dict) -> set[tuple]:
    """Outbound rules as (protocol, from, to, target); each must say why it is there."""
    return rules({**group, "IpPermissions": group["IpPermissionsEgress"]})


def client_group(account) -> str:
    filters = [{"Name": "group-name", "Values": [f"{account.environment}-client"]}]
    return account.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"]


def test_inbound_rules_of_the_defaults(defaults):
    network.check_security_groups(defaults)


def test_inbound_rules(altered):
    group = {role: altered.security_group(role) for role in ROLES}
    identity = {role: found["GroupId"] for role, found in group.items()}
    assert rules(group["load_balancer"]) == {("tcp", 8443, 8443, "192.0.2.0/24"), ("tcp", 8443, 8443, "198.51.100.0/24")}
    client = client_group(altered)
    assert rules(group["app"]) == {("tcp", 8000, 8000, identity["load_balancer"]), ("tcp", 9113, 9113, client)}
    assert rules(group["database"]) == {("tcp", 6543, 6543, name) for name in (identity["app"], identity["bastion"], client)}
    assert rules(group["bastion"]) == set()


def test_outbound_rules(account):
    group = {role: account.security_group(role) for role in ROLES}
    port = 8000 if account.environment == "altered" else 80
    assert outbound(group["load_balancer"]) == {("tcp", port, port, "10.0.0.0/16")}, "the load balancer reaches more than its targets"
    assert outbound(group["database"]) == outbound(group["endpoints"]) == set(), "what never calls may call"
    assert outbound(group["app"]) == outbound(group["bastion"]) == {("-1", None, None, network.ANYWHERE)}


def test_names_and_tags(account):
    prefix = "shop" if account.environment == "altered" else account.prefix
    for role in ROLES:
        group = account.security_group(role)
        assert group["GroupName"] == f"{prefix}-{role.replace('_', '-')}" == tags_of(group)["Name"]
        assert tags_of(group).get("Team") == ("shop" if account.environment == "altered" else None)


def test_gone(account):
    assert not account.described("describe_security_groups", "SecurityGroups")
    assert account.vpc_id(), "the role removed what it did not make"
