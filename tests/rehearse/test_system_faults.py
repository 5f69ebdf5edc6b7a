"""Things die at the worst moment: parts of the lab, machines, runs of Ansible. Afterwards all is as before, and nothing is there twice.

Each test is one step and stands on the ones before it.
"""

from __future__ import annotations

import contextlib
import time

import pytest

from lab.podman import podman
from lab.settings import SETTINGS
from lab.supervisor import read_pid
from tests.acceptance import app
from tests.acceptance.checks import EVERYTHING
from tests.e2e.leftovers import leftovers
from tests.e2e.steps import PARTS, await_page, await_replacement, kill_one, kill_part, nothing_changed, succeeded
from tests.tree import VENV_BIN

SITE = (str(VENV_BIN / "ansible-playbook"), "site.yml")
# What each part looks after: it is killed with the part, so that `lab up` has something to prove.
KEPT = {"instances": "instance", "databases": "database", "load_balancers": "load_balancer"}
TOKEN = "curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token"


def await_ready(system, seconds: float = 90) -> None:
    """Until every instance reaches its database."""
    deadline = time.monotonic() + seconds
    last: list[int] = []
    while time.monotonic() < deadline:
        last = [app.status_on(system, instance, "/ready") for instance in app.instance_ids(system)]
        if last == [200, 200]:
            return
        time.sleep(1)
    raise AssertionError(f"/ready answers {last} after {seconds} s")


@contextlib.contextmanager
def without_replacement(system):
    """The group leaves unhealthy instances alone: what is looked at is whether the lab repairs them, however slow this machine is."""
    request = {"AutoScalingGroupName": f"{system.prefix}-asg", "ScalingProcesses": ["HealthCheck", "ReplaceUnhealthy"]}
    system.client("autoscaling").suspend_processes(**request)
    try:
        yield
    finally:
        system.client("autoscaling").resume_processes(**request)


@pytest.fixture(scope="module")
def row(system) -> str:
    """A row of the beginning: no fault of a part or a machine may lose it."""
    return app.write_row(system)


@pytest.mark.build
def test_the_system_stands(recorder, system):
    succeeded(recorder.lab("up", seconds=300))
    succeeded(recorder.playbook("site.yml", "site.yml"))
    await_page(system)


# ---- parts of the lab


@pytest.mark.parametrize("part", [part for part in PARTS if part != "api"])
def test_up_repairs_a_killed_part(recorder, system, row, part):
    machines = app.instance_ids(system)
    with without_replacement(system):
        kill_part(part)
        if part in KEPT:
            kill_one(KEPT[part])
        if part not in ("instances", "load_balancers"):
            assert system.get("/health").status == 200, "what serves must not need the part"
        outcome = succeeded(recorder.lab("up", seconds=120))
        assert f"started {part}" in outcome.output, outcome.output
        succeeded(recorder.lab("status"))
        await_page(system)
        await_ready(system)
    assert app.instance_ids(system) == machines, "a fault of the lab must not cost an instance"
    assert row in system.get("/").body
    for machine in machines:
        assert app.output(system, machine, "sh", "-c", TOKEN).strip(), "no token of instance metadata"
    outcome = succeeded(recorder.run("ansible app -m ping", str(VENV_BIN / "ansible"), "app", "-m", "ping"))
    assert outcome.output.count("pong") == 2, outcome.tail()


def test_up_repairs_all_parts_at_once(recorder, system, row):
    parts = [part for part in PARTS if part != "api"]
    for part in parts:
        kill_part(part)
    outcome = succeeded(recorder.lab("up", seconds=120))
    assert f"started {', '.join(parts)}" in outcome.output, outcome.output
    await_page(system)
    assert row in system.get("/").body
    nothing_changed(recorder.playbook("site.yml, after the parts' end", "site.yml"))


# ---- machines


def test_killed_machine_starts_again(system, row):
    """As an instance whose host failed: the same one, with its disk, and nobody has to do anything."""
    machines = app.instance_ids(system)
    with without_replacement(system):
        podman("kill", "--signal", "KILL", f"espalier-instance-{machines[0]}")
        await_ready(system, 120)
        await_page(system)
    assert app.instance_ids(system) == machines
    assert row in system.get("/").body


def test_lost_machine_is_replaced(recorder, system):
    """Its disk is gone with it. What comes up in its place is blank, fails the load balancer's checks, and the group replaces it."""
    gone = app.instance_ids(system)[0]
    podman("rm", "--force", "--time", "0", f"espalier-instance-{gone}")
    replaced(recorder, system, gone, "a lost machine")


