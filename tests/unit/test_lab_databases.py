"""The lab's RDS: what it refuses, how its statuses follow the controller's word, and what the controller tells PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from moto.rds.models import DBInstance, RDSBackend
from moto.rds.responses import RDSResponse

from lab import databases
from lab.api import rds as addition
from lab.podman import PodmanError
from lab.postgresql_client import identifier, literal, scram_verifier
from lab.settings import Settings
from tests.unit.moto_patches import client, patched

PASSWORD = "correct-horse-7"


@pytest.fixture
def rds():
    """A client of an account with a DB subnet group of two zones."""
    with patched(addition, RDSBackend, DBInstance, RDSResponse):
        ec2, rds = client("ec2"), client("rds")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.2{number}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]["SubnetId"]
            for number, zone in enumerate("ab")
        ]
        rds.create_db_subnet_group(DBSubnetGroupName="data", DBSubnetGroupDescription="d", SubnetIds=subnets)
        yield rds


def create(rds, **changes):
    wanted = {
        "DBInstanceIdentifier": "lab-django-postgres",
        "Engine": "postgres",
        "EngineVersion": "16.4",
        "DBInstanceClass": "db.t3.micro",
        "AllocatedStorage": 100,
        "MasterUsername": "postgres",
        "MasterUserPassword": PASSWORD,
        "DBName": "postgresDB",
        "DBSubnetGroupName": "data",
        "BackupRetentionPeriod": 0,
    }
    return rds.create_db_instance(**{**wanted, **changes})["DBInstance"]


def status(rds):
    return rds.describe_db_instances()["DBInstances"][0]["DBInstanceStatus"]


def report(was: str, new: str) -> bool:
    (instance,) = addition.instances({})["instances"]
    return addition.report({"resource_id": instance["resource_id"], "was": was, "status": new})["accepted"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"EngineVersion": "16.99"}, "Cannot find version 16.99 for postgres"),
        ({"Engine": "mysql", "EngineVersion": "8.0.39"}, "Cannot find version 8.0.39 for mysql"),
        ({"DBInstanceClass": "db.t2.nano"}, "DBInstanceClass=db.t2.nano"),
        ({"MasterUserPassword": "short"}, "shorter than 8"),
        ({"MasterUserPassword": "has a blank"}, "printable ASCII"),
        ({"MasterUserPassword": "has/a/slash"}, "printable ASCII"),
        ({"MasterUsername": "rdsadmin"}, "reserved word"),
        ({"DBName": "1st"}, "must begin with a letter"),
    ],
)
def test_a_request_that_rds_would_refuse_is_refused(rds, change, message):
    with pytest.raises(ClientError, match=message):
        create(rds, **change)
    assert rds.describe_db_instances()["DBInstances"] == []


def test_a_major_version_means_its_newest_minor_one(rds):
    assert create(rds, EngineVersion="16")["EngineVersion"] == "16.4"


def test_an_instance_is_creating_and_has_no_endpoint_until_the_server_answers(rds):
    created = create(rds)
    assert created["DBInstanceStatus"] == "creating"
    assert "Endpoint" not in created
    assert report("creating", "available")
    assert rds.describe_db_instances()["DBInstances"][0]["Endpoint"]["Port"] == 5432


def test_the_server_gets_an_address_of_the_subnet_group_and_gives_it_back(rds):
    create(rds)
    (instance,) = addition.instances({})["instances"]
    assert instance["private_address"].startswith("10.0.20.")
    interfaces = client("ec2").describe_network_interfaces
    assert [one["PrivateIpAddress"] for one in interfaces()["NetworkInterfaces"]] == [instance["private_address"]]
    rds.delete_db_instance(DBInstanceIdentifier="lab-django-postgres", SkipFinalSnapshot=True)
    report("deleting", "deleted")
    assert interfaces()["NetworkInterfaces"] == []


def test_a_new_password_is_a_status_and_a_new_version_for_the_controller(rds):
    create(rds)
    report("creating", "available")
    rds.modify_db_instance(DBInstanceIdentifier="lab-django-postgres", MasterUserPassword="another-horse-8")
    assert status(rds) == "resetting-master-credentials"
    assert addition.instances({})["instances"][0]["password_version"] == 2
    assert addition.password({"identifier": "lab-django-postgres"}) == {"password": "another-horse-8"}


def test_the_list_of_instances_holds_no_password(rds):
    create(rds)
    assert PASSWORD not in str(addition.instances({}))


def test_only_an_available_instance_is_modified(rds):
    create(rds)
    with pytest.raises(ClientError, match="not in available state"):
        rds.modify_db_instance(DBInstanceIdentifier="lab-django-postgres", AllocatedStorage=200)


def test_an_outdated_report_changes_nothing(rds):
    create(rds)
    report("creating", "available")
    rds.delete_db_instance(DBInstanceIdentifier="lab-django-postgres", SkipFinalSnapshot=True)
    assert not report("available", "rebooting")
    assert status(rds) == "deleting"


def test_deletion_wants_a_snapshot_or_a_word_against_it_and_heeds_protection(rds):
    create(rds, DeletionProtection=True)
    report("creating", "available")
    name = "lab-django-postgres"
    with pytest.raises(ClientError, match="Cannot delete protected"):
        rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    rds.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False)
    with pytest.raises(ClientError, match="FinalDBSnapshotIdentifier is required"):
        rds.delete_db_instance(DBInstanceIdentifier=name)
    rds.delete_db_instance(DBInstanceIdentifier=name, FinalDBSnapshotIdentifier="final")
    assert status(rds) == "deleting"
    assert rds.describe_db_snapshots()["DBSnapshots"][0]["Status"] == "creating"
    with pytest.raises(ClientError, match="already being deleted"):
        rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    report("deleting", "deleted")
    assert rds.describe_db_instances()["DBInstances"] == []
    assert [one["DBSnapshotIdentifier"] for one in rds.describe_db_snapshots()["DBSnapshots"]] == ["final"]


def test_a_snapshot_is_restored_only_when_its_data_is_there(rds):
    create(rds)
    report("creating", "available")
    rds.create_db_snapshot(DBInstanceIdentifier="lab-django-postgres", DBSnapshotIdentifier="first")
    restore = {"DBInstanceIdentifier": "copy", "DBSnapshotIdentifier": "first", "DBSubnetGroupName": "data"}
    with pytest.raises(ClientError, match="not in available state"):
        rds.restore_db_instance_from_db_snapshot(**restore)
    (snapshot,) = addition.instances({})["snapshots"]
    addition.snapshot_report({"archive": snapshot["archive"], "status": "available"})
    rds.restore_db_instance_from_db_snapshot(**restore)
    original, copy = addition.instances({})["instances"]
    assert copy["restore_from"] == snapshot["archive"]
    assert copy["resource_id"] != original["resource_id"]
    assert addition.password({"identifier": "copy"})["password"] == PASSWORD


def snapshots(rds) -> list[str]:
    return [one["DBSnapshotIdentifier"] for one in rds.describe_db_snapshots()["DBSnapshots"]]


def test_the_first_automatic_backup_comes_with_the_instance_and_goes_with_it(rds):
    create(rds, BackupRetentionPeriod=7)
    report("creating", "available")
    (name,) = snapshots(rds)
    assert name.startswith("rds:lab-django-postgres-")
    report("available", "rebooting")
    report("rebooting", "available")
    assert snapshots(rds) == [name]
    rds.delete_db_instance(DBInstanceIdentifier="lab-django-postgres", SkipFinalSnapshot=True)
    report("deleting", "deleted")
    assert snapshots(rds) == []


def test_a_point_in_time_is_a_base_and_the_log_since(rds):
    create(rds, BackupRetentionPeriod=7)
    report("creating", "available")
    restore = {"SourceDBInstanceIdentifier": "lab-django-postgres", "TargetDBInstanceIdentifier": "side", "DBSubnetGroupName": "data"}
    with pytest.raises(ClientError, match="PointInTimeRestoreNotEnabled"):
        rds.restore_db_instance_to_point_in_time(**restore, UseLatestRestorableTime=True)
    (base,) = addition.instances({})["snapshots"]
    assert ":" not in base["archive"], "podman opens no such file"
    addition.snapshot_report({"archive": base["archive"], "status": "available"})
    latest = datetime.now(UTC) + timedelta(minutes=1)
    (source,) = addition.instances({})["instances"]
    addition.archived({"resource_id": source["resource_id"], "at": latest.isoformat()})
    assert rds.describe_db_instances()["DBInstances"][0]["LatestRestorableTime"] is not None
    for moment, message in ((latest + timedelta(hours=1), "can be restored up to"), (latest - timedelta(days=1), "no backup from before")):
        with pytest.raises(ClientError, match=message):
            rds.restore_db_instance_to_point_in_time(**restore, RestoreTime=moment)
    rds.modify_db_instance(DBInstanceIdentifier="lab-django-postgres", MasterUserPassword="another-horse-8")
    rds.restore_db_instance_to_point_in_time(**restore, RestoreTime=latest)
    side = addition.instances({})["instances"][-1]
    assert side["identifier"] == "side" and side["restore_from"] == base["archive"] and side["log_of"] == source["resource_id"]
    # Of the parts of a second, the protocol keeps as many as it likes.
    assert abs(datetime.fromisoformat(side["log_until"]) - latest) < timedelta(seconds=1)
    assert addition.password({"identifier": "side"})["password"] == "another-horse-8"
    report_of("lab-django-postgres", "resetting-master-credentials", "available")
    rds.restore_db_instance_to_point_in_time(**{**restore, "TargetDBInstanceIdentifier": "last"}, UseLatestRestorableTime=True)
    assert addition.instances({})["instances"][-1]["log_until"] is None


def report_of(name: str, was: str, new: str) -> None:
    (found,) = [one for one in addition.instances({})["instances"] if one["identifier"] == name]
    assert addition.report({"resource_id": found["resource_id"], "was": was, "status": new})["accepted"]


def test_a_server_that_replays_a_log_is_told_from_where_and_how_far(tmp_path, monkeypatch):
    monkeypatch.setattr(databases.os, "chown", lambda *_: None)
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "archive").mkdir(parents=True)
    (target / "data").mkdir(parents=True)
    (source / "archive" / "000000010000000000000002.gz").write_bytes(b"segment")
    databases.replay(source, target, "2026-03-01T12:00:00+00:00")
    assert (target / "archive" / "000000010000000000000002.gz").read_bytes() == b"segment" and (
        target / "data" / "recovery.signal"
    ).exists()
    settings = (target / "data" / "postgresql.auto.conf").read_text()
    assert "restore_command = 'gzip -dc /var/lib/postgresql/archive/%f.gz > %p'" in settings
    assert "recovery_target_time = '2026-03-01T12:00:00+00:00'" in settings and "'promote'" in settings
    databases.replay(source, target, None)
    assert "recovery_target" not in (target / "data" / "postgresql.auto.conf").read_text()


def test_a_subnet_group_in_use_stays(rds):
    create(rds)
    with pytest.raises(ClientError, match="still using it"):
        rds.delete_db_subnet_group(DBSubnetGroupName="data")


def test_versions_that_cannot_be_had_have_no_record(rds):
    assert [one["EngineVersion"] for one in rds.describe_db_engine_versions(Engine="postgres")["DBEngineVersions"]] == ["16.4"]
    assert rds.describe_db_engine_versions(Engine="postgres", EngineVersion="16.99")["DBEngineVersions"] == []
    options = rds.describe_orderable_db_instance_options
    found = options(Engine="postgres", EngineVersion="16.4", DBInstanceClass="db.t3.micro")["OrderableDBInstanceOptions"]
    assert {one["StorageType"] for one in found} == {"gp2", "gp3", "io1"}
    assert all(one["MultiAZCapable"] and one["SupportsStorageEncryption"] for one in found)
    assert options(Engine="postgres", EngineVersion="16.99")["OrderableDBInstanceOptions"] == []


# --- what PostgreSQL is told


class Roles:
    """A connection to a server that has these roles."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def query(self, sql: str) -> list[tuple[str]]:
        return [(name,) for name in self.names]


