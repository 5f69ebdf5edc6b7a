"""RDS where moto answers at once and checks little: statuses that follow the real database, the versions and classes that can be had,
the checks that RDS makes before it accepts a request, snapshots that hold data.

moto keeps the records; `lab.databases` runs the servers and reports here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, PaginatedResult
from moto.ec2.models import EC2Backend, ec2_backends
from moto.moto_api._internal import mock_random
from moto.rds.exceptions import (
    DBInstanceNotFoundError,
    InvalidParameterCombination,
    InvalidParameterValue,
    RDSClientError,
)
from moto.rds.models import DBInstance, DBSnapshot, RDSBackend, rds_backends
from moto.rds.responses import RDSResponse

from lab.api import interfaces, rds_catalogue
from lab.settings import SETTINGS

# Reserved by RDS for PostgreSQL 16: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html
RESERVED_USERNAMES = {"rdsadmin", "rds_superuser", "rdsrepladmin", "rds_password", "rds_replication", "admin"}
# What a modification changes without touching the server.
RECORD_ONLY = {"deletion_protection", "backup_retention_period", "preferred_maintenance_window", "preferred_backup_window", "tags"}


def backend() -> RDSBackend:
    return rds_backends[SETTINGS.account_id][SETTINGS.region]


def ec2_of(rds: RDSBackend) -> EC2Backend:
    return ec2_backends[rds.account_id][rds.region_name]


def invalid_state(message: str) -> RDSClientError:
    return RDSClientError("InvalidDBInstanceState", message)


def require_status(database: DBInstance, *statuses: str) -> None:
    """Refuse as RDS does when the instance is in none of these states."""
    if database.status not in statuses:
        raise invalid_state(f"Database instance is not in {' or '.join(statuses)} state.")


def check_password(password: str | None) -> None:
    """RDS's rules for PostgreSQL: 8 to 128 printable ASCII characters without / ' " @ and space."""
    if password is None:
        return
    if not 8 <= len(password) <= 128:
        raise InvalidParameterValue(
            "The parameter MasterUserPassword is not a valid password because it is "
            + ("shorter than 8 characters." if len(password) < 8 else "longer than 128 characters.")
        )
    if not re.fullmatch(r"[!-~]+", password) or set(password) & set("/'\"@"):
        raise InvalidParameterValue(
            "The parameter MasterUserPassword is not a valid password. "
            "Only printable ASCII characters besides '/', '@', '\"', ' ' may be used."
        )


def check_creation(kwargs: dict[str, Any]) -> None:
    """Refuse what RDS would refuse, in RDS's words, and fill in what it would choose. Raises RDSClientError."""
    engine = kwargs["engine"]
    kwargs["engine_version"] = rds_catalogue.resolve_version(engine, kwargs.get("engine_version"))
    if kwargs["db_instance_class"] not in rds_catalogue.INSTANCE_CLASSES:
        raise InvalidParameterCombination(
            "RDS does not support creating a DB instance with the following combination: "
            f"DBInstanceClass={kwargs['db_instance_class']}, Engine={engine}, EngineVersion={kwargs['engine_version']}, "
            f"LicenseModel={rds_catalogue.LICENSE_MODEL}. For supported combinations of instance class and database engine version, "
            "see the documentation."
        )
    kwargs["license_model"] = rds_catalogue.LICENSE_MODEL
    # The authority that AWS chooses: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html
    kwargs["ca_certificate_identifier"] = kwargs.get("ca_certificate_identifier") or "rds-ca-rsa2048-g1"
    name = kwargs.get("db_name")
    if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", name):
        raise InvalidParameterValue("DBName must begin with a letter and contain only alphanumeric characters.")
    username = kwargs.get("master_username")
    if not username or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", username) or username.lower() in RESERVED_USERNAMES:
        raise InvalidParameterValue(f"MasterUsername {username} cannot be used as it is a reserved word used by the engine")
    if kwargs.get("manage_master_user_password"):
        raise InvalidParameterCombination("The lab's RDS manages no master user password.")
    check_password(kwargs.get("master_user_password"))
    if kwargs.get("storage_type") == "gp3":
        # The baseline that comes with a size, for PostgreSQL:
        # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Storage.html#gp3-storage
        large = int(kwargs["allocated_storage"]) >= 400
        kwargs["iops"] = kwargs.get("iops") or (12000 if large else 3000)
        kwargs["storage_throughput"] = kwargs.get("storage_throughput") or (500 if large else 125)


