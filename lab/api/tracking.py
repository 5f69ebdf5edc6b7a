"""Target tracking: two alarms for each policy, as AWS makes them, and a group that follows them.

The group follows only after `python -m lab scaling on`: a minute is seconds long here and the instances share this machine: a deploy would
look like a rush of visitors. The alarms change their state either way.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html
"""

from __future__ import annotations

import logging
import math
import uuid

from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, FakeScalingPolicy
from moto.cloudwatch.models import Alarm

from lab.api import alarms, scaling
from lab.api.series import Series

log = logging.getLogger("autoscaling")

# As AWS makes them for average CPU: 3 minutes above the target, 15 below nine tenths of it.
HIGH_PERIODS, LOW_PERIODS, LOW_PART = 3, 15, 0.9
# AWS's default cooldown of a group, which a policy without a warm-up takes: seconds.
DEFAULT_WARMUP_SECONDS = 300

_switch = {"on": False}


def switch(body: dict) -> dict:
    """Whether groups follow their policies; `on` changes it."""
    _switch["on"] = bool(body.get("on", _switch["on"]))
    return dict(_switch)


def tracks_cpu(policy: FakeScalingPolicy) -> bool:
    configuration = policy.target_tracking_configuration
    found = getattr(configuration, "PredefinedMetricSpecification", None) or {}
    return found.get("PredefinedMetricType") == "ASGAverageCPUUtilization"


def put_alarms(policy: FakeScalingPolicy, known: list[Alarm]) -> list[Alarm]:
    """The pair of a policy; `known` are those of the policy that it replaces."""
    target, made = float(policy.target_tracking_configuration.TargetValue), []
    pairs = (("High", "GreaterThanThreshold", target, HIGH_PERIODS), ("Low", "LessThanThreshold", target * LOW_PART, LOW_PERIODS))
    for number, (word, comparison, threshold, periods) in enumerate(pairs):
        name = known[number].name if known else f"TargetTracking-{policy.auto_scaling_group_name}-Alarm{word}-{uuid.uuid4()}"
        made.append(
            alarms.backend().put_metric_alarm(
                name=name, namespace="AWS/EC2", metric_name="CPUUtilization", comparison_operator=comparison,
                evaluation_periods=periods, period=60, threshold=threshold, statistic="Average",
                description=f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy.arn}.",
                dimensions=[{"Name": "AutoScalingGroupName", "Value": policy.auto_scaling_group_name}], alarm_actions=[policy.arn],
            )
        )  # fmt: skip
    return made


def step(series: Series) -> None:
    """Bring each group's capacity to what its policy asks for."""
    for policy in list(scaling.backend().policies.values()):
        pair = getattr(policy, "lab_alarms", None)
        group = scaling.backend().autoscaling_groups.get(policy.auto_scaling_group_name)
        if _switch["on"] and pair and group is not None and "AlarmNotification" not in group._suspended_processes:
            follow(policy, group, pair, series)


def follow(policy: FakeScalingPolicy, group: FakeAutoScalingGroup, pair: list[Alarm], series: Series) -> None:
    """As many instances as would bring the average to the target. None is added or taken while new ones warm up."""
    if series.minute < getattr(group, "lab_warm_at", 0):
        return
    high, low = pair
    configuration = policy.target_tracking_configuration
    in_service = sum(state.lifecycle_state == "InService" for state in group.instance_states)
    (average,) = series.points("AWS/EC2", "CPUUtilization", {"AutoScalingGroupName": group.name}, 60, 1, "Average")
    if average is None or not in_service:
        return
    wanted = math.ceil(in_service * average / float(configuration.TargetValue))
    if high.state_value == "ALARM":
        wanted = min(max(wanted, group.desired_capacity), group.max_size)
    elif low.state_value == "ALARM" and not getattr(configuration, "DisableScaleIn", False):
        wanted = max(min(wanted, group.desired_capacity), group.min_size)
    else:
        return
    if wanted != group.desired_capacity:
        log.info("group %s: average CPU is %.0f %%, capacity %s -> %s", group.name, average, group.desired_capacity, wanted)
        group.desired_capacity = wanted
        warmup = int(policy.estimated_instance_warmup or DEFAULT_WARMUP_SECONDS)
        group.lab_warm_at = series.minute + math.ceil(warmup / 60)


def forget(group_name: str) -> None:
    """The policies of a group that is deleted go with it."""
    for policy in [policy for policy in scaling.backend().policies.values() if policy.auto_scaling_group_name == group_name]:
        scaling.backend().delete_policy(policy.name)


def install() -> None:
    """Patch moto's policies."""
    moto_put, moto_delete = AutoScalingBackend.put_scaling_policy, AutoScalingBackend.delete_policy

    def put_scaling_policy(self, name, *arguments, **options):
        before = self.policies.get(name)
        policy = moto_put(self, name, *arguments, **options)
        if policy.policy_type == "TargetTrackingScaling" and tracks_cpu(policy):
            policy.lab_alarms = put_alarms(policy, getattr(before, "lab_alarms", []))
            policy.alarms = [{"AlarmName": alarm.name, "AlarmARN": alarm.alarm_arn} for alarm in policy.lab_alarms]
        return policy

    def delete_policy(self, name):
        policy = self.policies.get(name)
        alarms.backend().delete_alarms([alarm.name for alarm in getattr(policy, "lab_alarms", [])])
        moto_delete(self, name)

    AutoScalingBackend.put_scaling_policy, AutoScalingBackend.delete_policy = put_scaling_policy, delete_policy


ROUTES = {"scaling": switch}
