"""Deploys, rollbacks and failing deploys under a steady load: nobody meets an error, and what fails is put back.

Stands on a built system with a deployed release, and leaves a release behind. Each test is one step and stands on the ones before it.
Figures are printed as they are found; the lab's waits are divided by its time scale.
"""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from lab.settings import SETTINGS
from tests.acceptance import app
from tests.acceptance.system import System
from tests.rehearse.deploying import is_unlocked, pointer, served
from tests.rehearse.load import Load
from tests.tree import ROOT, VENV_BIN

QUIET_SECONDS = 10
MIDDLEWARE = """
class Broken:
    def __init__(self, get_response):
        pass

    def __call__(self, request):
        raise RuntimeError("the release is broken")
"""
DROPS = """
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("guestbook", "0001_initial")]
    operations = [migrations.RemoveField("entry", "message")]
"""
FAILS = """
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("guestbook", "0001_initial")]
    operations = [migrations.RunSQL("SELECT * FROM nowhere")]
"""


@pytest.fixture(scope="module")
def system(built) -> System:
    return built


@pytest.fixture
def deploy(recorder):
    return lambda name, *options: recorder.playbook(name, "site.yml", "--tags", "app", *options)


def no_request_failed(recorder, name: str, load: Load) -> None:
    recorder.say(f"        {name}: {load.felt.summary()}")
    assert load.felt.times, "the load asked nothing"
    assert not load.felt.failures, f"{len(load.felt.failures)} failed: {load.felt.failures[:10]}"


def test_the_load_alone(recorder, system):
    """What the machine can carry without a deploy: without this, no other figure means anything."""
    with Load(system.app_url) as load:
        time.sleep(QUIET_SECONDS)
    recorder.say(f"        time scale {SETTINGS.time_scale:g}")
    no_request_failed(recorder, "no deploy", load)
    assert load.felt.quantile(0.99) < 5, "this machine is too busy for the load"


def test_a_deploy_fails_no_request(recorder, system, deploy, project):
    before = pointer(system)
    options = project(**{"guestbook/static/guestbook/style.css": "/* two */\n"})
    with Load(system.app_url) as load:
        outcome = deploy("deploy of a changed release, under load", *options)
    assert outcome.returncode == 0, outcome.tail()
    no_request_failed(recorder, "deploy", load)
    assert pointer(system) != before and set(served(system).values()) == {pointer(system)}
    again = deploy("deploy of the same release", *options)
    assert again.returncode == 0 and again.total("changed") == 0, again.changed_tasks()


def test_static_files_of_both_releases_are_served(system):
    """A page of the release before is still open somewhere."""
    for instance in app.instance_ids(system):
        for link in ("current", "previous"):
            name = app.output(
                system, instance, "sh", "-c", f"ls /srv/django-app/{link}/static/guestbook | grep -E 'style\\.[0-9a-f]{{12}}\\.css$'"
            )
            assert app.status_on(system, instance, f"/static/guestbook/{name.strip()}") == 200, f"{instance}: {link}"


def test_a_release_that_answers_500_is_put_back(recorder, system, deploy, project):
    before = served(system)
    broken = {"mysite/broken.py": MIDDLEWARE, "mysite/settings.py": '\nMIDDLEWARE = ["mysite.broken.Broken"]\n'}
    with Load(system.app_url) as load:
        outcome = deploy("deploy of a release that answers 500, under load", *project(**broken))
    assert outcome.returncode != 0
    no_request_failed(recorder, "failing deploy", load)
    assert served(system) == before and set(before.values()) == {pointer(system)}
    for words in ("does not serve", "the release is broken", "put back", "run again"):
        assert words in outcome.output, f"the message does not say {words!r}:\n{outcome.tail()}"
    assert is_unlocked(system)
    assert set(system.target_states().values()) == {"healthy"}
    assert system.auto_scaling_group()["SuspendedProcesses"] == []


