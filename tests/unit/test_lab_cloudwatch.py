"""The lab's CloudWatch: statistics, alarms and what they do, target tracking, and what is read of HAProxy's log and of control groups."""

from __future__ import annotations

import json
from types import SimpleNamespace

import boto3
import pytest
from moto import mock_aws

from lab.api import alarms, cloudwatch, sns, tracking
from lab.api.series import Series, summarize
from lab.cgroups import cpu_file, cpu_seconds
from lab.haproxy_log import Log, Requests

CPU = ("AWS/EC2", "CPUUtilization", {"AutoScalingGroupName": "shop"})


@pytest.fixture(scope="module", autouse=True)
def patched():
    """Patched once, as in the lab: the patches wrap what they find."""
    alarms.install()
    sns.install()
    tracking.install()


@pytest.fixture
def account(monkeypatch):
    monkeypatch.setattr(cloudwatch, "SERIES", Series())
    tracking.switch({"on": False})
    with mock_aws():
        yield lambda service: boto3.client(service, region_name="us-east-1")


def minutes(*values: float | None) -> Series:
    series = Series()
    for value in values:
        if value is not None:
            series.record(*CPU, [value])
        series.tick()
    return series


def alarm(**options) -> SimpleNamespace:
    values = {
        "evaluation_periods": 3, "datapoints_to_alarm": None, "treat_missing_data": None, "comparison_operator": "GreaterThanThreshold",
        "threshold": 80.0, "metric_data_queries": [], "namespace": CPU[0], "metric_name": CPU[1], "period": 60, "statistic": "Average",
        "dimensions": [SimpleNamespace(name="AutoScalingGroupName", value="shop")],
    }  # fmt: skip
    return SimpleNamespace(**values | options)


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [("Average", 2.5), ("Sum", 10), ("Minimum", 1), ("Maximum", 4), ("SampleCount", 4), ("p50", 2), ("p99", 4), ("p99.9", 4)],
)
def test_statistics(statistic, expected):
    assert summarize([4, 1, 3, 2], statistic) == expected
    assert summarize([], statistic) is None


def test_periods_are_counted_from_the_last_whole_minute():
    series = minutes(1, 2, 3, 4, 5, None)
    assert series.points(*CPU, 60, 3, "Average") == [None, 5, 4]
    assert series.points(*CPU, 120, 3, "Sum") == [5, 7, 3]
    series.record(*CPU, [99])
    assert series.points(*CPU, 60, 1, "Sum") == [None], "the minute is not over"


@pytest.mark.parametrize(
    ("measured", "options", "state"),
    [
        ((90, 90, 90), {}, "ALARM"),
        ((90, 10, 90), {}, "OK"),
        ((90, 10, 90), {"datapoints_to_alarm": 2}, "ALARM"),
        ((80, 80, 80), {}, "OK"),
        ((80, 80, 80), {"comparison_operator": "GreaterThanOrEqualToThreshold"}, "ALARM"),
        ((10, 10, 10), {"comparison_operator": "LessThanThreshold"}, "ALARM"),
        ((None, None, None), {}, "INSUFFICIENT_DATA"),
        ((None, None, None), {"treat_missing_data": "breaching"}, "ALARM"),
        ((None, None, None), {"treat_missing_data": "notBreaching"}, "OK"),
        ((None, None, None), {"treat_missing_data": "ignore"}, None),
        ((90, None, 90), {"treat_missing_data": "ignore"}, None),
        ((90, None, 90), {"treat_missing_data": "breaching"}, "ALARM"),
    ],
)
def test_a_state_follows_from_what_was_measured(measured, options, state):
    found = alarms.evaluate(alarm(**options), minutes(*measured))
    assert (found and found[0]) == state


def stat(name: str, statistic: str = "Sum"):
    metric = SimpleNamespace(namespace="N", metric_name=name, dimensions=[])
    return SimpleNamespace(
        id=name, metric_stat=SimpleNamespace(metric=metric, period=60, stat=statistic), expression=None, return_data="false"
    )


@pytest.mark.parametrize(
    ("expression", "errors", "requests", "expected"),
    [
        ("100 * e / r", 5, 100, 5),
        ("100 * e / r", 5, 0, None),
        ("100 * e / r", None, 10, None),
        ("100 * FILL(e, 0) / r", None, 10, 0),
        ("IF(r >= 20, 100 * e / r, 0)", 5, 10, 0),
        ("IF(r >= 20, 100 * e / r, 0)", 5, 20, 25),
    ],
)
def test_metric_math(expression, errors, requests, expected):
    series = Series()
    for name, value in (("e", errors), ("r", requests)):
        if value is not None:
            series.record("N", name, {}, [value])
    series.tick()
    result = SimpleNamespace(id="rate", metric_stat=None, expression=expression, return_data="true")
    watched = alarm(metric_data_queries=[stat("e"), stat("r"), result])
    assert alarms.points_of(watched, series, 1) == [expected]


def put_alarm(account, topic: str, **options):
    account("cloudwatch").put_metric_alarm(
        AlarmName="busy", Namespace=CPU[0], MetricName=CPU[1], Dimensions=[{"Name": "AutoScalingGroupName", "Value": "shop"}],
        Statistic="Average", Period=60, EvaluationPeriods=1, Threshold=80, ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[topic], OKActions=[topic], **options,
    )  # fmt: skip


def state(account) -> str:
    return account("cloudwatch").describe_alarms(AlarmNames=["busy"])["MetricAlarms"][0]["StateValue"]


