"""The lab's IAM: what a request needs, and who may do it."""

from __future__ import annotations

import json

import boto3
import pytest
from moto import mock_aws
from moto.iam.responses import IamResponse

from lab.api import policies, rights
from lab.settings import SETTINGS
from tests.unit.moto_patches import client, patched
from tests.unit.signed_requests import environ, needed

OWN = {"aws:ResourceTag/Project": "django", "aws:ResourceTag/Environment": "lab"}


def statement(effect: str = "Allow", action="s3:GetObject", resource="*", **more) -> dict:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def may(*statements: dict, action: str = "s3:GetObject", resource: str = "arn:aws:s3:::b/k", boundary=None, **context) -> bool:
    return policies.refusal([{"Statement": list(statements)}], boundary, action, resource, context) == ""


# ---- policies


def test_action_and_resource():
    assert may(statement())
    assert may(statement(action=["s3:Put*", "s3:get*"]))
    assert not may(statement(action="s3:PutObject"))
    assert may(statement(resource="arn:aws:s3:::b/*"))
    assert not may(statement(resource="arn:aws:s3:::c/*"))
    assert may(statement(resource="arn:aws:s3:::?/k"))
    assert not may({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"})
    assert may({"Effect": "Allow", "Action": "s3:*", "NotResource": "arn:aws:s3:::c/*"})


def test_a_deny_wins():
    assert not may(statement(), statement("Deny"))
    assert "explicit deny in an identity-based policy" in policies.refusal(
        [{"Statement": [statement("Deny")]}], None, "s3:GetObject", "*", {}
    )


def test_the_boundary_has_to_allow_too():
    assert may(statement(), boundary={"Statement": [statement()]})
    assert not may(statement(), boundary={"Statement": [statement(action="ec2:*")]})
    assert "no permissions boundary allows" in policies.refusal([{"Statement": [statement()]}], {"Statement": []}, "s3:GetObject", "*", {})


CONDITIONS = [
    ({"StringEquals": {"aws:RequestTag/Project": "django"}}, {"aws:RequestTag/Project": "django"}, True),
    ({"StringEquals": {"aws:RequestTag/Project": "django"}}, {"aws:RequestTag/Project": "flask"}, False),
    ({"StringEquals": {"aws:RequestTag/Project": "django"}}, {}, False),
    ({"StringEquals": {"AWS:requesttag/Project": ["flask", "django"]}}, {"aws:RequestTag/Project": "django"}, True),
    ({"StringEqualsIfExists": {"a": "b"}}, {}, True),
    ({"StringEqualsIfExists": {"a": "b"}}, {"a": "c"}, False),
    ({"StringNotEquals": {"a": "b"}}, {}, True),
    ({"StringNotEquals": {"a": "b"}}, {"a": "b"}, False),
    ({"StringLike": {"s3:prefix": "logs/*"}}, {"s3:prefix": "logs/x"}, True),
    ({"Null": {"a": "true"}}, {}, True),
    ({"Null": {"a": "true"}}, {"a": "b"}, False),
    ({"Bool": {"a": False}}, {"a": "false"}, True),
    ({"ForAllValues:StringEquals": {"a": ["b", "c"]}}, {"a": ["b", "c"]}, True),
    ({"ForAllValues:StringEquals": {"a": ["b"]}}, {"a": ["b", "c"]}, False),
    ({"ForAnyValue:StringNotLike": {"a": "b*"}}, {"a": ["bc", "c"]}, True),
    ({"ForAnyValue:StringNotLike": {"a": "b*"}}, {"a": ["b", "bc"]}, False),
    ({"ForAnyValue:StringNotLike": {"a": "b*"}}, {}, False),
    ({"ForAllValues:StringNotEquals": {"a": "b"}}, {"a": ["b", "c"]}, False),
    ({"StringEquals": {"a": "b"}, "StringLike": {"c": "d*"}}, {"a": "b", "c": "x"}, False),
]


@pytest.mark.parametrize(("condition", "context", "expected"), CONDITIONS)
def test_condition(condition, context, expected):
    assert policies.matches(statement(Condition=condition), "s3:GetObject", "x", context) is expected


def test_an_unknown_operator_is_an_error():
    with pytest.raises(KeyError):
        policies.matches(statement(Condition={"NumericLessThan": {"a": "1"}}), "s3:GetObject", "x", {"a": "0"})


# ---- what requests need


@pytest.fixture
def account():
    with mock_aws():
        yield boto3.session.Session("key", "secret", region_name=SETTINGS.region)


TAGS = [{"Key": "Project", "Value": "django"}, {"Key": "Environment", "Value": "lab"}]
ASKED = {"aws:RequestTag/Project": "django", "aws:RequestTag/Environment": "lab"}
HERE = f"{SETTINGS.region}:{SETTINGS.account_id}"


def test_ec2_makes_and_uses(account):
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": TAGS}])["Vpc"]["VpcId"]
    found = needed(ec2, "create_subnet", VpcId=vpc, CidrBlock="10.9.1.0/24", TagSpecifications=[{"ResourceType": "subnet", "Tags": TAGS}])
    assert found["ec2:CreateSubnet"][0] == (f"arn:aws:ec2:{HERE}:subnet/*", ASKED)
    assert found["ec2:CreateSubnet"][1][0] == f"arn:aws:ec2:{HERE}:vpc/{vpc}"
    assert found["ec2:CreateSubnet"][1][1].items() >= OWN.items()
    assert found["ec2:CreateTags"] == [(f"arn:aws:ec2:{HERE}:subnet/*", {**ASKED, "ec2:CreateAction": "CreateSubnet"})]
    assert needed(ec2, "describe_vpcs") == {"ec2:DescribeVpcs": [("*", {})]}


def test_of_an_association_its_route_table_and_subnet_are_asked(account):
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": TAGS}])["Vpc"]["VpcId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    found = needed(ec2, "disassociate_route_table", AssociationId=association)["ec2:DisassociateRouteTable"]
    assert {resource.rpartition(":")[2] for resource, _context in found} == {f"route-table/{table}", f"subnet/{subnet}"}


def test_a_rule_is_its_own_group_s(account):
    found = needed(
        account.client("ec2"), "authorize_security_group_ingress", GroupId="sg-0123456789abcdef0",
        IpPermissions=[{"IpProtocol": "tcp", "UserIdGroupPairs": [{"GroupId": "sg-0fedcba9876543210"}]}],
    )  # fmt: skip
    assert found == {"ec2:AuthorizeSecurityGroupIngress": [(f"arn:aws:ec2:{HERE}:security-group/sg-0123456789abcdef0", {})]}


def test_a_template_s_content_is_no_resource_of_it(account):
    data = {"ImageId": "ami-12c6146b", "SecurityGroupIds": ["sg-0123456789abcdef0"]}
    found = needed(account.client("ec2"), "create_launch_template", LaunchTemplateName="t", LaunchTemplateData=data)
    assert found == {"ec2:CreateLaunchTemplate": [(f"arn:aws:ec2:{HERE}:launch-template/*", {})]}


def test_an_identity_provider_is_called_like_its_address(account):
    found = needed(account.client("iam"), "create_open_id_connect_provider", Url="https://oidc.eks.us-east-1.amazonaws.com/id/0A")
    assert found["iam:CreateOpenIDConnectProvider"][0][0].endswith(":oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/0A")


def test_roles_are_passed(account):
    iam, ec2 = account.client("iam"), account.client("ec2")
    found = needed(iam, "add_role_to_instance_profile", InstanceProfileName="p", RoleName="r")
    assert found["iam:AddRoleToInstanceProfile"][0][0] == f"arn:aws:iam::{SETTINGS.account_id}:instance-profile/p"
    assert found["iam:PassRole"] == [(f"arn:aws:iam::{SETTINGS.account_id}:role/r", {"iam:PassedToService": "ec2.amazonaws.com"})]
    found = needed(ec2, "run_instances", ImageId="ami-12c6146b", MinCount=1, MaxCount=1, IamInstanceProfile={"Name": "p"})
    assert "iam:PassRole" in found
    assert f"arn:aws:ec2:{SETTINGS.region}::image/ami-12c6146b" in [resource for resource, _context in found["ec2:RunInstances"]]


def test_what_stands_behind_a_call_is_needed_too(account):
    ec2, eks, ssm, wafv2 = (account.client(name) for name in ("ec2", "eks", "ssm", "wafv2"))
    role = f"arn:aws:iam::{SETTINGS.account_id}:role/r"
    endpoint = {"VpcId": "vpc-0123456789abcdef0", "ServiceName": "s"}
    assert "route53:AssociateVPCWithHostedZone" in needed(ec2, "create_vpc_endpoint", VpcEndpointType="Interface", **endpoint)
    assert "route53:AssociateVPCWithHostedZone" not in needed(ec2, "create_vpc_endpoint", VpcEndpointType="Gateway", **endpoint)
    found = needed(ec2, "create_flow_logs", ResourceIds=["vpc-0123456789abcdef0"], ResourceType="VPC", DeliverLogsPermissionArn=role)
    assert found["iam:PassRole"] == [(role, {"iam:PassedToService": "vpc-flow-logs.amazonaws.com"})]
    assert "ssmmessages:OpenDataChannel" in needed(ssm, "start_session", Target="i-0123456789abcdef0")
    key = account.client("kms").create_key(Tags=[{"TagKey": one["Key"], "TagValue": one["Value"]} for one in TAGS])["KeyMetadata"]["Arn"]
    encryption = [{"resources": ["secrets"], "provider": {"keyArn": key}}]
    found = needed(eks, "create_cluster", name="c", roleArn=role, resourcesVpcConfig={}, encryptionConfig=encryption)
    assert found["iam:PassRole"] == [(role, {"iam:PassedToService": "eks.amazonaws.com"})]
    assert found["kms:CreateGrant"] == found["kms:DescribeKey"] == [(key, {**OWN, "kms:ViaService": "eks.us-east-1.amazonaws.com"})]
    later = needed(eks, "associate_encryption_config", clusterName="c", encryptionConfig=encryption)
    assert later["kms:CreateGrant"] == found["kms:CreateGrant"] and "eks:AssociateEncryptionConfig" in later
    made = found["iam:CreateServiceLinkedRole"]
    found = needed(eks, "create_nodegroup", clusterName="c", nodegroupName="n", subnets=["s"], nodeRole=role)
    assert found["iam:GetRole"] == [(found["iam:CreateServiceLinkedRole"][0][0], {})]
    assert "ec2:RunInstances" not in found, "there is neither a launch template nor a cluster"
    made += found["iam:CreateServiceLinkedRole"]
    logging = {"ResourceArn": "arn:aws:wafv2:::webacl/w/1", "LogDestinationConfigs": ["arn:aws:logs:us-east-1:1:log-group:x"]}
    made += needed(wafv2, "put_logging_configuration", LoggingConfiguration=logging)["iam:CreateServiceLinkedRole"]
    assert [context["iam:AWSServiceName"] for _resource, context in made] == [
        "eks.amazonaws.com", "eks-nodegroup.amazonaws.com", "wafv2.amazonaws.com",
    ]  # fmt: skip


def test_a_boundary_is_seen(account):
    arn = f"arn:aws:iam::{SETTINGS.account_id}:policy/b"
    found = needed(account.client("iam"), "create_role", RoleName="r", AssumeRolePolicyDocument="{}", PermissionsBoundary=arn)
    assert found["iam:CreateRole"] == [(f"arn:aws:iam::{SETTINGS.account_id}:role/r", {"iam:PermissionsBoundary": arn})]


NAMED = [
    ("rds", "delete_db_instance", {"DBInstanceIdentifier": "d"}, "rds:DeleteDBInstance", "rds:{}:db:d"),
    (
        "rds", "start_db_instance_automated_backups_replication", {"SourceDBInstanceArn": f"arn:aws:rds:{HERE}:db:d"},
        "rds:StartDBInstanceAutomatedBackupsReplication", "rds:{}:db:d",
    ),
    ("sns", "create_topic", {"Name": "t"}, "sns:CreateTopic", "sns:{}:t"),
    ("secretsmanager", "get_secret_value", {"SecretId": "s"}, "secretsmanager:GetSecretValue", "secretsmanager:{}:secret:s-AbCdEf"),
    ("ssm", "put_parameter", {"Name": "/a/b", "Value": "v", "Type": "String"}, "ssm:PutParameter", "ssm:{}:parameter/a/b"),
    ("ssm", "start_session", {"Target": "i-0123456789abcdef0"}, "ssm:StartSession", "ec2:{}:instance/i-0123456789abcdef0"),
    ("ssm", "get_document", {"Name": "d"}, "ssm:GetDocument", "ssm:{}:document/d"),
    ("ssm", "create_document", {"Name": "d", "Content": "{}", "Tags": TAGS}, "ssm:AddTagsToResource", "ssm:{}:document/d"),
    ("ecr", "describe_images", {"repositoryName": "shop"}, "ecr:DescribeImages", "ecr:{}:repository/shop"),
    ("ecr", "describe_repositories", {}, "ecr:DescribeRepositories", "ecr:{}:repository/*"),
    ("cloudwatch", "delete_alarms", {"AlarmNames": ["a"]}, "cloudwatch:DeleteAlarms", "cloudwatch:{}:alarm:a"),
    ("logs", "delete_log_group", {"logGroupName": "/g"}, "logs:DeleteLogGroup", "logs:{}:log-group:/g"),
    ("elbv2", "create_target_group", {"Name": "t"}, "elasticloadbalancing:CreateTargetGroup", "elasticloadbalancing:{}:targetgroup/t/0"),
    (
        "autoscaling", "suspend_processes", {"AutoScalingGroupName": "g"}, "autoscaling:SuspendProcesses",
        "autoscaling:{}:autoScalingGroup:*:autoScalingGroupName/g",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("service", "operation", "parameters", "action", "resource"), NAMED, ids=[row[3] for row in NAMED])
def test_resources_have_names(account, service, operation, parameters, action, resource):
    found = needed(account.client(service), operation, **parameters)[action]
    assert f"arn:aws:{resource.format(HERE)}" in [resource for resource, _context in found]


S3 = [
    ("head_bucket", {}, "s3:ListBucket", "arn:aws:s3:::bucket"),
    ("list_objects_v2", {"Prefix": "a/"}, "s3:ListBucket", "arn:aws:s3:::bucket"),
    ("get_public_access_block", {}, "s3:GetBucketPublicAccessBlock", "arn:aws:s3:::bucket"),
    ("delete_bucket_policy", {}, "s3:DeleteBucketPolicy", "arn:aws:s3:::bucket"),
    ("get_bucket_lifecycle_configuration", {}, "s3:GetLifecycleConfiguration", "arn:aws:s3:::bucket"),
    ("head_object", {"Key": "a/b"}, "s3:GetObject", "arn:aws:s3:::bucket/a/b"),
    ("put_object", {"Key": "a/b", "Body": b"x"}, "s3:PutObject", "arn:aws:s3:::bucket/a/b"),
    ("delete_object", {"Key": "a/b", "VersionId": "v"}, "s3:DeleteObjectVersion", "arn:aws:s3:::bucket/a/b"),
    ("delete_objects", {"Delete": {"Objects": [{"Key": "a"}]}}, "s3:DeleteObject", "arn:aws:s3:::bucket/*"),
    ("delete_objects", {"Delete": {"Objects": [{"Key": "a", "VersionId": "v"}]}}, "s3:DeleteObjectVersion", "arn:aws:s3:::bucket/*"),
]


@pytest.mark.parametrize(("operation", "parameters", "action", "resource"), S3, ids=[row[0] for row in S3])
def test_s3_s_rights_have_other_names(account, operation, parameters, action, resource):
    from botocore.config import Config

    client = account.client("s3", config=Config(s3={"addressing_style": "path"}))
    assert [(found, resource) for found in needed(client, operation, Bucket="bucket", **parameters)] == [(action, resource)]


def test_who_one_is_may_always_be_asked(account):
    assert needed(account.client("sts"), "get_caller_identity") == {}


# ---- the whole


@pytest.fixture
def session(account):
    """Credentials of a role that may describe VPCs, and whose boundary allows everything."""
    iam = account.client("iam")
    everything = {"Version": "2012-10-17", "Statement": [statement(action="*")]}
    boundary = iam.create_policy(PolicyName="b", PolicyDocument=json.dumps(everything))["Policy"]["Arn"]
    iam.create_role(RoleName="deployer", AssumeRolePolicyDocument="{}", PermissionsBoundary=boundary)
    allowed = {"Version": "2012-10-17", "Statement": [statement(action="ec2:DescribeVpcs")]}
    iam.put_role_policy(RoleName="deployer", PolicyName="p", PolicyDocument=json.dumps(allowed))
    arn = f"arn:aws:iam::{SETTINGS.account_id}:role/deployer"
    given = account.client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    rights.control({"mode": "enforce", "forget": True})
    yield boto3.session.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=SETTINGS.region)
    rights.control({"mode": "off", "forget": True})


def test_enforcement(account, session):
    assert rights.judge(environ(session.client("ec2"), "describe_vpcs")) is None
    call, reason = rights.judge(environ(session.client("ec2"), "create_vpc", CidrBlock="10.0.0.0/16"))
    assert "ec2:CreateVpc" in reason and "no identity-based policy allows" in reason
    status, _kind, body = rights.answer(call, reason)
    assert status.startswith("403") and b"UnauthorizedOperation" in body and b"ec2:CreateVpc" in body
    # The account's owner may do everything.
    assert rights.judge(environ(account.client("ec2"), "create_vpc", CidrBlock="10.0.0.0/16")) is None
    rows = {(row["role"], row["action"]): row["refused"] for row in rights.control({})["needs"]}
    assert rows["deployer", "ec2:DescribeVpcs"] == "" and rows["deployer", "ec2:CreateVpc"] and rows["", "ec2:CreateVpc"] == ""


def test_recording_refuses_nothing(session):
    rights.control({"mode": "record"})
    assert rights.judge(environ(session.client("ec2"), "create_vpc", CidrBlock="10.0.0.0/16")) is None
    assert rights.control({})["needs"][0]["refused"]
    rights.control({"mode": "off", "forget": True})
    rights.judge(environ(session.client("ec2"), "create_vpc", CidrBlock="10.0.0.0/16"))
    assert rights.control({})["needs"] == []


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="sometimes"):
        rights.control({"mode": "sometimes"})


CLOUDFRONT = f"arn:aws:cloudfront::{SETTINGS.account_id}"
ROLE = f"arn:aws:iam::{SETTINGS.account_id}:role/r"
ORIGIN = {"Id": "o", "DomainName": "b.s3.amazonaws.com", "S3OriginConfig": {"OriginAccessIdentity": ""}}
WITH_TAGS = {
    "DistributionConfig": {
        "CallerReference": "c",
        "Comment": "",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [ORIGIN]},
        "DefaultCacheBehavior": {"TargetOriginId": "o", "ViewerProtocolPolicy": "allow-all"},
    },
    "Tags": {"Items": TAGS},
}
REST = [
    ("cloudfront", "list_distributions", {}, "cloudfront:ListDistributions", "*"),
    ("cloudfront", "create_distribution_with_tags", {"DistributionConfigWithTags": WITH_TAGS}, "cloudfront:CreateDistribution", "*"),
    ("cloudfront", "create_distribution_with_tags", {"DistributionConfigWithTags": WITH_TAGS}, "cloudfront:TagResource", "*"),
    ("cloudfront", "get_distribution_config", {"Id": "E1"}, "cloudfront:GetDistributionConfig", f"{CLOUDFRONT}:distribution/E1"),
    ("cloudfront", "list_tags_for_resource", {"Resource": "arn:x"}, "cloudfront:ListTagsForResource", "arn:x"),
    (
        "cloudfront",
        "delete_origin_access_control",
        {"Id": "E1"},
        "cloudfront:DeleteOriginAccessControl",
        f"{CLOUDFRONT}:origin-access-control/E1",
    ),
    ("service-quotas", "get_service_quota", {"ServiceCode": "vpc", "QuotaCode": "L-1"}, "servicequotas:GetServiceQuota", "*"),
    ("sns", "unsubscribe", {"SubscriptionArn": "arn:x:1"}, "sns:Unsubscribe", "*"),
    ("iam", "simulate_principal_policy", {"PolicySourceArn": ROLE, "ActionNames": ["a:B"]}, "iam:SimulatePrincipalPolicy", ROLE),
    ("eks", "list_clusters", {}, "eks:ListClusters", "*"),
    ("eks", "describe_cluster", {"name": "c"}, "eks:DescribeCluster", f"arn:aws:eks:{HERE}:cluster/c"),
    (
        "eks",
        "create_cluster",
        {"name": "c", "roleArn": "r", "resourcesVpcConfig": {}},
        "eks:CreateCluster",
        f"arn:aws:eks:{HERE}:cluster/c",
    ),
    (
        "eks",
        "describe_nodegroup",
        {"clusterName": "c", "nodegroupName": "n"},
        "eks:DescribeNodegroup",
        f"arn:aws:eks:{HERE}:nodegroup/c/*",
    ),
    (
        "eks",
        "delete_access_entry",
        {"clusterName": "c", "principalArn": ROLE},
        "eks:DeleteAccessEntry",
        f"arn:aws:eks:{HERE}:access-entry/c/*",
    ),
    (
        "eks",
        "disassociate_access_policy",
        {"clusterName": "c", "principalArn": ROLE, "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"},
        "eks:DisassociateAccessPolicy",
        f"arn:aws:eks:{HERE}:access-entry/c/*",
    ),
    (
        "eks",
        "tag_resource",
        {"resourceArn": f"arn:aws:eks:{HERE}:nodegroup/c/n/1", "tags": {"a": "b"}},
        "eks:TagResource",
        f"arn:aws:eks:{HERE}:nodegroup/c/n/1",
    ),
    (
        "route53",
        "change_resource_record_sets",
        {
            "HostedZoneId": "Z1",
            "ChangeBatch": {"Changes": [{"Action": "DELETE", "ResourceRecordSet": {"Name": "a.example.com", "Type": "A"}}]},
        },
        "route53:ChangeResourceRecordSets",
        "arn:aws:route53:::hostedzone/Z1",
    ),
    ("route53", "list_hosted_zones", {}, "route53:ListHostedZones", "*"),
    ("wafv2", "list_web_acls", {"Scope": "REGIONAL"}, "wafv2:ListWebACLs", "*"),
    (
        "wafv2",
        "get_web_acl",
        {"Scope": "REGIONAL", "Name": "w", "Id": "1"},
        "wafv2:GetWebACL",
        f"arn:aws:wafv2:{HERE}:regional/webacl/w/1",
    ),
    (
        "budgets",
        "describe_budget",
        {"AccountId": SETTINGS.account_id, "BudgetName": "b"},
        "budgets:ViewBudget",
        f"arn:aws:budgets::{SETTINGS.account_id}:budget/b",
    ),
    ("acm", "list_certificates", {}, "acm:ListCertificates", "*"),
]


