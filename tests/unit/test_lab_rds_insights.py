"""The lab's RDS remembers whether Performance Insights is on."""

from __future__ import annotations

import pytest
from moto.rds.models import DBInstance, RDSBackend

from lab.api import rds_insights as addition
from tests.unit.moto_patches import client, patched


@pytest.fixture(autouse=True)
def account():
    with patched(addition, RDSBackend, DBInstance):
        yield


def make(name: str, **more) -> None:
    login = {"MasterUsername": "postgres", "MasterUserPassword": "n0t-a-secret"}
    machine = {"Engine": "postgres", "DBInstanceClass": "db.t3.micro", "AllocatedStorage": 20}
    client("rds").create_db_instance(DBInstanceIdentifier=name, **login, **machine, **more)


def told(name: str) -> tuple:
    found = client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
    return found["PerformanceInsightsEnabled"], found.get("PerformanceInsightsRetentionPeriod")


def test_it_is_remembered():
    make("off")
    make("on", EnablePerformanceInsights=True)
    make("long", EnablePerformanceInsights=True, PerformanceInsightsRetentionPeriod=31)
    assert (told("off"), told("on"), told("long")) == ((False, None), (True, 7), (True, 31))


def test_it_is_changed():
    make("db")
    client("rds").modify_db_instance(DBInstanceIdentifier="db", EnablePerformanceInsights=True, PerformanceInsightsRetentionPeriod=62)
    assert told("db") == (True, 62)
    client("rds").modify_db_instance(DBInstanceIdentifier="db", BackupRetentionPeriod=3)
    assert told("db") == (True, 62)
    client("rds").modify_db_instance(DBInstanceIdentifier="db", EnablePerformanceInsights=False)
    assert told("db") == (False, None)


def test_a_restored_database_begins_without():
    make("db", EnablePerformanceInsights=True)
    rds = client("rds")
    rds.create_db_snapshot(DBInstanceIdentifier="db", DBSnapshotIdentifier="s")
    rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="new", DBSnapshotIdentifier="s")
    assert told("new") == (False, None)
