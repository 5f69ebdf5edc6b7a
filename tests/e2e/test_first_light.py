"""The life of one system in the lab, in order: nothing, plan, build, rerun, repair, bad input, removal, nothing.

Each test is one step and stands on the ones before it. What a step prints is kept, to be read and to be searched for secrets (`recorder`).
"""

from __future__ import annotations

import json
import shutil

import pytest

from lab.podman import podman
from lab.settings import SETTINGS
from tests.acceptance import app, edge, secrets
from tests.acceptance.checks import EVERYTHING
from tests.acceptance.secrets import secret_values
from tests.e2e.api_log import ApiLog
from tests.e2e.bad_input import BAD_INPUTS, BadInput
from tests.e2e.execution_environment import lab_variables
from tests.e2e.leftovers import leftovers
from tests.e2e.search import places_with_a_secret
from tests.e2e.steps import PARTS, await_page, await_replacement, kill_one, kill_part, nothing_changed, succeeded
from tests.tree import ROOT, load_yaml

TAGS = ["network", "data", "edge", "compute", "app"]
# What a shell may hold from other work. None of it may reach the lab's account or change what a run does.
STRANGE_SHELL = {
    "AWS_PROFILE": "somebody-else",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "not-a-key",
    "AWS_SESSION_TOKEN": "not-a-token",
    "AWS_REGION": "eu-west-3",
    "AWS_DEFAULT_REGION": "eu-west-3",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_CONFIG_FILE": "/nonexistent",
}


# ---- nothing, and what would be


@pytest.mark.build
def test_a_lab_of_before_is_removed(recorder):
    succeeded(recorder.lab("down", seconds=120))
    assert leftovers() == []


@pytest.mark.build
def test_lab_comes_up_empty(recorder):
    succeeded(recorder.lab("up", seconds=300))
    succeeded(recorder.lab("status"))


def test_plan_of_an_empty_account(recorder, system):
    log = ApiLog.start()
    outcome = succeeded(recorder.playbook("site.yml --check on an empty account", "site.yml", "--check"))
    assert outcome.total("failed") == 0 and outcome.total("changed") > 10, "a plan that plans nothing"
    assert log.writes() == [], "check mode wrote to the account"
    assert system.described("describe_vpcs", "Vpcs") == []


def test_app_without_an_instance_says_what_to_run(recorder):
    outcome = recorder.playbook("site.yml --tags app on an empty account", "site.yml", "--tags", "app")
    assert outcome.returncode != 0
    assert "instance" in outcome.output and "--tags" in outcome.output.rpartition("TASK [")[2], outcome.tail()


# ---- build


@pytest.mark.build
def test_build(recorder, system, known_secrets):
    succeeded(recorder.playbook("site.yml, fresh", "site.yml"))
    known_secrets.update(secret_values(system))


def test_outputs(system):
    outputs = json.loads((SETTINGS.state / "outputs.json").read_text("utf-8"))
    assert outputs["aws_endpoint_url"] == system.endpoint_url
    assert outputs["environment"] == "lab"
    assert outputs["app_url"].rstrip("/") == system.app_url
    assert sorted(outputs["instances"]) == app.instance_ids(system)
    assert outputs["database_endpoint"].partition(":")[0] == system.database()["Endpoint"]["Address"]
    assert outputs["release"], "the run that deployed does not say what"


@pytest.mark.parametrize("name", EVERYTHING)
def test_acceptance(system, recorder, name):
    EVERYTHING[name](system)


# ---- how it is


@pytest.mark.parametrize(
    ("playbook", "words"),
    [
        ("status", "All is well."),
        ("doctor", "What else differs from the inventory: make plan"),
        ("report", ".lab/outputs.html"),
        ("cost", "a month"),
    ],
)
def test_what_tells_how_it_is_changes_nothing(recorder, playbook, words):
    """As a person reads it; the doctor fails where it finds a problem."""
    log = ApiLog.start()
    outcome = succeeded(recorder.playbook(playbook, f"playbooks/{playbook}.yml"))
    assert words in outcome.output, outcome.tail()
    assert log.writes() == []


# ---- run again


def test_rerun_changes_nothing(recorder):
    log = ApiLog.start()
    nothing_changed(recorder.playbook("site.yml, again", "site.yml"))
    assert log.writes() == [], "a run that reports changed=0 wrote to the account"


