"""db_snapshot_copy: an encrypted copy, once; and what does not come is said."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws
from moto.backends import get_backend

from tests.unit.run_module import run_module


@pytest.fixture
def rds(monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client = boto3.client("rds", "us-east-1")
        login = {"MasterUsername": "postgres", "MasterUserPassword": "n0t-a-secret"}
        client.create_db_instance(
            DBInstanceIdentifier="lab", Engine="postgres", DBInstanceClass="db.t3.micro", AllocatedStorage=20, **login
        )
        client.create_db_snapshot(DBInstanceIdentifier="lab", DBSnapshotIdentifier="plain")
        yield client


def run(capsys, check_mode=False, **options) -> dict:
    tags = {"Project": "django"}
    return run_module(capsys, "db_snapshot_copy", check_mode=check_mode, **{"source": "plain", "target": "copy", "tags": tags, **options})


def names(rds) -> set[str]:
    return {one["DBSnapshotIdentifier"] for one in rds.describe_db_snapshots()["DBSnapshots"]}


def test_its_life(capsys, rds):
    assert run(capsys, check_mode=True) == {**run(capsys, check_mode=True), "changed": True, "encrypted": False}
    assert "copy" not in names(rds)
    made = run(capsys)
    assert made["changed"] and made["encrypted"]
    (copy,) = rds.describe_db_snapshots(DBSnapshotIdentifier="copy")["DBSnapshots"]
    assert copy["Encrypted"] and copy["KmsKeyId"] and copy["TagList"] == [{"Key": "Project", "Value": "django"}]
    again = run(capsys)
    assert (again["changed"], again["encrypted"]) == (False, True)


def test_a_snapshot_that_is_not_there(capsys, rds):
    assert run(capsys, source="nothing")["failed"]


@pytest.mark.parametrize(("status", "word"), [("failed", "is failed"), ("creating", "Run again")])
def test_what_does_not_come(capsys, rds, monkeypatch, status, word):
    run(capsys)
    get_backend("rds")["123456789012"]["us-east-1"].database_snapshots["copy"].status = status
    assert word in run(capsys, wait_timeout=0)["msg"]
