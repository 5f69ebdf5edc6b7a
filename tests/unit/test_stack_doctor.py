"""The doctor: a sound environment has no findings, each trouble is named with its fix, and what cannot be read stops nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time

import pytest
from ansible_collections.espalier.aws.plugins.filter.diagnosis_screen import diagnosis_screen
from ansible_collections.espalier.aws.plugins.module_utils import doctor_checks, doctor_facts
from ansible_collections.espalier.aws.plugins.module_utils.doctor_checks import diagnose
from ansible_collections.espalier.aws.plugins.module_utils.stack import Scope
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.backends import get_backend
from moto.iam.responses import IamResponse
from moto.servicequotas.responses import ServiceQuotasResponse

from lab.api import quotas, rights
from tests.printed import call, commands
from tests.tree import ROOT, VENV_BIN, load_yaml
from tests.unit.moto_patches import client, patched
from tests.unit.run_module import run_module

NOW = "2026-03-01T12:00:00+00:00"
ANYWHERE = {"protocol": "-1", "first": None, "last": None, "source": "0.0.0.0/0"}
EXPECTED = {
    "url": "http://page", "names": ["www.example.com"], "domains": ["www.example.com"], "visitors": [],
    "health_path": "/health", "ready_path": "/ready", "app_port": 80,
    "endpoints": ["ssm", "ssmmessages", "ec2messages"], "database": True, "database_port": 5432,
    "database_parameter": "/db", "release_parameter": "/release", "secrets": ["key"], "master_secret": "", "policy": "cpu",
    "min_size": 1, "max_size": 3, "alarms": True, "alarms_database": True, "alarms_requests": False, "alarms_prefix": "lab-django",
    "cluster": True,
}  # fmt: skip


def rule(port: int, source: str) -> dict:
    return {"protocol": "tcp", "first": port, "last": port, "source": source}


def said(**more) -> dict:
    units = ("nginx.service", "gunicorn.socket", "gunicorn.service", "django-environment.service")
    return {
        "clock_offset_seconds": 0.4,
        "units": {name: {"active": "active", "load": "loaded"} for name in units},
        "health": 200,
        "ready": 200,
        "disks": [{"mount": "/", "space_percent": 40, "inodes_percent": 10}],
        "memory_percent": 50,
        "database": {"address": "db.example", "error": ""},
        "release": "v2",
        "changed_files": [],
        **more,
    }


def sound() -> dict:
    """Facts of an environment in which all is well."""
    groups = {
        name: {"id": f"sg-{name}", "inbound": [], "outbound": [ANYWHERE]}
        for name in ("load_balancer", "app", "database", "bastion", "endpoints")
    }
    groups["load_balancer"]["inbound"] = [rule(80, "0.0.0.0/0")]
    groups["app"]["inbound"] = [rule(80, "sg-load_balancer")]
    groups["database"]["inbound"] = [rule(5432, "sg-app"), rule(5432, "sg-bastion"), rule(5432, "sg-cluster")]
    groups["endpoints"]["inbound"] = [rule(443, "10.0.0.0/16")]
    machine = {"role": "app", "state": "running", "launched": "2026-03-01T10:00:00+00:00"}
    return {
        "now": NOW,
        "expected": dict(EXPECTED),
        "stack": {
            "vpc": {"id": "vpc-1", "cidr_block": "10.0.0.0/16"},
            "load_balancer": {"name": "alb", "dns_name": "alb.example", "state": "active"},
            "listeners": [{"port": 80, "protocol": "HTTP"}],
            "target_group": {
                "arn": "tg", "targets": [{"id": name, "state": "healthy", "reason": None, "description": None} for name in ("i-a", "i-b")]
            },
            "autoscaling_group": {
                "name": "asg", "min_size": 1, "max_size": 3, "desired_capacity": 2, "suspended_processes": [],
                "instances": [{"id": name, "lifecycle_state": "InService"} for name in ("i-a", "i-b")],
            },
            "database": {"identifier": "db", "status": "available", "address": "db.example"},
            "topic_arn": "arn:topic",
            "secrets": {"key": {"arn": "arn", "deleted_date": None}},
            "cluster": {"name": "eks", "status": "ACTIVE", "security_group_id": "sg-cluster"},
            "node_group": {"name": "workers", "status": "ACTIVE"},
        },
        "eks": [],
        "kubernetes": {
            "error": "",
            "nodes": [{"metadata": {"name": "node-1"}, "spec": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}],
            "ingresses": [{"metadata": {"namespace": "app", "name": "web"}, "status": {"loadBalancer": {"ingress": [{"hostname": "x"}]}}}],
            "pods": {"app": {}, "monitoring": {}, "kube-system": {}},
            "tags": {"app": "app", "monitoring": "monitoring"},
            "may_lack": [],
        },
        "today": {
            "machines": [{"id": name, **machine} for name in ("i-a", "i-b")],
            "agents": {"i-a": "Online", "i-b": "Online"},
            "alarms": [
                {"name": f"lab-django-{end}", "state": "OK", "since": NOW, "reason": "", "actions": True, "muted": False}
                for end, (switch, _) in doctor_checks.ALARMS.items() if switch != "alarms_requests"
            ],
            "subscriptions": [{"protocol": "email", "endpoint": "ops@example.com", "pending": False}],
            "certificates": [],
            "activities": [{"at": NOW, "status": "Successful", "description": "Launching", "cause": "", "message": ""}],
            "backups": {
                "retention_days": 7, "restorable_to": "2026-03-01T11:57:00+00:00",
                "snapshots": [{"name": "nightly", "type": "automated", "status": "available", "at": "2026-03-01T03:00:00+00:00"}],
            },
        },
        "released": {"current": "v2", "releases": [{"version": "v2"}, {"version": "v1"}], "lock": {}},
        "machines": {"i-a": said(), "i-b": said()},
        "rules": groups,
        "group": {"target_groups": ["tg"], "policies": [{"name": "cpu", "enabled": True, "type": "TargetTrackingScaling"}]},
        "image": {"id": "ami-1", "state": "available"},
        "endpoints": {name: {"id": name, "state": "available"} for name in ("ssm", "ssmmessages", "ec2messages")},
        "profile": {"roles": ["role"]},
        "database": {"groups": ["sg-database"], "certificate_expires": "2030-01-01T00:00:00+00:00", "pending": []},
        "births": [],
        "quotas": [{"code": "L-1", "service": "vpc", "name": "VPCs per Region", "limit": 5, "used": 2}],
        "rights": [],
        "values": {"/db": "db.example", "/release": "v2"},
        "names": {"www.example.com": ["192.0.2.1"]},
        "balancer": ["192.0.2.1", "192.0.2.2"],
        "ingresses": {
            "k8s.example": {
                "targets": [{"id": "10.0.10.7", "state": "healthy", "reason": None, "description": None}],
                "certificates": [], "url": "http://k8s.example", "page": {"status": 200, "error": ""},
            }
        },
        "public_access": {"bucket": "lab-django-static", "open": []},
        "page": {"status": 200, "error": ""},
    }  # fmt: skip


facts = pytest.fixture(sound)


def test_a_sound_environment_has_no_findings(facts):
    assert diagnose(facts) == []


def change(**paths):
    """Set values by dotted path; a callable gets the old one."""

    def act(facts: dict) -> None:
        for path, value in paths.items():
            *folders, last = path.split("__")
            place = facts
            for folder in folders:
                place = place[int(folder)] if isinstance(place, list) else place[folder]
            place[int(last) if isinstance(place, list) else last] = value

    return act


def machine(**more):
    return lambda facts: facts["machines"].update({"i-a": said(**more)})


def unit(name: str, active: str, load: str = "loaded", health: int = 502):
    units = {**said()["units"], name: {"active": active, "load": load}}
    return machine(units=units, health=health, log=["ModuleNotFoundError: shop"])


UNHEALTHY = {
    "id": "i-a",
    "state": "unhealthy",
    "reason": "Target.ResponseCodeMismatch",
    "description": "Health checks failed with these codes: [502]",
}
CERTIFICATE = {
    "domain": "www.example.com",
    "names": ["www.example.com"],
    "status": "ISSUED",
    "expires": "2027-01-01T00:00:00+00:00",
    "imported": False,
}

TROUBLES = {
    "a name that does not resolve": (change(names={"www.example.com": "Name or service not known"}), "does not resolve", "Route 53"),
    "a name that leads elsewhere": (change(balancer=["198.51.100.1"]), "it leads to 192.0.2.1", "www.example.com to alb.example"),
    "SSH for everybody": (
        lambda f: f["rules"]["bastion"]["inbound"].append(rule(22, "0.0.0.0/0")),
        "whole world in (port 22",
        "--tags network",
    ),
    "everything for everybody": (
        lambda f: f["rules"]["database"]["inbound"].append({**ANYWHERE, "source": "::/0"}),
        "(every port from ::/0)",
        "--tags network",
    ),
    "a bucket that may be public": (change(public_access__open=["BlockPublicPolicy"]), "BlockPublicPolicy is off", "--tags data"),
    "an old certificate": (
        change(today__certificates=[{**CERTIFICATE, "expires": "2026-03-11T00:00:00+00:00"}]),
        "expires in 9 days",
        "validation record",
    ),
    "a certificate that is not issued": (
        change(today__certificates=[{**CERTIFICATE, "status": "PENDING_VALIDATION"}]),
        "PENDING_VALIDATION",
        "DNS",
    ),
    "a certificate for others": (change(today__certificates=[{**CERTIFICATE, "names": ["x.org"]}]), "no certificate", "app_domains"),
    "no rule from the load balancer": (change(rules__app__inbound=[]), "Target.Timeout", "--tags network"),
    "no rule to the database": (
        change(rules__database__inbound=[rule(5432, "sg-bastion"), rule(5432, "sg-cluster")]),
        "instances cannot reach the database",
        "--tags network",
    ),
    "no rule for visitors": (change(rules__load_balancer__inbound=[]), "visitors cannot reach port 80", "--tags network"),
    "no load balancer": (change(stack__load_balancer=None), "there is none", "--tags edge"),
    "no listener": (change(stack__listeners=[]), "no listener", "--tags edge"),
    "a page that fails": (change(page={"status": 502, "error": ""}), "answers 502", "other findings"),
    "an unhealthy target": (change(stack__target_group__targets__0=UNHEALTHY), "[502]", "Django does not"),
    "a group that is not attached": (change(group__target_groups=[]), "not attached", "--tags compute"),
    "suspended registration": (
        change(stack__autoscaling_group__suspended_processes=["AddToLoadBalancer"]),
        "AddToLoadBalancer",
        "resume-processes",
    ),
    "an instance that nobody registered": (lambda f: f["stack"]["target_group"]["targets"].pop(), "does not know it", "--tags app"),
    "a missing endpoint": (change(endpoints={}), "the VPC endpoint is missing", "--tags network"),
    "no instance profile": (change(profile=None), "no rights at all", "--tags compute"),
    "a lost agent": (change(today__agents={"i-a": "Online", "i-b": "ConnectionLost"}), "ConnectionLost", "reboot-instances"),
    "a machine that says nothing": (lambda f: f["machines"].update({"i-a": {"silent": "Connection lost"}}), "did not answer", "make shell"),
    "a dead service": (
        unit("gunicorn.service", "failed"),
        "gunicorn.service is failed. Its last words: ModuleNotFoundError: shop",
        "--tags app",
    ),
    "a masked service": (unit("gunicorn.socket", "inactive", "masked"), "gunicorn.socket is masked", "unmask"),
    "Django that fails": (machine(health=500, log=["ValueError: x"]), "status 500). Last line of the log: ValueError: x", "rollback"),
    "a full disk": (
        machine(disks=[{"mount": "/", "space_percent": 97, "inodes_percent": 5}]),
        "97 % of its space",
        "autoscaling_volume_gib",
    ),
    "no inodes": (machine(disks=[{"mount": "/", "space_percent": 7, "inodes_percent": 99}]), "99 % of its inodes", "make room"),
    "no memory": (machine(memory_percent=2), "2 % of its memory", "autoscaling_instance_type"),
    "a wrong clock": (machine(clock_offset_seconds=-400), "400 s off", "timesyncd"),
    "no database": (change(stack__database=None), "there is none", "docs/runbooks/restore.md"),
    "a stopped database": (change(stack__database__status="stopped"), "it is stopped", "start-db-instance"),
    "a failed database": (change(stack__database__status="storage-full"), "storage-full", "describe-events"),
    "another database's address": (change(values={"/db": "old.example"}), "ask the wrong one", "--tags data"),
    "a database without its group": (change(database__groups=["sg-default"]), "does not wear", "--tags data"),
    "the database's old certificate": (
        change(database__certificate_expires="2026-03-20T00:00:00+00:00"),
        "TLS certificate expires",
        "ca-certificate",
    ),
    "a missing secret": (change(stack__secrets={}), "does not exist", "--tags data"),
    "a master's secret that is lost": (change(expected__master_secret="master"), "does not exist", "--tags data"),
    "a secret that goes": (change(stack__secrets__key__deleted_date=NOW), "about to be deleted", "restore-secret"),
    "a refused login": (
        machine(ready=503, database={"address": "d", "error": "password authentication failed for user"}),
        "password",
        "--tags app -e app_full=true sets it",
    ),
    "a database that times out": (machine(ready=503, database={"address": "d", "error": "timed out"}), "timed out", "Security groups"),
    "suspended processes": (change(stack__autoscaling_group__suspended_processes=["Launch"]), "Launch are suspended", "resume-processes"),
    "no policy": (change(group__policies=[]), "policy cpu is missing", "--tags compute"),
    "no room to scale": (change(stack__autoscaling_group__min_size=3), "cannot scale", "autoscaling_max_size"),
    "a changed size": (change(stack__autoscaling_group__max_size=9), "max_size is 9", "--tags compute"),
    "too few instances": (change(today__machines=[]), "0 instances run", "other findings"),
    "an image that is gone": (change(image={"id": "ami-1", "state": "missing"}), "none can be launched", "refresh_image"),
    "a launch that failed": (
        change(today__activities=[{"status": "Failed", "description": "Launching", "message": "VcpuLimitExceeded: no"}]),
        "VcpuLimitExceeded",
        "quota",
    ),
    "a birth that failed": (
        change(births=[{"log": "s3://b/births/i-c.log", "at": "2026-03-01T11:50:00+00:00", "tail": ["a", "no space"]}]),
        "no space",
        "s3 cp",
    ),
    "a pointer to nothing": (change(released__current="v9"), "names v9", "rollback"),
    "an instance with another release": (machine(release="v1"), "serves v1", "--tags app"),
    "a file changed by hand": (machine(changed_files=["/etc/nginx/nginx.conf"]), "/etc/nginx/nginx.conf", "--tags app"),
    "a lock": (change(released__lock={"owner": "ada", "since": NOW, "what": "deploy"}), "ada has had it", "unlock"),
    "no backups": (change(today__backups__retention_days=0), "automatic backups are off", "database_backup_retention_days"),
    "a log that is behind": (change(today__backups__restorable_to="2026-03-01T10:00:00+00:00"), "last moment", "describe-events"),
    "an old snapshot": (change(today__backups__snapshots__0__at="2026-02-26T03:00:00+00:00"), "81 hours old", "backup.yml"),
    "no snapshot": (change(today__backups__snapshots=[]), "no snapshot", "backup.yml"),
    "an alarm that is missing": (lambda f: f["today"]["alarms"].pop(), "the alarm is missing", "--tags compute"),
    "an alarm without actions": (change(today__alarms__0__actions=False), "its actions are gone", "--tags compute"),
    "a muted alarm": (change(today__alarms__0__muted=True), "it is muted", "enable-alarm-actions --alarm-names lab-django-cpu-high"),
    "an alarm that rings": (change(today__alarms__0__state="ALARM"), "it rings", "autoscaling_max_size"),
    "nobody to tell": (change(today__subscriptions=[]), "nobody subscribes", "--tags compute"),
    "an address that nobody confirmed": (
        change(today__subscriptions__0__pending=True),
        "not confirmed",
        "sns subscribe --topic-arn arn:topic --protocol email --notification-endpoint ops@example.com",
    ),
    "a quota that is used up": (
        change(quotas=[{"code": "L-1", "service": "vpc", "name": "VPCs", "limit": 5, "used": 5}]),
        "5 of 5",
        "request-service-quota",
    ),
    "no cluster": (change(stack__cluster=None), "there is none", "--tags cluster"),
    "a cluster that failed": (change(stack__cluster__status="FAILED"), "it is FAILED", "--tags cluster"),
    "no nodes": (change(stack__node_group=None), "no node group", "--tags cluster"),
    "a node group that is ill": (change(stack__node_group__status="DEGRADED"), "DEGRADED", "--tags cluster"),
    "an add-on that is ill": (
        change(eks=[{"subject": "add-on coredns", "problem": "InsufficientNumberOfReplicas: none"}]),
        "InsufficientNumberOfReplicas",
        "docs/cluster.md",
    ),
    "no rule from the pods": (
        change(rules__database__inbound=[rule(5432, "sg-app"), rule(5432, "sg-bastion")]),
        "pods cannot reach the database",
        "--tags cluster",
    ),
    "a cluster that refuses": (change(kubernetes__error="Unauthorized"), "cannot be asked: Unauthorized", "eks_access_entries"),
    "a node that is away": (
        change(kubernetes__nodes__0__status={"conditions": [{"type": "Ready", "status": "Unknown", "message": "kubelet stopped posting"}]}),
        "kubelet stopped posting",
        "terminate its instance",
    ),
    "a node that was drained": (change(kubernetes__nodes__0__spec={"unschedulable": True}), "takes no new pods", "uncordon node-1"),
    "full nodes": (change(kubernetes__pods__app={"web": "Unschedulable: Insufficient cpu"}), "Insufficient cpu", "eks_node_max_size"),
    "an image that is not there": (change(kubernetes__pods__app={"web": "ErrImagePull: not found"}), "ErrImagePull", "--tags app"),
    "a pod that crashes": (
        change(kubernetes__pods__app={"web": "CrashLoopBackOff: the last one ended with 1"}),
        "ended with 1",
        "logs deployment/web --previous",
    ),
    "a pod that waits for nobody knows what": (
        change(kubernetes__pods__monitoring={"prometheus": "phase Unknown"}),
        "phase Unknown",
        "--tags monitoring",
    ),
    "an ingress without an address": (change(kubernetes__ingresses__0__status={}), "no load balancer serves it", "tags"),
    "pods that their load balancer refuses": (
        lambda f: f["ingresses"]["k8s.example"]["targets"].append({**UNHEALTHY, "id": "10.0.11.7"}),
        "calls 1 of 2 pods unhealthy: Target.ResponseCodeMismatch",
        "Django does not",
    ),
    "a page of the cluster that fails": (
        lambda f: f["ingresses"]["k8s.example"].update(page={"status": 0, "error": "refused"}),
        "does not answer: refused",
        "other findings",
    ),
    "an old certificate of the cluster": (
        lambda f: f["ingresses"]["k8s.example"]["certificates"].append({**CERTIFICATE, "expires": "2026-03-11T00:00:00+00:00"}),
        "expires in 9 days",
        "validation record",
    ),
    "a missing right": (change(rights=["s3:GetObject on x"]), "may not s3:GetObject on x", "--tags compute"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_each_trouble_is_named_with_its_fix(facts, name):
    act, problem, fix = TROUBLES[name]
    act(facts)
    found = diagnose(facts)
    assert [one for one in found if problem in one["problem"] and fix in one["fix"]], found


def test_every_check_has_a_trouble_of_its_own(monkeypatch):
    """A check that no trouble sets off could be gone, and nobody would notice."""
    silent = []
    for check in doctor_checks.CHECKS:
        monkeypatch.setattr(doctor_checks, "CHECKS", (check,))
        if not any(seen(name) for name in TROUBLES):
            silent.append(check.__name__)
        monkeypatch.undo()
    assert not silent


def seen(name: str) -> list[dict]:
    made = sound()
    TROUBLES[name][0](made)
    return diagnose(made)


def test_what_could_not_be_read_is_no_finding(facts):
    for key in (
        "rules",
        "group",
        "image",
        "endpoints",
        "profile",
        "database",
        "births",
        "quotas",
        "rights",
        "values",
        "names",
        "balancer",
        "public_access",
        "page",
        "ingresses",
        "eks",
        "kubernetes",
    ):
        del facts[key]
    assert diagnose(facts) == []


@pytest.mark.parametrize(("part", "key"), [(part, key) for part in ("stack", "today") for key in sound()[part]])
def test_what_the_others_could_not_read_is_no_finding(facts, part, key):
    """As a caller without the right, or on a night when that service is away: and another trouble is still found."""
    del facts[part][key]
    assert diagnose(facts) == []
    facts["page"] = {"status": 502, "error": ""}
    facts["machines"]["i-a"] = said(memory_percent=1)
    assert {"memory"} <= {one["check"] for one in diagnose(facts)} <= {"memory", "page"}


def test_a_machine_that_was_told_no_address_is_named_all_the_same(facts):
    facts["machines"]["i-a"] = said(ready=503, database=None)
    (one,) = diagnose(facts)
    assert one["check"] == "database connection" and "/ready answers 503" in one["problem"]


def test_an_environment_without_vpc_endpoints_lacks_none(facts):
    change(expected__endpoints=[], endpoints={}, rules__endpoints__inbound=[])(facts)
    assert diagnose(facts) == []


@pytest.mark.parametrize("reason", ["Target.InvalidState", "Elb.InternalError", None])
def test_no_reason_of_the_load_balancer_is_left_without_a_fix(facts, reason):
    change(stack__target_group__targets__0__state="unhealthy", stack__target_group__targets__0__reason=reason)(facts)
    for machines in ({}, facts["machines"]):
        facts["machines"] = machines
        (one,) = diagnose(facts)
        assert "docs/runbooks/unhealthy-targets.md" in one["fix"]


def test_the_last_words_are_the_last_error():
    log = [
        "Booting worker with pid: 7",
        "django.core.exceptions.ImproperlyConfigured: SECRET_KEY is empty",
        "Reason: Worker failed to boot.",
    ]
    assert doctor_checks.last_words({"log": log}, "Said") == f" Said: {log[1]}"
    assert doctor_checks.last_words({"log": log[2:]}, "Said") == " Said: Reason: Worker failed to boot."
    usage = ["usage: gunicorn [OPTIONS]", "gunicorn: error: argument -w/--workers: invalid", "worker gone"]
    assert doctor_checks.last_words({"log": usage}, "Said").endswith("invalid") and doctor_checks.last_words({}, "Said") == ""


def test_an_endpoint_is_known_by_the_end_of_its_service(facts):
    change(expected__endpoints=["ssm", "ecr.api"])(facts)
    assert [one["subject"] for one in diagnose(facts)] == ["ecr.api"]
    facts["endpoints"]["api"] = {"id": "vpce", "state": "available"}
    assert diagnose(facts) == []


def test_each_missing_alarm_is_named(facts):
    change(today__alarms=[], expected__alarms_requests=True)(facts)
    assert {one["subject"] for one in diagnose(facts)} == {f"lab-django-{end}" for end in doctor_checks.ALARMS}
    change(expected__alarms=False)(facts)
    assert diagnose(facts) == []


def test_the_doctor_s_alarms_are_those_of_the_role():
    made = load_yaml(ROOT / "roles" / "alarms" / "vars" / "main.yml")
    of = {"alarms": "__alarms_of_the_group", "alarms_database": "__alarms_of_the_database", "alarms_requests": "__alarms_of_requests"}
    role = {one["AlarmName"].partition(" }}-")[2]: switch for switch, name in of.items() for one in made[name]}
    assert role == {end: switch for end, (switch, _) in doctor_checks.ALARMS.items()}


def test_the_fix_of_an_alarm_is_that_of_its_page():
    page = (ROOT / "docs" / "runbooks" / "alarms.md").read_text("utf-8")
    rows = {end: fix for end, fix in re.findall(r"^\| `([a-z-]+)`[^|]*\|[^|]*\|([^|]*)\|$", page, re.MULTILINE)}
    assert set(rows) == set(doctor_checks.ALARMS)
    for end, (_, fix) in doctor_checks.ALARMS.items():
        words = re.findall(r"`([^`]+)`", rows[end]) + re.findall(r"\]\(([a-z-]+\.md)\)", rows[end])
        assert words and not [one for one in words if one not in fix], f"{end}: {fix}"


@pytest.mark.parametrize("name", TROUBLES)
def test_every_command_that_is_printed_exists(name):
    for fix in [one["fix"] for one in seen(name)]:
        for service, operation, options in commands(fix):
            call(client(service), operation, options)
        for playbook in re.findall(r"\S*\bplaybooks/[a-z_]+\.yml|\bsite\.yml", fix):
            assert (ROOT / playbook).exists(), fix


def test_what_may_be_lacking_is_a_warning(facts):
    change(kubernetes__pods__monitoring={"grafana": "ErrImagePull: x"}, kubernetes__may_lack=["grafana"])(facts)
    (one,) = diagnose(facts)
    assert (one["severity"], one["subject"]) == ("warning", "monitoring/grafana")


def test_a_system_without_a_cluster_lacks_nothing(facts):
    change(stack__cluster=None, stack__node_group=None, expected__cluster=False, kubernetes={})(facts)
    assert diagnose(facts) == []


def test_warnings_come_last(facts):
    change(today__backups__snapshots=[], page={"status": 502, "error": ""})(facts)
    assert [one["severity"] for one in diagnose(facts)] == ["problem", "warning"]


def test_a_new_machine_may_be_unknown_to_session_manager(facts):
    change(today__agents={"i-a": "Online"}, today__machines__1__launched="2026-03-01T11:58:00+00:00")(facts)
    assert diagnose(facts) == []


def test_the_screen_numbers_findings_and_names_what_was_not_seen():
    one = {"check": "disk", "severity": "warning", "subject": "i-a", "problem": "is full", "fix": "Make room."}
    lines = diagnosis_screen({"findings": [one], "unknown": {"quotas": "not allowed"}, "checks": 20})
    assert lines == [
        "1. disk, i-a (warning): is full", "   Fix: Make room.", "Not looked at: quotas: not allowed", "",
        "0 problems, 1 warning by 20 checks; nothing was changed.", "What else differs from the inventory: make plan",
    ]  # fmt: skip
    assert diagnosis_screen({"findings": [], "unknown": {}, "checks": 20})[0].startswith("Nothing is wrong")


# Readers, against moto

TAGS = [{"Key": "Project", "Value": "django"}, {"Key": "Environment", "Value": "lab"}]


@pytest.fixture(scope="module", autouse=True)
def _imported():
    for service in ("sts", "sns", *(name.replace("service-quotas", "servicequotas") for name in doctor_facts.SERVICES)):
        get_backend(service)


@pytest.fixture
def scope():
    with mock_aws():
        yield Scope("django", "lab", "123456789012", "us-east-1")


def test_rules_are_read_flat(scope):
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made = {}
    for role in ("load_balancer", "app"):
        tags = [{"ResourceType": "security-group", "Tags": [*TAGS, {"Key": "Role", "Value": role}]}]
        made[role] = ec2.create_security_group(GroupName=role, Description=role, VpcId=vpc, TagSpecifications=tags)["GroupId"]
    pair = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": made["load_balancer"]}]}
    ec2.authorize_security_group_ingress(GroupId=made["app"], IpPermissions=[pair])
    rules = doctor_facts.read_rules(client, scope)
    assert rules["app"]["inbound"] == [rule(80, made["load_balancer"])]
    assert rules["load_balancer"] == {"id": made["load_balancer"], "inbound": [], "outbound": [ANYWHERE]}


def test_the_image_is_that_of_the_instances_and_not_of_the_nodes(scope):
    ec2 = client("ec2")
    images = {role: ec2.register_image(Name=role, RootDeviceName="/dev/sda1")["ImageId"] for role in ("node", "app")}
    for role, image in images.items():
        tags = [{"ResourceType": "launch-template", "Tags": [*TAGS, {"Key": "Role", "Value": role}]}]
        ec2.create_launch_template(LaunchTemplateName=f"a-{role}", LaunchTemplateData={"ImageId": image}, TagSpecifications=tags)
    assert doctor_facts.read_image(client, scope) == {"id": images["app"], "state": "available"}
    ec2.deregister_image(ImageId=images["app"])
    assert doctor_facts.read_image(client, scope) == {"id": images["app"], "state": "missing"}


def test_an_endpoint_that_was_deleted_is_none(scope):
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    options = {"VpcId": vpc, "VpcEndpointType": "Interface", "TagSpecifications": [{"ResourceType": "vpc-endpoint", "Tags": TAGS}]}
    made = ec2.create_vpc_endpoint(ServiceName="com.amazonaws.us-east-1.ssm", **options)["VpcEndpoint"]["VpcEndpointId"]
    assert doctor_facts.read_endpoints(client, scope)["ssm"]["state"] == "available"
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
    assert doctor_facts.read_endpoints(client, scope) == {}


def test_births_of_the_last_day_are_read_with_their_end(scope):
    bucket = "lab-django-static-123456789012"
    assert doctor_facts.read_births(client, scope) == []
    client("s3").create_bucket(Bucket=bucket)
    client("s3").put_object(Bucket=bucket, Key="births/i-a.log", Body="\n".join(map(str, range(9))))
    (birth,) = doctor_facts.read_births(client, scope)
    assert birth["log"] == f"s3://{bucket}/births/i-a.log" and birth["tail"] == ["4", "5", "6", "7", "8"]


def test_the_load_balancer_of_an_ingress_is_found_by_its_name(scope):
    ec2, elbv2 = client("ec2"), client("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]["SubnetId"]
        for number, zone in enumerate("ab")
    ]
    made = [elbv2.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"][0] for name in ("other", "k8s")]
    group = elbv2.create_target_group(Name="pods", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")["TargetGroups"][0]
    forward = [{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}]
    elbv2.create_listener(LoadBalancerArn=made[1]["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=forward)
    elbv2.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": "10.0.0.9", "Port": 80}])
    expected = {"ingress_hosts": [made[1]["DNSName"].upper()], "kubernetes_url": "http://127.0.0.1:1", "health_path": "/health"}
    found = doctor_facts.read_ingresses(client, scope, expected)
    assert list(found) == [made[1]["DNSName"]]
    (one,) = found.values()
    assert [target["id"] for target in one["targets"]] == ["10.0.0.9"] and one["certificates"] == [] and one["page"]["status"] == 0
    assert doctor_facts.read_ingresses(client, scope, {**expected, "ingress_hosts": []}) == {}


def test_a_bucket_s_locks_are_read(scope):
    bucket, s3 = "lab-django-static-123456789012", client("s3")
    assert doctor_facts.read_public_access(client, scope) is None
    s3.create_bucket(Bucket=bucket)
    s3.delete_public_access_block(Bucket=bucket)
    assert doctor_facts.read_public_access(client, scope) == {"bucket": bucket, "open": list(doctor_facts.LOCKS)}
    locks = dict.fromkeys(doctor_facts.LOCKS, True) | {"BlockPublicPolicy": False}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=locks)
    assert doctor_facts.read_public_access(client, scope)["open"] == ["BlockPublicPolicy"]


def test_rules_for_the_whole_world_are_read_of_both_protocols():
    both = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    flat = doctor_facts.flatten({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **both})
    assert [one["source"] for one in flat] == ["0.0.0.0/0", "::/0"]


def test_parameters_that_are_missing_are_null(scope):
    client("ssm").put_parameter(Name="/db", Value="x", Type="String")
    assert doctor_facts.read_parameter_values(client, scope, {"parameters": ["/db", "/release"]}) == {"/db": "x", "/release": None}


def test_an_empty_account_reads_as_nothing(scope):
    assert doctor_facts.read_group(client, scope) is None and doctor_facts.read_image(client, scope) is None
    assert doctor_facts.read_profile(client, scope) is None and doctor_facts.read_database(client, scope) is None
    assert doctor_facts.read_endpoints(client, scope) == {} and doctor_facts.read_rules(client, scope) == {}


def test_quotas_and_rights_are_asked_of_the_account(scope):
    """Of the lab's, which answers what moto lacks."""
    with patched(quotas, ServiceQuotasResponse), patched(rights, IamResponse):
        assert {one["code"]: one["limit"] for one in doctor_facts.read_quotas(client, scope)} == {
            code: int(value) for (_service, code), value in quotas.DEFAULTS.items()
        }
        expected = {"secrets": ["app"], "parameters": ["/db"], "log_group": "/app"}
        assert doctor_facts.read_rights(client, scope, expected) is None
        client("iam").create_role(RoleName="lab-django-instance-role", AssumeRolePolicyDocument="{}")
        wanted = doctor_facts.wanted_rights(scope, expected)
        assert doctor_facts.read_rights(client, scope, expected) == [f"{action} on {resource}" for action, resource in wanted]
        statement = {"Effect": "Allow", "Action": [action for action, _ in wanted], "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        client("iam").put_role_policy(RoleName="lab-django-instance-role", PolicyName="p", PolicyDocument=document)
        assert doctor_facts.read_rights(client, scope, expected) == []


def test_what_a_machine_said_is_its_last_line():
    assert doctor_facts.parsed('warning: x\n{"health": 200}\n') == {"health": 200}
    assert doctor_facts.parsed("Connection lost") == {"silent": "Connection lost"} and "silent" in doctor_facts.parsed("")


def test_a_page_and_names_that_are_away_are_reasons_and_no_errors():
    expected = {"url": "http://127.0.0.1:1", "health_path": "/health", "names": ["no-such-host.invalid", "localhost"]}
    assert doctor_facts.read_page(client, None, expected)["status"] == 0
    found = doctor_facts.read_names(client, None, expected)
    assert isinstance(found["no-such-host.invalid"], str) and "127.0.0.1" in found["localhost"]


def test_the_module_tells_what_it_could_not_look_at(facts, monkeypatch, capsys):
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor_facts, "READERS", {"quotas": refuse})
    monkeypatch.setattr(doctor_facts, "EXPECTING", {"values": doctor_facts.read_parameter_values})
    with mock_aws():
        options = {key: facts[key] for key in ("stack", "today", "released", "expected")}
        machines = {"i-a": json.dumps(facts["machines"]["i-a"]), "i-b": "gone"}
        before = {"releases": "S3 is away"}
        answer = run_module(capsys, "stack_doctor", project="django", environment="lab", machines=machines, unknown=before, **options)
    assert answer["unknown"]["releases"] == "S3 is away"
    assert "AccessDenied" in answer["unknown"]["quotas"] and answer["changed"] is False and answer["checks"] >= 20
    assert [one["subject"] for one in answer["findings"] if one["check"] == "instance"] == ["i-b"]


