"""Asked over RDS's API. Its first password is the secret's; AWS tells it to nobody."""

from __future__ import annotations

import boto3
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


def parameters(account) -> dict[str, str | None]:
    """Of the group that the instance uses."""
    group = only(database(account)["DBParameterGroups"], "parameter group")["DBParameterGroupName"]
    assert group == f"{IDENTIFIER[account.environment]}-16"
    pages = account.client("rds").get_paginator("describe_db_parameters").paginate(DBParameterGroupName=group)
    return {one["ParameterName"]: one.get("ParameterValue") for page in pages for one in page["Parameters"]}


def test_connections_without_tls_are_refused_unless_told_otherwise(account):
    assert parameters(account)["rds.force_ssl"] == ("0" if account.environment == "altered" else "1")


def test_more_parameters(altered):
    found = parameters(altered)
    assert (found["log_min_duration_statement"], found["max_connections"]) == ("1000", "50")


def log_groups(account) -> dict[str, int | None]:
    prefix = f"/aws/rds/instance/{IDENTIFIER[account.environment]}/"
    found = account.client("logs").describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]
    return {group["logGroupName"].removeprefix(prefix): group.get("retentionInDays") for group in found}


def test_logs_are_copied_and_end(altered):
    assert database(altered)["EnabledCloudwatchLogsExports"] == ["postgresql", "upgrade"]
    assert log_groups(altered) == {"postgresql": 7, "upgrade": 7}


def test_what_the_database_waits_for_is_recorded(altered):
    found = database(altered)
    assert found["PerformanceInsightsEnabled"] is True and found["PerformanceInsightsRetentionPeriod"] == 31
    assert found["MonitoringInterval"] == 60
    role = found["MonitoringRoleArn"].rpartition("/")[2]
    attached = altered.client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == ["AmazonRDSEnhancedMonitoringRole"]


def test_identities_may_log_in(altered):
    assert database(altered)["IAMDatabaseAuthenticationEnabled"] is True


def copies(account) -> list[dict]:
    rds = boto3.client(
        "rds", "us-west-2", endpoint_url=account.endpoint_url, aws_access_key_id="espalier-lab", aws_secret_access_key="espalier-lab"
    )
    name = IDENTIFIER[account.environment]
    return rds.describe_db_instance_automated_backups(DBInstanceIdentifier=name)["DBInstanceAutomatedBackups"]


def test_backups_are_copied_to_a_second_region(altered):
    backup = only(copies(altered), "backup")
    assert backup["BackupRetentionPeriod"] == 14 and backup["KmsKeyId"].startswith("arn:aws:kms:us-west-2:")


def test_the_defaults_switch_nothing_of_this_on(defaults):
    found = database(defaults)
    assert not found.get("EnabledCloudwatchLogsExports") and not found.get("PerformanceInsightsEnabled")
    assert not found.get("MonitoringInterval") and not found["IAMDatabaseAuthenticationEnabled"] and not found["StorageEncrypted"]
    assert log_groups(defaults) == {} and copies(defaults) == []


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
    groups = rds.describe_db_parameter_groups()["DBParameterGroups"]
    assert not [group for group in groups if group["DBParameterGroupName"].startswith(name)]
    assert not account.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/rds/instance/{name}")["logGroups"]
    # AWS keeps what was copied, and destroy.yml says so.
    assert [one["Status"] for one in copies(account)] == (["retained"] if account.environment == "altered" else [])
    with pytest.raises(ClientError, match="NoSuchEntity"):
        account.client("iam").get_role(RoleName=f"{name}-monitoring")
    kept = [s["DBSnapshotIdentifier"] for s in rds.describe_db_snapshots()["DBSnapshots"] if s["DBInstanceIdentifier"] == name]
    assert len(kept) == (1 if account.environment == "defaults" else 0), f"last snapshots: {kept}"
