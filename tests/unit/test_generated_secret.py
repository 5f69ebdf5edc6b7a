"""A secret's life on moto: create, again, change, delete, again, restore; each also in check mode. And whose it is."""

from __future__ import annotations

import json

import boto3
import pytest
from ansible_collections.espalier.aws.plugins.modules import generated_secret
from moto import mock_aws

from tests.unit.run_module import run_module

NAME = "django-db-credentials"
TAGS = {"Project": "django", "Environment": "lab"}


@pytest.fixture(autouse=True)
def account(monkeypatch):
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


@pytest.fixture
def ensure(capsys):
    def run(check_mode=False, **options):
        return run_module(capsys, "generated_secret", check_mode, **{"name": NAME, "tags": TAGS, **options})

    return run


def stored():
    return boto3.client("secretsmanager").get_secret_value(SecretId=NAME)["SecretString"]


def steps(ensure, **options):
    """Check mode, the real thing, once more: what each says it changed."""
    planned, done, again = ensure(check_mode=True, **options), ensure(**options), ensure(**options)
    assert planned["actions"] == done["actions"]
    assert not again["changed"] and again["actions"] == []
    return done


def test_the_value_is_made_once_and_never_shown(ensure):
    done = steps(ensure, username="postgres")
    assert done["actions"] == ["created"]
    value = json.loads(stored())
    assert value["username"] == "postgres"
    assert len(value["password"]) == 50
    assert not set(value["password"]) & set('/@" ')
    assert value["password"] not in json.dumps(done)
    steps_again = ensure(username="postgres", length=20)
    assert not steps_again["changed"], "another length makes no new value"
    assert json.loads(stored()) == value


def test_without_username_the_value_is_a_string(ensure):
    ensure(length=64)
    assert len(stored()) == 64


def test_check_mode_creates_nothing(ensure):
    assert ensure(check_mode=True)["changed"]
    assert boto3.client("secretsmanager").list_secrets()["SecretList"] == []


def test_description_and_tags_follow(ensure):
    ensure()
    value = stored()
    done = steps(ensure, description="Of the database", tags={**TAGS, "CostCenter": "7"})
    assert done["actions"] == ["described", "tagged"]
    assert steps(ensure, description="Of the database")["actions"] == ["untagged"]
    assert stored() == value


def test_a_deleted_secret_is_restored_with_its_value(ensure):
    ensure()
    value = stored()
    assert steps(ensure, state="absent", recovery_window_days=7)["actions"] == ["scheduled for deletion"]
    assert steps(ensure)["actions"] == ["restored"]
    assert stored() == value


def test_absent_where_nothing_is(ensure):
    assert not ensure(state="absent")["changed"]


def test_a_neighbours_secret_is_refused_and_left_alone(ensure):
    ensure(tags={**TAGS, "Environment": "production"})
    answer = ensure()
    assert answer["failed"]
    for part in (NAME, "production", "lab"):
        assert part in answer["msg"]
    assert not ensure(state="absent")["changed"]
    assert "DeletedDate" not in boto3.client("secretsmanager").describe_secret(SecretId=NAME)


def test_an_untagged_secret_is_refused(ensure):
    boto3.client("secretsmanager").create_secret(Name=NAME, SecretString="mine")
    assert ensure()["failed"]
    assert stored() == "mine"


def test_values_differ():
    assert generated_secret.generate(50) != generated_secret.generate(50)


def test_reading(capsys, ensure):
    ensure(username="postgres")
    assert run_module(capsys, "secret_value", name=NAME)["value"] == json.loads(stored())
    missing = run_module(capsys, "secret_value", name="nowhere")
    assert missing["failed"] and "nowhere" in missing["msg"]