def test_target_that_fails_its_checks_is_replaced(recorder, system):
    """Gunicorn is gone for good, Nginx still answers: 502 is as unhealthy as silence."""
    gone = app.instance_ids(system)[0]
    app.output(system, gone, "systemctl", "mask", "--now", "gunicorn.socket", "gunicorn.service")
    assert app.status_on(system, gone, "/health") == 502
    replaced(recorder, system, gone, "failed checks")


def replaced(recorder, system, gone: str, what: str) -> None:
    """The group has replaced `gone`, the API says so, and the newcomer serves by itself."""
    await_replacement(system, gone, 240)
    described = system.client("ec2").describe_instances(InstanceIds=[gone])["Reservations"]
    assert [machine["State"]["Name"] for entry in described for machine in entry["Instances"]] == ["terminated"]
    activities = system.client("autoscaling").describe_scaling_activities(AutoScalingGroupName=f"{system.prefix}-asg")["Activities"]
    assert any(gone in entry["Description"] and "health check" in entry["Cause"] for entry in activities), activities[:4]
    await_page(system, 300)
    app.check_page_comes_from_two_instances(system)
    nothing_changed(recorder.playbook(f"site.yml, after {what}", "site.yml"))


# ---- the account's end, and a build that is killed again and again


@pytest.mark.build
def test_a_dead_api_is_an_empty_account(recorder, system):
    """The API's memory is the account. `lab up` says so, and nothing of before is taken for the new one's."""
    kill_part("api")
    outcome = succeeded(recorder.lab("up", seconds=180))
    assert "account" in outcome.output, outcome.output
    assert all(read_pid(SETTINGS, part).alive() for part in PARTS)
    assert system.described("describe_vpcs", "Vpcs") == []
    left = podman("ps", "--all", "--filter", "label=espalier.lab", "--format", "{{.Names}}").stdout.decode().split()
    # The registry of images is there for every account.
    assert set(left) <= {"espalier-registry"}


@pytest.mark.build
def test_build_that_is_killed_goes_on(recorder, system):
    """At every stage of the network, then of data, load balancer and machines: the next run finds what there is and goes on."""
    for number, at in enumerate(
        (
            "TASK [vpc : Subnets | Ensure the internet gateway]",
            "TASK [vpc : Subnets | Ensure the subnets]",
            "TASK [vpc : NAT gateways | Ensure the gateways]",
            "TASK [vpc : Route tables | Ensure tables",
            "TASK [security_groups : Create the missing groups]",
            "TASK [security_groups : Ensure the rules]",
            "TASK [vpc_endpoints : Ensure the endpoints]",
            "TASK [database : Instance | Ensure the instance]",
            "TASK [Load balancer, target group, listeners]",
            "TASK [autoscaling : Group | Ensure the group]",
            "TASK [Wait for the instances]",
        )
    ):
        outcome = recorder.interrupt(f"build, killed {number}", *SITE, at=at)
        assert outcome.returncode == -9, f"it was not killed: {outcome.returncode}"
    succeeded(recorder.playbook("build, to the end", "site.yml"))
    await_page(system)
    nothing_changed(recorder.playbook("build, again", "site.yml"))


@pytest.mark.parametrize("name", EVERYTHING)
def test_acceptance_after_all_of_it(system, name):
    """Not one thing too few, too many or half made."""
    EVERYTHING[name](system)


def test_killed_removal_goes_on(recorder, system):
    options = (str(VENV_BIN / "ansible-playbook"), "playbooks/destroy.yml", "-e", "destroy_confirmation=django")
    for number, at in enumerate(
        (
            "TASK [autoscaling : Wait until the group's instances are gone]",
            "TASK [database : Remove the instance]",
            "TASK [vpc_endpoints : Wait until the endpoints are gone]",
            "TASK [vpc : ",
        )
    ):
        recorder.interrupt(f"destroy, killed {number}", *options, at=at)
    succeeded(recorder.run("destroy, to the end", *options))
    nothing_changed(recorder.run("destroy, again", *options))
    assert system.described("describe_vpcs", "Vpcs") == []


@pytest.mark.cleanup
def test_lab_down_leaves_nothing(recorder):
    succeeded(recorder.lab("down", seconds=120))
    assert leftovers() == []
