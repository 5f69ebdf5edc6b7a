"""The callback espalier.aws.screen: a play that only tells something prints that, and failures of any play are printed."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.tree import ROOT, VENV_BIN

TELLING = """
- name: Tell
  hosts: localhost
  gather_facts: false
  vars: {screen_only: true}
  tasks:
    - name: Look quietly
      ansible.builtin.command: "true"
    - name: Meet what is ignored
      ansible.builtin.command: "false"
      ignore_errors: true
    - name: Hand over
      ansible.builtin.set_stats:
        data: {screen: ["{{ {'a': [1, 2]} | to_nice_json }}"]}
        aggregate: false
"""
WORKING = TELLING.replace("vars: {screen_only: true}", "vars: {}")
FAILING = TELLING.replace("      ignore_errors: true\n", "")


@pytest.fixture
def run(tmp_path):
    def play(text: str, *options: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "play.yml"
        path.write_text(text)
        command = [str(VENV_BIN / "ansible-playbook"), "-i", "inventories/lab/hosts.yml", *options, str(path)]
        return subprocess.run(
            command, cwd=ROOT, env={**os.environ, "NO_COLOR": "1"}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    return play


def test_a_telling_play_prints_only_what_it_tells(run):
    done = run(TELLING)
    assert done.returncode == 0 and json.loads(done.stdout) == {"a": [1, 2]}, done.stdout


def test_with_verbosity_everything_is_printed(run):
    assert "TASK [Look quietly]" in run(TELLING, "-v").stdout


def test_its_failure_is_printed_with_its_task(run):
    done = run(FAILING)
    assert done.returncode == 2 and "TASK [Meet what is ignored]" in done.stdout and "FAILED!" in done.stdout
    assert "TASK [Look quietly]" not in done.stdout


def test_any_other_play_prints_what_it_always_did(run):
    done = run(WORKING)
    for words in ("PLAY [Tell]", "TASK [Look quietly]", "PLAY RECAP", "SUMMARY", "ignored=1"):
        assert words in done.stdout
