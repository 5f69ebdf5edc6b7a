"""Asked over RDS's API. Its first password is the secret's; AWS tells it to nobody."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.data import check_database, check_database_is_in_its_subnets
from tests.acceptance.system import only, tags_of

IDENTIFIER = {"defaults": "defaults-django-postgres", "altered": "altered-django-postgres"}
PARAMETER = {"defaults": "/DjangoApp/rds_endpoint", "altered": "/Shop/database"}


def database(account) -> dict:
    found = account.client("rds").describe_db_instances(DBInstanceIdentifier=IDENTIFIER[account.environment])["DBInstances"]
    return only(found, "database")


def test_defaults(defaults):
    check_database(defaults)
    check_database_is_in_its_subnets(defaults)


def test_altered(altered):
    expected = {
        "EngineVersion": "16.4",
        "DBInstanceClass": "db.m5.large",
        "AllocatedStorage": 200,
        "StorageType": "gp3",
        "StorageEncrypted": True,
        "MultiAZ": False,
        "BackupRetentionPeriod": 14,
        "PreferredBackupWindow": "01:00-01:30",
        "PreferredMaintenanceWindow": "sat:02:30-sat:03:30",
        "AutoMinorVersionUpgrade": False,
        "DBName": "shop",
    }
    found = database(altered)
    assert {key: found.get(key) for key in expected} == expected
    assert found["Endpoint"]["Port"] == 6543


def test_it_is_reached_from_the_vpc_only(account):
    found = database(account)
    assert found["PubliclyAccessible"] is False, "the database has a public address"
    assert [group["VpcSecurityGroupId"] for group in found["VpcSecurityGroups"]] == [account.security_group("database")["GroupId"]]


def test_snapshots_carry_the_tags(account):
    assert database(account)["CopyTagsToSnapshot"] is True
    assert tags_of(database(account)).get("Team") == ("shop" if account.environment == "altered" else None)


def test_instances_are_told_its_address(account):
    value = account.client("ssm").get_parameter(Name=PARAMETER[account.environment])["Parameter"]["Value"]
    assert value == database(account)["Endpoint"]["Address"]


def test_gone(account):
    rds, name = account.client("rds"), IDENTIFIER[account.environment]
    with pytest.raises(ClientError, match="DBInstanceNotFound"):
        database(account)
    with pytest.raises(ClientError, match="DBSubnetGroupNotFound"):
        rds.describe_db_subnet_groups(DBSubnetGroupName=name)
    with pytest.raises(ClientError, match="ParameterNotFound"):
        account.client("ssm").get_parameter(Name=PARAMETER[account.environment])
    kept = [s["DBSnapshotIdentifier"] for s in rds.describe_db_snapshots()["DBSnapshots"] if s["DBInstanceIdentifier"] == name]
    assert len(kept) == (1 if account.environment == "defaults" else 0), f"last snapshots: {kept}"