def test_the_master_user_is_no_superuser():
    first, grant, create_role, set_password = databases.role_statements(Roles("rdsadmin"), "postgres", PASSWORD)
    assert first == "CREATE ROLE rds_superuser NOLOGIN"
    assert "pg_monitor" in grant
    assert create_role == 'CREATE ROLE "postgres" LOGIN CREATEDB CREATEROLE IN ROLE rds_superuser'
    assert set_password.startswith('ALTER ROLE "postgres" PASSWORD \'SCRAM-SHA-256$4096:')
    assert PASSWORD not in set_password


def test_what_exists_is_kept():
    (only,) = databases.role_statements(Roles("rdsadmin", "rds_superuser", "postgres"), "postgres", PASSWORD)
    assert only.startswith("ALTER ROLE")


def test_the_verifier_is_postgresqls_own():
    """Password and salt of RFC 7677's example; the keys are what its exchange was made with."""
    import base64

    verifier = scram_verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    assert verifier == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def test_names_and_texts_cannot_leave_their_quotes():
    assert identifier('a"b') == '"a""b"'
    assert literal("a'b") == "'a''b'"


def test_half_restored_data_is_no_database(monkeypatch, tmp_path):
    """An archive that cannot be read leaves no volume, which the next attempt would take for the data."""
    volumes: set[str] = set()

    def podman(*arguments: str, check: bool = True) -> SimpleNamespace:
        (_, verb, *_, last) = arguments
        if verb == "import":
            raise PodmanError("unreadable")
        {"create": volumes.add, "rm": volumes.discard}.get(verb, str)(last)
        return SimpleNamespace(returncode=int(last not in volumes))

    monkeypatch.setattr(databases, "podman", podman)
    controller = databases.Databases(Settings(state=tmp_path))
    for _attempt in range(2):
        with pytest.raises(PodmanError):
            controller._ensure_volume({"resource_id": "db-1", "restore_from": "first", "log_of": None})
        assert volumes == set()
