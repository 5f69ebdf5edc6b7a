"""db_backup_replication: started, moved to another region, stopped; each planned before."""

from __future__ import annotations

import boto3
import pytest
from ansible_collections.espalier.aws.plugins.modules import db_backup_replication as module
from moto.core.responses import ActionResult
from moto.rds.models import DBInstance
from moto.rds.responses import RDSResponse

from lab.api import rds_replication as addition
from tests.unit.moto_patches import client, patched
from tests.unit.run_module import run_module

NAME = "lab-django-postgres"


@pytest.fixture(autouse=True)
def account(monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with patched(addition, DBInstance, RDSResponse):
        yield


def make(**more) -> None:
    login = {"MasterUsername": "postgres", "MasterUserPassword": "n0t-a-secret"}
    machine = {"Engine": "postgres", "DBInstanceClass": "db.t3.micro", "AllocatedStorage": 20}
    client("rds").create_db_instance(DBInstanceIdentifier=NAME, BackupRetentionPeriod=7, **login, **machine, **more)


def run(capsys, destination="", check_mode=False, days=14) -> dict:
    return run_module(capsys, "db_backup_replication", check_mode=check_mode, identifier=NAME, destination=destination, retention_days=days)


def copies(region: str) -> list[dict]:
    return boto3.client("rds", region).describe_db_instance_automated_backups(DBInstanceIdentifier=NAME)["DBInstanceAutomatedBackups"]


def active(region: str) -> list[dict]:
    return [one for one in copies(region) if one.get("Status") == "active" and one.get("DBInstanceAutomatedBackupsArn")]


def test_its_life(capsys):
    make(StorageEncrypted=True)
    assert not run(capsys)["changed"]
    assert run(capsys, "us-west-2", check_mode=True)["changed"] and not active("us-west-2")
    assert run(capsys, "us-west-2")["regions"] == ["us-west-2"]
    (backup,) = active("us-west-2")
    assert backup["BackupRetentionPeriod"] == 14 and backup["KmsKeyId"].startswith("arn:aws:kms:us-west-2:")
    assert not run(capsys, "us-west-2")["changed"]

    assert run(capsys, "eu-west-1")["changed"] and active("eu-west-1") and not active("us-west-2")
    assert run(capsys, check_mode=True)["changed"] and active("eu-west-1")
    assert run(capsys)["changed"] and not active("eu-west-1")
    assert not run(capsys)["changed"]


def test_an_unencrypted_database_needs_no_key(capsys):
    make()
    assert run(capsys, "us-west-2")["changed"] and not active("us-west-2")[0].get("KmsKeyId")


def test_its_own_region_is_refused(capsys):
    make()
    assert "must be different" in run(capsys, "us-east-1")["msg"]


def test_another_retention_is_another_replication(capsys):
    make()
    run(capsys, "us-west-2")
    planned = run(capsys, "us-west-2", check_mode=True, days=30)
    assert planned["changed"] and [one["BackupRetentionPeriod"] for one in active("us-west-2")] == [14]
    assert (planned["diff"]["before"]["retention_days"], planned["diff"]["after"]["retention_days"]) == (14, 30)
    assert run(capsys, "us-west-2", days=30)["changed"]
    assert [one["BackupRetentionPeriod"] for one in active("us-west-2")] == [30]
    assert [one["BackupRetentionPeriod"] for one in copies("us-west-2") if one["Status"] == "retained"] == [14], "what was copied stays"
    assert not run(capsys, "us-west-2", days=30)["changed"]


def test_a_replication_that_does_not_end_is_said(capsys, monkeypatch):
    make()
    run(capsys, "us-west-2")
    monkeypatch.setattr(module, "STOP_SECONDS", -1)
    monkeypatch.setattr(RDSResponse, "stop_db_instance_automated_backups_replication", lambda self: ActionResult({}))
    assert "still copied to us-west-2. Run again" in run(capsys, "us-west-2", days=30)["msg"]
