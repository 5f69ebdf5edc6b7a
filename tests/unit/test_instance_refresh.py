"""espalier.aws.instance_refresh against the lab's auto scaling group, whose instances start at once."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest

from tests.unit import test_lab_refresh
from tests.unit.moto_patches import client
from tests.unit.run_module import run_module
from tests.unit.test_lab_refresh import GROUP, Account

account = test_lab_refresh.account
OPTIONS = {"name": GROUP, "access_key": "x", "secret_key": "x", "region": "us-east-1", "instance_warmup_seconds": 0}


@pytest.fixture
def refresh(account, capsys, monkeypatch) -> Iterator:
    """Call the module; while it waits, the group works."""
    module = importlib.import_module("ansible_collections.espalier.aws.plugins.modules.instance_refresh")
    account.births = lambda: None

    def work(seconds):
        account.step(2)
        account.births()

    monkeypatch.setattr(module.time, "sleep", work)

    def call(check_mode: bool = False, **options) -> dict:
        return run_module(capsys, "instance_refresh", check_mode=check_mode, **{**OPTIONS, **options})

    yield call


def abandon_all(account: Account) -> None:
    for found in account.instances():
        if found["LifecycleState"] == "Pending:Wait":
            account.complete(found["InstanceId"], "ABANDON")


def test_the_newest_version_is_rolled_out_once(account, refresh):
    account.new_version()
    before = sorted(found["InstanceId"] for found in account.instances())
    plan = refresh(check_mode=True)
    assert plan["changed"]
    assert plan["outdated"] == before
    assert account.versions() == ["1", "1"]
    done = refresh()
    assert done["changed"]
    assert done["finished"]
    assert done["refresh"]["status"] == "Successful"
    assert account.versions() == ["2", "2"]
    assert account.least == 2
    for again in (refresh(), refresh(check_mode=True)):
        assert not again["changed"]
        assert again["refresh"] is None


def test_a_refresh_that_runs_already_is_followed(account, refresh):
    account.new_version()
    first = refresh(wait=False)
    assert not first["finished"]
    assert refresh(launch_template_version=2)["refresh"]["instance_refresh_id"] == first["refresh"]["instance_refresh_id"]
    assert account.versions() == ["2", "2"]


def test_another_refresh_is_in_the_way(account, refresh):
    account.new_version()
    refresh(wait=False)
    account.new_version()
    failed = refresh()
    assert failed["failed"]
    assert "to version 2 goes on" in failed["msg"]


def test_births_that_fail_again_and_again_end_in_a_rollback_and_a_diagnosis(account, refresh):
    account.hook()
    account.new_version()
    before = sorted(found["InstanceId"] for found in account.instances())
    account.births = lambda: abandon_all(account)
    failed = refresh()
    assert failed["failed"]
    assert "RollbackSuccessful" in failed["msg"]
    assert "was abandoned" in failed["msg"]
    assert "as they were before" in failed["msg"]
    assert sorted(found["InstanceId"] for found in account.instances()) == before
    assert account.group()["LaunchTemplate"]["Version"] == "1"


def test_a_refresh_that_takes_too_long_is_given_up(account, refresh):
    account.hook()
    account.new_version()
    failed = refresh(wait_timeout_seconds=-1, auto_rollback=False)
    assert failed["failed"]
    assert "Cancelled" in failed["msg"]


def test_it_is_rolled_back_on_request(account, refresh):
    account.new_version()
    refresh(wait=False, checkpoint_percentages=[50, 100])
    account.step(8)
    assert sorted(account.versions()) == ["1", "2"]
    plan = refresh(check_mode=True, state="rolled_back")
    assert plan["changed"]
    done = refresh(state="rolled_back")
    assert done["refresh"]["status"] == "RollbackSuccessful"
    assert account.versions() == ["1", "1"]
    assert not refresh(state="rolled_back")["changed"]
    assert not refresh(state="cancelled")["changed"]


def test_it_is_cancelled_on_request(account, refresh):
    account.new_version()
    refresh(wait=False)
    assert refresh(state="cancelled")["refresh"]["status"] == "Cancelled"


def test_an_alarm_fails_it(account, refresh):
    client("cloudwatch").put_metric_alarm(
        AlarmName="errors", MetricName="m", Namespace="n", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    account.new_version()
    account.births = lambda: client("cloudwatch").set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="test")
    failed = refresh(alarms=["errors"])
    assert failed["failed"]
    assert "errors" in failed["msg"]
    assert account.versions() == ["1", "1"]


def test_a_group_that_is_not_there_is_named(refresh):
    assert refresh(name="nobody")["msg"] == "There is no auto scaling group nobody."
