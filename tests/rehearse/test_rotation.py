"""The database's password changes while visitors come: nobody notices, also when the run is cut off half-way."""

from __future__ import annotations

import json

import pytest

from tests.acceptance import secrets
from tests.acceptance.app import instance_ids, output, write_row
from tests.acceptance.system import System
from tests.rehearse.load import Load
from tests.tree import VENV_BIN

LOAD = {"rate": 20, "connections": 10}
ROTATE = ("rotate", "playbooks/rotate.yml")


@pytest.fixture(scope="module")
def system(built) -> System:
    return built


def user(system: System) -> str:
    return json.loads(system.secret("django-app-db-credentials"))["username"]


def serving(system: System) -> set[str]:
    """Users that the instances' Gunicorn was started with."""
    command = ("python3", "/usr/local/lib/espalier/espalier_database.py", "user")
    return {output(system, instance, *command).strip() for instance in instance_ids(system)}


def test_no_request_fails_and_the_users_take_turns(system, recorder):
    before = user(system)
    assert serving(system) == {before}
    for _ in range(2):
        old = json.loads(system.secret("django-app-db-credentials"))
        with Load(system.app_url, **LOAD) as load:
            outcome = recorder.playbook(*ROTATE)
            assert write_row(system)
        assert outcome.returncode == 0, outcome.tail()
        recorder.say(f"        {load.felt.summary()}")
        assert not load.felt.failures
        new = json.loads(system.secret("django-app-db-credentials"))
        different = old["password"] != new["password"]
        assert different and old["username"] != new["username"]
        assert serving(system) == {new["username"]}
    assert user(system) == before
    secrets.check_the_application_is_not_the_master(system)
    secrets.check_the_master_s_password_is_on_no_instance(system)


def test_a_run_that_was_cut_off_is_finished_by_the_next(system, recorder):
    before = user(system)

    playbook = (str(VENV_BIN / "ansible-playbook"), ROTATE[1])
    with Load(system.app_url, **LOAD) as load:
        recorder.interrupt("rotate, killed", *playbook, at="TASK [Read addresses and secrets anew")
        assert user(system) != before and serving(system) == {before}
        outcome = recorder.playbook("rotate again", ROTATE[1])
    assert outcome.returncode == 0, outcome.tail()
    assert not load.felt.failures
    assert serving(system) == {user(system)} != {before}


def test_a_master_s_secret_is_lent_to_nobody_for_long(system):
    listed = system.client("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"]
    assert not [found["Name"] for found in listed if found["Name"].endswith("-setup")]