def create_db_instance(original: Callable, self: RDSBackend, db_kwargs: dict[str, Any]) -> DBInstance:
    check_creation(db_kwargs)
    database: DBInstance = original(self, db_kwargs)
    database.dbi_resource_id = f"db-{mock_random.get_random_string(26).upper()}"
    database.status = "creating"
    database.lab_password_version = 1
    database.lab_restore_from = None
    # Of a restore to a point in time: whose log is replayed, and up to when (ISO 8601, None for all of it).
    database.lab_log_of = None
    database.lab_log_until = None
    # Up to when the log is kept, as the controller says.
    database.lab_restorable = None
    database.lab_deletion = None
    database.lab_interface = None
    group = getattr(database, "db_subnet_group", None)
    if group is not None:
        subnets = {subnet["SubnetAvailabilityZone"]["Name"]: subnet["SubnetIdentifier"] for subnet in group.subnets}
        zone = database.availability_zone if database.availability_zone in subnets else next(iter(subnets))
        database.lab_interface = interfaces.create(ec2_of(self), subnets[zone], database.vpc_security_group_ids, "RDSNetworkInterface")
    return database


def modify_db_instance(original: Callable, self: RDSBackend, identifier: str, db_kwargs: dict[str, Any]) -> DBInstance:
    database = self.describe_db_instances(identifier)[0]
    require_status(database, "available")
    check_password(db_kwargs.get("master_user_password"))
    if db_kwargs.get("engine_version"):
        db_kwargs["engine_version"] = rds_catalogue.resolve_version(database.engine, db_kwargs["engine_version"])
    before = _comparable(database)
    original(self, identifier, db_kwargs)
    changed = {name for name, value in _comparable(database).items() if before.get(name) != value} - RECORD_ONLY
    interfaces.set_groups(ec2_of(self), database.lab_interface, database.vpc_security_group_ids)
    if db_kwargs.get("master_user_password"):
        database.lab_password_version += 1
        database.status = "resetting-master-credentials"
    elif changed:
        database.status = "modifying"
    return database


def _comparable(database: DBInstance) -> dict[str, str]:
    return {name.lstrip("_"): repr(value) for name, value in database.__dict__.items() if name != "backend"}


def delete_db_instance(
    original: Callable,
    self: RDSBackend,
    db_instance_identifier: str,
    final_db_snapshot_identifier: str | None = None,
    skip_final_snapshot: bool | None = False,
    delete_automated_backups: bool | None = True,
) -> DBInstance:
    if db_instance_identifier not in self.databases:
        raise DBInstanceNotFoundError(db_instance_identifier)
    database = self.databases[db_instance_identifier]
    if database.status == "deleting":
        raise invalid_state(f"Instance {db_instance_identifier} is already being deleted.")
    if database.deletion_protection:
        raise InvalidParameterCombination("Cannot delete protected DB Instance, please disable deletion protection and try again.")
    if skip_final_snapshot and final_db_snapshot_identifier:
        raise InvalidParameterCombination("FinalDBSnapshotIdentifier can't be specified when SkipFinalSnapshot is true.")
    if not skip_final_snapshot:
        if not final_db_snapshot_identifier:
            raise InvalidParameterCombination("FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.")
        if database.status == "creating":
            raise invalid_state(f"Instance {db_instance_identifier} is currently creating - a final snapshot cannot be taken.")
        self.create_db_snapshot(db_instance_identifier, final_db_snapshot_identifier, snapshot_type="manual", final=True)
    # The record goes when the server has gone: `report`.
    database.lab_deletion = functools.partial(
        original, self, db_instance_identifier, skip_final_snapshot=True, delete_automated_backups=delete_automated_backups
    )
    database.status = "deleting"
    return database


