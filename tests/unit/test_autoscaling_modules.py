"""autoscaling_processes and autoscaling_notification: done once, then nothing; planned, then nothing done."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, InstanceState
from moto.autoscaling.responses import AutoScalingResponse

from lab.api import autoscaling as additions
from tests.unit.run_module import run_module

GROUP = "lab-django-asg"
TOPIC = "arn:aws:sns:us-east-1:123456789012:lab-django-alarms"
OTHER_TOPIC = "arn:aws:sns:us-east-1:123456789012:pager"
EVENTS = [
    "autoscaling:EC2_INSTANCE_LAUNCH",
    "autoscaling:EC2_INSTANCE_LAUNCH_ERROR",
    "autoscaling:EC2_INSTANCE_TERMINATE",
    "autoscaling:EC2_INSTANCE_TERMINATE_ERROR",
]


@pytest.fixture
def notifications_served(monkeypatch):
    """moto has no notification configurations: borrow the lab's, and give moto back as it was."""
    for patched in (AutoScalingBackend, FakeAutoScalingGroup, InstanceState, AutoScalingResponse):
        for name, value in list(vars(patched).items()):
            if not name.startswith("__"):
                monkeypatch.setattr(patched, name, value)
    before = {patched: set(vars(patched)) for patched in (InstanceState, AutoScalingResponse)}
    additions.install()
    yield
    for patched, names in before.items():
        for name in set(vars(patched)) - names:
            delattr(patched, name)


@pytest.fixture
def client(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "k2n8v5")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
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


def suspended(client) -> set[str]:
    group = client.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"][0]
    return {process["ProcessName"] for process in group["SuspendedProcesses"]}


@pytest.fixture
def processes(capsys):
    def run(state, **options):
        options = {"name": GROUP, "processes": ["HealthCheck", "ReplaceUnhealthy"], **options}
        return run_module(capsys, "autoscaling_processes", state=state, **options)

    return run


def test_processes_are_suspended_once_and_resumed_once(client, processes):
    client.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["AZRebalance", "HealthCheck"])
    assert processes("suspended", check_mode=True)["changed"] is True
    assert suspended(client) == {"AZRebalance", "HealthCheck"}

    result = processes("suspended")
    assert result["changed"] is True
    assert result["suspended_processes"] == ["AZRebalance", "HealthCheck", "ReplaceUnhealthy"]
    assert suspended(client) == set(result["suspended_processes"])
    assert processes("suspended")["changed"] is False
    assert processes("suspended", check_mode=True)["changed"] is False

    assert processes("resumed", check_mode=True)["changed"] is True
    assert suspended(client) == {"AZRebalance", "HealthCheck", "ReplaceUnhealthy"}
    result = processes("resumed")
    assert result["changed"] is True
    # Somebody else's suspension stays.
    assert suspended(client) == {"AZRebalance"} == set(result["suspended_processes"])
    assert result["diff"] == {
        "before": {"suspended_processes": ["AZRebalance", "HealthCheck", "ReplaceUnhealthy"]},
        "after": {"suspended_processes": ["AZRebalance"]},
    }
    assert processes("resumed")["changed"] is False


def test_processes_of_a_group_that_does_not_exist_are_an_error(client, processes):
    result = processes("resumed", name="nobody")
    assert result["failed"] is True
    assert "nobody" in result["msg"]


def test_an_unknown_process_is_refused(client, processes):
    assert processes("suspended", processes=["Healthcheck"])["failed"] is True


def sent(client, topic=TOPIC) -> list[str]:
    found = client.describe_notification_configurations(AutoScalingGroupNames=[GROUP])["NotificationConfigurations"]
    return sorted(entry["NotificationType"] for entry in found if entry["TopicARN"] == topic)


@pytest.fixture
def notification(capsys, notifications_served):
    def run(**options):
        return run_module(capsys, "autoscaling_notification", **{"name": GROUP, "topic_arn": TOPIC, **options})

    return run


def test_notifications_are_created_changed_and_deleted_once(notification, client):
    client.put_notification_configuration(AutoScalingGroupName=GROUP, TopicARN=OTHER_TOPIC, NotificationTypes=EVENTS[:1])
    assert notification(check_mode=True)["changed"] is True
    assert sent(client) == []

    result = notification()
    assert (result["changed"], result["notification_types"]) == (True, EVENTS)
    assert sent(client) == EVENTS
    assert notification()["changed"] is False
    assert notification(check_mode=True)["changed"] is False

    fewer = {"notification_types": [EVENTS[2], EVENTS[0]]}
    assert notification(check_mode=True, **fewer)["changed"] is True
    assert sent(client) == EVENTS
    result = notification(**fewer)
    assert result["diff"] == {"before": {"notification_types": EVENTS}, "after": {"notification_types": [EVENTS[0], EVENTS[2]]}}
    assert sent(client) == [EVENTS[0], EVENTS[2]]
    assert notification(**fewer)["changed"] is False

    assert notification(state="absent", check_mode=True)["changed"] is True
    assert sent(client) == [EVENTS[0], EVENTS[2]]
    assert notification(state="absent")["changed"] is True
    assert sent(client) == []
    assert notification(state="absent")["changed"] is False
    assert sent(client, OTHER_TOPIC) == EVENTS[:1]


def test_a_group_that_does_not_exist_yet_can_be_planned(notification, client):
    assert notification(name="later", check_mode=True)["changed"] is True


def test_notifications_of_a_group_that_does_not_exist_are_an_error(notification, client):
    result = notification(name="nobody")
    assert result["failed"] is True
    assert "nobody" in result["msg"]
