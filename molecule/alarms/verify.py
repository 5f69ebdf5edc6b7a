"""Asked over the APIs of CloudWatch, SNS and Auto Scaling: what rings, after how long, and who is told."""

from __future__ import annotations

import pytest

from tests.acceptance import monitoring
from tests.acceptance.system import only
from tests.molecule.fixtures import account_of

CHECKS = (
    monitoring.check_cpu_alarm,
    monitoring.check_unhealthy_targets_alarm,
    monitoring.check_scaling_events_are_told,
    monitoring.check_email_subscription,
    monitoring.check_log_group,
)
LOG_GROUPS = {"defaults": ("/aws/ec2/django-app", 30), "altered": ("/shop/application", 365), "silent": ("/silent/application", 30)}


def by_name(account) -> dict[str, dict]:
    """Without their common beginning."""
    prefix = "altered-django-shop-" if account.environment == "altered" else f"{account.prefix}-"
    found = monitoring.alarms(account)
    assert all(alarm["AlarmName"].startswith(prefix) for alarm in found)
    return {alarm["AlarmName"].removeprefix(prefix): alarm for alarm in found}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_defaults(defaults, check):
    check(defaults)


def test_altered(altered):
    found = by_name(altered)
    cpu, unhealthy = found["cpu-high"], found["unhealthy-targets"]
    assert (cpu["Threshold"], cpu["Period"], cpu["EvaluationPeriods"]) == (60, 60, 5)
    assert (unhealthy["Threshold"], unhealthy["Period"], unhealthy["EvaluationPeriods"]) == (0, 120, 2)
    monitoring.check_scaling_events_are_told(altered)


def test_what_missing_data_means(defaults):
    found = {name: alarm["TreatMissingData"] for name, alarm in by_name(defaults).items()}
    assert found == {"cpu-high": "missing", "unhealthy-targets": "notBreaching"}


DATABASE = {
    "database-storage-low": ("FreeStorageSpace", "Minimum", "LessThanThreshold", 5 * 1024**3),
    "database-connections-high": ("DatabaseConnections", "Maximum", "GreaterThanThreshold", 60),
    "database-cpu-high": ("CPUUtilization", "Average", "GreaterThanThreshold", 70),
}


@pytest.mark.parametrize("name", DATABASE)
def test_alarms_of_the_database(altered, name):
    alarm = by_name(altered)[name]
    assert (alarm["MetricName"], alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == DATABASE[name]
    assert (alarm["Namespace"], alarm["Period"], alarm["EvaluationPeriods"]) == ("AWS/RDS", 300, 3)
    assert monitoring.dimensions(alarm) == {"DBInstanceIdentifier": "shop-postgres"}


REQUESTS = {
    "errors-high": (2, {"RequestCount": "Sum", "HTTPCode_Target_5XX_Count": "Sum", "HTTPCode_ELB_5XX_Count": "Sum"}),
    "latency-high": (0.5, {"RequestCount": "Sum", "TargetResponseTime": "p95"}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_alarms_of_what_visitors_meet(altered, name):
    alarm = by_name(altered)[name]
    threshold, metrics = REQUESTS[name]
    assert (alarm["Threshold"], alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (threshold, 5, 3)
    expression = only([one for one in alarm["Metrics"] if one["ReturnData"]], "expression")["Expression"]
    assert expression.startswith("IF(requests >= 100,"), "few requests ring, too"
    stats = [one["MetricStat"] for one in alarm["Metrics"] if "MetricStat" in one]
    assert {one["Metric"]["MetricName"]: one["Stat"] for one in stats} == metrics
    balancer = altered.load_balancer()["LoadBalancerArn"].partition(":loadbalancer/")[2]
    assert {str(one["Metric"]["Dimensions"]) for one in stats} == {str([{"Name": "LoadBalancer", "Value": balancer}])}


def test_tags_of_alarms(altered):
    answer = altered.client("cloudwatch").list_tags_for_resource(ResourceARN=by_name(altered)["cpu-high"]["AlarmArn"])
    assert {tag["Key"]: tag["Value"] for tag in answer["Tags"]}["Team"] == "shop"


def test_its_end_is_told_too(account):
    for alarm in monitoring.alarms(account):
        assert alarm["OKActions"] == alarm["AlarmActions"] == [monitoring.topic_arn(account)]


def test_each_environment_tells_its_own_people(defaults, altered):
    for account in (defaults, altered):
        answer = account.client("sns").list_subscriptions_by_topic(TopicArn=monitoring.topic_arn(account))
        assert only(answer["Subscriptions"], "subscription")["Endpoint"] == f"{account.environment}@example.com"


def test_switched_off():
    silent = account_of("silent")
    assert not monitoring.alarms(silent)
    assert not [topic for topic in silent.client("sns").list_topics()["Topics"] if "silent" in topic["TopicArn"]]


def test_logs_are_not_kept_for_ever(account):
    name, days = LOG_GROUPS[account.environment]
    group = only(account.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"], "log group")
    assert group["retentionInDays"] == days


def test_gone(account):
    assert not monitoring.alarms(account)
    assert not [topic for topic in account.client("sns").list_topics()["Topics"] if account.environment in topic["TopicArn"]]
    assert not account.client("logs").describe_log_groups(logGroupNamePrefix=LOG_GROUPS[account.environment][0])["logGroups"]
    group = f"{account.prefix}-asg"
    answer = account.client("autoscaling").describe_notification_configurations(AutoScalingGroupNames=[group])
    assert not answer["NotificationConfigurations"]
