"""RDS's data plane: a PostgreSQL server with TLS in a container for every DB instance, its data in a volume of its own."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

from lab import control, network, postgresql, tls
from lab.controller import Controller
from lab.podman import LABEL, containers, podman
from lab.postgresql_client import Connection, DatabaseError, identifier, literal, scram_verifier
from lab.settings import SETTINGS, Settings

# Recovery after a crash may take a while.
START_TIMEOUT_SECONDS = 60
# How often RDS ships the log: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PIT.html
LOG_SECONDS = 300
ARCHIVE_SECONDS = 15
# Of the log, inside the container.
ARCHIVE = "/var/lib/postgresql/archive"
# What RDS's master user may do: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Appendix.PostgreSQL.CommonDBATasks.Roles.html
SUPERUSER_ROLE = "rds_superuser"
SUPERUSER_GRANTS = ("pg_monitor", "pg_signal_backend", "pg_checkpoint")


class Databases(Controller):
    name = "databases"

    def __init__(self, settings: Settings = SETTINGS) -> None:
        super().__init__(settings)
        # What this process has found or made; a new process finds it again.
        self.configured: dict[str, int] = {}
        self.known: set[str] | None = None
        # When the log of each was shipped last (monotonic).
        self.shipped: dict[str, float] = {}

    def reconcile(self) -> None:
        account = control.call("rds_instances", settings=self.settings)
        instances, snapshots = account["instances"], account["snapshots"]
        for snapshot in snapshots:
            if snapshot["status"] == "creating":
                self._guarded(self._take_snapshot, snapshot, snapshot["identifier"])
        pending = {snapshot["resource_id"] for snapshot in snapshots if snapshot["status"] == "creating"}
        for instance in instances:
            if instance["resource_id"] not in pending:
                self._guarded(self._converge, instance, instance["identifier"])
        # podman is asked for orphans only when the account changed: a look costs a tenth of a second of CPU.
        known = {instance["resource_id"] for instance in instances} | {snapshot["archive"] for snapshot in snapshots}
        if known != self.known:
            self._remove_orphans(known)
            self.known = known

    def _guarded(self, act, record: dict, name: str) -> None:
        """One instance's trouble must not keep the others waiting."""
        try:
            act(record)
        except Exception:
            self.log.exception("%s: failed, tried again in %s s", name, self.interval_seconds)

    def _converge(self, instance: dict) -> None:
        status = instance["status"]
        if status == "deleting":
            self._remove(instance["resource_id"])
            self._report(instance, "deleted")
        elif status in ("stopping", "stopped"):
            if status == "stopping":
                podman("stop", "--time", "30", "--ignore", container_name(instance))
                self._report(instance, "stopped")
        elif status == "rebooting":
            podman("stop", "--time", "30", "--ignore", container_name(instance))
            self._bring_up(instance)
        elif status == "available" and self._answers(instance):
            self._configure(instance)
            self._ship_log(instance)
        else:
            self._bring_up(instance)

    def _bring_up(self, instance: dict) -> None:
        """From whatever there is to a server that answers and is configured."""
        if instance["status"] == "available":
            self.log.warning("%s: does not answer, repairing", instance["identifier"])
            if not self._report(instance, "rebooting"):
                return
            instance = {**instance, "status": "rebooting"}
        self._ensure_container(instance)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._answers(instance):
            if time.monotonic() > deadline or not container_ids(instance["resource_id"], "--filter", "status=running"):
                logs = podman("logs", "--tail", "5", container_name(instance), check=False)
                raise DatabaseError(f"the server does not start: {(logs.stdout + logs.stderr).decode(errors='replace').strip()}")
            time.sleep(0.3)
        self._configure(instance)
        self._report(instance, "available")

    def _report(self, instance: dict, status: str) -> bool:
        answer = control.call(
            "rds_report", settings=self.settings, resource_id=instance["resource_id"], was=instance["status"], status=status
        )
        self.log.info("%s: %s -> %s", instance["identifier"], instance["status"], status)
        return answer["accepted"]

    def _ensure_container(self, instance: dict) -> None:
        name = container_name(instance)
        # A container that was made for anything else is made anew around the same data.
        wanted = json.dumps([postgresql.IMAGE.tag, *(instance[key] for key in ("resource_id", "endpoint", "port", "private_address"))])
        inspected = podman("container", "inspect", "--format", '{{index .Config.Labels "espalier.wanted"}}', name, check=False)
        if inspected.returncode == 0 and inspected.stdout.decode().strip() == wanted:
            podman("start", name)
            return
        self._remove_containers(instance["resource_id"])
        podman("rm", "--force", "--time", "30", "--ignore", name)
        self._ensure_volume(instance)
        folder = self._folder(instance)
        self._ensure_certificate(instance, folder)
        arguments = [
            "run", "--detach", "--name", name, "--hostname", instance["identifier"], "--user", str(postgresql.UID),
            "--label", f"{LABEL}=database", "--label", f"espalier.id={instance['identifier']}",
            "--label", f"espalier.resource={instance['resource_id']}", "--label", f"espalier.wanted={wanted}",
            *network.at(instance["private_address"], self.settings), "--network-alias", instance["endpoint"],
            "--stop-signal", "SIGINT", "--shm-size", "128m", "--cap-drop", "all",
            "--env", f"POSTGRESQL_PORT={instance['port']}",
            "--volume", f"{volume_name(instance['resource_id'])}:/var/lib/postgresql",
            "--volume", f"{folder / 'socket'}:/run/postgresql", "--volume", f"{folder / 'tls'}:/etc/postgresql-tls:ro",
        ]  # fmt: skip
        podman(*arguments, postgresql.IMAGE.tag, "start-postgresql")

    def _ensure_volume(self, instance: dict) -> None:
        volume = volume_name(instance["resource_id"])
        if podman("volume", "exists", volume, check=False).returncode == 0:
            return
        labels = ("--label", f"{LABEL}=database", "--label", f"espalier.network={self.settings.network}")
        podman("volume", "create", *labels, "--label", f"espalier.resource={instance['resource_id']}", volume)
        try:
            self._fill(volume, instance)
        except Exception:
            # The next attempt would take an empty database for a restored one.
            podman("volume", "rm", "--force", volume)
            raise

    def _fill(self, volume: str, instance: dict) -> None:
        if instance["restore_from"]:
            podman("volume", "import", volume, str(self._archive(instance["restore_from"])))
            # Of what the snapshot's server was told to replay, nothing counts here.
            (mountpoint(volume) / "data" / "postgresql.auto.conf").write_text("")
        if instance["log_of"]:
            replay(mountpoint(volume_name(instance["log_of"])), mountpoint(volume), instance["log_until"])

    def _ensure_certificate(self, instance: dict, folder: Path) -> None:
        for name, mode in (("socket", 0o700), ("tls", 0o700)):
            (folder / name).mkdir(parents=True, exist_ok=True, mode=mode)
            os.chown(folder / name, postgresql.UID, postgresql.UID)
        certificate, key = tls.issue([instance["endpoint"]], self.settings)
        tls.write_secret(folder / "tls" / "server.key", key, postgresql.UID)
        tls.write_secret(folder / "tls" / "server.crt", certificate, postgresql.UID)

    def _answers(self, instance: dict) -> bool:
        try:
            with self._connect(instance) as connection:
                # One that still replays a log takes no writes.
                return connection.query("SELECT pg_is_in_recovery()") == [("f",)]
        except (DatabaseError, OSError):
            return False

    def _connect(self, instance: dict, database: str = "postgres") -> Connection:
        return Connection(self._folder(instance) / "socket", instance["port"], database=database)

    def _configure(self, instance: dict) -> None:
        """Master user, its password and the database, as RDS makes them. Once for each password."""
        resource = instance["resource_id"]
        if self.configured.get(resource) == instance["password_version"]:
            return
        answer = control.call("rds_password", settings=self.settings, identifier=instance["identifier"])
        with self._connect(instance) as connection:
            for statement in role_statements(connection, instance["username"], answer["password"]):
                connection.query(statement)
            name = instance["database"]
            if name and not connection.query(f"SELECT FROM pg_database WHERE datname = {literal(name)}"):
                connection.query(f"CREATE DATABASE {identifier(name)} OWNER {identifier(instance['username'])}")
        self.configured[resource] = instance["password_version"]
        self.log.info("%s: master user and database are in place", instance["identifier"])

    def _ship_log(self, instance: dict) -> None:
        """Keep the log up to now: a commit, so that the replay can stop at any moment before it, and a new segment."""
        resource, now = instance["resource_id"], time.monotonic()
        if not instance["keeps_log"] or now - self.shipped.get(resource, float("-inf")) < self.settings.scaled(LOG_SECONDS):
            return
        self.shipped[resource] = now
        with self._connect(instance) as connection:
            ((at,),) = connection.query("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')")
            connection.query("SELECT pg_logical_emit_message(true, 'rdsadmin', 'heartbeat')")
            ((segment,),) = connection.query("SELECT pg_walfile_name(pg_switch_wal())")
            deadline = time.monotonic() + ARCHIVE_SECONDS
            while (connection.query("SELECT last_archived_wal FROM pg_stat_archiver")[0][0] or "") < segment:
                if time.monotonic() > deadline:
                    raise DatabaseError(f"the log is not archived within {ARCHIVE_SECONDS} s")
                time.sleep(0.1)
        control.call("rds_archived", settings=self.settings, resource_id=resource, at=at)

    def _take_snapshot(self, snapshot: dict) -> None:
        """Like a storage snapshot: the server's files at one moment, from which it recovers as after a crash."""
        archive = self._archive(snapshot["archive"])
        archive.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = archive.with_suffix(".part")
        running = container_ids(snapshot["resource_id"], "--filter", "status=running")
        try:
            for container in running:
                podman("pause", container)
            podman("volume", "export", "--output", str(part), volume_name(snapshot["resource_id"]), timeout=600)
        finally:
            for container in running:
                podman("unpause", container)
        part.chmod(0o600)
        part.rename(archive)
        control.call("rds_snapshot_report", settings=self.settings, archive=snapshot["archive"], status="available")
        self.log.info("snapshot %s: available, %s MiB", snapshot["identifier"], archive.stat().st_size >> 20)

    def _remove(self, resource: str) -> None:
        self._remove_containers(resource)
        podman("volume", "rm", "--force", volume_name(resource))
        shutil.rmtree(self.settings.state / "databases" / resource, ignore_errors=True)
        self.configured.pop(resource, None)
        self.shipped.pop(resource, None)

    def _remove_containers(self, resource: str) -> None:
        for container in container_ids(resource):
            podman("rm", "--force", "--time", "30", container)

    def _remove_orphans(self, known: set[str]) -> None:
        """Servers and data whose record is gone: deleted while this controller was down, or left by an account that is no more."""
        mine = [c["Labels"]["espalier.resource"] for c in containers("database") if self.settings.network in c["Networks"]]
        answer = podman("volume", "ls", "--filter", f"label=espalier.network={self.settings.network}", "--format", "json")
        mine += [volume["Labels"]["espalier.resource"] for volume in json.loads(answer.stdout or b"[]")]
        for resource in set(mine) - known:
            self.log.info("removing the orphan %s", resource)
            self._remove(resource)
        for archive in (self.settings.state / "snapshots").glob("*.tar"):
            if archive.stem not in known:
                archive.unlink()

    def _folder(self, instance: dict) -> Path:
        return self.settings.state / "databases" / instance["resource_id"]

    def _archive(self, name: str) -> Path:
        return self.settings.state / "snapshots" / f"{name}.tar"


