"""backup.yml, the copy of a restore and destroy.yml where the database is busy, or not alone: what they wait for, and what they refuse."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import yaml
from ansible_collections.espalier.aws.plugins.module_utils import remains
from moto.backends import get_backend
from moto.rds.models import DBInstance, RDSBackend
from moto.rds.responses import RDSResponse

from lab.api import rds
from tests.tree import ROOT, VENV_BIN
from tests.unit.moto_patches import client, patched
from tests.unit.test_preflight import Api

NAME = "lab-django-postgres"


class Account(Api):
    """moto behind HTTP, whose RDS is as busy as the test wants: a `Describe...` finds the next of its `statuses`."""

    def __init__(self) -> None:
        super().__init__()
        self.statuses: dict[str, list[str]] = {}
        # What was done, with the database's status then.
        self.done: list[tuple[str, str]] = []

    def __call__(self, environ, start_response):
        answer = super().__call__(environ, start_response)
        operation, backend = self.operations[-1], rds.backend()
        if not operation.startswith(("Describe", "List", "Get")):
            self.done += [(operation, one.status) for one in backend.databases.values()]
        if operation in ("DescribeDBInstances", "DescribeDBSnapshots"):
            for name, one in {**backend.databases, **backend.database_snapshots}.items():
                if self.statuses.get(name) and (name in backend.databases) == (operation == "DescribeDBInstances"):
                    one.status = self.statuses[name].pop(0)
        return answer

    def play(self, playbook: str, **values: object) -> subprocess.CompletedProcess[str]:
        shell = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
        extra = json.dumps({"suite_aws_endpoint_url": self.url, **values})
        command = [VENV_BIN / "ansible-playbook", "-i", "inventories/lab/hosts.yml", playbook, "-e", extra]
        return subprocess.run(
            command, cwd=ROOT, env={**shell, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def account():
    for service in ("sts", *remains.SERVICES):
        get_backend(service)
    with patched(rds, RDSBackend, DBInstance, RDSResponse):
        account = Account()
        yield account
        account.server.shutdown()


@pytest.fixture(autouse=True)
def database(account):
    """An available database of the lab, alone in the account."""
    backend = rds.backend()
    backend.databases.clear()
    backend.database_snapshots.clear()
    account.operations.clear()
    account.statuses.clear()
    account.done.clear()
    create(NAME)


def create(name: str, **more: object) -> None:
    tags = [{"Key": "Project", "Value": "django"}, {"Key": "Environment", "Value": "lab"}]
    machine = {"Engine": "postgres", "EngineVersion": "16.4", "DBInstanceClass": "db.t3.micro", "AllocatedStorage": 20}
    login = {"MasterUsername": "postgres", "MasterUserPassword": "n0t-a-secret"}
    client("rds").create_db_instance(DBInstanceIdentifier=name, Tags=tags, **machine, **login, **more)
    rds.backend().databases[name].status = "available"


def said(done: subprocess.CompletedProcess[str]) -> str:
    # Ansible breaks lines as it likes.
    return " ".join(done.stdout.split())


def test_a_backup_waits_for_the_database_and_for_its_snapshot(account):
    rds.backend().databases[NAME].status = "backing-up"
    account.statuses = {NAME: ["backing-up", "available"], "by-hand": ["creating", "available"]}
    done = account.play("playbooks/backup.yml", backup_name="by-hand")
    assert done.returncode == 0, said(done)[-3000:]
    assert account.done == [("CreateDBSnapshot", "available")]
    assert "Snapshot by-hand is there." in said(done)


def test_a_backup_that_takes_too_long_says_how_to_go_on(account):
    done = account.play("playbooks/backup.yml", backup_name="by-hand", backup_timeout_seconds=5)
    assert done.returncode != 0 and "Snapshot by-hand is creating, 0 percent done, after 5 seconds" in said(done), said(done)[-3000:]
    account.statuses = {"by-hand": ["available"]}
    done = account.play("playbooks/backup.yml", backup_name="by-hand")
    assert done.returncode == 0, said(done)[-3000:]
    assert [name for name, _status in account.done] == ["CreateDBSnapshot"], "another one was taken"


def test_no_backup_of_a_stopped_database(account):
    rds.backend().databases[NAME].status = "stopped"
    done = account.play("playbooks/backup.yml")
    assert done.returncode != 0 and f"{NAME} is stopped, and RDS takes no snapshot" in said(done), said(done)[-3000:]
    assert account.writes == []


def test_a_copy_gets_its_password_when_its_first_backup_is_done(account, tmp_path):
    client("rds").create_db_snapshot(DBInstanceIdentifier=NAME, DBSnapshotIdentifier="by-hand")
    rds.backend().database_snapshots["by-hand"].status = "available"
    side = f"{NAME}-restored"
    # Others look at it, too, until it is waited for.
    account.statuses = {side: ["backing-up"] * 6 + ["available"]}
    subnets = [one["SubnetId"] for one in client("ec2").describe_subnets()["Subnets"][:2]]
    client("rds").create_db_subnet_group(DBSubnetGroupName=NAME, DBSubnetGroupDescription="d", SubnetIds=subnets)
    client("rds").create_db_parameter_group(DBParameterGroupName=NAME, DBParameterGroupFamily="postgres16", Description="d")
    found = {
        "endpoint": {"port": 5432},
        "db_instance_class": "db.t3.micro",
        "vpc_security_groups": [],
        "db_subnet_group": {"db_subnet_group_name": NAME},
        "db_parameter_groups": [{"db_parameter_group_name": NAME}],
    }
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "environment": "{{ suite_aws_environment }}",
        "vars_files": [str(ROOT / "playbooks/vars/restore.yml")],
        "vars": {
            "restore_live": {"instances": [found]},
            "restore_found": {"instances": []},
            "restore_snapshot": "by-hand",
            "restore_time": "",
            "restore_timeout_seconds": 60,
            "restore_credentials": {"value": {"password": "an0ther-one"}},
        },
        "tasks": [{"ansible.builtin.include_tasks": str(ROOT / "playbooks/tasks/restore_side.yml")}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    done = account.play(str(tmp_path / "play.yml"))
    assert done.returncode == 0, said(done)[-3000:]
    busy = [operation for operation, status in account.done if status == "backing-up"]
    assert "ModifyDBInstance" in account.operations and not busy, account.done
    assert rds.backend().databases[side]._master_user_password == "an0ther-one"


@pytest.mark.parametrize("protected", [False, True])
def test_nothing_is_removed_beside_a_second_database(account, protected):
    create(f"{NAME}-plain", DeletionProtection=protected)
    done = account.play("playbooks/destroy.yml", destroy_confirmation="django")
    assert done.returncode != 0 and f"beside {NAME} there is {NAME}-plain, which this does not remove" in said(done), said(done)[-3000:]
    assert "-e encrypt_database_remove_old=NAME" in said(done)
    assert account.writes == []


def test_a_database_alone_is_removed_when_its_name_was_typed(account):
    done = account.play("playbooks/destroy.yml", destroy_confirmation="nobody")
    assert 'destroy_confirmation is "nobody"' in said(done), said(done)[-3000:]
