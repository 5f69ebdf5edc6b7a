"""A plan is right: what somebody did by hand is named, thing for thing, and site.yml mends it. What scaling did is nobody's drift."""

from __future__ import annotations

import json

import pytest

from tests.e2e.api_log import ApiLog
from tests.e2e.steps import succeeded
from tests.rehearse.drifts import DRIFTS, Drift
from tests.tree import VENV_BIN

NOTHING, CHANGES, ERROR = 0, 2, 1


@pytest.fixture
def plan(recorder):
    """Make a plan as a pipeline does; returns it and the exit code."""

    def plan(name: str, *options: str) -> tuple[dict, int]:
        outcome = recorder.run(f"plan: {name}", str(VENV_BIN / "python"), "bin/plan.py", "--json", *options)
        assert outcome.returncode != ERROR, outcome.tail()
        return json.loads(outcome.output), outcome.returncode

    return plan


MENDED: dict[str, object] = {}
PLAN: dict = {}


@pytest.mark.build
def test_nothing_to_do(built, plan):
    found, code = plan("nothing to do")
    assert (found["result"], code, found["changes"]) == ("nothing to do", NOTHING, [])
    assert found["cost"]["before"]["total"] == pytest.approx(found["cost"]["after"]["total"]), found["cost"]["differences"]


def test_what_scaling_did_is_no_drift(built, plan):
    client, group = built.client("autoscaling"), built.auto_scaling_group()
    name = {"AutoScalingGroupName": group["AutoScalingGroupName"]}
    # Not launched: it would take minutes, and is another test's.
    client.suspend_processes(**name, ScalingProcesses=["Launch"])
    client.set_desired_capacity(**name, DesiredCapacity=group["DesiredCapacity"] + 1)
    try:
        found, code = plan("scaled", "--tags", "compute")
        assert (found["changes"], code) == ([], NOTHING)
    finally:
        client.set_desired_capacity(**name, DesiredCapacity=group["DesiredCapacity"])
        client.resume_processes(**name, ScalingProcesses=["Launch"])


def test_what_would_be_replaced_is_named(built, plan):
    """A bastion of another image: a plan is not more than a plan, so the image need not exist."""
    (bastion,) = built.instances("bastion")
    other = "ami-0a1b2c3d4e5f60004"
    found, code = plan("replaced", "--tags", "compute", "-e", "bastion_refresh_image=true", "-e", f"bastion_image_id={other}")
    (row,) = found["changes"]
    assert (row["action"], row["kind"], row["name"], code) == ("replace", "instance", f"{built.prefix}-bastion", CHANGES)
    assert row["details"] == [f"image_id: {bastion['ImageId']} -> {other}"] and row["interruption"] == "sessions on the bastion"
    assert [one["InstanceId"] for one in built.instances("bastion")] == [bastion["InstanceId"]]


def test_another_port_of_the_target_group_is_refused(recorder):
    ports = [option for name in ("load_balancer_target_port", "security_groups_app_port") for option in ("-e", f"{name}=8080")]
    outcome = recorder.run("plan: port", str(VENV_BIN / "python"), "bin/plan.py", *ports, "--tags", "edge")
    assert outcome.returncode == ERROR and "which AWS cannot change. Set it back." in outcome.output, outcome.tail()


@pytest.mark.build
def test_drifts_are_planned(built, plan):
    for drift in DRIFTS:
        MENDED[drift.name] = drift.act(built)
        assert not MENDED[drift.name](), f"{drift.name}: it did not happen"
    log = ApiLog.start()
    found, code = plan("drifts")
    assert (found["result"], code) == ("changes", CHANGES)
    assert log.writes() == [], "a plan wrote to the account"
    PLAN.update(found)


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.name)
def test_drift_is_named(drift: Drift):
    rows = {(row["kind"], row["name"]): row for row in PLAN["changes"]}
    assert (drift.kind, drift.resource) in rows, sorted(rows)
    row = rows[drift.kind, drift.resource]
    assert row["action"] == drift.action, row
    assert all(word in "; ".join(row["details"]) for word in drift.words), row["details"]
    assert not [word for word in drift.silent if word in "; ".join(row["details"])], row["details"]
    assert row["interrupts"] is bool(drift.felt) and (drift.felt or "no") in row["interruption"], row["interruption"]


def test_nothing_else_is_named():
    named = {(row["kind"], row["name"]) for row in PLAN["changes"]}
    assert named == {(drift.kind, drift.resource) for drift in DRIFTS}


@pytest.mark.build
def test_site_mends(recorder, built):
    succeeded(recorder.playbook("site.yml, mending", "site.yml", seconds=1800))


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.name)
def test_drift_is_mended(drift: Drift):
    assert MENDED[drift.name]()


def test_nothing_to_do_again(plan):
    found, code = plan("mended")
    assert (found["changes"], code) == ([], NOTHING)


def test_an_error_is_told(recorder):
    outcome = recorder.run("plan: error", str(VENV_BIN / "python"), "bin/plan.py", "-e", "database_storage_gib=5")
    assert outcome.returncode == ERROR
    assert "database_storage_gib" in outcome.output
