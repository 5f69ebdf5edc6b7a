"""RDS's automated backups in a second region: the records of their replication. No data moves; the lab has one region's databases."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.moto_api._internal import mock_random
from moto.rds.exceptions import DBInstanceNotFoundError, InvalidParameterCombination, RDSClientError
from moto.rds.models import DBInstance, rds_backends
from moto.rds.responses import RDSResponse

from lab.settings import SETTINGS


def source_of(arn: str) -> DBInstance:
    """The instance that a backup is of, in whatever region."""
    _arn, _partition, _rds, region, account_id, _db, identifier = arn.split(":")
    database = rds_backends[account_id][region].databases.get(identifier)
    if database is None:
        raise DBInstanceNotFoundError(identifier)
    return database


def replications(database: DBInstance) -> dict[str, dict[str, Any]]:
    """The instance's replications by region, as DescribeDBInstanceAutomatedBackups tells them there."""
    return database.__dict__.setdefault("lab_replications", {})


def start_db_instance_automated_backups_replication(self: RDSResponse) -> ActionResult:
    database, key = source_of(self.params["SourceDBInstanceArn"]), self.params.get("KmsKeyId")
    if int(database.backup_retention_period) == 0:
        raise RDSClientError("InvalidDBInstanceState", f"Automated backups are not enabled for {database.db_instance_identifier}.")
    if self.region == database.backend.region_name:
        raise InvalidParameterCombination("Source and destination region must be different.")
    if database.storage_encrypted and not str(key).startswith(f"arn:aws:kms:{self.region}:"):
        raise InvalidParameterCombination("An encrypted source needs KmsKeyId, a key of the destination region.")
    if replications(database):
        raise RDSClientError("InvalidDBInstanceState", "The instance's automated backups are replicated already.")
    arn = f"arn:aws:rds:{self.region}:{SETTINGS.account_id}:auto-backup:ab-{mock_random.get_random_hex(8)}"
    backup = {
        "DBInstanceArn": database.db_instance_arn,
        "DbiResourceId": database.dbi_resource_id,
        "DBInstanceIdentifier": database.db_instance_identifier,
        "Region": database.backend.region_name,
        "Status": "active",
        "Engine": database.engine,
        "Encrypted": database.storage_encrypted,
        "KmsKeyId": key,
        "BackupRetentionPeriod": int(self.params.get("BackupRetentionPeriod") or 7),
        "InstanceCreateTime": utcnow(),
        "DBInstanceAutomatedBackupsArn": arn,
        "TagList": database.tags,
    }
    replications(database)[self.region] = backup
    return ActionResult({"DBInstanceAutomatedBackup": backup})


def stop_db_instance_automated_backups_replication(self: RDSResponse) -> ActionResult:
    found = replications(source_of(self.params["SourceDBInstanceArn"]))
    if self.region not in found:
        raise RDSClientError("InvalidDBInstanceState", "The instance's automated backups are not replicated to this region.")
    backup = {**found.pop(self.region), "Status": "retained"}
    retained(self).append(backup)
    return ActionResult({"DBInstanceAutomatedBackup": backup})


def retained(self: RDSResponse) -> list[dict[str, Any]]:
    """What was copied to this region, and stays until it is old enough, whatever becomes of the instance."""
    return self.backend.__dict__.setdefault("lab_retained", [])


def told(database: DBInstance) -> list[dict[str, str]]:
    return [{"DBInstanceAutomatedBackupsArn": one["DBInstanceAutomatedBackupsArn"]} for one in replications(database).values()]


def install() -> None:
    original = RDSResponse.describe_db_instance_automated_backups

    def describe_db_instance_automated_backups(self: RDSResponse) -> ActionResult:
        name = self.params.get("DBInstanceIdentifier")
        own = original(self)._result["DBInstanceAutomatedBackups"]
        copied = [
            backup
            for backend in rds_backends[SETTINGS.account_id].values()
            for database in backend.databases.values()
            for region, backup in replications(database).items()
            if region == self.region
        ]
        found = own + [backup for backup in copied + retained(self) if name in (None, backup["DBInstanceIdentifier"])]
        if arn := self.params.get("DBInstanceAutomatedBackupsArn"):
            found = [backup for backup in copied + retained(self) if backup["DBInstanceAutomatedBackupsArn"] == arn]
        return ActionResult({"DBInstanceAutomatedBackups": found})

    RDSResponse.describe_db_instance_automated_backups = describe_db_instance_automated_backups
    RDSResponse.start_db_instance_automated_backups_replication = start_db_instance_automated_backups_replication
    RDSResponse.stop_db_instance_automated_backups_replication = stop_db_instance_automated_backups_replication
    DBInstance.db_instance_automated_backups_replications = property(told)
