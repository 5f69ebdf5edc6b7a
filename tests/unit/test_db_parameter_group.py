"""db_parameter_group: exactly the parameters that are given, each applied as soon as RDS can; and the lab's parameters of PostgreSQL."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from moto.rds.models import RDSBackend
from moto.rds.responses import RDSResponse

from lab.api import rds_parameters as addition
from tests.unit.moto_patches import client, patched
from tests.unit.run_module import run_module

TAGS = {"Project": "django", "Environment": "lab"}
NAME = "lab-postgres-16"


@pytest.fixture(autouse=True)
def account(monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with patched(addition, RDSBackend, RDSResponse):
        yield


def run(capsys, parameters=None, check_mode=False, **options) -> dict:
    given = {"name": NAME, "family": "postgres16", "tags": TAGS, "parameters": parameters or {"rds.force_ssl": True}}
    return run_module(capsys, "db_parameter_group", check_mode=check_mode, **{**given, **options})


def own() -> dict[str, tuple[str, str]]:
    """Value and way of application of what is set."""
    found = client("rds").describe_db_parameters(DBParameterGroupName=NAME, Source="user")["Parameters"]
    return {one["ParameterName"]: (one["ParameterValue"], one["ApplyMethod"]) for one in found}


def groups() -> list[str]:
    return [one["DBParameterGroupName"] for one in client("rds").describe_db_parameter_groups()["DBParameterGroups"]]


def test_its_life(capsys):
    assert run(capsys, check_mode=True)["changed"] and NAME not in groups()
    made = run(capsys)
    assert made["changed"] and made["parameters"] == {"rds.force_ssl": "1"} and NAME in groups()
    assert own() == {}, "RDS's own default needs not to be set"
    assert not run(capsys)["changed"]

    wanted = {"rds.force_ssl": False, "log_min_duration_statement": 1000, "max_connections": 50}
    plan = run(capsys, wanted, check_mode=True)
    assert plan["changed"] and own() == {}
    assert plan["diff"]["before"]["parameters"]["rds.force_ssl"] == "1" and plan["diff"]["after"]["parameters"]["rds.force_ssl"] == "0"
    changed = run(capsys, wanted)
    assert changed["changed"] and changed["waiting_for_reboot"] == ["max_connections"]
    assert own() == {
        "rds.force_ssl": ("0", "immediate"),
        "log_min_duration_statement": ("1000", "immediate"),
        "max_connections": ("50", "pending-reboot"),
    }
    assert not run(capsys, wanted)["changed"]

    assert run(capsys, {"rds.force_ssl": True})["changed"]
    assert own() == {"rds.force_ssl": ("1", "immediate")}, "what nobody wants any more goes back to the default"

    assert run(capsys, tags={**TAGS, "Team": "shop"}, check_mode=True)["changed"]
    assert run(capsys, tags={**TAGS, "Team": "shop"})["changed"]
    arn = client("rds").describe_db_parameter_groups(DBParameterGroupName=NAME)["DBParameterGroups"][0]["DBParameterGroupArn"]
    assert {"Key": "Team", "Value": "shop"} in client("rds").list_tags_for_resource(ResourceName=arn)["TagList"]

    assert run(capsys, state="absent", check_mode=True)["changed"] and NAME in groups()
    assert run(capsys, state="absent")["changed"] and NAME not in groups()
    assert not run(capsys, state="absent")["changed"]


def test_a_change_behind_its_back(capsys):
    run(capsys)
    off = {"ParameterName": "rds.force_ssl", "ParameterValue": "0", "ApplyMethod": "immediate"}
    client("rds").modify_db_parameter_group(DBParameterGroupName=NAME, Parameters=[off])
    assert run(capsys, check_mode=True)["changed"]
    assert run(capsys)["changed"] and own() == {"rds.force_ssl": ("1", "immediate")}


@pytest.mark.parametrize(("name", "word"), [("rds.force_tls", "no such parameter"), ("port", "lets nobody set")])
def test_parameters_that_cannot_be_set(capsys, name, word):
    answer = run(capsys, {name: 1})
    assert answer["failed"] and name in answer["msg"] and word in answer["msg"]


def test_another_family(capsys):
    run(capsys)
    assert "cannot change" in run(capsys, family="postgres17")["msg"]


def test_the_lab_refuses_what_rds_refuses(capsys):
    run(capsys)
    static = {"ParameterName": "max_connections", "ParameterValue": "50", "ApplyMethod": "immediate"}
    with pytest.raises(ClientError, match="static parameter"):
        client("rds").modify_db_parameter_group(DBParameterGroupName=NAME, Parameters=[static])
    with pytest.raises(ClientError, match="Could not find parameter"):
        client("rds").modify_db_parameter_group(DBParameterGroupName=NAME, Parameters=[{**static, "ParameterName": "max_conections"}])