@pytest.mark.parametrize(
    ("name", "migration", "words"), [("breaking", DROPS, "app_allow_breaking_migrations"), ("failing", FAILS, "nowhere")]
)
def test_a_bad_migration_stops_the_deploy(recorder, system, deploy, project, name, migration, words):
    before = served(system)
    with Load(system.app_url) as load:
        outcome = deploy(f"deploy with a {name} migration, under load", *project(**{"guestbook/migrations/0002_bad.py": migration}))
    assert outcome.returncode != 0 and words in outcome.output, outcome.tail()
    no_request_failed(recorder, f"{name} migration", load)
    assert served(system) == before and is_unlocked(system)


def test_a_rollback_fails_no_request(recorder, system):
    before = pointer(system)
    with Load(system.app_url) as load:
        outcome = recorder.playbook("rollback, under load", "playbooks/rollback.yml")
    assert outcome.returncode == 0, outcome.tail()
    no_request_failed(recorder, "rollback", load)
    assert pointer(system) != before and set(served(system).values()) == {pointer(system)}


def test_releases_are_listed(recorder, system):
    outcome = recorder.playbook("releases", "playbooks/releases.yml")
    assert outcome.returncode == 0 and outcome.total("changed") == 0, outcome.tail()
    serving = pointer(system)
    (line,) = [line for line in outcome.output.splitlines() if serving in line and " current" in line]
    assert "as now" in line
    assert any("rollback" in line and "succeeded" in line and serving in line for line in outcome.output.splitlines()), "not in the log"


def test_a_restart_fails_no_request(recorder, system):
    with Load(system.app_url) as load:
        outcome = recorder.playbook("restart, under load", "playbooks/restart.yml")
    assert outcome.returncode == 0, outcome.tail()
    no_request_failed(recorder, "restart", load)


def test_gunicorn_restarts_behind_its_socket(recorder, system):
    """Without a drain, as after a crash: systemd keeps the socket, connections wait."""
    with Load(system.app_url, rate=20, connections=10) as load:
        time.sleep(2)
        for instance in app.instance_ids(system):
            app.output(system, instance, "systemctl", "restart", "gunicorn.service")
        time.sleep(5)
    no_request_failed(recorder, "restart of the service alone", load)


def test_a_management_command_shows_its_words(recorder):
    outcome = recorder.playbook("manage", "playbooks/manage.yml", "-e", "command=showmigrations guestbook")
    assert outcome.returncode == 0 and "[X] 0001_initial" in outcome.output, outcome.tail()
    assert recorder.playbook("manage, wrong", "playbooks/manage.yml", "-e", "command=nonsense").returncode != 0


def test_two_deploys_do_not_interleave(recorder, system, deploy, project):
    options = project(**{"guestbook/static/guestbook/style.css": "/* three */\n"})
    command = [str(VENV_BIN / "ansible-playbook"), "site.yml", "--tags", "app", *options]
    first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 120
    while is_unlocked(system) and time.monotonic() < deadline:
        time.sleep(0.2)
    second = deploy("a second deploy at the same time")
    output, _ = first.communicate(timeout=600)
    assert first.returncode == 0, output[-3000:]
    assert second.returncode != 0 and "unlock" in second.output, second.tail()
    assert set(served(system).values()) == {pointer(system)} and is_unlocked(system)


def test_unlock_removes_a_lock(recorder, system):
    lock = {
        "owner": "arn:aws:iam::123456789012:user/ada", "what": "deploy", "ttl_seconds": 3600,
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "renewed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "run": {"host": "elsewhere", "machine": "0" * 16, "process": 1, "started": "1"},
    }  # fmt: skip
    bucket = f"{system.prefix}-static-{system.account_id}"
    system.client("s3").put_object(Bucket=bucket, Key="releases/django-app/lock.json", Body=json.dumps(lock))
    outcome = recorder.playbook("unlock", "playbooks/unlock.yml")
    assert outcome.returncode == 0 and "user/ada" in outcome.output and is_unlocked(system), outcome.tail()
