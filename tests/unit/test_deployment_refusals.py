"""What roles/deployment_role refuses before it asks AWS for anything."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.tree import ROOT, VENV_BIN
from tests.unit.deployment_role import ACCOUNT

PLAY = """
- hosts: localhost
  gather_facts: false
  roles: [deployment_role]
"""
LONG = {"Effect": "Allow", "Action": "sqs:GetQueueUrl", "Resource": f"arn:aws:sqs:us-east-1:{ACCOUNT}:" + 5500 * "s"}
GITHUB = {"deployment_role_github_repository": "you/shop"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"deployment_role_statements": [LONG] * 10}, "(deployment_role_policies_max). Shorten deployment_role_statements"),
        ({**GITHUB, "deployment_role_github_owner_id": "123"}, "both numbers or neither"),
        ({**GITHUB, "deployment_role_github_owner_id": "*", "deployment_role_github_repository_id": "*"}, "both numbers or neither"),
        ({"deployment_role_github_repository": "you/*"}, "a repository as owner/name"),
    ],
    ids=["too many policies", "one number", "wildcards for numbers", "a wildcard for the name"],
)
def test_refusal(tmp_path, values, words):
    (tmp_path / "play.yml").write_text(PLAY, "utf-8")
    given = json.dumps({"suite_account_id": ACCOUNT, **values})
    command = [VENV_BIN / "ansible-playbook", "-i", ROOT / "inventories/staging/hosts.yml", tmp_path / "play.yml", "--check", "-e", given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert words in " ".join(done.stdout.split()), done.stdout + done.stderr
