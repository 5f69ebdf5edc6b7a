"""Good inputs passed when the role was applied. Bad ones are refused: all of them in one run, each with its variable and a fix."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.tree import ROOT

BAD = {
    "vpc_cidr_block": "10.0.0.0/99",
    "alarms_email": "nobody",
    "suite_account_id": "999999999999",
    "autoscaling_mim_size": "2",
    "suite_datbase_secret": "shop",
    "database_storage_gib": "1",
    "load_balancer_health_timeout_seconds": "60",
    "monitoring_storage_gib": "20",
}


def run(*options: str) -> subprocess.CompletedProcess[str]:
    inventory = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"
    command = [
        "ansible-playbook",
        "--inventory",
        inventory,
        "--limit",
        "defaults",
        ROOT / "molecule" / "shared" / "on_accounts.yml",
        *options,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def refusal() -> str:
    done = run(*(word for name, value in BAD.items() for word in ("--extra-vars", f"{name}={value}")))
    assert done.returncode != 0, "bad inputs pass"
    return done.stdout


@pytest.mark.parametrize("variable", BAD)
def test_each_bad_input_is_named(refusal, variable):
    assert variable in refusal


def test_the_misspelt_name_is_told_its_right_one(refusal):
    assert "autoscaling_min_size" in refusal and "suite_database_secret" in refusal


def test_nothing_answers():
    done = run("--extra-vars", "suite_aws_endpoint_url=http://127.0.0.1:9")
    assert done.returncode != 0


def test_nothing_was_made(account):
    assert not account.described("describe_vpcs", "Vpcs")
