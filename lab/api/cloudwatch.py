"""CloudWatch: what the lab's controller measured becomes AWS's metrics, alarms are evaluated, groups follow their CPU.

moto keeps metrics and alarms; this gives them values. The controller (lab.cloudwatch) calls `cloudwatch_step` once a minute of AWS's:

- AWS/EC2 CPUUtilization by instance and by auto scaling group; AWS/AutoScaling Group... where a group's metrics are collected
- AWS/ApplicationELB RequestCount, HTTPCode_Target_nXX_Count, HTTPCode_ELB_nXX_Count, TargetResponseTime, HealthyHostCount,
  UnHealthyHostCount. As on AWS, status codes are reported only where there were any
- AWS/RDS CPUUtilization, DatabaseConnections, FreeStorageSpace

PutMetricData counts for alarms, too. Timestamps are the machine's time, so that the API's answers fit its clock, while alarms count their
periods in minutes of the lab: 60 s are one step.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from moto.cloudwatch.models import CloudWatchBackend

from lab.api import alarms, elbv2, scaling, tracking
from lab.api.series import Series

# What GetMetricStatistics can look back to; moto would keep all for ever.
KEPT = timedelta(hours=3)
SERIES = Series()
Measured = tuple[str, str, dict[str, str], list[float]]


def step(body: dict) -> dict:
    """What was measured in the minute that ends now: `instances` and `databases` by id, `load_balancers` by ARN. See lab.cloudwatch."""
    for namespace, name, dimensions, values in measured(body):
        put(namespace, name, dimensions, values)
    SERIES.tick()
    prune()
    alarms.step(SERIES)
    tracking.step(SERIES)
    return {"minute": SERIES.minute}


def put(namespace: str, name: str, dimensions: dict[str, str], values: list[float]) -> None:
    """One metric's values of this minute, for alarms and for the API."""
    if not values:
        return
    SERIES.record(namespace, name, dimensions, values)
    _put_metric_data(
        alarms.backend(),
        namespace,
        [
            {
                "MetricName": name,
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                "Timestamp": datetime.now(UTC).replace(tzinfo=None),
                "StatisticValues": {"SampleCount": len(values), "Sum": sum(values), "Minimum": min(values), "Maximum": max(values)},
            }
        ],
    )


def prune() -> None:
    """Forget what is too old. Once in a while: the list is long."""
    if SERIES.minute % 100 == 0:
        oldest = datetime.now(UTC).replace(tzinfo=None) - KEPT
        alarms.backend().metric_data = [datum for datum in alarms.backend().metric_data if datum.timestamp.replace(tzinfo=None) >= oldest]


# --- from what was measured to AWS's metrics


def measured(body: dict) -> Iterable[Measured]:
    yield from of_instances(body.get("instances", {}))
    for identifier, found in body.get("databases", {}).items():
        for name, value in found.items():
            yield "AWS/RDS", name, {"DBInstanceIdentifier": identifier}, [value]
    for arn, found in body.get("load_balancers", {}).items():
        if arn in elbv2.backend().load_balancers:
            yield from of_load_balancer(arn, found)


def of_instances(cpu: dict[str, float]) -> Iterable[Measured]:
    """`cpu` is percent by instance id."""
    for instance_id, percent in cpu.items():
        yield "AWS/EC2", "CPUUtilization", {"InstanceId": instance_id}, [percent]
    for group in scaling.backend().autoscaling_groups.values():
        of_group = {"AutoScalingGroupName": group.name}
        states = [state.lifecycle_state for state in group.instance_states]
        yield "AWS/EC2", "CPUUtilization", of_group, [cpu[state.instance_id] for state in group.instance_states if state.instance_id in cpu]
        values = {
            "GroupMinSize": group.min_size,
            "GroupMaxSize": group.max_size,
            "GroupDesiredCapacity": group.desired_capacity,
            "GroupInServiceInstances": states.count("InService"),
            "GroupPendingInstances": sum(state.startswith("Pending") for state in states),
            "GroupStandbyInstances": states.count("Standby"),
            "GroupTerminatingInstances": sum(state.startswith("Terminating") for state in states),
            "GroupTotalInstances": len(states),
        }
        for name in group.metrics or ():
            if name in values:
                yield "AWS/AutoScaling", name, of_group, [float(values[name] or 0)]


def of_load_balancer(arn: str, found: dict) -> Iterable[Measured]:
    """`found`: counts by [target group's name, "target" or "elb", hundreds of the status], and seconds by target group's name."""
    namespace, of_all = "AWS/ApplicationELB", {"LoadBalancer": arn.partition(":loadbalancer/")[2]}
    groups = {group.name: group for group in elbv2.backend().target_groups.values() if group.arn in elbv2.forwarded_by(arn)}
    total: dict[str, float] = {"RequestCount": 0}
    for name, group in groups.items():
        of_group = {**of_all, "TargetGroup": group.arn.rpartition(":")[2]}
        counts = [(kind, hundreds, count) for group_name, kind, hundreds, count in found["counts"] if group_name == name]
        yield namespace, "RequestCount", of_group, [float(sum(count for _, _, count in counts))]
        for kind, hundreds, count in counts:
            if kind == "target":
                yield namespace, f"HTTPCode_Target_{hundreds}XX_Count", of_group, [float(count)]
        yield namespace, "TargetResponseTime", of_group, found["seconds"].get(name, [])
        states = [health.status for health in elbv2.backend().describe_target_health(group.arn, [])]
        if states:
            yield namespace, "HealthyHostCount", of_group, [float(states.count("healthy"))]
            yield namespace, "UnHealthyHostCount", of_group, [float(states.count("unhealthy"))]
    for _, kind, hundreds, count in found["counts"]:
        total["RequestCount"] += count
        name = f"HTTPCode_{'Target' if kind == 'target' else 'ELB'}_{hundreds}XX_Count"
        total[name] = total.get(name, 0) + count
    for name, count in total.items():
        yield namespace, name, of_all, [float(count)]
    yield namespace, "TargetResponseTime", of_all, [value for values in found["seconds"].values() for value in values]


_put_metric_data = CloudWatchBackend.put_metric_data


def install() -> None:
    """Patch moto's CloudWatch."""

    def put_metric_data(self, namespace, metric_data):
        _put_metric_data(self, namespace, metric_data)
        for datum in metric_data:
            dimensions = {entry["Name"]: entry["Value"] for entry in datum.get("Dimensions") or ()}
            values = [float(value) for value in datum.get("Values") or ([datum["Value"]] if datum.get("Value") is not None else [])]
            counts = [int(float(count)) for count in datum.get("Counts") or [1] * len(values)]
            if values:
                repeated = [value for value, count in zip(values, counts, strict=True) for _ in range(count)]
                SERIES.record(namespace, datum["MetricName"], dimensions, repeated)

    CloudWatchBackend.put_metric_data = put_metric_data
    alarms.install()


ROUTES = {"cloudwatch_step": step}