@pytest.mark.parametrize(("service", "operation", "parameters", "action", "resource"), REST, ids=[row[3] for row in REST])
def test_services_that_name_nothing_in_their_requests(account, service, operation, parameters, action, resource):
    assert [found for found, _context in needed(account.client(service), operation, **parameters)[action]] == [resource]


def test_what_cloudfront_and_kms_are_told_and_have_is_seen(account):
    cloudfront, kms = account.client("cloudfront"), account.client("kms")
    found = needed(cloudfront, "create_distribution_with_tags", DistributionConfigWithTags=WITH_TAGS)
    assert found["cloudfront:CreateDistribution"] == found["cloudfront:TagResource"] == [("*", ASKED)]
    made = cloudfront.create_distribution_with_tags(DistributionConfigWithTags=WITH_TAGS)["Distribution"]
    assert needed(cloudfront, "get_distribution", Id=made["Id"])["cloudfront:GetDistribution"] == [(made["ARN"], OWN)]
    tags = [{"TagKey": one["Key"], "TagValue": one["Value"]} for one in TAGS]
    assert needed(kms, "create_key", Tags=tags) == {"kms:CreateKey": [("*", ASKED)], "kms:TagResource": [("*", ASKED)]}
    key = kms.create_key(Tags=tags)["KeyMetadata"]
    both = needed(kms, "create_alias", AliasName="alias/a", TargetKeyId=key["KeyId"])["kms:CreateAlias"]
    assert both == [(key["Arn"], OWN), (f"arn:aws:kms:{HERE}:alias/a", {})]
    assert needed(kms, "list_aliases") == {"kms:ListAliases": [("*", {})]}


