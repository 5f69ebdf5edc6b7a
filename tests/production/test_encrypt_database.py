"""playbooks/encrypt_database.yml on an environment of its own, as far as an API can show it: refused, done, gone back, finished."""

from __future__ import annotations

import pytest

from tests.acceptance.system import System

NAME, OLD = "plain-django-postgres", "plain-django-postgres-plain"
# A second environment of the account: each name that does not carry the environment is another.
VALUES = {
    "suite_environment": "plain",
    "suite_database_parameter": "/Plain/database",
    "suite_database_secret": "plain-database",
    "suite_app_database_secret": "plain-app-database",
    "suite_secret_key_secret": "plain-key",
    "suite_log_group": "/plain/application",
    "suite_flow_log_group": "/plain/connections",
    "vpc_flow_logs": False,
    "cdn_enabled": False,
    "database_backup_region": "",
}
PLAYBOOK = "playbooks/encrypt_database.yml"


@pytest.fixture(scope="module")
def plain(profile):
    """A database that is not encrypted, protected against deletion, as one that serves."""
    for _run in range(2):
        done = profile.play("site.yml", "--tags", "network,data", **VALUES, database_encrypted=False)
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return profile


@pytest.fixture(scope="module")
def system(plain) -> System:
    return System(environment="plain", endpoint_url=plain.system.endpoint_url)


def encrypt(profile, *options: str, **values: object):
    return profile.play(PLAYBOOK, *options, **{**VALUES, "database_encrypted": True, **values})


def databases(system: System) -> dict[str, dict]:
    return {
        one["DBInstanceIdentifier"]: one
        for one in system.client("rds").describe_db_instances()["DBInstances"]
        if "plain" in one["DBInstanceIdentifier"]
    }


def snapshots(system: System) -> dict[str, bool]:
    """Of those that somebody asked for: whether it is encrypted, by name."""
    found = system.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    return {one["DBSnapshotIdentifier"]: one["Encrypted"] for one in found}


def said(done) -> str:
    # Ansible breaks lines as it likes.
    return " ".join(done.stdout.split())


def test_site_yml_refuses_and_names_the_playbook(plain):
    done = plain.play("site.yml", "--tags", "data", **VALUES, database_encrypted=True)
    assert done.returncode != 0 and "playbooks/encrypt_database.yml" in said(done)


def test_the_inventory_must_want_it(plain, system):
    done = encrypt(plain, database_encrypted=False, encrypt_database_confirmation="django")
    assert done.returncode != 0 and "Set database_encrypted to true" in said(done)
    assert set(databases(system)) == {NAME}


def test_a_plan_changes_nothing(plain, system):
    done = encrypt(plain, "--check")
    assert done.returncode == 0 and "is not encrypted" in said(done), said(done)[-3000:]
    assert set(databases(system)) == {NAME} and not snapshots(system)


def test_a_wrong_word_changes_nothing(plain, system):
    done = encrypt(plain, encrypt_database_confirmation="djagno")
    assert done.returncode != 0 and "Nothing was done" in said(done)
    assert set(databases(system)) == {NAME} and not snapshots(system)


def test_the_way_back(plain, system):
    """A run that was cut short after the old instance was set aside."""
    rds = system.client("rds")
    rds.modify_db_instance(DBInstanceIdentifier=NAME, NewDBInstanceIdentifier=OLD, ApplyImmediately=True)
    assert set(databases(system)) == {OLD}
    wrong = encrypt(plain, encrypt_database_back="yes")
    assert wrong.returncode != 0 and set(databases(system)) == {OLD}
    done = encrypt(plain, encrypt_database_back="django")
    assert done.returncode == 0, said(done)[-3000:]
    assert set(databases(system)) == {NAME} and not databases(system)[NAME]["StorageEncrypted"]


@pytest.fixture(scope="module")
def encrypted(plain, system):
    before = databases(system)[NAME]
    done = encrypt(plain, encrypt_database_confirmation="django")
    assert done.returncode == 0, said(done)[-4000:]
    return before


def test_it_is_encrypted_under_its_old_name(encrypted, system):
    found = databases(system)
    assert {name: one["StorageEncrypted"] for name, one in found.items()} == {NAME: True, OLD: False}
    new = found[NAME]
    for key in ("DBInstanceClass", "MultiAZ", "DBName", "MasterUsername", "PubliclyAccessible", "AllocatedStorage"):
        assert new[key] == encrypted[key], key
    assert new["VpcSecurityGroups"] == encrypted["VpcSecurityGroups"]
    assert new["DBSubnetGroup"]["DBSubnetGroupName"] == encrypted["DBSubnetGroup"]["DBSubnetGroupName"]
    assert new["Endpoint"]["Address"] == encrypted["Endpoint"]["Address"]


def test_snapshots_stay(encrypted, system):
    assert snapshots(system) == {f"{NAME}-before-encryption": False, f"{NAME}-plain": False, f"{NAME}-encrypted": True}


def test_a_further_run_does_nothing(encrypted, plain, system):
    done = encrypt(plain, encrypt_database_confirmation="django")
    assert done.returncode == 0 and OLD in said(done) and set(databases(system)) == {NAME, OLD}


def test_site_yml_agrees(encrypted, plain):
    for _run in range(2):
        done = plain.play("site.yml", "--tags", "data", **VALUES, database_encrypted=True)
        assert done.returncode == 0, said(done)[-4000:]
    assert "localhost : ok=" in said(done) and " changed=0 " in said(done), said(done)[-4000:]


def test_the_old_one_goes_when_it_is_named(encrypted, plain, system):
    wrong = encrypt(plain, encrypt_database_remove_old=NAME)
    assert wrong.returncode != 0 and set(databases(system)) == {NAME, OLD}
    done = encrypt(plain, encrypt_database_remove_old=OLD)
    assert done.returncode == 0, said(done)[-4000:]
    assert set(databases(system)) == {NAME}
    assert snapshots(system) == {f"{NAME}-plain": False, f"{NAME}-encrypted": True}
