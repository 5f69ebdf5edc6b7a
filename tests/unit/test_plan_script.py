"""bin/plan.py as a pipeline runs it: where no plan can be made, it exits with 1, says why, and prints nothing that looks like a plan."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from bin import plan as script
from tests.tree import ROOT


def test_a_run_that_fails_and_does_not_say_where_has_nothing_to_say(monkeypatch, capsys, tmp_path):
    made = {"result": "nothing to do", "changes": [], "errors": [], "cost": None, "text": "Nothing to do"}
    playbook = tmp_path / "ansible-playbook"
    playbook.write_text(f"#!/bin/sh\necho '{json.dumps(made)}' > \"$ESPALIER_PLAN_PATH\"\necho it went wrong\nexit 250\n", "utf-8")
    playbook.chmod(0o755)
    monkeypatch.setattr(script, "PLAYBOOK", playbook)
    for options in ([], ["--json"]):
        assert script.main(options) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "it went wrong" in printed.err and ".plan/run.log" in printed.err


def plan(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
    command = [sys.executable, "bin/plan.py", "--json", *options]
    return subprocess.run(command, cwd=ROOT, env=shell | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


BROKEN = {
    "an inventory that is no YAML": {"hosts.yml": "all: [", "group_vars/all.yml": "{}"},
    "variables that are no YAML": {"hosts.yml": "all: {hosts: {localhost: {}}}", "group_vars/all.yml": "suite_region: [us-east-1"},
}


@pytest.mark.parametrize("files", BROKEN.values(), ids=BROKEN)
def test_a_broken_inventory(files, tmp_path):
    (tmp_path / "group_vars").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    done = plan("-i", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "The plan could not be made" in done.stderr and ".plan/run.log" in done.stderr
    assert str(tmp_path) in done.stderr, "what is broken is not said"


def test_an_option_that_there_is_not():
    done = plan("--tagz", "network")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--tagz" in done.stderr