def test_a_change_of_state_is_told_once(account):
    topic = account("sns").create_topic(Name="ops")["TopicArn"]
    account("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")
    put_alarm(account, topic)
    assert state(account) == "INSUFFICIENT_DATA"
    before = len(sns.messages({})["messages"])
    for percent in (90, 95, 10):
        cloudwatch.put(*CPU, [percent])
        cloudwatch.step({})
    told = sns.messages({})["messages"][before:]
    assert [found["subject"][: found["subject"].index(":")] for found in told] == ["ALARM", "OK"]
    assert told[0]["to"] == ["email:ops@example.com"] and json.loads(told[0]["message"])["OldStateValue"] == "INSUFFICIENT_DATA"
    assert state(account) == "OK"


def test_an_alarm_that_is_put_again_keeps_its_state(account):
    put_alarm(account, "arn:aws:sns:us-east-1:123456789012:none", ActionsEnabled=False)
    account("cloudwatch").set_alarm_state(AlarmName="busy", StateValue="ALARM", StateReason="a test")
    put_alarm(account, "arn:aws:sns:us-east-1:123456789012:none", ActionsEnabled=False)
    assert state(account) == "ALARM"


def test_what_was_measured_can_be_asked_for(account):
    cloudwatch.put(*CPU, [10.0, 30.0])
    found = account("cloudwatch").list_metrics(Namespace="AWS/EC2", MetricName="CPUUtilization")["Metrics"]
    assert [entry["Value"] for metric in found for entry in metric["Dimensions"]] == ["shop"]


class Group:
    name, min_size, max_size = "shop", 1, 3

    def __init__(self, desired: int) -> None:
        self.desired_capacity = desired
        self.instance_states = [SimpleNamespace(lifecycle_state="InService")] * desired


def follow(group: Group, percent: float, high: str, low: str, series: Series | None = None) -> int:
    policy = SimpleNamespace(target_tracking_configuration=SimpleNamespace(TargetValue=70), estimated_instance_warmup=120)
    series = series or minutes(percent)
    tracking.follow(policy, group, [SimpleNamespace(state_value=high), SimpleNamespace(state_value=low)], series)
    return group.desired_capacity


def test_a_group_follows_its_cpu_within_its_bounds():
    assert follow(Group(2), 100, "ALARM", "OK") == 3
    assert follow(Group(1), 75, "ALARM", "OK") == 2
    assert follow(Group(3), 100, "ALARM", "OK") == 3
    assert follow(Group(2), 5, "OK", "ALARM") == 1
    assert follow(Group(1), 0, "OK", "ALARM") == 1
    assert follow(Group(2), 100, "OK", "OK") == 2
    # Nine tenths of the target, and yet no instance less would carry it.
    assert follow(Group(2), 62, "OK", "ALARM") == 2


def test_nothing_changes_while_new_instances_warm_up():
    group, series = Group(1), minutes(100)
    assert follow(group, 100, "ALARM", "OK", series) == 2
    group.instance_states *= 2
    for expected in (2, 2, 3):
        assert follow(group, 100, "ALARM", "OK", series) == expected
        series.record(*CPU, [100])
        series.tick()


def test_requests_are_read_of_haproxy_s_log():
    begin = "2026-11-23T18:49:50.854110264+00:00 stdout F 10.0.0.1:42584 [23/Nov/2026:18:49:50.853]"
    requests = Requests()
    requests.add(
        [
            f'{begin} listener_80 tg_shop-tg/i-0_10.0.11.7 0/0/0/39/39 200 1385 - - ---- 1/1/0/0/0 0/0 "GET / HTTP/1.1"',
            f'{begin} listener_443~ tg_shop-tg/i-0_10.0.11.7 0/0/0/2/39 500 1385 - - ---- 1/1/0/0/0 0/0 "GET / HTTP/1.1"',
            f'{begin} listener_80 tg_shop-tg/i-0_10.0.11.7 0/0/-1/-1/39 502 385 - - SC-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"',
            f'{begin} listener_80 tg_shop-tg/<NOSRV> 0/-1/-1/-1/0 503 385 - - SC-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"',
            f'{begin} listener_80 listener_80/<NOSRV> 0/-1/-1/-1/0 301 97 - - LR-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"',
            f"{begin} Server tg_shop-tg/i-0 is UP",
        ]
    )
    assert dict(requests.counts) == {
        ("shop-tg", "target", 2): 1, ("shop-tg", "target", 5): 1, ("shop-tg", "elb", 5): 2, ("", "elb", 3): 1,
    }  # fmt: skip
    assert requests.seconds == {"shop-tg": [0.039, 0.002]}


def test_a_log_is_read_from_its_end(tmp_path):
    path = tmp_path / "ctr.log"
    line = "2026 stdout F a [b] f tg_t/s 0/0/0/1/1 200 \n"
    path.write_text(line * 3)
    log = Log(path)
    with path.open("a") as writer:
        writer.write(line + line[:20])
    assert sum(log.read().counts.values()) == 1
    with path.open("a") as writer:
        writer.write(line[20:])
    assert sum(log.read().counts.values()) == 1


def test_control_groups_of_both_versions(tmp_path):
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    for pid, text in ((1, "9:name=systemd:/pod/c/init.scope\n2:cpu,cpuacct:/pod/c\n0::/pod/c/init.scope\n"), (2, "0::/pod/d/init.scope\n")):
        (proc / str(pid)).mkdir(parents=True)
        (proc / str(pid) / "cgroup").write_text(text)
    for path, text in (("cpuacct/pod/c/cpuacct.usage", "2500000000\n"), ("pod/d/cpu.stat", "usage_usec 1500000\nuser_usec 1\n")):
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(text)
    assert cpu_seconds(cpu_file(1, proc, root)) == 2.5
    assert cpu_seconds(cpu_file(2, proc, root)) == 1.5
