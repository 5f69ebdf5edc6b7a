"""A secret that moves between two users, and one that is lent for a moment, on moto. No value is ever answered."""

from __future__ import annotations

import json

import boto3
import pytest
from moto import mock_aws

from tests.unit.run_module import run_module

NAME, SOURCE = "django-app-db-credentials", "django-db-credentials"
USERS = ["django_a", "django_b"]


@pytest.fixture
def client(monkeypatch):
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    with mock_aws():
        client = boto3.client("secretsmanager")
        client.create_secret(Name=NAME, SecretString=json.dumps({"username": "django_a", "password": "first"}))
        yield client


@pytest.fixture
def rotated(capsys):
    def run(state, check_mode=False, **options):
        return run_module(capsys, "rotated_secret", check_mode, **{"name": NAME, "users": USERS, "state": state, **options})

    return run


def value(client, name=NAME, label="AWSCURRENT"):
    return json.loads(client.get_secret_value(SecretId=name, VersionStage=label)["SecretString"])


def test_the_users_take_turns(client, rotated):
    seen = {"first"}
    for before, after in (USERS, USERS[::-1], USERS):
        assert rotated("info")["username"] == before
        answer = rotated("pending")
        assert (answer["username"], answer["pending_username"]) == (before, after)
        assert value(client)["username"] == before, "nobody reads the new one yet"
        pending = value(client, label="AWSPENDING")
        assert pending["username"] == after and len(pending["password"]) == 50 and pending["password"] not in json.dumps(answer)
        answer = rotated("current")
        assert answer["changed"] and (answer["username"], answer["pending_username"]) == (after, "")
        assert value(client) == pending
        seen.add(pending["password"])
    assert len(seen) == 4


def test_a_pending_version_that_was_given_up_is_replaced(client, rotated):
    rotated("pending")
    given_up = value(client, label="AWSPENDING")
    rotated("pending")
    assert value(client, label="AWSPENDING")["password"] != given_up["password"]


def test_nothing_is_pending(client, rotated):
    assert not rotated("current")["changed"]
    rotated("pending")
    rotated("current")
    again = rotated("current")
    assert not again["changed"] and again["username"] == "django_b"


def test_a_plan_changes_nothing(client, rotated):
    assert rotated("pending", check_mode=True)["changed"]
    assert rotated("info")["pending_username"] == ""
    rotated("pending")
    assert rotated("current", check_mode=True)["changed"]
    assert value(client)["password"] == "first"


def test_another_user_is_refused(client, rotated):
    answer = rotated("pending", users=["shop_a", "shop_b"])
    assert answer["failed"] and "django_a" in answer["msg"] and "shop_a, shop_b" in answer["msg"]


def test_a_secret_is_lent_and_taken_back(client, capsys):
    def lent(check_mode=False, **options):
        return run_module(capsys, "lent_secret", check_mode, **{"name": "lent", **options})

    client.create_secret(Name=SOURCE, SecretString='{"username": "postgres", "password": "master"}')
    assert lent(source=SOURCE, check_mode=True)["changed"]
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        value(client, "lent")
    answer = lent(source=SOURCE, tags={"Project": "django"})
    assert answer["changed"] and "master" not in json.dumps(answer)
    assert value(client, "lent")["password"] == "master"
    client.put_secret_value(SecretId=SOURCE, SecretString='{"username": "postgres", "password": "newer"}')
    lent(source=SOURCE)
    assert value(client, "lent")["password"] == "newer"
    assert lent(state="absent")["changed"]
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_secret(SecretId="lent")
    assert not lent(state="absent")["changed"]