def reboot_db_instance(original: Callable, self: RDSBackend, identifier: str) -> DBInstance:
    database = original(self, identifier)
    require_status(database, "available")
    database.status = "rebooting"
    return database


def stop_db_instance(original: Callable, self: RDSBackend, *arguments: Any, **kwargs: Any) -> DBInstance:
    database = original(self, *arguments, **kwargs)
    database.status = "stopping"
    return database


def start_db_instance(original: Callable, self: RDSBackend, *arguments: Any, **kwargs: Any) -> DBInstance:
    database = original(self, *arguments, **kwargs)
    database.status = "starting"
    return database


def create_db_snapshot(
    original: Callable, self: RDSBackend, db_instance_identifier: str, *arguments: Any, final: bool = False, **kwargs: Any
) -> DBSnapshot:
    database = self.databases.get(db_instance_identifier)
    if database is not None:
        # A last one is taken of an instance that was stopped, too.
        require_status(database, "available", "storage-optimization", *(["stopped"] if final else []))
    snapshot = original(self, db_instance_identifier, *arguments, **kwargs)
    snapshot.status = "creating"
    # Identifiers come back after a deletion; the data of two snapshots must not be mixed up.
    # A name of a file, and podman opens none with a colon.
    snapshot.lab_archive = f"{snapshot.db_snapshot_identifier.replace(':', '-')}-{mock_random.get_random_hex(8)}"
    return snapshot


def copy_db_snapshot(
    original: Callable, self: RDSBackend, source_db_snapshot_identifier: str, *arguments: Any, **kwargs: Any
) -> DBSnapshot:
    source = self.get_db_snapshot(source_db_snapshot_identifier)
    _require_finished(source)
    copied = original(self, source_db_snapshot_identifier, *arguments, **kwargs)
    copied.lab_archive, copied.lab_taken = source.lab_archive, source.lab_taken
    return copied


def restore_from_snapshot(original: Callable, self: RDSBackend, from_snapshot_id: str, overrides: dict[str, Any]) -> DBInstance:
    snapshot = self.get_db_snapshot(from_snapshot_id)
    _require_finished(snapshot)
    database = original(self, from_snapshot_id, overrides)
    database.lab_restore_from = snapshot.lab_archive
    return database


def _require_finished(snapshot: DBSnapshot) -> None:
    if snapshot.status != "available":
        raise RDSClientError("InvalidDBSnapshotState", f"Snapshot {snapshot.db_snapshot_identifier} is not in available state.")


def delete_subnet_group(original: Callable, self: RDSBackend, subnet_name: str) -> Any:
    for database in self.databases.values():
        group = getattr(database, "db_subnet_group", None)
        if group is not None and group.name == subnet_name.lower():
            raise RDSClientError(
                "InvalidDBSubnetGroupStateFault",
                f"Cannot delete the subnet group '{subnet_name}' because at least one database instance: "
                f"{database.db_instance_identifier} is still using it.",
            )
    return original(self, subnet_name)


def refuse_replica(original: Callable, self: RDSBackend, db_kwargs: dict[str, Any]) -> DBInstance:
    raise InvalidParameterCombination("The lab's RDS has no read replicas.")


