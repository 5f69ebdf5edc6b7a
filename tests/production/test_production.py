"""The switches of inventories/production, all at once: built, built again, audited, protected, and removed without a rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.acceptance.production import CHECKS, managed_groups, table, waf_is_logged, web_acl
from tests.production.conftest import PLAY_SECONDS
from tests.production.drifts import DRIFTS
from tests.production.switches import ACCOUNT_DEFAULT, IS_OFF, OFF, OTHERWISE, distributions, session_documents
from tests.tree import ROOT

# The application needs machines that boot; tests/e2e has them.
WITHOUT_MACHINES = ("--tags", "network,data,edge,compute,cluster")


def words(done) -> str:
    return (done.stdout + done.stderr)[-6000:]


def plan(profile, *options: str) -> tuple[int, dict]:
    """Exit code and plan, as a pipeline gets them."""
    command = [sys.executable, ROOT / "bin" / "plan.py", "--json", "--inventory", profile.inventory, *options]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PLAY_SECONDS, check=False)
    assert done.stdout, words(done)
    return done.returncode, json.loads(done.stdout)


def test_a_plan_of_an_empty_account(profile):
    code, made = plan(profile)
    assert (code, made["result"], made["errors"]) == (2, "changes", [])
    before, after = (made["cost"][side] for side in ("before", "after"))
    assert before["total"] == 0 and before["parts"] == {}
    assert {"Instances", "Database", "Cluster", "WAF"} <= after["parts"].keys() and after["unpriced"] == []
    assert profile.system.described("describe_vpcs", "Vpcs") == [], "the plan has made something"


@pytest.fixture(scope="session")
def built(profile):
    # What must be there before it can be known is known by the second run: the database's address, its backups.
    for _run in range(2):
        done = profile.play("site.yml", *WITHOUT_MACHINES)
        assert done.returncode == 0, words(done)
    return profile


def test_a_further_run_changes_nothing(built):
    done = built.play("site.yml", *WITHOUT_MACHINES)
    assert done.returncode == 0, words(done)
    changed = [line for line in done.stdout.splitlines() if "changed=" in line and "changed=0" not in line]
    assert not changed, words(done)


@pytest.mark.parametrize("check", [check for check in CHECKS if check.holds], ids=lambda check: check.name)
def test_check(built, check):
    assert check.holds(built.system), f"{', '.join(check.ids)}: {check.what}"


def test_what_does_not_hold_has_a_reason():
    assert not [check.name for check in CHECKS if bool(check.holds) == bool(check.reason)]


def test_the_documentation_says_the_same():
    assert table() in (ROOT / "docs" / "production.md").read_text("utf-8"), "write it anew: python -m tests.acceptance.production"


@pytest.fixture(scope="module")
def drifted(built):
    mended = {drift.name: drift.act(built.system) for drift in DRIFTS}
    assert not [name for name, is_mended in mended.items() if is_mended()], "it did not happen"
    code, made = plan(built, *WITHOUT_MACHINES)
    assert (code, made["errors"]) == (2, [])
    return made["changes"], mended


def is_of(row: dict, drift) -> bool:
    return row["kind"] == drift.kind and row["name"].startswith(drift.resource)


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.name)
def test_a_drift_is_planned(drifted, drift):
    rows, _mended = drifted
    (row,) = [row for row in rows if is_of(row, drift)]
    assert row["action"] == drift.action, row
    assert all(word in "; ".join(row["details"]) for word in drift.words), row["details"]


def test_nothing_else_is_planned(drifted):
    rows, _mended = drifted
    assert not [row for row in rows if not any(is_of(row, drift) for drift in DRIFTS)]


def test_drifts_are_mended(built, drifted):
    _rows, mended = drifted
    done = built.play("site.yml", *WITHOUT_MACHINES)
    assert done.returncode == 0, words(done)
    assert not [name for name, is_mended in mended.items() if not is_mended()]
    assert plan(built, *WITHOUT_MACHINES)[0] == 0


REFUSED = {
    "database_encrypted": (False, "no way back"),
    "database_name": ("shop", "CREATE DATABASE"),
    "static_bucket_versioning": (False, "static_bucket_suspend_versioning"),
    "vpc_public_subnet_cidr_blocks": (["10.0.1.0/24", "10.0.9.0/24"], "neither move nor resize"),
}


def test_what_aws_cannot_change_is_refused(built):
    done = built.play("site.yml", "--tags", "network", **{name: value for name, (value, _word) in REFUSED.items()})
    assert done.returncode != 0
    # Ansible breaks lines as it likes.
    said = " ".join(done.stdout.split())
    assert not [name for name, (_value, word) in REFUSED.items() if name not in said or word not in said], words(done)


@pytest.mark.parametrize("name", IS_OFF)
def test_a_switch_is_on(built, name):
    assert not IS_OFF[name](built.system), f"{name}: the test for off would pass while it is on"


def unchanged(done) -> bool:
    return done.returncode == 0 and not [line for line in done.stdout.splitlines() if "changed=" in line and "changed=0" not in line]


def test_cloudfront_stays_while_pages_may_name_it(built):
    release = {"Name": "/DjangoApp/release", "Type": "String", "Value": "1.0"}
    ssm = built.system.client("ssm")
    ssm.put_parameter(**release, Tags=[{"Key": "Project", "Value": "django"}, {"Key": "Environment", "Value": "production"}])
    try:
        done = built.play("site.yml", "--tags", "data", cdn_enabled=False)
        assert unchanged(done) and "--tags data,app" in " ".join(done.stdout.split()), words(done)
        assert distributions(built.system), "pages name it until the application's next deploy"
    finally:
        ssm.delete_parameter(Name=release["Name"])


@pytest.fixture(scope="session")
def otherwise(built):
    done = built.play("site.yml", "--tags", "edge,compute", **OTHERWISE)
    assert done.returncode == 0, words(done)
    return built


def test_a_web_acl_that_only_counts(otherwise):
    system = otherwise.system
    blocking = [rule["Name"] for rule in web_acl(system)["Rules"] if "Block" in rule.get("Action", {})]
    assert not blocking and not managed_groups(system) and not waf_is_logged(system)


def test_every_shell_of_the_account_is_logged(otherwise):
    assert ACCOUNT_DEFAULT in session_documents(otherwise.system)


def test_otherwise_is_all_that_changes(otherwise):
    done = otherwise.play("site.yml", "--tags", "edge,compute", **OTHERWISE)
    assert unchanged(done), words(done)


@pytest.fixture(scope="session")
def off(built):
    """The living system, with every switch that can be turned back turned off."""
    done = built.play("site.yml", *WITHOUT_MACHINES, **OFF)
    assert done.returncode == 0, words(done)
    return built


@pytest.mark.parametrize("name", IS_OFF)
def test_a_switch_is_off(off, name):
    assert IS_OFF[name](off.system), name


def test_off_is_all_that_changes(off):
    done = off.play("site.yml", *WITHOUT_MACHINES, **OFF)
    assert unchanged(done), words(done)


def test_all_on_again(off):
    done = off.play("site.yml", *WITHOUT_MACHINES)
    assert done.returncode == 0, words(done)
    assert not [name for name, is_off in IS_OFF.items() if is_off(off.system)]
    assert not [check.name for check in CHECKS if check.holds and not check.holds(off.system)]


@pytest.fixture(scope="session")
def removed(built):
    """Refused while it is protected, then removed."""
    refused = built.play("playbooks/destroy.yml", destroy_confirmation="django")
    assert refused.returncode != 0 and "is protected against deletion" in " ".join(refused.stdout.split()), words(refused)
    unprotected = {f"{part}_deletion_protection": False for part in ("database", "load_balancer", "eks")}
    lifted = built.play("site.yml", "--tags", "data,edge,cluster", **unprotected)
    assert lifted.returncode == 0, words(lifted)
    return built.play("playbooks/destroy.yml", destroy_confirmation="django", **unprotected)


def test_removal(removed):
    assert removed.returncode == 0, words(removed)
    assert "final" in removed.stdout, "the database's last snapshot is not said"
