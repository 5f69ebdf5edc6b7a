"""The plan: rows from what tasks say, and the callback that gathers them in a real run."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from ansible_collections.espalier.aws.plugins.plugin_utils import plan

from tests.tree import ROOT, VENV_BIN

STACK = {
    "vpc": {"id": "vpc-1", "cidr_block": "10.0.0.0/16"},
    "subnets": {"public": [{"id": "subnet-1", "cidr_block": "10.0.1.0/24"}], "private": [], "database": []},
    "nat_gateways": [{"id": "nat-1", "subnet_id": "subnet-1"}],
    "security_groups": {"app": "sg-1", "bastion": None},
    "vpc_endpoints": {"ssm": "vpce-1", "ssmmessages": None},
    "database": {"identifier": "lab-django-postgres"},
    "autoscaling_group": {"name": "lab-django-asg", "min_size": 1, "max_size": 9, "desired_capacity": 2},
    "topic_arn": "arn:aws:sns:us-east-1:123456789012:lab-django-alarms",
    "alarms": ["lab-django-cpu-high"],
    "bastion": None,
}
ROWS = [
    ("cloudwatch_metric_alarm", {"name": "lab-django-cpu-high"}, {}, ("change", "alarm", "lab-django-cpu-high")),
    ("cloudwatch_metric_alarm", {"name": "lab-django-new"}, {}, ("create", "alarm", "lab-django-new")),
    ("cloudwatch_metric_alarm", {"name": "lab-django-cpu-high", "state": "absent"}, {}, ("remove", "alarm", "lab-django-cpu-high")),
    ("ec2_security_group", {"name": "a", "tags": {"Role": "app"}}, {}, ("change", "security group", "a")),
    ("ec2_security_group", {"name": "b", "tags": {"Role": "bastion"}}, {}, ("create", "security group", "b")),
    ("ec2_vpc_subnet", {"cidr": "10.0.1.0/24", "tags": {"Name": "x"}}, {}, ("change", "subnet", "x")),
    ("ec2_vpc_subnet", {"cidr": "10.0.3.0/24", "tags": {}}, {}, ("create", "subnet", "10.0.3.0/24")),
    ("ec2_vpc_nat_gateway", {"subnet_id": "subnet-1", "tags": {"Name": "n"}}, {}, ("change", "NAT gateway", "n")),
    ("ec2_vpc_nat_gateway", {"nat_gateway_id": "nat-1", "state": "absent"}, {}, ("remove", "NAT gateway", "nat-1")),
    ("ec2_vpc_endpoint", {"service": "com.amazonaws.us-east-1.ssmmessages", "tags": {"Name": "e"}}, {}, ("create", "VPC endpoint", "e")),
    ("sns_topic", {"name": "lab-django-alarms"}, {}, ("change", "SNS topic", "lab-django-alarms")),
    ("ec2_instance", {"name": "lab-django-bastion"}, {}, ("create", "instance", "lab-django-bastion")),
    ("autoscaling_lifecycle_hook", {"lifecycle_hook_name": "h"}, {"msg": "Would have created Hook"}, ("create", "lifecycle hook", "h")),
    ("autoscaling_lifecycle_hook", {"lifecycle_hook_name": "h"}, {"msg": "Would have modified"}, ("change", "lifecycle hook", "h")),
    ("web_acl", {"name": "w"}, {"diff": {"before": {}, "after": {"rules": 2}}}, ("create", "web acl", "w")),
    ("web_acl", {"name": "w"}, {"diff": {"before": {"rules": 3}, "after": {"rules": 2}}}, ("change", "web acl", "w")),
    ("web_acl", {"name": "w"}, {"diff": {"before": {"rules": 3}, "after": {}}}, ("remove", "web acl", "w")),
    ("debug", {}, {"msg": "Would create the private\n bucket x."}, ("create", "", "private bucket x")),
    ("debug", {}, {"msg": "Would change the target group lab-django-tg: {'port': 81}"}, ("change", "target group", "lab-django-tg")),
]  # fmt: skip


@pytest.mark.parametrize(("module", "options", "result", "expected"), ROWS)
def test_row(module, options, result, expected):
    found = plan.change_of(module, options, result, STACK, "role", "Ensure it")
    assert (found.action, found.kind, found.name) == expected


def test_details_of_a_diff_and_of_the_stack():
    diff = {"before": {"target": 95.0, "same": 1}, "after": {"target": 70.0, "same": 1}}
    assert plan.change_of("target_tracking_policy", {"name": "p"}, {"diff": diff}, STACK, "", "").details == ["target: 95.0 -> 70.0"]
    group = plan.change_of("autoscaling_group", {"name": "lab-django-asg", "max_size": 3, "min_size": 1}, {}, STACK, "", "")
    assert (group.action, group.details) == ("change", ["max_size: 9 -> 3"])


def test_a_module_that_manages_several():
    diff = {"before": {"a": {"Threshold": 1}, "gone": {"Threshold": 3}}, "after": {"a": {"Threshold": 2}, "new": {"Threshold": 2}}}
    rows = plan.changes_of("metric_alarms", {"alarms": []}, {"diff": diff}, STACK, "", "")
    assert [(row.action, row.kind, row.name, row.details) for row in rows] == [
        ("change", "alarm", "a", ["Threshold: 1 -> 2"]),
        ("remove", "alarm", "gone", []),
        ("create", "alarm", "new", []),
    ]
    (row,) = plan.changes_of("web_acl", {"name": "w"}, {"diff": {"before": {}, "after": {"x": 1}}}, STACK, "", "")
    assert row.action == "create"


def test_a_resource_is_one_row():
    change = plan.Change("change", "bucket", "b", "", "", ["private"])
    again = plan.Change("change", "bucket", "b", "", "", ["private", "policy"])
    assert [row.details for row in plan.merged([change, again])] == [["private", "policy"]]


def test_removed_and_created_again_is_replaced():
    rows = [
        plan.Change("remove", "instance", "lab-django-bastion", "", ""),
        plan.Change("create", "instance", "lab-django-bastion", "", ""),
    ]
    (row,) = plan.merged(rows)
    assert row.action == "replace" and row.as_dict()["interrupts"] and "bastion" in row.interruption


def test_hosts_are_one_row():
    rows = [plan.Change("change", "instances", "nginx", "nginx", "t", ["Ensure it"], hosts=[host]) for host in ("i-1", "i-2")]
    (row,) = plan.merged(rows)
    assert row.hosts == ["i-1", "i-2"] and row.details == ["Ensure it"]


def test_text():
    cost = {
        "before": {"total": 200.0},
        "after": {"total": 163.5, "unpriced": []},
        "differences": [{"part": "NAT gateways", "before": 66.15, "after": 33.3}],
        "prices_date": "2026-11-23",
    }
    text = plan.render(plan.make([plan.change_of("rds_instance", {"db_instance_identifier": "d"}, {}, STACK, "", "")], [], cost))
    assert "~ change" in text and "database d" in text and "without the database" in text
    assert "1 in all: 1 to change" in text
    assert "200.00 now, 163.50 after (-36.50)" in text and "66.15 -> 33.30" in text
    assert "Nothing to do" in plan.render(plan.make([], [], None))


# ---- the callback in a run

PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Say what would change
      ansible.builtin.debug:
        msg: "Would create the target group {{ item }}"
      changed_when: true
      loop: [a, b]
    - name: Change nothing
      ansible.builtin.debug:
        msg: "Would create something"
    - name: Look
      ansible.builtin.command: "true"
      check_mode: false
      changed_when: true
    - name: Write a file
      ansible.builtin.copy:
        content: x
        dest: "{{ folder }}/file"
        mode: "0600"
    - name: Stumble and go on
      block:
        - name: Stumble
          ansible.builtin.fail:
            msg: not meant
      rescue:
        - name: Go on
          ansible.builtin.debug:
            msg: fine
    - name: Break
      ansible.builtin.fail:
        msg: really broken
      when: broken | default(false) | bool
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "play.yml").write_text(PLAY, "utf-8")
    (tmp_path / "hosts.yml").write_text("all: {hosts: {localhost: {ansible_connection: local}}}", "utf-8")

    def run(*options: str) -> tuple[subprocess.CompletedProcess, dict | None]:
        path = tmp_path / "plan.json"
        command = [VENV_BIN / "ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.yml", "-e", f"folder={tmp_path}", *options]
        environment = {**os.environ, "ESPALIER_PLAN_PATH": str(path), "NO_COLOR": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        return done, json.loads(path.read_text("utf-8")) if path.exists() else None

    return run


def test_callback_gathers_what_would_change_and_nothing_else(run, tmp_path):
    done, made = run("--check")
    assert done.returncode == 0, done.stdout
    assert made["result"] == "changes" and made["errors"] == []
    assert [(row["action"], row["kind"], row["name"]) for row in made["changes"][:2]] == [
        ("create", "target group", "a"),
        ("create", "target group", "b"),
    ]
    # By its argument, which ansible.cfg lets through.
    assert [(row["kind"], row["name"]) for row in made["changes"][2:]] == [("copy", f"{tmp_path}/file")]
    assert made["text"] in done.stdout


def test_callback_tells_an_error(run):
    done, made = run("--check", "-e", "broken=true")
    assert done.returncode != 0
    assert made["result"] == "error" and made["errors"][-1]["message"] == "really broken"
    assert "The plan is not complete" in made["text"]


def test_callback_is_silent_in_a_real_run(run):
    done, made = run()
    assert made is None and "PLAN" not in done.stdout
