"""A run that ends at a missing right names it once more, below everything else."""

from __future__ import annotations

import subprocess

from tests.tree import ROOT, VENV_BIN

WORDS = (
    "An error occurred (AccessDenied) when calling the CreateTopic operation: User: arn:aws:sts::123456789012:assumed-role/a/b is not "
    "authorized to perform: sns:CreateTopic on resource: arn:aws:sns:us-east-1:123456789012:t because no identity-based policy allows it"
)
PLAY = f"""
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.fail:
        msg: "{WORDS}"
"""


def test_the_right_is_named_in_the_summary(tmp_path):
    (tmp_path / "play.yml").write_text(PLAY, "utf-8")
    (tmp_path / "hosts.yml").write_text("all: {hosts: {localhost: {ansible_connection: local}}}", "utf-8")
    command = [VENV_BIN / "ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.yml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    summary = done.stdout.rpartition("SUMMARY")[2]
    assert "Missing right: sns:CreateTopic on arn:aws:sns:us-east-1:123456789012:t." in summary
    assert "playbooks/deployment_role.yml" in summary