def refuse(*_):
    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetServiceQuota")


def test_a_machine_says_how_it_is_in_one_line():
    """On this machine, which is no instance: it answers all the same, and the doctor takes it."""
    script = ROOT / "playbooks" / "files" / "machine_state.py"
    command = [sys.executable, script, "no-such-app", "/health", "/ready", str(time.time() - 100)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    state = doctor_facts.parsed(done.stdout)
    assert set(said()) <= set(state) and 99 < state["clock_offset_seconds"] < 160
    assert state["database"] is None and state["release"] == "" and state["changed_files"] == [] and state["disks"]
    assert set(state["units"]) == set(doctor_checks.UNITS)


def test_the_clock_of_a_controller_in_another_time_zone_is_the_same(tmp_path):
    """What the play hands to machine_state.py, as Ansible works it out."""
    (argument,) = re.findall(r'"({{ \(now\(utc=true\).*}})"', (ROOT / "playbooks" / "doctor.yml").read_text("utf-8"))
    said = {}
    for zone in ("UTC", "America/New_York"):
        command = [
            VENV_BIN / "ansible",
            "localhost",
            "-i",
            "inventories/lab/hosts.yml",
            "-m",
            "ansible.builtin.debug",
            "-a",
            json.dumps({"msg": argument}),
        ]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "TZ": zone, "NO_COLOR": "1"}, capture_output=True, text=True, check=True
        )
        said[zone] = float(re.search(r"\d{10}\.\d+", done.stdout)[0])
    assert all(abs(seconds - time.time()) < 120 for seconds in said.values()), said
