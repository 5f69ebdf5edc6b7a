"""Role outputs: what a run without the application's play knows of the release, and where things of the cluster are, or why nowhere."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.tree import ROOT, VENV_BIN

PLAY = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [{"name": "Write", "ansible.builtin.include_role": {"name": "outputs"}}],
    }
]
KEYS = {"aws_endpoint_url", "environment", "app_url", "release", "instances", "database_endpoint"}
ADDRESSES = ("kubernetes_app_url", "prometheus_url", "grafana_url")
CLUSTER = {"name": "django-app", "status": "ACTIVE"}


def write(folder, *instances: str, release: str = "", cluster: dict | None = None, **inputs: object) -> dict:
    group = {"name": "lab-django-asg", "instances": [{"id": instance} for instance in instances]} if instances else None
    stack = dict.fromkeys(("database", "bastion", "vpc", "topic_arn", "repository")) | {
        "account_id": "123456789012",
        "region": "us-east-1",
        "listeners": [],
        "buckets": {"static": None},
        "load_balancer": {"dns_name": "alb.example.com"},
        "autoscaling_group": group,
        "cluster": cluster,
    }
    values = {"outputs_stack": stack, "outputs_path": str(folder / "outputs.json"), "outputs_release": release, **inputs}
    (folder / "play.yml").write_text(json.dumps(PLAY), "utf-8")
    command = [VENV_BIN / "ansible-playbook", "-i", "inventories/lab/hosts.yml", folder / "play.yml", "-e", json.dumps(values)]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180)
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
    assert write(tmp_path, cluster=CLUSTER, **given)["kubernetes_app_url"] == "http://k8s.example.com"
    assert write(tmp_path, cluster=CLUSTER, **given, outputs_ingress_https=True)["kubernetes_app_url"] == "https://k8s.example.com"


# The cluster, what is known of it, and by address where it is, or a word of the reason why it is nowhere.
FORWARD = "port-forward service"
PLACES = {
    "there is no cluster": (None, {}, dict.fromkeys(ADDRESSES, "there is no cluster")),
    "it is still being made": ({**CLUSTER, "status": "CREATING"}, {}, dict.fromkeys(ADDRESSES, "the cluster is CREATING")),
    "it does not answer": (CLUSTER, {"outputs_cluster_problem": "it does not answer"}, dict.fromkeys(ADDRESSES, "it does not answer")),
    "nothing is in it": (
        CLUSTER,
        {},
        dict(
            zip(
                ADDRESSES,
                ("has no load balancer yet (tag app)", "does not run (tag monitoring)", "does not run (tag monitoring)"),
                strict=True,
            )
        ),
    ),
    "Prometheus runs": (
        CLUSTER,
        {"outputs_ingress_host": "k8s.example.com", "outputs_running": ["prometheus"], "outputs_kubernetes_app_url": ""},
        dict(zip(ADDRESSES, ("http://k8s.example.com", f"{FORWARD}/prometheus 9090", "does not run (tag monitoring)"), strict=True)),
    ),
    "all of it runs, and has names": (
        CLUSTER,
        {
            "outputs_ingress_host": "k8s.example.com",
            "outputs_running": ["grafana", "prometheus"],
            "outputs_kubernetes_app_url": "https://www.example.com",
            "outputs_prometheus_url": "https://prometheus.example.com",
        },
        dict(zip(ADDRESSES, ("https://www.example.com", "https://prometheus.example.com", f"{FORWARD}/grafana 3000"), strict=True)),
    ),
}


@pytest.mark.parametrize(("cluster", "inputs", "expected"), PLACES.values(), ids=PLACES)
def test_each_address_of_the_cluster_is_there_or_the_reason_is(tmp_path, cluster, inputs, expected):
    found = write(tmp_path, cluster=cluster, **inputs)
    assert found["cluster"] == (cluster and cluster["name"])
    for key, words in expected.items():
        if words.startswith("http"):
            assert found[key] == words and key not in found["why_not"]
        else:
            assert found[key] is None and words in found["why_not"][key], found["why_not"]
