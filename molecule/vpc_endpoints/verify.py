"""Asked over AWS's API: services, subnets, security group and private names of the endpoints."""

from __future__ import annotations

from tests.acceptance import network
from tests.acceptance.system import tags_of


def endpoints(account) -> list[dict]:
    return account.described("describe_vpc_endpoints", "VpcEndpoints")


def test_defaults(defaults):
    network.check_vpc_endpoints(defaults)


def test_altered(altered):
    assert sorted(found["ServiceName"] for found in endpoints(altered)) == [
        f"com.amazonaws.us-east-1.{name}" for name in ("logs", "ssm", "ssmmessages")
    ]
    for found in endpoints(altered):
        assert found["SubnetIds"] == [altered.subnets("private")[0]["SubnetId"]]
        assert [group["GroupId"] for group in found["Groups"]] == [altered.security_group("endpoints")["GroupId"]]
        assert found["PrivateDnsEnabled"] is True, "clients would go on leaving the VPC"


def test_names_and_tags(account):
    prefix = "shop" if account.environment == "altered" else account.prefix
    for found in endpoints(account):
        assert tags_of(found)["Name"] == f"{prefix}-{found['ServiceName'].rpartition('.')[2]}"
        assert tags_of(found).get("Team") == ("shop" if account.environment == "altered" else None)


def test_gone(account):
    assert not [found for found in endpoints(account) if found["State"] != "deleted"]
