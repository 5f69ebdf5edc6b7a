"""The restore drill, while the application is written to: how long it takes, what is lost, and that nothing of it stays."""

from __future__ import annotations

import json
import re
import threading
import time
from datetime import UTC, datetime

import pytest

from lab.settings import SETTINGS
from tests.acceptance import app
from tests.acceptance.system import System
from tests.e2e.steps import await_page, succeeded
from tests.rehearse.test_connect import START_SECONDS, assert_postgresql, terminal
from tests.tree import VENV_BIN

ANSIBLE = str(VENV_BIN / "ansible-playbook")
DATABASE = "lab-django-postgres"


@pytest.fixture(scope="module")
def system(built) -> System:
    return built


class Writer(threading.Thread):
    """Writes a row every half second; remembers those that the page accepted, with their time."""

    def __init__(self, system: System) -> None:
        super().__init__(daemon=True)
        self.system, self.rows, self.stopped = system, [], threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.5):
            try:
                self.rows.append((time.time(), app.write_row(self.system)))
            except (AssertionError, OSError):
                continue

    def __enter__(self) -> Writer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.join()


def databases(system: System) -> list[str]:
    return sorted(one["DBInstanceIdentifier"] for one in system.client("rds").describe_db_instances()["DBInstances"])


def restorable_to(system: System) -> datetime | None:
    return system.database().get("LatestRestorableTime")


def await_log(system: System, moment: datetime, seconds: float = 120) -> None:
    """Until the database can be restored to that moment."""
    deadline = time.monotonic() + seconds
    while (latest := restorable_to(system)) is None or latest < moment:
        assert time.monotonic() < deadline, f"the log is kept up to {latest} only"
        time.sleep(1)


def test_the_drill_measures_and_leaves_nothing(recorder, system):
    await_page(system)
    await_log(system, datetime.now(UTC))
    before = databases(system)
    with Writer(system) as writer:
        time.sleep(10)
        outcome = succeeded(recorder.run("restore drill", ANSIBLE, "playbooks/restore_drill.yml"))
    told = dict(re.findall(r"^\s*(recovery seconds|lost seconds|restorable to|rows lost|problems): (.*)$", outcome.output, re.MULTILINE))
    recovery, lost, rows = float(told["recovery seconds"]), float(told["lost seconds"]), int(told["rows lost"])
    # For docs/performance.md.
    recorder.say(f"        | restore drill, time scale {SETTINGS.time_scale:g} | {recovery:.0f} s | {lost:.0f} s | {rows} |")
    restorable = datetime.fromisoformat(told["restorable to"]).timestamp()
    accepted = [at for at, _ in writer.rows if restorable - 1 <= at <= restorable + lost]
    assert told["problems"] == "none" and recovery > 0 and lost > 0
    # Not those of the restore itself; one may have been on its way when the drill began.
    assert 0 < rows <= len(accepted) + 1 < len(writer.rows)
    assert databases(system) == before, "the drill has left a database behind"
    assert writer.rows[-1][1] in system.get("/").body, "the living database was touched"


def test_a_moment_is_restored_and_takes_the_databases_place(recorder, system):
    """A row of before that moment is there, one of after it is not, and the old database is kept."""
    kept = app.write_row(system)
    time.sleep(2)
    moment = datetime.now(UTC).replace(microsecond=0)
    time.sleep(2)
    lost = app.write_row(system)
    # The restored database knows neither this password nor, perhaps, this user.
    succeeded(recorder.run("rotate", ANSIBLE, "playbooks/rotate.yml"))
    await_log(system, datetime.now(UTC))
    at = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    outcome = succeeded(recorder.run("restore a moment", ANSIBLE, "playbooks/restore.yml", "-e", f"restore_time={at}"))
    assert "The copy lacks 1 rows" in outcome.output, outcome.tail()
    assert databases(system) == [DATABASE, f"{DATABASE}-restored"] and lost in system.get("/").body
    refused = recorder.run("switch, wrong word", ANSIBLE, "playbooks/restore.yml", "-e", "restore_switch=yes")
    assert refused.returncode != 0 and databases(system) == [DATABASE, f"{DATABASE}-restored"]
    succeeded(recorder.run("switch", ANSIBLE, "playbooks/restore.yml", "-e", "restore_switch=django"))
    assert databases(system) == [DATABASE, f"{DATABASE}-before-restore"]
    # A run that was cut short after the renames is continued by the same command.
    succeeded(recorder.run("switch, again", ANSIBLE, "playbooks/restore.yml", "-e", "restore_switch=django"))
    assert databases(system) == [DATABASE, f"{DATABASE}-before-restore"]
    await_page(system, 180)
    assert kept in system.get("/").body
    succeeded(recorder.run("in line", ANSIBLE, "site.yml", "--tags", "data,app", "-e", "app_full=true"))
    await_page(system, 180)
    page = system.get("/").body
    assert kept in page and lost not in page
    refused = recorder.run("switch, without a copy", ANSIBLE, "playbooks/restore.yml", "-e", "restore_switch=django")
    assert refused.returncode != 0 and f"There is no copy {DATABASE}-restored" in refused.output
    system.client("rds").delete_db_instance(DBInstanceIdentifier=f"{DATABASE}-before-restore", SkipFinalSnapshot=True)


def test_a_snapshot_is_taken_and_restored_beside(recorder, system):
    row = app.write_row(system)
    succeeded(recorder.run("backup", ANSIBLE, "playbooks/backup.yml", "-e", "backup_name=by-hand"))
    found = system.client("rds").describe_db_snapshots(DBSnapshotIdentifier="by-hand")["DBSnapshots"]
    assert [one["Status"] for one in found] == ["available"]
    succeeded(recorder.run("restore a snapshot", ANSIBLE, "playbooks/restore.yml", "-e", "restore_snapshot=by-hand"))
    assert f"{DATABASE}-restored" in databases(system) and row in system.get("/").body
    (copy,) = system.client("rds").describe_db_instances(DBInstanceIdentifier=f"{DATABASE}-restored")["DBInstances"]
    with terminal("tunnel", "to=copy") as tunnel:
        assert copy["Endpoint"]["Address"] in tunnel.await_text("Waiting for connections", START_SECONDS)
        assert_postgresql(15433, copy["Endpoint"]["Address"])
    # An environment with two databases is not removed, half of it least of all.
    refused = recorder.run("destroy, with a copy", ANSIBLE, "playbooks/destroy.yml", "-e", "destroy_confirmation=nobody")
    assert refused.returncode != 0 and f"beside {DATABASE} there is {DATABASE}-restored" in " ".join(refused.output.split()), refused.tail()
    succeeded(recorder.run("remove the copy", ANSIBLE, "playbooks/restore.yml", "-e", "restore_remove=django"))
    assert f"{DATABASE}-restored" not in databases(system)
    system.client("rds").delete_db_snapshot(DBSnapshotIdentifier="by-hand")


def test_status_tells_the_newest_backup(recorder, system):
    outcome = succeeded(recorder.run("status", ANSIBLE, "playbooks/status.yml", "-e", "output=json"))
    report = json.loads(outcome.output[outcome.output.index("{") : outcome.output.rindex("}") + 1])
    assert report["environment"] == "lab" and report["last_backup"]["restorable_to"] and len(report["instances"]) == 2
