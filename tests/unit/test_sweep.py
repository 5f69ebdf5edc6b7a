"""The sweep against moto: one of everything, a neighbour's in the same account, and what stays on purpose."""

from __future__ import annotations

import boto3
import pytest
from ansible_collections.espalier.aws.plugins.module_utils import remains
from ansible_collections.espalier.aws.plugins.module_utils.stack import Scope
from moto import mock_aws
from moto.backends import get_backend
from moto.rds.models import DBInstance
from moto.rds.responses import RDSResponse

from lab.api import rds_replication
from tests.unit.moto_patches import patched
from tests.unit.run_module import run_module

REGION, IMAGE = "us-east-1", "ami-12c6146b"
POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}'
SCOPE = Scope("django", "lab", "123456789012", REGION)


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """moto imports a service at its first call; threads that import at the same time lock each other out."""
    for service in ("sts", *remains.SERVICES):
        get_backend(service)


@pytest.fixture(autouse=True)
def account(monkeypatch):
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "k2n8v5",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield


@pytest.fixture
def sweep(capsys):
    return lambda: run_module(capsys, "sweep", project="django", environment="lab")


def tags(environment: str, project: str = "django") -> list[dict]:
    return [{"Key": "Project", "Value": project}, {"Key": "Environment", "Value": environment}]


def build_ec2(environment: str, project: str) -> None:
    ec2, prefix = boto3.client("ec2"), f"{environment}-{project}"

    def tag(kind: str) -> list[dict]:
        return [{"ResourceType": kind, "Tags": tags(environment, project)}]

    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tag("vpc"))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", TagSpecifications=tag("subnet"))["Subnet"]["SubnetId"]
    ec2.create_internet_gateway(TagSpecifications=tag("internet-gateway"))
    ec2.create_route_table(VpcId=vpc, TagSpecifications=tag("route-table"))
    ec2.create_security_group(VpcId=vpc, GroupName=f"{prefix}-app", Description="x", TagSpecifications=tag("security-group"))
    ec2.create_network_interface(SubnetId=subnet, TagSpecifications=tag("network-interface"))
    ec2.create_network_interface(SubnetId=subnet, Description=f"ELB app/{prefix}-alb/1")
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=tag("elastic-ip"))["AllocationId"]
    ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address, TagSpecifications=tag("natgateway"))
    service = f"com.amazonaws.{REGION}.ssm"
    ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=service, VpcEndpointType="Interface", TagSpecifications=tag("vpc-endpoint"))
    volume = ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1, TagSpecifications=tag("volume"))["VolumeId"]
    ec2.create_snapshot(VolumeId=volume, TagSpecifications=tag("snapshot"))
    ec2.create_launch_template(
        LaunchTemplateName=f"{prefix}-lt", LaunchTemplateData={"ImageId": IMAGE}, TagSpecifications=tag("launch-template")
    )
    instance = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, TagSpecifications=tag("instance"))["Instances"][0]["InstanceId"]
    ec2.create_image(InstanceId=instance, Name=f"{prefix}-image", TagSpecifications=tag("image"))
    boto3.client("s3").create_bucket(Bucket=f"{prefix}-logs")
    ec2.create_flow_logs(
        ResourceIds=[vpc], ResourceType="VPC", TrafficType="ALL", LogDestinationType="s3", LogDestination=f"arn:aws:s3:::{prefix}-logs",
        TagSpecifications=tag("vpc-flow-log"),
    )  # fmt: skip


