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
    ("debug", {}, {"msg": "Would replace the instance a-bastion: image_id: ami-1 -> ami-2"}, ("replace", "instance", "a-bastion")),
    ("flow_log", {"vpc_id": "v"}, {"msg": "Would replace f.", "diff": {"before": {"a": 1}, "after": {}}}, ("replace", "flow logs of", "v")),
    ("eks_node_group", {"name": "n"}, {"diff": {"before": {}, "after": {"version": "1.35"}}}, ("create", "node group", "n")),
    ("debug", {}, {"msg": "Would change the target group lab-django-tg: {'port': 81}"}, ("change", "target group", "lab-django-tg")),
]  # fmt: skip


@pytest.mark.parametrize(("module", "options", "result", "expected"), ROWS)
def test_row(module, options, result, expected):
    found = plan.change_of(module, options, result, STACK, "role", "Ensure it")
    assert (found.action, found.kind, found.name) == expected


# What rds_instance answers in check mode: the instance as it is.
DATABASE = {
    "db_instance_status": "available",
    "db_instance_class": "db.t3.micro",
    "engine_version": "16.4",
    "storage_type": "gp2",
    "multi_az": False,
    "backup_retention_period": 1,
    "endpoint": {"address": "d.example.com", "port": 5432},
    "vpc_security_groups": [{"vpc_security_group_id": "sg-1", "status": "active"}],
    "iam_database_authentication_enabled": False,
    "db_subnet_group": {"db_subnet_group_name": "d"},
    "db_parameter_groups": [{"db_parameter_group_name": "d-16"}],
    "pending_modified_values": {},
    "tags": {"Name": "d"},
}
WANTED = {
    "db_instance_identifier": "d",
    "db_instance_class": "db.t3.micro",
    "engine_version": "16.4",
    "storage_type": "gp2",
    "multi_az": False,
    "backup_retention_period": 1,
    "port": 5432,
    "vpc_security_group_ids": ["sg-1"],
    "enable_cloudwatch_logs_exports": [],
    "enable_performance_insights": False,
    "enable_iam_database_authentication": False,
    "db_subnet_group_name": "d",
    "db_parameter_group_name": "d-16",
    "monitoring_role_arn": None,
    "tags": {"Name": "d"},
}


@pytest.mark.parametrize(
    ("wanted", "found", "details", "restarts"),
    [
        ({"backup_retention_period": 7}, {}, "backup_retention_period: 1 -> 7", False),
        ({"backup_retention_period": 0}, {}, "backup_retention_period: 1 -> 0", True),
        ({"backup_retention_period": 7}, {"backup_retention_period": 0}, "backup_retention_period: 0 -> 7", True),
        ({"db_instance_class": "db.t3.small"}, {}, "db_instance_class: db.t3.micro -> db.t3.small", True),
        ({"engine_version": "16.9"}, {}, "engine_version: 16.4 -> 16.9", True),
        ({"port": 5433}, {}, "port: 5432 -> 5433", True),
        ({"multi_az": True}, {}, "multi_az: False -> True", False),
        ({"storage_type": "gp3"}, {}, "storage_type: gp2 -> gp3", False),
        ({"storage_type": "io1"}, {}, "storage_type: gp2 -> io1", True),
        ({"storage_type": "io1", "multi_az": True}, {"multi_az": True}, "storage_type: gp2 -> io1", False),
        ({"multi_az": True}, {"storage_type": "standard", "multi_az": True}, "storage_type: standard -> gp2", True),
        ({"enable_cloudwatch_logs_exports": ["postgresql"]}, {}, "enable_cloudwatch_logs_exports: none -> ['postgresql']", False),
        ({"tags": {"Name": "d", "Team": "t"}}, {}, "tags: none -> {'Team': 't'}", False),
        ({"vpc_security_group_ids": ["sg-2"]}, {}, "vpc_security_group_ids: ['sg-1'] -> ['sg-2']", False),
        # What waits for the maintenance window is no news.
        ({"port": 5433, "multi_az": True}, {"pending_modified_values": {"multi_az": True}}, "port: 5432 -> 5433", True),
    ],
)  # fmt: skip
def test_a_database_s_downtime_is_that_of_what_changes(wanted, found, details, restarts):
    row = plan.change_of("rds_instance", {**WANTED, **wanted}, {**DATABASE, **found}, STACK, "database", "Ensure it")
    assert (row.action, "; ".join(row.details)) == ("change", details)
    assert row.as_dict()["interrupts"] is restarts
    assert row.interruption == (plan.DATABASE_RESTART if restarts else "no")


