"""billed_info counts what is ours and costs something, and nothing else."""

from __future__ import annotations

import pytest
from ansible_collections.espalier.aws.plugins.module_utils import billing
from moto import mock_aws

from tests.unit.moto_patches import client
from tests.unit.run_module import run_module

OURS = [{"Key": "Project", "Value": "django"}, {"Key": "Environment", "Value": "lab"}]
OTHERS = [{"Key": "Project", "Value": "django"}, {"Key": "Environment", "Value": "staging"}]


@pytest.fixture
def account(monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield


def billed(capsys) -> dict:
    return run_module(capsys, "billed_info", project="django", environment="lab")["billed"]


def specification(kind: str, tags: list[dict]) -> list[dict]:
    return [{"ResourceType": kind, "Tags": tags}]


def test_an_empty_account(capsys, account):
    assert billed(capsys) == billing.EMPTY


def test_what_is_ours(capsys, account):
    ec2 = client("ec2")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    for tags in (OURS, OTHERS):
        machine = {"ImageId": "ami-12c6146b", "InstanceType": "t2.micro", "MinCount": 1, "MaxCount": 1}
        for role in ("app", "app", "bastion"):
            ec2.run_instances(**machine, TagSpecifications=specification("instance", [*tags, {"Key": "Role", "Value": role}]))
        ec2.create_nat_gateway(SubnetId=subnets[0], TagSpecifications=specification("natgateway", tags))
        ec2.create_vpc_endpoint(
            VpcId=vpc,
            ServiceName="com.amazonaws.us-east-1.ssm",
            VpcEndpointType="Interface",
            SubnetIds=subnets,
            TagSpecifications=specification("vpc-endpoint", tags),
        )
        environment = tags[1]["Value"]
        client("rds").create_db_instance(
            DBInstanceIdentifier=f"{environment}-django-postgres",
            DBInstanceClass="db.t3.micro",
            Engine="postgres",
            AllocatedStorage=100,
            MultiAZ=True,
            StorageType="gp2",
            MasterUsername="postgres",
            MasterUserPassword="k2n8v5k2n8v5",
        )
        client("elbv2").create_load_balancer(Name=f"{environment}-django-alb", Subnets=subnets, Tags=tags)
        client("secretsmanager").create_secret(Name=f"{environment}-key", SecretString="k2n8v5", Tags=tags)
        client("cloudwatch").put_metric_alarm(
            AlarmName=f"{environment}-django-cpu-high",
            Namespace="AWS/EC2",
            MetricName="CPUUtilization",
            Statistic="Average",
            Period=300,
            EvaluationPeriods=2,
            Threshold=80,
            ComparisonOperator="GreaterThanThreshold",
        )
        metrics = [
            {"Id": name, "MetricStat": {"Metric": {"Namespace": "n", "MetricName": name}, "Period": 60, "Stat": "Sum"}, "ReturnData": False}
            for name in ("requests", "errors")
        ]
        client("cloudwatch").put_metric_alarm(
            AlarmName=f"{environment}-django-errors-high",
            Metrics=[{"Id": "percent", "Expression": "100 * errors / requests"}, *metrics],
            EvaluationPeriods=2,
            Threshold=80,
            ComparisonOperator="GreaterThanThreshold",
        )
        client("eks").create_cluster(
            name=f"{environment}-app",
            encryptionConfig=[{"resources": ["secrets"], "provider": {"keyArn": f"arn:aws:kms:us-east-1:123456789012:key/{environment}"}}],
            roleArn="arn:aws:iam::123456789012:role/cluster",
            resourcesVpcConfig={"subnetIds": subnets},
            tags={tag["Key"]: tag["Value"] for tag in tags},
        )
    found = billed(capsys)
    assert {(one["part"], one["type"], one["count"]) for one in found["machines"]} == {
        ("Instances", "t2.micro", 2),
        ("Bastion", "t2.micro", 1),
    }
    assert all(one["volume_gib"] > 0 for one in found["machines"])
    assert found["database"] == {"class": "db.t3.micro", "multi_az": True, "storage_type": "gp2", "storage_gib": 100.0}
    expected = {
        "load_balancers": 1,
        "load_balancer_zones": 2,
        "nat_gateways": 1,
        "endpoints": {"ssm": 2},
        "secrets": 1,
        # An alarm on an expression is billed for each of its metrics.
        "alarms": 3,
        "clusters": 1,
        "keys": 1,
    }
    assert {name: found[name] for name in expected} == expected