def restore_to_point_in_time(
    original: Callable, self: RDSBackend, source_db_identifier: str, target_db_identifier: str, overrides: dict[str, Any]
) -> DBInstance:
    """The newest snapshot before that moment, and the log since, which the controller replays."""
    source = self.describe_db_instances(source_db_identifier)[0]
    latest = source.lab_restorable
    if not int(source.backup_retention_period or 0) or latest is None:
        raise RDSClientError(
            "PointInTimeRestoreNotEnabled",
            f"Automated backups of {source_db_identifier} are off, or have not begun: there is no point in time.",
        )
    given = {name: value for name, value in overrides.items() if value}
    moment = None if given.get("use_latest_restorable_time") in (True, "true") else as_time(given.get("restore_time"))
    if moment and moment > latest:
        raise RDSClientError("InvalidRestoreFault", f"The database can be restored up to {latest.isoformat()}.")
    bases = [
        snapshot
        for snapshot in self.database_snapshots.values()
        if snapshot.dbi_resource_id == source.dbi_resource_id and snapshot.status == "available" and snapshot.lab_taken < (moment or latest)
    ]
    if not bases:
        raise RDSClientError("InvalidRestoreFault", "There is no backup from before this moment.")
    names = ("source_db_instance_identifier", "target_db_instance_identifier", "restore_time", "use_latest_restorable_time")
    settings = {name: value for name, value in given.items() if name not in names} | {"db_instance_identifier": target_db_identifier}
    base = max(bases, key=lambda snapshot: snapshot.lab_taken)
    database = self.restore_db_instance_from_db_snapshot(base.db_snapshot_identifier, settings)
    database._master_user_password = source._master_user_password
    database.lab_log_of, database.lab_log_until = source.dbi_resource_id, moment.isoformat() if moment else None
    return database


def as_time(moment: Any) -> datetime | None:
    """moto hands a time over as text, or as what botocore's parser makes of it; RDS means UTC."""
    if moment is None:
        raise InvalidParameterCombination("Specify either RestoreTime or UseLatestRestorableTime.")
    found = moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment).replace("Z", "+00:00"))
    return found.replace(tzinfo=found.tzinfo or UTC)


def first_backup(rds: RDSBackend, database: DBInstance) -> None:
    """What RDS takes as soon as an instance is there, and the log is replayed upon."""
    if int(database.backup_retention_period or 0):
        name = f"rds:{database.db_instance_identifier}-{datetime.now(UTC):%Y-%m-%d-%H-%M}"
        rds.create_db_snapshot(database.db_instance_identifier, name, snapshot_type="automated")


def archived(body: dict) -> dict:
    """The controller's word: the log of `resource_id` is kept up to `at` (ISO 8601)."""
    for database in backend().databases.values():
        if database.dbi_resource_id == body["resource_id"]:
            database.lab_restorable = datetime.fromisoformat(body["at"])
    return {}


def endpoint(self: DBInstance) -> dict[str, Any] | None:
    """RDS tells no endpoint until there is one."""
    return None if self.status == "creating" else {"Address": self.address, "Port": self.port, "HostedZoneId": "Z2R2ITUGPM61AM"}


def describe_db_engine_versions(self: RDSResponse) -> ActionResult:
    engine, version = self.params.get("Engine"), self.params.get("EngineVersion")
    return PaginatedResult({"DBEngineVersions": rds_catalogue.engine_versions(engine, version)})


def describe_orderable_db_instance_options(self: RDSResponse) -> ActionResult:
    wanted = {name: self.params.get(name) for name in ("Engine", "EngineVersion", "DBInstanceClass", "LicenseModel")}
    return PaginatedResult({"OrderableDBInstanceOptions": rds_catalogue.orderable_options(wanted, self.region)})


