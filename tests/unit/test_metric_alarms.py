"""metric_alarms: made, the same again, changed, muted, removed; alarms on one metric and on an expression."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from tests.unit.run_module import run_module

TOPIC = "arn:aws:sns:us-east-1:123456789012:lab-alarms"
TAGS = {"Project": "django", "Environment": "lab"}
STORAGE = {
    "AlarmName": "lab-storage",
    "AlarmDescription": "Little storage is left.",
    "Namespace": "AWS/RDS",
    "MetricName": "FreeStorageSpace",
    "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": "lab-postgres"}],
    "Statistic": "Minimum",
    "Period": "300",
    "EvaluationPeriods": "1",
    "ComparisonOperator": "LessThanThreshold",
    "Threshold": "10",
}


def metric(name: str, **more) -> dict:
    stat = {"Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": [{"Name": "LoadBalancer", "Value": "app/lab/1"}]}
    return {"Id": name.lower(), "MetricStat": {"Metric": stat, "Period": 60, "Stat": "Sum"}, "ReturnData": False, **more}


ERRORS = {
    "AlarmName": "lab-errors",
    "Metrics": [
        {"Id": "percent", "Expression": "100 * errors / requests", "Label": "Errors", "ReturnData": True},
        metric("Errors"),
        metric("Requests"),
    ],
    "EvaluationPeriods": 5,
    "DatapointsToAlarm": 3,
    "ComparisonOperator": "GreaterThanThreshold",
    "Threshold": 5,
    "TreatMissingData": "notBreaching",
}


@pytest.fixture
def cloudwatch(monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield boto3.client("cloudwatch", "us-east-1")


@pytest.fixture
def run(cloudwatch, capsys):
    def run(*alarms, check_mode=False, **options):
        return run_module(capsys, "metric_alarms", check_mode=check_mode, alarms=list(alarms), actions=[TOPIC], tags=TAGS, **options)

    return run


def found(cloudwatch) -> dict[str, dict]:
    return {alarm["AlarmName"]: alarm for alarm in cloudwatch.describe_alarms()["MetricAlarms"]}


def test_its_life(run, cloudwatch):
    assert run(STORAGE, ERRORS, check_mode=True)["created"] == ["lab-errors", "lab-storage"] and not found(cloudwatch)
    assert run(STORAGE, ERRORS)["changed"]
    storage = found(cloudwatch)["lab-storage"]
    assert (storage["Threshold"], storage["Period"], storage["AlarmActions"], storage["OKActions"]) == (10.0, 300, [TOPIC], [TOPIC])
    tags = cloudwatch.list_tags_for_resource(ResourceARN=storage["AlarmArn"])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == TAGS
    assert len(found(cloudwatch)["lab-errors"]["Metrics"]) == 3
    assert not run(STORAGE, ERRORS)["changed"]

    other = {**ERRORS, "Metrics": [{**ERRORS["Metrics"][0], "Expression": "errors"}, *ERRORS["Metrics"][1:]]}
    plan = run({**STORAGE, "Threshold": 20}, other, check_mode=True)
    assert plan["updated"] == ["lab-errors", "lab-storage"] and found(cloudwatch)["lab-storage"]["Threshold"] == 10
    assert (plan["diff"]["before"]["lab-storage"]["Threshold"], plan["diff"]["after"]["lab-storage"]["Threshold"]) == (10, 20)
    assert run({**STORAGE, "Threshold": 20}, other)["changed"] and not run({**STORAGE, "Threshold": 20}, other)["changed"]

    assert run(STORAGE, removed=["lab-errors", "lab-nothing"], check_mode=True)["removed"] == ["lab-errors"]
    gone = run({**STORAGE, "Threshold": 20}, removed=["lab-errors", "lab-nothing"])
    assert (gone["created"], gone["updated"], gone["removed"]) == ([], [], ["lab-errors"]) and set(found(cloudwatch)) == {"lab-storage"}
    assert not run({**STORAGE, "Threshold": 20}, removed=["lab-errors"])["changed"]


def test_alarms_of_others_stay(run, cloudwatch):
    run({**STORAGE, "AlarmName": "lab-of-mine"})
    run(STORAGE, removed=["lab-errors"])
    assert set(found(cloudwatch)) == {"lab-of-mine", "lab-storage"}


def test_a_muted_alarm_stays_muted(run, cloudwatch):
    run(STORAGE)
    cloudwatch.disable_alarm_actions(AlarmNames=["lab-storage"])
    assert not run(STORAGE)["changed"]


def test_what_a_change_takes_away(run, cloudwatch):
    run({**STORAGE, "DatapointsToAlarm": 1})
    assert run(STORAGE)["updated"] == ["lab-storage"]


@pytest.mark.parametrize(("wrong", "word"), [({"AlarmColour": "red"}, "AlarmColour"), ({}, "no AlarmName")])
def test_wrong_alarms(run, wrong, word):
    assert word in run({**{key: value for key, value in STORAGE.items() if wrong or key != "AlarmName"}, **wrong})["msg"]
