"""Seed: Monitoring and alerting."""

from __future__ import annotations

from tests.acceptance.system import System, only


def topic_arn(system: System) -> str:
    topics = [topic["TopicArn"] for topic in system.client("sns").list_topics()["Topics"]]
    return only([arn for arn in topics if arn.endswith(f":{system.prefix}-alarms")], "topic")


def alarms(system: System) -> list[dict]:
    return system.client("cloudwatch").describe_alarms(AlarmNamePrefix=system.prefix)["MetricAlarms"]


def dimensions(alarm: dict) -> dict[str, str]:
    return {entry["Name"]: entry["Value"] for entry in alarm["Dimensions"]}


def check_cpu_alarm(system: System) -> None:
    # The database has one of its own, alarms on expressions have no metric.
    metric = ("AWS/EC2", "CPUUtilization")
    alarm = only([alarm for alarm in alarms(system) if (alarm.get("Namespace"), alarm.get("MetricName")) == metric], "CPU alarm")
    assert (alarm["Namespace"], alarm["Statistic"], alarm["ComparisonOperator"]) == ("AWS/EC2", "Average", "GreaterThanThreshold")
    assert alarm["Threshold"] == 80
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 600, "10 minutes"
    assert dimensions(alarm) == {"AutoScalingGroupName": system.auto_scaling_group()["AutoScalingGroupName"]}
    assert alarm["AlarmActions"] == [topic_arn(system)]


def check_unhealthy_targets_alarm(system: System) -> None:
    alarm = only([alarm for alarm in alarms(system) if alarm.get("MetricName") == "UnHealthyHostCount"], "alarm of unhealthy targets")
    assert alarm["Namespace"] == "AWS/ApplicationELB"
    balancer, group = system.load_balancer()["LoadBalancerArn"], system.target_group()["TargetGroupArn"]
    assert dimensions(alarm) == {"LoadBalancer": balancer.partition(":loadbalancer/")[2], "TargetGroup": group.rpartition(":")[2]}
    assert alarm["AlarmActions"] == [topic_arn(system)]


def check_scaling_events_are_told(system: System) -> None:
    """Scale-up and scale-down events of the auto scaling group reach the topic."""
    group = system.auto_scaling_group()["AutoScalingGroupName"]
    found = system.client("autoscaling").describe_notification_configurations(AutoScalingGroupNames=[group])["NotificationConfigurations"]
    told = {entry["NotificationType"] for entry in found if entry["TopicARN"] == topic_arn(system)}
    assert {"autoscaling:EC2_INSTANCE_LAUNCH", "autoscaling:EC2_INSTANCE_TERMINATE"} <= told


def check_email_subscription(system: System) -> None:
    subscriptions = system.client("sns").list_subscriptions_by_topic(TopicArn=topic_arn(system))["Subscriptions"]
    addresses = [entry["Endpoint"] for entry in subscriptions if entry["Protocol"] == "email"]
    assert len(addresses) == 1 and "@" in addresses[0]


def check_log_group(system: System) -> None:
    found = system.client("logs").describe_log_groups(logGroupNamePrefix="/aws/ec2/django-app")["logGroups"]
    group = only([entry for entry in found if entry["logGroupName"] == "/aws/ec2/django-app"], "log group")
    assert group.get("retentionInDays"), "logs without a retention are kept, and paid, for ever"
