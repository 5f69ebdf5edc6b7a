"""What the lab measures is what happens: a busy group grows and tells the topic, a quiet one shrinks; requests are counted."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from lab import control
from lab.podman import podman
from lab.settings import SETTINGS
from tests.acceptance.app import instance_ids
from tests.acceptance.system import System

MINUTE = SETTINGS.scaled(60)


@pytest.fixture(scope="module")
def system(built) -> System:
    return built


def until(found: Callable, minutes: float, what: str):
    """What `found` answers as soon as it is true; minutes are the lab's."""
    deadline = time.monotonic() + minutes * MINUTE
    while not (answer := found()):
        assert time.monotonic() < deadline, f"not within {minutes} minutes of the lab: {what}"
        time.sleep(1)
    return answer


def average(system: System, namespace: str, metric: str, statistic: str, **dimensions: str) -> float | None:
    """Over the last two minutes of this machine; None where nothing was measured."""
    now = datetime.now(UTC)
    points = system.client("cloudwatch").get_metric_statistics(
        Namespace=namespace, MetricName=metric, Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - timedelta(seconds=120), EndTime=now + timedelta(seconds=1), Period=60, Statistics=[statistic],
    )["Datapoints"]  # fmt: skip
    return max((point[statistic] for point in points), default=None)


@contextlib.contextmanager
def busy(system: System) -> Iterator[None]:
    """Every processor of the application's instances burns."""
    if system.client("eks").list_clusters()["clusters"] and (os.cpu_count() or 1) < 4:
        pytest.skip("two burning instances need two processors, and here the cluster takes half of one: `make lab-down` first")
    instances = instance_ids(system)
    for instance in instances:
        podman("exec", "--detach", f"espalier-instance-{instance}", "sh", "-c", ": burning; while :; do :; done")
    try:
        for instance in instances:
            until(
                lambda one=instance: podman("exec", f"espalier-instance-{one}", "pgrep", "-f", "burning", check=False).stdout, 1, "a fire"
            )
        yield
    finally:
        for instance in instances:
            podman("exec", f"espalier-instance-{instance}", "pkill", "-f", "burning", check=False)


def alarm(system: System, prefix: str) -> str:
    found = system.client("cloudwatch").describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
    assert len(found) == 1, f"alarms {prefix}: {[one['AlarmName'] for one in found]}"
    return found[0]["StateValue"]


def test_every_machine_is_measured(system):
    group = system.auto_scaling_group()["AutoScalingGroupName"]
    for instance in instance_ids(system):
        until(
            lambda one=instance: average(system, "AWS/EC2", "CPUUtilization", "Average", InstanceId=one) is not None,
            5,
            f"CPU of {instance}",
        )
    assert average(system, "AWS/EC2", "CPUUtilization", "Average", AutoScalingGroupName=group) is not None
    identifier = system.database()["DBInstanceIdentifier"]
    assert average(system, "AWS/RDS", "DatabaseConnections", "Maximum", DBInstanceIdentifier=identifier) is not None
    free = average(system, "AWS/RDS", "FreeStorageSpace", "Minimum", DBInstanceIdentifier=identifier)
    assert 0 < free < 100 << 30


def test_requests_are_counted(system):
    name = system.load_balancer()["LoadBalancerArn"].partition(":loadbalancer/")[2]
    for _ in range(30):
        assert system.get("/").status == 200
    until(lambda: (average(system, "AWS/ApplicationELB", "RequestCount", "Sum", LoadBalancer=name) or 0) >= 30, 3, "30 requests")
    assert 0 < average(system, "AWS/ApplicationELB", "TargetResponseTime", "Average", LoadBalancer=name) < 10


def test_a_busy_group_rings_and_grows(system):
    """By the policy's own alarm, after three minutes of the lab. The one that tells people is in test_alarms.py."""
    before = len(control.call("messages")["messages"])
    assert len(instance_ids(system)) == 2
    control.call("scaling", on=True)
    try:
        with busy(system):
            until(lambda: alarm(system, f"TargetTracking-{system.prefix}-asg-AlarmHigh") == "ALARM", 8, "the policy's alarm")
            until(lambda: system.auto_scaling_group()["DesiredCapacity"] == 3, 3, "a third instance")
        # Told when it is in service, which is after its birth.
        until(lambda: any("EC2_INSTANCE_LAUNCH" in one["subject"] for one in control.call("messages")["messages"][before:]), 60, "the mail")
    finally:
        control.call("scaling", on=False)


def test_a_quiet_group_shrinks_again(system):
    control.call("scaling", on=True)
    try:
        until(lambda: system.auto_scaling_group()["DesiredCapacity"] < 3, 40, "an instance less")
    finally:
        control.call("scaling", on=False)
        name = system.auto_scaling_group()["AutoScalingGroupName"]
        system.client("autoscaling").set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=2)
    until(lambda: len(instance_ids(system)) == 2, 20, "two instances")
