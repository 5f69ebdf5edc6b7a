"""dashboard: written once, again when it says something else, removed."""

from __future__ import annotations

import json

import boto3
import botocore.client
import pytest
from moto import mock_aws

from tests.unit.run_module import run_module

BODY = {"widgets": [{"type": "text", "x": 0, "y": 0, "width": 6, "height": 2, "properties": {"markdown": "Hello"}}]}


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
    def run(body=BODY, check_mode=False, **options):
        return run_module(capsys, "dashboard", check_mode=check_mode, name="lab-django", body=body, **options)

    return run


def names(cloudwatch) -> list[str]:
    return [one["DashboardName"] for one in cloudwatch.list_dashboards()["DashboardEntries"]]


def test_its_life(run, cloudwatch):
    assert run(check_mode=True)["changed"] and not names(cloudwatch)
    assert "dashboards:name=lab-django" in run()["url"]
    assert json.loads(cloudwatch.get_dashboard(DashboardName="lab-django")["DashboardBody"]) == BODY
    assert not run()["changed"]
    other = {"widgets": []}
    assert run(other, check_mode=True)["changed"] and not run()["changed"]
    assert run(other)["changed"] and not run(other)["changed"]
    assert run(check_mode=True, state="absent")["changed"] and names(cloudwatch)
    assert run(state="absent")["changed"] and not names(cloudwatch)
    assert not run(state="absent")["changed"]


def test_a_dashboard_that_cannot_be_shown(run, monkeypatch):
    """CloudWatch takes it, and says so beside."""
    original = botocore.client.BaseClient._make_api_call
    complaint = {"DataPath": "/widgets/0", "Message": "Should have property type"}

    def complain(self, operation, arguments):
        return {"DashboardValidationMessages": [complaint]} if operation == "PutDashboard" else original(self, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", complain)
    answer = run()
    assert answer["failed"] and "/widgets/0: Should have property type" in answer["msg"]
