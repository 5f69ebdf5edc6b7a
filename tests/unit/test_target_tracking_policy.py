"""target_tracking_policy: created, created again, changed, deleted, deleted again, each planned first."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from tests.unit.run_module import run_module

GROUP, NAME = "lab-django-asg", "lab-django-cpu"


@pytest.fixture
def client(monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        subnet = boto3.client("ec2", "us-east-1").describe_subnets()["Subnets"][0]["SubnetId"]
        autoscaling = boto3.client("autoscaling", "us-east-1")
        autoscaling.create_launch_configuration(LaunchConfigurationName="lc", ImageId="ami-12c6146b", InstanceType="t2.micro")
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=GROUP, LaunchConfigurationName="lc", MinSize=0, MaxSize=1, VPCZoneIdentifier=subnet
        )
        yield autoscaling


@pytest.fixture
def policy(capsys):
    def run(**options):
        return run_module(capsys, "target_tracking_policy", **{"name": NAME, "group": GROUP, **options})

    return run


def target(client) -> float | None:
    found = client.describe_policies(AutoScalingGroupName=GROUP, PolicyNames=[NAME])["ScalingPolicies"]
    return found[0]["TargetTrackingConfiguration"]["TargetValue"] if found else None


def test_life(client, policy):
    wanted = {"cpu_percent": 70, "warmup_seconds": 300}
    assert policy(**wanted, check_mode=True)["changed"] and target(client) is None
    made = policy(**wanted)
    assert made["changed"] and target(client) == 70
    assert made["policy"] == {
        "type": "TargetTrackingScaling", "metric": "ASGAverageCPUUtilization", "target": 70.0, "scale_in": True, "warmup_seconds": 300,
    }  # fmt: skip
    assert not policy(**wanted)["changed"] and not policy(**wanted, check_mode=True)["changed"]

    planned = policy(cpu_percent=50, check_mode=True)
    assert planned["changed"] and target(client) == 70
    assert (planned["diff"]["before"]["target"], planned["diff"]["after"]["target"]) == (70.0, 50.0)
    # What is not given stays.
    assert policy(cpu_percent=50)["policy"]["warmup_seconds"] == 300
    assert target(client) == 50

    assert policy(state="absent", check_mode=True)["changed"] and target(client) == 50
    assert policy(state="absent")["changed"] and target(client) is None
    assert not policy(state="absent")["changed"]


def test_scaling_in_that_somebody_turned_off_is_a_drift(client, policy):
    policy(cpu_percent=70)
    client.put_scaling_policy(
        AutoScalingGroupName=GROUP,
        PolicyName=NAME,
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
            "TargetValue": 70.0,
            "DisableScaleIn": True,
        },
    )
    assert policy(cpu_percent=70, check_mode=True)["changed"]
    policy(cpu_percent=70)
    assert not policy(cpu_percent=70, check_mode=True)["changed"]


def test_a_group_that_does_not_exist_yet_can_be_planned(client, policy):
    assert policy(group="later", cpu_percent=70, check_mode=True)["changed"]


def test_a_policy_needs_a_target(client, policy):
    assert "cpu_percent" in policy()["msg"]