def container_name(instance: dict) -> str:
    return f"espalier-database-{instance['identifier']}"


def mountpoint(volume: str) -> Path:
    return Path(podman("volume", "inspect", "--format", "{{.Mountpoint}}", volume).stdout.decode().strip())


def replay(source: Path, target: Path, until: str | None) -> None:
    """Have the server in `target` replay the log that the one in `source` has archived, up to a moment, or all of it."""
    archive, data = target / "archive", target / "data"
    archive.mkdir(exist_ok=True)
    for segment in (source / "archive").glob("*.gz"):
        shutil.copy2(segment, archive / segment.name)
    settings = [f"restore_command = 'gzip -dc {ARCHIVE}/%f.gz > %p'"]
    # Otherwise the server would wait, paused, for somebody who says what next.
    settings += [f"recovery_target_time = '{until}'", "recovery_target_action = 'promote'"] if until else []
    (data / "postgresql.auto.conf").write_text("".join(f"{line}\n" for line in settings))
    (data / "recovery.signal").touch()
    for path in (archive, *archive.iterdir(), data / "postgresql.auto.conf", data / "recovery.signal"):
        os.chown(path, postgresql.UID, postgresql.UID)


def container_ids(resource: str, *filters: str) -> list[str]:
    """The containers of one resource id, whatever name the instance has by now."""
    answer = podman("ps", "--all", "--quiet", "--filter", f"label=espalier.resource={resource}", *filters)
    return answer.stdout.decode().split()


def volume_name(resource: str) -> str:
    # By resource id: a new instance of an old name must not find the old one's data.
    return f"espalier-database-{resource.lower()}"


def role_statements(connection: Connection, username: str, password: str) -> list[str]:
    """SQL that makes the master user what it is on RDS: no superuser, may make roles and databases, and is a member of rds_superuser."""
    existing = {row[0] for row in connection.query("SELECT rolname FROM pg_roles")}
    statements = []
    if SUPERUSER_ROLE not in existing:
        statements.append(f"CREATE ROLE {SUPERUSER_ROLE} NOLOGIN")
        statements.append(f"GRANT {', '.join(SUPERUSER_GRANTS)} TO {SUPERUSER_ROLE} WITH ADMIN OPTION")
    if username not in existing:
        statements.append(f"CREATE ROLE {identifier(username)} LOGIN CREATEDB CREATEROLE IN ROLE {SUPERUSER_ROLE}")
    statements.append(f"ALTER ROLE {identifier(username)} PASSWORD {literal(scram_verifier(password))}")
    return statements