def test_check_on_the_built_system_changes_nothing(recorder):
    """In a shell full of another account's variables, too."""
    log = ApiLog.start()
    nothing_changed(recorder.playbook("site.yml --check, in a strange shell", "site.yml", "--check", environment=STRANGE_SHELL))
    assert log.writes() == []


@pytest.mark.parametrize("tag", TAGS)
def test_tag_alone_changes_nothing(recorder, tag):
    """Of the outputs, neither: a run without the application's play keeps the release."""
    before = (SETTINGS.state / "outputs.json").read_text("utf-8")
    nothing_changed(recorder.playbook(f"site.yml --tags {tag}", "site.yml", "--tags", tag))
    assert (SETTINGS.state / "outputs.json").read_text("utf-8") == before


def test_job_in_the_execution_environment_changes_nothing(recorder, execution_environment):
    """As AWX runs it: an inventory update, then site.yml on what that one wrote."""
    log = ApiLog.start()
    succeeded(execution_environment.update_inventory(recorder, "inventories/lab"))
    nothing_changed(execution_environment.run(recorder, "site.yml", variables=lab_variables()))
    assert log.writes() == []


# ---- repair


def test_second_up_changes_nothing(recorder, system):
    before = podman("ps", "--filter", "label=espalier.lab", "--format", "{{.ID}}").stdout
    succeeded(recorder.lab("up", seconds=120))
    assert podman("ps", "--filter", "label=espalier.lab", "--format", "{{.ID}}").stdout == before
    edge.check_targets_are_healthy(system)


def test_up_repairs_what_was_killed(recorder, system):
    """Every part but the API, whose memory is the account, and one container of each kind."""
    text = app.write_row(system)
    group = {"AutoScalingGroupName": system.auto_scaling_group()["AutoScalingGroupName"]}
    # Else it is a race between the boot of the killed instance and the group, which would rather have a new one.
    system.client("autoscaling").suspend_processes(**group, ScalingProcesses=["HealthCheck", "ReplaceUnhealthy"])
    for part in PARTS:
        if part != "api":
            kill_part(part)
    kill_one("database")
    # A database outage must not make the group replace its instances.
    assert system.get("/health").status == 200
    assert app.status_on(system, app.instance_ids(system)[0], "/ready") == 503
    kill_one("load_balancer")
    kill_one("instance")
    succeeded(recorder.lab("up", seconds=120))
    await_page(system)
    system.client("autoscaling").resume_processes(**group, ScalingProcesses=["HealthCheck", "ReplaceUnhealthy"])
    assert text in system.get("/").body, "a row of before is gone"


def test_unhealthy_instance_is_replaced(recorder, system):
    """Its Nginx is gone for good: the group's ELB checks replace it, and the newcomer configures itself."""
    before = app.instance_ids(system)
    app.output(system, before[0], "systemctl", "mask", "--now", "nginx")
    await_replacement(system, before[0])
    await_page(system, 300)
    app.check_page_comes_from_two_instances(system)
    nothing_changed(recorder.playbook("site.yml --tags app, after a replacement", "site.yml", "--tags", "app"))


def test_terminated_instance_is_replaced(recorder, system):
    victim = app.instance_ids(system)[0]
    system.client("autoscaling").terminate_instance_in_auto_scaling_group(InstanceId=victim, ShouldDecrementDesiredCapacity=False)
    await_replacement(system, victim)
    await_page(system, 300)
    nothing_changed(recorder.playbook("site.yml --tags compute, after a replacement", "site.yml", "--tags", "compute"))


# ---- bad input


@pytest.mark.parametrize("case", BAD_INPUTS, ids=lambda case: case.name)
def test_bad_input_is_refused(recorder, case: BadInput):
    """Before the first change, with the variable, the value and the fix."""
    log = ApiLog.start()
    outcome = recorder.playbook(f"bad input: {case.name}", "site.yml", *case.options, environment=case.environment, seconds=120)
    assert outcome.returncode != 0, "it was accepted"
    for word in case.words:
        assert word in outcome.output, f"the message does not say {word!r}:\n{outcome.tail(30)}"
    assert "Traceback" not in outcome.output
    assert log.writes() == [], "something was changed before the refusal"