def test_a_cluster_s_interruptions():
    def row(module: str, before: dict, after: dict, **options: str) -> plan.Change:
        return plan.change_of(module, {"name": "n", **options}, {"diff": {"before": before, "after": after}}, {}, "eks", "")

    assert row("eks_node_group", {"version": "1.34"}, {"version": "1.35"}).interruption == plan.NEW_NODES
    assert row("eks_node_group", {"launch_template_version": "1"}, {"launch_template_version": "2"}).interruption == plan.NEW_NODES
    assert row("eks_node_group", {"max_size": 2}, {"max_size": 3}).interruption == "no"
    assert row("eks_cluster", {"version": "1.34"}, {"version": "1.35"}).interruption == plan.API_SERVER
    assert row("eks_cluster", {"log_types": []}, {"log_types": ["audit"]}).interruption == "no"
    assert row("eks_cluster", {"name": "n"}, {}, state="absent").as_dict()["interrupts"]


@pytest.mark.parametrize("module", ["ec2_vpc_endpoint", "ec2_vpc_subnet", "autoscaling_group", "elb_target_group", "ec2_security_group"])
def test_a_removal_is_felt(module):
    assert plan.change_of(module, {"name": "n", "cidr": "n", "state": "absent"}, {}, STACK, "", "").as_dict()["interrupts"]


def test_static_parameters_wait_for_a_reboot():
    diff = {"before": {"parameters": {"a": "1"}}, "after": {"parameters": {"a": "2"}}}
    row = plan.change_of("db_parameter_group", {"name": "d-16"}, {"diff": diff, "waiting_for_reboot": ["a"]}, STACK, "", "")
    assert row.details[-1] == "at the next reboot only: a" and row.interruption == "no"


def test_details_of_a_diff_and_of_the_stack():
    diff = {"before": {"target": 95.0, "same": 1}, "after": {"target": 70.0, "same": 1}}
    assert plan.change_of("target_tracking_policy", {"name": "p"}, {"diff": diff}, STACK, "", "").details == ["target: 95.0 -> 70.0"]
    group = plan.change_of("autoscaling_group", {"name": "lab-django-asg", "max_size": 3, "min_size": 1}, {}, STACK, "", "")
    assert (group.action, group.details) == ("change", ["max_size: 9 -> 3"])


def test_details_of_many_parameters_are_those_that_differ():
    same = {f"a_long_name_of_a_parameter_{number}": "1" for number in range(9)}
    diff = {"before": {"parameters": {**same, "log_statement": "all"}}, "after": {"parameters": {"log_statement": "ddl", **same}}}
    row = plan.change_of("db_parameter_group", {"name": "d-16"}, {"diff": diff}, STACK, "", "")
    assert row.details == ["parameters: {'log_statement': 'all'} -> {'log_statement': 'ddl'}"]


def test_a_module_that_manages_several():
    diff = {"before": {"a": {"Threshold": 1}, "gone": {"Threshold": 3}}, "after": {"a": {"Threshold": 2}, "new": {"Threshold": 2}}}
    rows = plan.changes_of("metric_alarms", {"alarms": []}, {"diff": diff}, STACK, "", "")
    assert [(row.action, row.kind, row.name, row.details) for row in rows] == [
        ("change", "alarm", "a", ["Threshold: 1 -> 2"]),
        ("remove", "alarm", "gone", []),
        ("create", "alarm", "new", []),
    ]
    addons = {
        "before": {"dns": {"version": "1"}, "csi": {"version": "1"}, "cni": {}},
        "after": {"dns": {"version": "2"}, "csi": {"version": "1"}, "cni": {"version": "1"}},
    }
    rows = plan.changes_of("eks_addons", {"addons": []}, {"diff": addons}, STACK, "", "")
    assert [(row.action, row.name) for row in rows] == [("create", "cni"), ("change", "dns")]
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
        "before": {"total": 200.0, "unpriced": []},
        "after": {"total": 163.5, "unpriced": []},
        "differences": [{"part": "NAT gateways", "before": 66.15, "after": 33.3}],
        "prices_date": "2026-11-23",
    }
    change = plan.change_of("rds_instance", {**WANTED, "db_instance_class": "db.t3.small"}, DATABASE, STACK, "", "")
    text = plan.render(plan.make([change], [], cost))
    assert "~ change" in text and "database d" in text and "without the database" in text
    assert "1 in all: 1 to change" in text
    assert "200.00 now, 163.50 after (-36.50)" in text and "66.15 -> 33.30" in text
    assert "Nothing to do" in plan.render(plan.make([], [], None))


def test_what_has_no_price_is_told_with_the_sum_that_misses_it():
    cost = {
        "before": {"total": 0.0, "unpriced": ["ec2 x9.huge", "rds db.x9.huge"]},
        "after": {"total": 0.0, "unpriced": ["ec2 x9.huge", "ebs io9"]},
        "differences": [],
        "prices_date": "2026-11-23",
    }
    text = plan.render(plan.make([], [], cost))
    assert "no price is known of ec2 x9.huge, which is missing in both sums (suite_cost_prices)" in text
    assert "rds db.x9.huge, which is missing in the sum now" in text and "ebs io9, which is missing in the sum after" in text


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