def instances(body: dict) -> dict:
    """What the controller needs to know of each instance and snapshot; passwords apart, by `rds_password`."""
    rds = backend()
    return {
        "instances": [
            {
                "identifier": database.db_instance_identifier,
                "resource_id": database.dbi_resource_id,
                "status": database.status,
                "endpoint": database.address,
                "port": database.port,
                "private_address": database.lab_interface.private_ip_address if database.lab_interface else None,
                "username": database.master_username,
                "database": database.db_name,
                "password_version": database.lab_password_version,
                "restore_from": database.lab_restore_from,
                "allocated_gib": int(database.allocated_storage or 0),
                "log_of": database.lab_log_of,
                "log_until": database.lab_log_until,
                "keeps_log": bool(int(database.backup_retention_period or 0)),
            }
            for database in rds.databases.values()
        ],
        "snapshots": [
            {
                "identifier": snapshot.db_snapshot_identifier,
                "resource_id": snapshot.dbi_resource_id,
                "status": snapshot.status,
                "archive": snapshot.lab_archive,
            }
            for snapshot in rds.database_snapshots.values()
        ],
    }


def password(body: dict) -> dict:
    """The master password of the instance `identifier`, for the controller alone: AWS's API never tells it."""
    return {"password": backend().databases[body["identifier"]]._master_user_password}


def report(body: dict) -> dict:
    """The controller's word on the instance `resource_id`: its new `status`, or "deleted". Without effect on an instance whose status
    is no longer the one that the controller acted on (`was`)."""
    rds = backend()
    for database in list(rds.databases.values()):
        if database.dbi_resource_id == body["resource_id"] and database.status == body["was"]:
            if body["status"] == "deleted":
                database.lab_deletion()
                interfaces.delete(ec2_of(rds), database.lab_interface)
            else:
                database.status = body["status"]
                if (body["was"], body["status"]) == ("creating", "available"):
                    first_backup(rds, database)
            return {"accepted": True}
    return {"accepted": False}


def snapshot_report(body: dict) -> dict:
    """The controller's word on the snapshot whose data is `archive`: its new `status`."""
    for snapshot in backend().database_snapshots.values():
        if snapshot.lab_archive == body["archive"]:
            snapshot.status = body["status"]
            # What it holds is no newer than this.
            snapshot.lab_taken = datetime.now(UTC)
    return {}


ROUTES: dict[str, Callable[[dict], dict]] = {
    "rds_instances": instances,
    "rds_password": password,
    "rds_report": report,
    "rds_snapshot_report": snapshot_report,
    "rds_archived": archived,
}


def _wrap(owner: type, name: str, replacement: Callable) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapper(self: Any, *arguments: Any, **kwargs: Any) -> Any:
        return replacement(original, self, *arguments, **kwargs)

    setattr(owner, name, wrapper)


def install() -> None:
    """Patch moto's RDS."""
    _wrap(RDSBackend, "create_db_instance", create_db_instance)
    _wrap(RDSBackend, "modify_db_instance", modify_db_instance)
    _wrap(RDSBackend, "delete_db_instance", delete_db_instance)
    _wrap(RDSBackend, "reboot_db_instance", reboot_db_instance)
    _wrap(RDSBackend, "stop_db_instance", stop_db_instance)
    _wrap(RDSBackend, "start_db_instance", start_db_instance)
    _wrap(RDSBackend, "create_db_snapshot", create_db_snapshot)
    _wrap(RDSBackend, "copy_db_snapshot", copy_db_snapshot)
    _wrap(RDSBackend, "restore_db_instance_from_db_snapshot", restore_from_snapshot)
    _wrap(RDSBackend, "create_db_instance_read_replica", refuse_replica)
    _wrap(RDSBackend, "restore_db_instance_to_point_in_time", restore_to_point_in_time)
    _wrap(RDSBackend, "delete_subnet_group", delete_subnet_group)
    # moto writes a record of an automated backup; the lab's is a snapshot that holds data.
    DBInstance.save_automated_backup = lambda self: None
    DBInstance.latest_restorable_time = property(lambda self: getattr(self, "lab_restorable", None))
    DBInstance.endpoint = property(endpoint)
    RDSResponse.describe_db_engine_versions = describe_db_engine_versions
    RDSResponse.describe_orderable_db_instance_options = describe_orderable_db_instance_options