def test_python_floor_is_checked_before_any_change(recorder, tmp_path):
    """A project that asks for a newer Python than the instances have is refused, and the old release goes on serving."""
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "app" / "pyproject.toml").write_text('[project]\nname = "mysite"\nversion = "1"\nrequires-python = ">=3.99"\n', "utf-8")
    outcome = recorder.playbook("bad input: Python floor", "site.yml", "--tags", "app", "-e", f"app_path={tmp_path}/app")
    assert outcome.returncode != 0 and outcome.total("changed") == 0, outcome.tail()
    assert "3.99" in outcome.output and "app_python" in outcome.output, outcome.tail(30)


# ---- secrets, while everything runs that could hold them


def test_secrets_are_nowhere(recorder, system, known_secrets):
    """All that was printed, all that was written on this machine, all that passed through the session bucket."""
    assert places_with_a_secret(known_secrets, recorder.folder, recorder.started) == []
    secrets.check_secrets_stay_in_their_file(system)


# ---- removal


def destroy(recorder, name: str, *options: str, **more):
    return recorder.playbook(f"destroy: {name}", "playbooks/destroy.yml", *options, **more)


def test_destroy_shows_first_and_asks(recorder, system):
    """Without the name typed out nothing happens, with a wrong one neither."""
    log = ApiLog.start()
    preview = destroy(recorder, "preview", "--check")
    succeeded(preview)
    vpc = system.vpc_id()
    assert vpc in preview.output and "lab-django-postgres" in preview.output, "the preview does not name what would go"
    for name, options in (("no name", ()), ("wrong name", ("-e", "destroy_confirmation=flask"))):
        outcome = destroy(recorder, name, *options)
        assert outcome.returncode != 0 and "django" in outcome.output, outcome.tail(20)
    assert log.writes() == []
    assert system.vpc_id() == vpc


@pytest.mark.build
def test_destroy(recorder, system):
    outcome = succeeded(destroy(recorder, "all of it", "-e", "destroy_confirmation=django"))
    assert outcome.total("changed") > 0
    assert system.described("describe_vpcs", "Vpcs") == []
    assert system.instances("app") == [] and system.instances("bastion") == []
    snapshots = system.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    assert [entry for entry in snapshots if entry["DBInstanceIdentifier"] == "lab-django-postgres"], "no final snapshot"
    machines = podman("ps", "--all", "--filter", "label=espalier.lab", "--format", "{{.Names}}").stdout.decode().split()
    assert machines == [], "containers outlive what they stand for"


def test_destroy_again_changes_nothing(recorder):
    nothing_changed(destroy(recorder, "again", "-e", "destroy_confirmation=django"))


def test_build_after_destroy_restores_the_secrets(recorder, system, known_secrets):
    """A secret in its recovery window blocks its name; restored, it has its old value."""
    succeeded(recorder.playbook("site.yml --tags network,data after destroy", "site.yml", "--tags", "network,data"))
    restored = secret_values(system)
    # Not compared inside the assert, which would print them.
    same = {name: restored[name] == value for name, value in known_secrets.items()}
    assert same == dict.fromkeys(same, True)


@pytest.mark.cleanup
def test_secrets_are_nowhere_after_all(recorder, known_secrets):
    """The same search once more: destroying and restoring printed and wrote, too."""
    if not known_secrets:
        pytest.skip("no secret was made: the build did not get so far")
    assert places_with_a_secret(known_secrets, recorder.folder, recorder.started) == []


# ---- nothing again


@pytest.mark.cleanup
def test_a_dead_api_is_said_and_started_empty(recorder):
    """The API's memory is the account: `lab up` says that it is gone and removes the orphans."""
    kill_part("api")
    outcome = succeeded(recorder.lab("up", seconds=180))
    assert "account" in outcome.output, outcome.output
    machines = podman("ps", "--all", "--filter", "label=espalier.lab", "--format", "{{.Names}}").stdout.decode().split()
    assert machines == []


@pytest.mark.cleanup
def test_lab_down_leaves_nothing(recorder):
    succeeded(recorder.lab("down", seconds=120))
    assert leftovers() == []
    assert load_yaml(ROOT / "inventories" / "lab" / "hosts.yml"), "the inventory itself must survive"
