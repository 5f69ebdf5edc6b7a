"""Secrets as environment variables: read, composed, and never in an error."""

from __future__ import annotations

import base64
import json

import boto3
import pytest
from moto import mock_aws

from tests.unit.run_module import run_module

ORDERS = {"DJANGO_SECRET_KEY": "key", "RDS_USERNAME": "login#username", "RDS_PASSWORD": "login#password"}
DATABASE = {"host": "db.example.com", "port": 5432, "name": "postgresDB", "sslmode": "require"}


@pytest.fixture
def read(monkeypatch, capsys):
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "k2n8v5")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    with mock_aws():
        client = boto3.client("secretsmanager")
        client.create_secret(Name="key", SecretString="s3cr/t")
        client.create_secret(Name="login", SecretString=json.dumps({"username": "post gres", "password": "a/b@c:d#e"}))
        yield lambda **options: run_module(capsys, "secret_variables", **{"variables": ORDERS, **options})


def test_values_are_those_of_the_secrets_and_their_keys(read):
    answer = read()
    assert answer["variables"] == {"DJANGO_SECRET_KEY": "s3cr/t", "RDS_USERNAME": "post gres", "RDS_PASSWORD": "a/b@c:d#e"}
    assert {name: base64.b64decode(value).decode() for name, value in answer["data"].items()} == answer["variables"]
    assert answer["changed"] is False


def test_the_url_of_the_database_survives_any_password(read):
    url = read(database=DATABASE)["variables"]["DATABASE_URL"]
    assert url == "postgresql://post%20gres:a%2Fb%40c%3Ad%23e@db.example.com:5432/postgresDB?sslmode=require"


def test_the_revision_changes_with_secrets_and_orders_only(read):
    first = read()["revision"]
    assert read()["revision"] == first
    assert read(database=DATABASE)["revision"] != first
    assert read(variables={"A": "key"})["revision"] != first
    boto3.client("secretsmanager").put_secret_value(SecretId="key", SecretString="another")
    assert read()["revision"] != first


@pytest.mark.parametrize("order", ["login#token", "key#token", "none"])
def test_an_error_names_the_secret_and_shows_nothing(read, order):
    answer = read(variables={"A": order})
    assert answer["failed"] and order.partition("#")[0] in answer["msg"]
    assert "a/b@c" not in json.dumps(answer) and "s3cr/t" not in json.dumps(answer)
