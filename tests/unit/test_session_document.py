"""session_document: made, changed with a new version that sessions get, removed."""

from __future__ import annotations

import json

import boto3
import pytest
from moto import mock_aws

from tests.unit.run_module import run_module


@pytest.fixture
def ssm(monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield boto3.client("ssm", "us-east-1")


@pytest.fixture
def run(ssm, capsys):
    given = {"name": "lab-shell", "description": "Shells", "tags": {"Project": "django"}}
    return lambda check_mode=False, **options: run_module(capsys, "session_document", check_mode=check_mode, **{**given, **options})


def inputs(ssm) -> dict:
    content = json.loads(ssm.get_document(Name="lab-shell")["Content"])
    assert (content["sessionType"], content["schemaVersion"]) == ("Standard_Stream", "1.0")
    return content["inputs"]


def names(ssm) -> list[str]:
    return [one["Name"] for one in ssm.list_documents(Filters=[{"Key": "Owner", "Values": ["Self"]}])["DocumentIdentifiers"]]


def test_its_life(run, ssm):
    assert run(check_mode=True)["changed"] and "lab-shell" not in names(ssm)
    assert run()["version"] == "1"
    assert ssm.describe_document(Name="lab-shell")["Document"]["DocumentType"] == "Session"
    assert (inputs(ssm)["cloudWatchLogGroupName"], inputs(ssm)["cloudWatchStreamingEnabled"]) == ("", False)
    assert not run()["changed"]

    logged = {"log_group": "/aws/ssm/lab", "idle_minutes": 5}
    assert run(check_mode=True, **logged)["changed"] and inputs(ssm)["cloudWatchLogGroupName"] == ""
    assert run(**logged)["version"] == "2"
    assert inputs(ssm)["cloudWatchLogGroupName"] == "/aws/ssm/lab", "sessions still get the old version"
    assert (inputs(ssm)["cloudWatchStreamingEnabled"], inputs(ssm)["idleSessionTimeout"]) == (True, "5")
    assert not run(**logged)["changed"]

    assert run(check_mode=True, state="absent")["changed"] and "lab-shell" in names(ssm)
    assert run(state="absent")["changed"] and "lab-shell" not in names(ssm)
    assert not run(state="absent")["changed"]


def test_a_run_that_was_cut_short(run, ssm):
    """The new version is there, and sessions do not get it yet."""
    run()
    run(log_group="/aws/ssm/lab")
    ssm.update_document_default_version(Name="lab-shell", DocumentVersion="1")
    assert run(log_group="/aws/ssm/lab")["changed"] and inputs(ssm)["cloudWatchLogGroupName"] == "/aws/ssm/lab"


def test_a_document_of_others_stays(run, ssm):
    """As that of the whole account, which another environment may have made."""
    run(tags={"Project": "django", "Environment": "staging"})
    ours = {"state": "absent", "tags": {"Project": "django", "Environment": "lab"}}
    assert not run(**ours)["changed"] and "lab-shell" in names(ssm)
    # Who changes it, has it.
    assert run(description="Ours", tags={"Project": "django", "Environment": "lab"})["changed"]
    assert run(check_mode=True, **ours)["changed"] and "lab-shell" in names(ssm)
    assert run(**ours)["changed"] and "lab-shell" not in names(ssm)
    assert not run(**ours)["changed"]


def test_an_untagged_document_is_not_ours(run, ssm):
    ssm.create_document(Name="lab-shell", Content='{"schemaVersion": "1.0", "sessionType": "Standard_Stream"}', DocumentType="Session")
    assert not run(state="absent")["changed"] and "lab-shell" in names(ssm)
