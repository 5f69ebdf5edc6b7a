"""Where the deployment role's rights end: calls on its own things and on other people's, judged as the lab judges them."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws
from moto.eks.models import eks_backends

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


def new_group(ec2, tags: dict[str, str]) -> str:
    specifications = [{"ResourceType": "security-group", "Tags": listed(tags)}]
    vpc = new_vpc(ec2, tags)
    return ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc, TagSpecifications=specifications)["GroupId"]


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
    assert refused(ec2, "revoke_security_group_ingress", GroupId=new_group(ec2, OTHER), IpPermissions=EVERYTHING)


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


def test_a_new_key_is_usable_before_its_tags_count(account):
    """AWS may take five minutes; a key of another environment is out of reach all the same."""
    kms = account.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    others = kms.create_key(Tags=listed(OTHER, "TagKey", "TagValue"))["KeyMetadata"]["KeyId"]
    for operation, parameters in (("create_alias", {"AliasName": "alias/production-django-x"}), ("enable_key_rotation", {})):
        name = "TargetKeyId" if operation == "create_alias" else "KeyId"
        assert not refused(kms, operation, **{name: key}, **parameters)
        assert refused(kms, operation, **{name: others}, **parameters)
    # Whoever has a grant has the data.
    assert refused(kms, "create_grant", KeyId=key, GranteePrincipal="arn:aws:iam::123456789012:user/mallory", Operations=["Decrypt"])


def test_a_key_is_another_s_by_its_alias(account):
    kms = account.client("kms")
    ours, theirs, lent = (kms.create_key(Tags=listed(tags, "TagKey", "TagValue"))["KeyMetadata"]["KeyId"] for tags in (OWN, {}, OWN))
    for alias, key in (("production-django-eks", ours), ("shop", theirs), ("platform", lent)):
        kms.create_alias(AliasName=f"alias/{alias}", TargetKeyId=key)
    tags = listed(OWN, "TagKey", "TagValue")
    assert not refused(kms, "tag_resource", KeyId=ours, Tags=tags) and not refused(kms, "schedule_key_deletion", KeyId=ours)
    for key in (theirs, lent):
        assert refused(kms, "tag_resource", KeyId=key, Tags=tags) == {"kms:TagResource"}
        assert refused(kms, "schedule_key_deletion", KeyId=key) == {"kms:ScheduleKeyDeletion"}
    # Another alias of ours beside does not change it.
    kms.create_alias(AliasName="alias/production-django-x", TargetKeyId=lent)
    assert refused(kms, "schedule_key_deletion", KeyId=lent)


@pytest.mark.parametrize(("whose", "lacking"), [(OWN, set()), (OTHER, {"kms:CreateGrant"}), ({}, {"kms:CreateGrant"})], ids=str)
def test_eks_is_lent_own_keys_only(account, whose, lacking):
    eks, kms = account.client("eks"), account.client("kms")
    key = kms.create_key(Tags=listed(whose, "TagKey", "TagValue"))["KeyMetadata"]["Arn"]
    encryption = [{"resources": ["secrets"], "provider": {"keyArn": key}}]
    role = f"arn:aws:iam::{ACCOUNT}:role/production-django-cluster-role"
    cluster = {"name": "django-app", "roleArn": role, "resourcesVpcConfig": {}}
    assert refused(eks, "create_cluster", **cluster, encryptionConfig=encryption) == lacking
    assert refused(eks, "associate_encryption_config", clusterName="django-app", encryptionConfig=encryption) == lacking
    # Without a service between, whoever has a grant has the data.
    assert refused(kms, "create_grant", KeyId=key, GranteePrincipal=role, Operations=["Decrypt"])


def test_a_cluster_whose_name_begins_like_ours_is_another_s(account):
    eks, group, entry = account.client("eks"), {"nodegroupName": "n"}, {"principalArn": f"arn:aws:iam::{ACCOUNT}:role/r"}
    for name, lacking in (("django-app", False), ("django-app-2", True)):
        assert bool(refused(eks, "delete_cluster", name=name)) is lacking
        assert bool(refused(eks, "create_addon", clusterName=name, addonName="a")) is lacking
        assert bool(refused(eks, "delete_nodegroup", clusterName=name, **group)) is lacking
        assert bool(refused(eks, "delete_access_entry", clusterName=name, **entry)) is lacking


def new_template(ec2, name: str, tagged: tuple[str, ...] = ("instance", "volume"), **data) -> dict[str, str]:
    data["TagSpecifications"] = [{"ResourceType": kind, "Tags": listed(OWN)} for kind in tagged]
    tags = [{"ResourceType": "launch-template", "Tags": listed(OWN)}]
    ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data, TagSpecifications=tags)
    return {"name": name, "version": "1"}


def new_subnet(ec2, tags: dict[str, str]) -> str:
    specifications = [{"ResourceType": "subnet", "Tags": listed(tags)}]
    return ec2.create_subnet(VpcId=new_vpc(ec2, tags), CidrBlock="10.9.1.0/24", TagSpecifications=specifications)["Subnet"]["SubnetId"]


def test_nodes_and_instances_are_launched_from_own_templates_in_own_networks(account):
    """Which AWS asks of whoever gives a group a template. That of nodes names no security group."""
    ec2, eks, autoscaling = (account.client(name) for name in ("ec2", "eks", "autoscaling"))
    subnet, others = new_subnet(ec2, OWN), new_subnet(ec2, OTHER)
    cluster = f"arn:aws:iam::{ACCOUNT}:role/cluster"
    eks.create_cluster(name="django-app", roleArn=cluster, resourcesVpcConfig={"subnetIds": [subnet]})
    made = eks_backends[ACCOUNT]["us-east-1"].clusters["django-app"].resources_vpc_config
    made["clusterSecurityGroupId"] = new_group(ec2, {"kubernetes.io/cluster/django-app": "owned"})
    nodes = {"clusterName": "django-app", "nodegroupName": "n", "nodeRole": f"arn:aws:iam::{ACCOUNT}:role/production-django-node-role"}
    template, bare = new_template(ec2, "nodes"), new_template(ec2, "bare", tagged=("instance",))
    assert not refused(eks, "create_nodegroup", **nodes, subnets=[subnet], launchTemplate=template)
    assert not refused(eks, "update_nodegroup_version", clusterName="django-app", nodegroupName="n", launchTemplate=template)
    assert refused(eks, "create_nodegroup", **nodes, subnets=[others], launchTemplate=template) == {"ec2:RunInstances"}
    assert refused(eks, "create_nodegroup", **nodes, subnets=[subnet], launchTemplate=bare) == {"ec2:RunInstances"}
    foreign = new_template(ec2, "foreign", SecurityGroupIds=[new_group(ec2, OTHER)])
    assert refused(eks, "create_nodegroup", **nodes, subnets=[subnet], launchTemplate=foreign) == {"ec2:RunInstances"}
    limits = {"AutoScalingGroupName": "production-django-asg", "MinSize": 1, "MaxSize": 1, "VPCZoneIdentifier": subnet}
    for name, lacking in ((template["name"], set()), (foreign["name"], {"ec2:RunInstances"})):
        given = {"LaunchTemplateName": name, "Version": "1"}
        assert refused(autoscaling, "create_auto_scaling_group", **limits, LaunchTemplate=given) == lacking


def test_what_aws_asks_for_behind_a_call_is_allowed(account):
    """Roles that are passed, AWS's own roles, zones that are joined."""
    ec2, eks, ssm, wafv2 = (account.client(name) for name in ("ec2", "eks", "ssm", "wafv2"))
    role, tags = f"arn:aws:iam::{ACCOUNT}:role/production-django-cluster-role", listed(OWN)
    vpc = new_vpc(ec2, OWN)
    assert not refused(
        ec2, "create_vpc_endpoint", VpcId=vpc, ServiceName="com.amazonaws.us-east-1.ssm", VpcEndpointType="Interface",
        TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": tags}],
    )  # fmt: skip
    assert not refused(
        ec2, "create_flow_logs", ResourceIds=[vpc], ResourceType="VPC", TrafficType="ALL", DeliverLogsPermissionArn=role,
        TagSpecifications=[{"ResourceType": "vpc-flow-log", "Tags": tags}],
    )  # fmt: skip
    assert not refused(eks, "create_cluster", name="django-app", roleArn=role, resourcesVpcConfig={})
    assert not refused(eks, "create_nodegroup", clusterName="django-app", nodegroupName="n", subnets=["subnet-1"], nodeRole=role)
    assert not refused(
        eks, "create_pod_identity_association", clusterName="django-app", namespace="n", serviceAccount="s", roleArn=role
    )  # fmt: skip
    acl = f"arn:aws:wafv2:us-east-1:{ACCOUNT}:regional/webacl/production-django-acl/1"
    logging = {"ResourceArn": acl, "LogDestinationConfigs": ["arn:aws:logs:us-east-1:1:log-group:aws-waf-logs-x"]}
    assert not refused(wafv2, "put_logging_configuration", LoggingConfiguration=logging)
    machine = ec2.run_instances(
        ImageId="ami-12c6146b", MinCount=1, MaxCount=1, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}]
    )["Instances"][0]["InstanceId"]
    assert not refused(ssm, "start_session", Target=machine, DocumentName="SSM-SessionManagerRunShell")


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
