"""Role outputs: what a run without the application's play knows of the release."""

from __future__ import annotations

import json
import subprocess

from tests.tree import ROOT, VENV_BIN

PLAY = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [{"name": "Write", "ansible.builtin.include_role": {"name": "outputs"}}],
    }
]
KEYS = {"aws_endpoint_url", "environment", "app_url", "release", "instances", "database_endpoint"}


def write(folder, *instances: str, release: str = "", **given: object) -> dict:
    group = {"name": "lab-django-asg", "instances": [{"id": instance} for instance in instances]} if instances else None
    stack = dict.fromkeys(("database", "bastion", "vpc", "topic_arn", "repository")) | {
        "cluster": {"name": "django-app", "status": "ACTIVE"} if given else None,
        "account_id": "123456789012",
        "region": "us-east-1",
        "listeners": [],
        "buckets": {"static": None},
        "load_balancer": {"dns_name": "alb.example.com"},
        "autoscaling_group": group,
    }
    values = {"outputs_stack": stack, "outputs_path": str(folder / "outputs.json"), "outputs_release": release, **given}
    (folder / "play.yml").write_text(json.dumps(PLAY), "utf-8")
    command = [VENV_BIN / "ansible-playbook", "-i", "inventories/lab/hosts.yml", folder / "play.yml", "-e", json.dumps(values)]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=0" in done.stdout
    return json.loads((folder / "outputs.json").read_text("utf-8"))


def test_release_is_kept_while_a_machine_of_then_is_there(tmp_path):
    first = write(tmp_path, "i-1", "i-2")
    assert first.keys() >= KEYS and first["release"] is None and first["app_url"] and first["environment"] == "lab"
    assert write(tmp_path, "i-1", "i-2", release="a1b2")["release"] == "a1b2"
    assert write(tmp_path, "i-2", "i-3")["release"] == "a1b2"
    assert write(tmp_path, "i-4", "i-5")["release"] is None, "no machine that has it is there any more"


def test_the_ingress_s_own_name_is_asked_for_as_it_answers(tmp_path):
    given = {"outputs_ingress_host": "k8s.example.com", "outputs_kubernetes_app_url": ""}
    assert write(tmp_path, **given)["kubernetes_app_url"] == "http://k8s.example.com"
    assert write(tmp_path, **given, outputs_ingress_https=True)["kubernetes_app_url"] == "https://k8s.example.com"
