"""log_group: created, created again, changed, deleted, deleted again, each planned first, and no plan writes."""

from __future__ import annotations

import pytest
from moto import mock_aws

from tests.unit.moto_patches import client
from tests.unit.run_module import run_module

NAME = "/aws/ec2/django-app"
TAGS = {"Project": "django", "Environment": "lab"}


@pytest.fixture
def logs(monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        # Its name begins alike.
        client("logs").create_log_group(logGroupName=f"{NAME}-two")
        yield client("logs")


def state(logs) -> tuple | None:
    found = [group for group in logs.describe_log_groups(logGroupNamePrefix=NAME)["logGroups"] if group["logGroupName"] == NAME]
    if not found:
        return None
    return found[0].get("retentionInDays"), logs.list_tags_for_resource(resourceArn=found[0]["arn"].removesuffix(":*"))["tags"]


STEPS = [
    ({"retention": 30, "tags": TAGS}, (30, TAGS)),
    ({"retention": 60, "tags": TAGS}, (60, TAGS)),
    ({"retention": 60, "tags": {"Project": "shop", "Team": "a"}}, (60, {"Project": "shop", "Team": "a"})),
    ({"tags": TAGS}, (None, TAGS)),
    ({"state": "absent"}, None),
]


def test_life(logs, capsys):
    before = None
    for options, after in STEPS:
        planned = run_module(capsys, "log_group", check_mode=True, log_group_name=NAME, **options)
        assert planned["changed"] and state(logs) == before, options
        made = run_module(capsys, "log_group", log_group_name=NAME, **options)
        assert made["changed"] and state(logs) == after, options
        for check_mode in (True, False):
            assert not run_module(capsys, "log_group", check_mode=check_mode, log_group_name=NAME, **options)["changed"]
        before = after


def test_a_retention_that_somebody_removed_is_planned_and_not_written(logs, capsys):
    run_module(capsys, "log_group", log_group_name=NAME, retention=30)
    logs.delete_retention_policy(logGroupName=NAME)
    planned = run_module(capsys, "log_group", check_mode=True, log_group_name=NAME, retention=30)
    assert planned["changed"] and planned["diff"]["after"]["retention"] == 30
    assert state(logs) == (None, {})


def test_arn(logs, capsys):
    made = run_module(capsys, "log_group", log_group_name=NAME)
    assert made["arn"] == f"arn:aws:logs:us-east-1:123456789012:log-group:{NAME}"
    assert run_module(capsys, "log_group", log_group_name=NAME, state="absent")["arn"] == ""
