"""playbooks/encrypt_database.yml with real data: rows that were written before are there afterwards, on another server."""

from __future__ import annotations

from tests.acceptance import app
from tests.e2e.steps import await_page, nothing_changed, succeeded
from tests.rehearse.test_system_faults import await_ready

ENCRYPTED = ("-e", "database_encrypted=true")


def test_rows_survive(built, recorder):
    await_page(built)
    row = app.write_row(built)
    done = recorder.playbook(
        "encrypt", "playbooks/encrypt_database.yml", *ENCRYPTED, "-e", "encrypt_database_confirmation=django", seconds=900
    )
    succeeded(done)
    assert built.database()["StorageEncrypted"]
    await_ready(built)
    assert row in built.get("/").body
    # A new row goes to the new server.
    assert app.write_row(built) in built.get("/").body


def test_site_yml_finds_nothing_to_do(built, recorder):
    # Windows and the like, which a snapshot does not carry.
    succeeded(recorder.playbook("settings", "site.yml", *ENCRYPTED, seconds=900))
    nothing_changed(recorder.playbook("again", "site.yml", *ENCRYPTED, seconds=900))


def test_the_old_one_goes(built, recorder):
    old = f"{built.prefix}-postgres-plain"
    succeeded(
        recorder.playbook("remove", "playbooks/encrypt_database.yml", *ENCRYPTED, "-e", f"encrypt_database_remove_old={old}", seconds=300)
    )
    names = [
        one["DBInstanceIdentifier"]
        for one in built.client("rds").describe_db_instances()["DBInstances"]
        if one["DBInstanceStatus"] != "deleting"
    ]
    assert names == [f"{built.prefix}-postgres"]
