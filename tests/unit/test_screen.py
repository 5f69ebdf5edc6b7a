"""The callback espalier.aws.screen: a play that only tells something prints that, and failures of any play are printed."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from ansible_collections.espalier.aws.plugins.callback import screen

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


FIX = "1. make logs INSTANCE=i-1; ansible-playbook site.yml --tags app, or ansible-playbook playbooks/rollback.yml; make plan"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("inventories/lab", FIX),
        (
            "inventories/production",
            "1. make logs ENV=production INSTANCE=i-1; ansible-playbook -i inventories/production site.yml --tags app, "
            "or ansible-playbook -i inventories/production playbooks/rollback.yml; make plan OPTIONS='-i inventories/production'",
        ),
        # Not below inventories/: `make` takes no such name.
        ("/srv/mine", FIX.replace("ansible-playbook", "ansible-playbook -i /srv/mine")),
    ],
)
def test_a_command_names_the_inventory_of_the_run(monkeypatch, source, shown):
    monkeypatch.chdir(ROOT)
    assert screen.for_inventory(FIX, [source], [str(ROOT / "inventories" / "lab")]) == shown


def test_what_is_told_and_what_fails_names_the_inventory(run, tmp_path):
    hosts = tmp_path / "hosts.yml"
    hosts.write_text((ROOT / "inventories" / "lab" / "hosts.yml").read_text())
    told = TELLING.replace("{{ {'a': [1, 2]} | to_nice_json }}", "ansible-playbook playbooks/doctor.yml")
    failing = FAILING.replace('ansible.builtin.command: "false"', "ansible.builtin.fail: {msg: 'Deploy first: ansible-playbook site.yml'}")
    for text, command in ((told, "playbooks/doctor.yml"), (failing, "site.yml")):
        printed = run(text, "-i", str(hosts)).stdout
        assert f"ansible-playbook -i inventories/lab/hosts.yml -i {hosts} {command}" in printed.replace("\n", " "), printed