def test_a_simulation_says_what_the_judge_would():
    with patched(rights, IamResponse):
        iam = client("iam")
        role = iam.create_role(RoleName="machine", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        document = {"Version": "2012-10-17", "Statement": [statement(), statement("Deny", "s3:*", "arn:aws:s3:::secret/*")]}
        iam.put_role_policy(RoleName="machine", PolicyName="p", PolicyDocument=json.dumps(document))
        resources = ["arn:aws:s3:::b/k", "arn:aws:s3:::secret/k"]
        answer = iam.simulate_principal_policy(PolicySourceArn=role, ActionNames=["s3:GetObject", "s3:PutObject"], ResourceArns=resources)
        decisions = {(one["EvalActionName"], one["EvalResourceName"]): one["EvalDecision"] for one in answer["EvaluationResults"]}
        assert decisions == {
            ("s3:GetObject", resources[0]): "allowed",
            ("s3:GetObject", resources[1]): "explicitDeny",
            ("s3:PutObject", resources[0]): "implicitDeny",
            ("s3:PutObject", resources[1]): "explicitDeny",
        }
        with pytest.raises(iam.exceptions.NoSuchEntityException):
            iam.simulate_principal_policy(PolicySourceArn=f"{role}-2", ActionNames=["s3:GetObject"])
