"""Where the deployment role's rights end: calls on its own things and on other people's, judged as the lab judges them."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from lab.api import policies
from tests.unit.deployment_role import ACCOUNT, rendered
from tests.unit.signed_requests import needed

OWN, OTHER = ({"Project": "django", "Environment": name} for name in ("production", "other"))
SEGMENTS = {"CidrBlock": "10.9.0.0/16"}


@pytest.fixture
def account():
    with mock_aws():
        yield boto3.session.Session("key", "secret", region_name="us-east-1")


def listed(tags: dict[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    return [{key: name, value: text} for name, text in tags.items()]


def refused(client, operation: str, **parameters) -> set[str]:
    """The rights of the call that the role lacks."""
    documents = rendered("production")["documents"]
    return {
        action
        for action, found in needed(client, operation, **parameters).items()
        for resource, context in found
        if policies.refusal(documents, None, action, resource, context)
    }


def new_vpc(ec2, tags: dict[str, str]) -> str:
    specifications = [{"ResourceType": "vpc", "Tags": listed(tags)}] if tags else []
    return ec2.create_vpc(**SEGMENTS, TagSpecifications=specifications)["Vpc"]["VpcId"]


def default_group(ec2, vpc: str) -> str:
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
    return ec2.describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"]


EVERYTHING = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


def test_a_default_security_group_is_closed_and_never_opened(account):
    """AWS makes it, without tags."""
    ec2 = account.client("ec2")
    group = default_group(ec2, new_vpc(ec2, OWN))
    for direction in ("ingress", "egress"):
        assert not refused(ec2, f"revoke_security_group_{direction}", GroupId=group, IpPermissions=EVERYTHING)
        assert refused(ec2, f"authorize_security_group_{direction}", GroupId=group, IpPermissions=EVERYTHING)


def test_another_environment_s_group_keeps_its_rules(account):
    ec2 = account.client("ec2")
    vpc = new_vpc(ec2, OTHER)
    specifications = [{"ResourceType": "security-group", "Tags": listed(OTHER)}]
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc, TagSpecifications=specifications)["GroupId"]
    assert refused(ec2, "revoke_security_group_ingress", GroupId=group, IpPermissions=EVERYTHING)


def test_what_is_new_gets_tags_and_what_is_ours_gets_others(account):
    ec2, kms, acm = (account.client(name) for name in ("ec2", "kms", "acm"))
    assert not refused(ec2, "create_vpc", **SEGMENTS, TagSpecifications=[{"ResourceType": "vpc", "Tags": listed(OWN)}])
    assert not refused(ec2, "create_tags", Resources=[new_vpc(ec2, OWN)], Tags=listed({"Team": "shop"}))
    tags = listed(OWN, "TagKey", "TagValue")
    assert not refused(kms, "create_key", Tags=tags)
    key = kms.create_key(Tags=tags)["KeyMetadata"]["KeyId"]
    assert not refused(kms, "tag_resource", KeyId=key, Tags=listed({"Team": "shop"}, "TagKey", "TagValue"))
    assert not refused(acm, "request_certificate", DomainName="example.com", Tags=listed(OWN))
    certificate = acm.request_certificate(DomainName="example.com", Tags=listed(OWN))["CertificateArn"]
    assert not refused(acm, "add_tags_to_certificate", CertificateArn=certificate, Tags=listed({"Team": "shop"}))


@pytest.mark.parametrize("whose", [OTHER, {"Environment": "other"}], ids=["other environment", "other tags"])
def test_nothing_of_others_is_adopted(account, whose):
    """By our tags it would be ours."""
    ec2, kms, acm = (account.client(name) for name in ("ec2", "kms", "acm"))
    vpc = new_vpc(ec2, whose)
    assert refused(ec2, "create_tags", Resources=[vpc], Tags=listed(OWN)) == {"ec2:CreateTags"}
    assert refused(ec2, "delete_vpc", VpcId=vpc) == {"ec2:DeleteVpc"}
    key = kms.create_key(Tags=listed(whose, "TagKey", "TagValue"))["KeyMetadata"]["KeyId"]
    assert refused(kms, "tag_resource", KeyId=key, Tags=listed(OWN, "TagKey", "TagValue")) == {"kms:TagResource"}
    assert refused(kms, "schedule_key_deletion", KeyId=key) == {"kms:ScheduleKeyDeletion"}
    certificate = acm.request_certificate(DomainName="example.com", Tags=listed(whose))["CertificateArn"]
    assert refused(acm, "add_tags_to_certificate", CertificateArn=certificate, Tags=listed(OWN)) == {"acm:AddTagsToCertificate"}


def test_nothing_of_ec2_without_tags_is_adopted(account):
    ec2 = account.client("ec2")
    assert refused(ec2, "create_tags", Resources=[new_vpc(ec2, {})], Tags=listed(OWN))


def test_no_distribution_of_others_is_adopted():
    documents = rendered("production")["documents"]
    asked = {f"aws:RequestTag/{name}": value for name, value in OWN.items()}
    had = {f"aws:ResourceTag/{name}": value for name, value in OTHER.items()}
    distribution = f"arn:aws:cloudfront::{ACCOUNT}:distribution/E1"
    assert not policies.refusal(documents, None, "cloudfront:TagResource", "*", asked)
    assert policies.refusal(documents, None, "cloudfront:TagResource", distribution, asked | had)
