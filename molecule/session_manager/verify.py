"""Asked over the APIs of Systems Manager and CloudWatch Logs: which sessions are logged, and where."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.system import only, tags_of

LOGGED = ("shop-shell", "SSM-SessionManagerRunShell")


def names(account) -> set[str]:
    found = account.client("ssm").list_documents(Filters=[{"Key": "Owner", "Values": ["Self"]}])["DocumentIdentifiers"]
    return {one["Name"] for one in found if one["DocumentType"] == "Session"}


def inputs(account, name: str) -> dict:
    return json.loads(account.client("ssm").get_document(Name=name)["Content"])["inputs"]


def test_nothing_is_logged_unless_asked(defaults):
    assert not [name for name in names(defaults) if name.startswith("defaults-")]


@pytest.mark.parametrize("name", LOGGED)
def test_shells_are_logged(altered, name):
    found = inputs(altered, name)
    assert (found["cloudWatchLogGroupName"], found["cloudWatchStreamingEnabled"]) == ("/shop/shells", True)
    assert found["idleSessionTimeout"] == "10"
    group = only(altered.client("logs").describe_log_groups(logGroupNamePrefix="/shop/shells")["logGroups"], "log group")
    assert group["retentionInDays"] == 365


def test_ansible_is_not(altered):
    found = inputs(altered, "shop-ansible")
    assert (found["cloudWatchLogGroupName"], found["s3BucketName"]) == ("", ""), "secrets of a deploy are logged"


def test_tags(altered):
    answer = altered.client("ssm").list_tags_for_resource(ResourceType="Document", ResourceId="shop-shell")
    assert tags_of(answer)["Team"] == "shop"


def test_later_off_without_a_default_of_the_account(altered):
    assert names(altered) == {"shop-shell", "shop-ansible"}
    assert altered.client("logs").describe_log_groups(logGroupNamePrefix="/shop/shells")["logGroups"]


def test_gone(account):
    assert not names(account)
    assert not account.client("logs").describe_log_groups(logGroupNamePrefix="/shop/shells")["logGroups"]
