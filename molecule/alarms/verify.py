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


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_defaults(defaults, check):
    check(defaults)


def test_altered(altered):
    found = {alarm["MetricName"]: alarm for alarm in monitoring.alarms(altered)}
    cpu, unhealthy = found["CPUUtilization"], found["UnHealthyHostCount"]
    assert cpu["AlarmName"].startswith("altered-django-shop")
    assert (cpu["Threshold"], cpu["Period"], cpu["EvaluationPeriods"]) == (60, 60, 5)
    assert (unhealthy["Threshold"], unhealthy["Period"], unhealthy["EvaluationPeriods"]) == (0, 120, 2)
    monitoring.check_scaling_events_are_told(altered)


def test_what_missing_data_means(defaults):
    found = {alarm["MetricName"]: alarm["TreatMissingData"] for alarm in monitoring.alarms(defaults)}
    assert found == {"CPUUtilization": "missing", "UnHealthyHostCount": "notBreaching"}


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