def build_rest(environment: str, project: str) -> None:
    prefix, ours = f"{environment}-{project}", tags(environment, project)
    plain = {tag["Key"]: tag["Value"] for tag in ours}
    subnets = [
        one["SubnetId"]
        for one in boto3.client("ec2").describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"][:2]
    ]
    elbv2 = boto3.client("elbv2")
    elbv2.create_load_balancer(Name=f"{prefix}-alb", Subnets=subnets, Tags=ours)
    elbv2.create_target_group(
        Name=f"{prefix}-tg",
        Protocol="HTTP",
        Port=80,
        TargetType="ip",
        VpcId=boto3.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"],
        Tags=ours,
    )
    group = {"ResourceId": f"{prefix}-asg", "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    boto3.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=f"{prefix}-asg", MinSize=0, MaxSize=0, LaunchTemplate={"LaunchTemplateName": f"{prefix}-lt"},
        AvailabilityZones=[f"{REGION}a"], Tags=[{**tag, **group} for tag in ours],
    )  # fmt: skip
    rds = boto3.client("rds")
    rds.create_db_subnet_group(DBSubnetGroupName=f"{prefix}-postgres", DBSubnetGroupDescription="x", SubnetIds=subnets, Tags=ours)
    rds.create_db_parameter_group(
        DBParameterGroupName=f"{prefix}-postgres", DBParameterGroupFamily="postgres16", Description="x", Tags=ours
    )
    instance = {
        "DBInstanceIdentifier": f"{prefix}-postgres",
        "Engine": "postgres",
        "DBInstanceClass": "db.t3.micro",
        "AllocatedStorage": 20,
    }
    rds.create_db_instance(**instance, MasterUsername="postgres", MasterUserPassword="n0t-a-secret", Tags=ours)
    bucket = f"{prefix}-static-123456789012"
    boto3.client("s3").create_bucket(Bucket=bucket)
    boto3.client("s3").put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": ours})
    boto3.client("secretsmanager").create_secret(Name=f"{prefix}-credentials", SecretString="x", Tags=ours)
    boto3.client("ssm").put_parameter(Name=f"/{prefix}/rds_endpoint", Value="x", Type="String", Tags=ours)
    iam = boto3.client("iam")
    iam.create_role(RoleName=f"{prefix}-instance-role", AssumeRolePolicyDocument="{}", Tags=ours)
    iam.create_instance_profile(InstanceProfileName=f"{prefix}-instance-role", Tags=ours)
    iam.create_policy(PolicyName=f"{prefix}-policy", PolicyDocument=POLICY, Tags=ours)
    boto3.client("sns").create_topic(Name=f"{prefix}-alarms", Tags=ours)
    boto3.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{prefix}-cpu", ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1, MetricName="x", Namespace="x", Period=60,
        Threshold=1, Statistic="Average", Tags=ours,
    )  # fmt: skip
    boto3.client("logs").create_log_group(logGroupName=f"/aws/ec2/{prefix}", tags=plain)
    boto3.client("logs").create_log_group(logGroupName=f"/aws/eks/{prefix}-cluster/cluster", tags=plain)
    role = "arn:aws:iam::123456789012:role/x"
    boto3.client("eks").create_cluster(name=f"{prefix}-cluster", roleArn=role, resourcesVpcConfig={"subnetIds": subnets}, tags=plain)
    boto3.client("eks").create_nodegroup(clusterName=f"{prefix}-cluster", nodegroupName="workers", nodeRole=role, subnets=subnets)
    boto3.client("ecr").create_repository(repositoryName=f"{prefix}-app", tags=ours)
    iam.create_open_id_connect_provider(Url=f"https://oidc.example.com/{prefix}", Tags=ours)
    key = boto3.client("kms").create_key(Tags=[{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in ours])["KeyMetadata"]["KeyId"]
    boto3.client("kms").create_alias(AliasName=f"alias/{prefix}-eks", TargetKeyId=key)
    boto3.client("logs").create_log_group(logGroupName=f"/aws/rds/instance/{prefix}-postgres/postgresql")
    boto3.client("logs").create_log_group(logGroupName=f"/aws/rds/instance/{prefix}-postgres-plain/postgresql")
    boto3.client("logs").create_log_group(logGroupName=f"aws-waf-logs-{prefix}", tags=plain)
    boto3.client("cloudwatch").put_dashboard(DashboardName=prefix, DashboardBody='{"widgets": []}')
    limit = {"Amount": "1", "Unit": "USD"}
    budget = {"BudgetName": prefix, "BudgetLimit": limit, "TimeUnit": "MONTHLY", "BudgetType": "COST"}
    boto3.client("budgets").create_budget(AccountId="123456789012", Budget=budget)
    seen = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": "x"}
    boto3.client("wafv2").create_web_acl(
        Name=f"{prefix}-waf", Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=seen, Tags=ours
    )
    for name in (f"{prefix}-shell", *(["SSM-SessionManagerRunShell"] if prefix == "lab-django" else [])):
        boto3.client("ssm").create_document(
            Name=name, Content='{"schemaVersion": "1.0", "sessionType": "Standard_Stream"}', DocumentType="Session", Tags=ours
        )
    cloudfront = boto3.client("cloudfront")
    control = {"Name": f"{prefix}-cdn", "SigningProtocol": "sigv4", "SigningBehavior": "always", "OriginAccessControlOriginType": "s3"}
    cloudfront.create_origin_access_control(OriginAccessControlConfig=control)
    origin = {"Id": "bucket", "DomainName": "bucket.s3.amazonaws.com", "S3OriginConfig": {"OriginAccessIdentity": ""}}
    distribution = {
        "CallerReference": f"{prefix}-cdn",
        "Comment": f"{prefix}-cdn",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": {"TargetOriginId": "bucket", "ViewerProtocolPolicy": "redirect-to-https"},
    }
    cloudfront.create_distribution_with_tags(DistributionConfigWithTags={"DistributionConfig": distribution, "Tags": {"Items": ours}})
    boto3.client("acm").request_certificate(DomainName="www.example.com", ValidationMethod="DNS", Tags=ours)


def build(environment: str, project: str = "django") -> None:
    build_ec2(environment, project)
    build_rest(environment, project)


def test_an_empty_account_has_nothing(sweep):
    assert sweep()["leftovers"] == sweep()["kept"] == []


def test_everything_is_found(sweep):
    build("lab")
    kinds = sorted(one["kind"] for one in sweep()["leftovers"])
    assert sorted(set(kinds)) == sorted(
        [row[0] for row in remains.EC2]
        + ["AMI", "DB instance", "DB parameter group", "DB subnet group", "EBS snapshot", "IAM instance profile", "IAM policy", "IAM role"]
        + ["S3 bucket", "SNS topic", "SSM parameter", "alarm", "auto scaling group", "instance", "load balancer", "log group"]
        + ["network interface", "secret", "target group", "budget", "certificate", "dashboard", "web ACL", "session document"]
        + ["CloudFront distribution", "origin access control"]
        + ["ECR repository", "EKS cluster", "EKS node group", "KMS key", "OpenID Connect provider"]
    )
    assert kinds.count("session document") == 2, "the account's default is one of ours by its tags alone"
    assert kinds.count("network interface") == 2, "a load balancer's interface carries no tag"
    assert kinds.count("log group") == 5, "RDS's log groups carry no tag"


def test_neighbours_are_left_out(sweep):
    """Another environment, and a project whose names begin like ours."""
    build("staging")
    build("lab", "django-two")
    assert sweep()["leftovers_text"] == []


def test_what_stays_on_purpose(sweep):
    build("lab")
    boto3.client("rds").delete_db_instance(
        DBInstanceIdentifier="lab-django-postgres", FinalDBSnapshotIdentifier="lab-django-postgres-final-1"
    )
    boto3.client("secretsmanager").delete_secret(SecretId="lab-django-credentials", RecoveryWindowInDays=7)
    kms = boto3.client("kms")
    kms.schedule_key_deletion(KeyId=kms.describe_key(KeyId="alias/lab-django-eks")["KeyMetadata"]["KeyId"], PendingWindowInDays=7)
    result = sweep()
    kept = {one["kind"]: one for one in result["kept"]}
    assert set(kept) == {"DB snapshot", "KMS key", "secret"}
    assert kept["KMS key"]["until"].startswith("20")
    assert kept["DB snapshot"]["id"] == "lab-django-postgres-final-1"
    assert kept["secret"]["until"].startswith("20")
    assert any("until 20" in text for text in result["kept_text"])
    assert {"DB instance", "secret"}.isdisjoint(one["kind"] for one in result["leftovers"])


def test_copied_backups_stay(capsys):
    with patched(rds_replication, DBInstance, RDSResponse):
        names = ("lab-django-postgres", "lab-django-two-postgres", "staging-django-postgres")
        for name, (environment, project) in zip(names, (("lab", "django"), ("lab", "django-two"), ("staging", "django")), strict=True):
            login = {"MasterUsername": "postgres", "MasterUserPassword": "n0t-a-secret"}
            machine = {"Engine": "postgres", "DBInstanceClass": "db.t3.micro", "AllocatedStorage": 20, "BackupRetentionPeriod": 7}
            made = boto3.client("rds").create_db_instance(DBInstanceIdentifier=name, **login, **machine, Tags=tags(environment, project))[
                "DBInstance"
            ]
            second = boto3.client("rds", "us-west-2")
            source = {"SourceDBInstanceArn": made["DBInstanceArn"]}
            second.start_db_instance_automated_backups_replication(**source, BackupRetentionPeriod=14)
            second.stop_db_instance_automated_backups_replication(**source)
            boto3.client("rds").delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
        known = {"project": "django", "environment": "lab"}
        assert run_module(capsys, "sweep", **known)["kept"] == []
        (kept,) = run_module(capsys, "sweep", **known, backup_region="us-west-2")["kept"]
    assert (kept["kind"], kept["name"], kept["state"]) == ("copied backups", "lab-django-postgres", "retained")
    assert kept["id"].startswith("arn:aws:rds:us-west-2:") and "14 days" in kept["stays"]


def test_terminated_instances_are_gone(sweep):
    build_ec2("lab", "django")
    ec2 = boto3.client("ec2")
    ec2.terminate_instances(InstanceIds=[one["Instances"][0]["InstanceId"] for one in ec2.describe_instances()["Reservations"]])
    assert "instance" not in {one["kind"] for one in sweep()["leftovers"]}


@pytest.mark.parametrize(
    ("name", "found", "ours"),
    [
        ("lab-django-alb", {}, True),
        ("other", {}, False),
        ("lab-django-alb", {"Project": "django-two", "Environment": "lab"}, False),
        ("anything", {"Project": "django", "Environment": "lab"}, True),
        ("lab-django-alb", {"Environment": "lab"}, False),
        ("lab-django-alb", {"Team": "x"}, True),
    ],
)
def test_whose_it_is(name, found, ours):
    assert remains.is_ours(SCOPE, name, found) is ours


def test_a_denied_call_is_no_empty_account(sweep, monkeypatch):
    import botocore.client
    from botocore.exceptions import ClientError

    original = botocore.client.BaseClient._make_api_call

    def deny(self, operation, arguments):
        if operation == "ListRoles":
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)
        return original(self, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", deny)
    assert sweep()["failed"]


def test_a_protected_database_is_said(sweep):
    instance = {
        "DBInstanceIdentifier": "lab-django-postgres",
        "Engine": "postgres",
        "DBInstanceClass": "db.t3.micro",
        "AllocatedStorage": 20,
    }
    login = {"MasterUsername": "postgres", "MasterUserPassword": "n0t-a-secret"}
    boto3.client("rds").create_db_instance(**instance, **login, DeletionProtection=True, Tags=tags("lab"))
    (database,) = [one for one in sweep()["leftovers"] if one["kind"] == "DB instance"]
    assert database["protected"] is True
    assert "protected" in sweep()["leftovers_text"][0]


def test_a_protected_load_balancer_is_said(sweep):
    subnets = [one["SubnetId"] for one in boto3.client("ec2").describe_subnets()["Subnets"][:2]]
    elbv2 = boto3.client("elbv2")
    arn = elbv2.create_load_balancer(Name="lab-django-alb", Subnets=subnets, Tags=tags("lab"))["LoadBalancers"][0]["LoadBalancerArn"]
    assert [one["protected"] for one in sweep()["leftovers"] if one["kind"] == "load balancer"] == [False]
    elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[{"Key": "deletion_protection.enabled", "Value": "true"}])
    assert [one["protected"] for one in sweep()["leftovers"] if one["kind"] == "load balancer"] == [True]
