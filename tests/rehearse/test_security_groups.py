"""A wrong rule breaks what it would break on AWS: each is revoked behind the suite's back, felt by visitors, and mended by site.yml."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.acceptance.system import System

# Two failed checks at the lab's pace, and the load balancer's own patience with a target that does not accept.
BROKEN_SECONDS = 60
MENDED_SECONDS = 60


@pytest.fixture(scope="module")
def system(built) -> System:
    return built


def revoke(system: System, role: str, port: int) -> None:
    """Take away whoever may reach this port of the group."""
    ec2, group = system.client("ec2"), system.security_group(role)
    rules = [rule for rule in group["IpPermissions"] if rule.get("FromPort") == port]
    assert rules, f"{role} has no rule for port {port}"
    ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=rules)


def await_status(system: System, path: str, accepted: Callable[[int], bool], seconds: float, what: str) -> None:
    deadline, seen = time.monotonic() + seconds, 0
    while not accepted(seen := system.get(path).status):
        assert time.monotonic() < deadline, f"{what}: {path} answers {seen}"
        time.sleep(0.5)


def mend(system: System, recorder) -> None:
    outcome = recorder.playbook("network", "site.yml", "--tags", "network")
    assert outcome.returncode == 0, outcome.tail()
    assert outcome.total("changed") == 1, "\n".join(outcome.changed_tasks())
    for path in ("/", "/ready"):
        await_status(system, path, lambda status: status in (200, 403), MENDED_SECONDS, "mended")


def test_instances_that_the_load_balancer_may_not_reach(system, recorder):
    revoke(system, "app", 80)
    try:
        await_status(system, "/", lambda status: status in (502, 504), BROKEN_SECONDS, "no rule for the load balancer")
    finally:
        mend(system, recorder)


def test_a_database_that_the_instances_may_not_reach(system, recorder):
    """Pages need it. The health check does not, so that the group leaves the instances alone."""
    revoke(system, "database", 5432)
    try:
        # Connections that are open are let through, as on AWS: new ones are not.
        for machine in system.instances("app"):
            assert system.run_on(machine["InstanceId"], "systemctl", "restart", "gunicorn").returncode == 0
        await_status(system, "/", lambda status: status >= 500, BROKEN_SECONDS, "no rule for the instances")
        assert system.get("/health").status == 200
    finally:
        mend(system, recorder)


def test_a_load_balancer_that_nobody_may_reach(system, recorder):
    revoke(system, "load_balancer", 80)
    try:
        with pytest.raises(OSError):
            for _ in range(20):
                system.get("/")
                time.sleep(0.5)
    finally:
        mend(system, recorder)
