"""Served by the release's own Gunicorn and asked over HTTP; files and rights as the application's user finds them."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest


@dataclass
class Expected:
    name: str
    user: str
    home: str
    data: str
    health: str
    ready: str
    static: str


EXPECTED = {
    "defaults": Expected("django-app", "django-app", "/srv/django-app", "/var/lib/django-app", "/health", "/ready", "/static/"),
    "altered": Expected("shop", "web", "/srv/shops/one", "/var/lib/shops/one", "/alive", "/able", "/assets/"),
}


@pytest.fixture
def expected(machine) -> Expected:
    return EXPECTED[machine.variables]


@pytest.fixture
def release(machine, expected) -> str:
    """The folder of the current release."""
    return machine.output("readlink", "--canonicalize", f"{expected.home}/current")


@pytest.fixture
def served(machine, expected, release):
    """The machine, with the release on port 8000 as long as a test lasts."""
    properties = [
        f"User={expected.user}", f"WorkingDirectory={release}/source", f"EnvironmentFile={release}/environment",
        f"EnvironmentFile=/run/{expected.name}/environment",
    ]  # fmt: skip
    options = [word for value in properties for word in ("--property", value)]
    gunicorn = [f"{release}/venv/bin/gunicorn", "--bind", "0.0.0.0:8000", "espalier_wsgi:application"]
    machine.output("systemd-run", "--quiet", "--unit", "probe", *options, f"--setenv=PYTHONPATH={release}/espalier", *gunicorn)
    deadline = time.monotonic() + 20
    while not machine.listens(8000):
        assert time.monotonic() < deadline, machine.output("journalctl", "--no-pager", "--unit", "probe.service")
        time.sleep(0.2)
    yield machine
    machine.output("systemctl", "stop", "probe.service")


# As Nginx passes them on.
VISITOR = {"Host": "www.example.com", "X_Forwarded_Proto": "https"}


def setting(machine, release: str, expression: str) -> str:
    return machine.output(
        f"{release}/manage", "shell", "--verbosity", "0", "--command", f"from django.conf import settings; print({expression})"
    )


def test_visitors_of_its_names_are_served(served, expected):
    page = served.get("/", port=8000, **VISITOR)
    if served.variables == "defaults":
        assert page.status == 400, "no name was given, and one is served"
        return
    assert page.status == 200, page.body[:500]
    assert f'href="{expected.static}guestbook/style.' in page.body, "static files have no hashed names under their URL"
    assert "Secure" in page.headers["set-cookie"]
    assert served.get("/", port=8000, Host="scanner.example.net", X_Forwarded_Proto="https").status == 400


def test_checks_are_answered_whatever_they_call_the_machine(served, expected):
    assert served.get(expected.health, port=8000).status == 200
    assert served.get(expected.ready, port=8000).status == 200, "SQLite in the data folder does not answer"


def test_requests_are_counted(served):
    path = "/numbers" if served.variables == "altered" else "/metrics"
    served.get("/", port=8000, **VISITOR)
    assert 'django_http_requests_total{method="GET"' in served.get(path, port=8000).body


def test_the_version_is_part_of_the_release_s_name(machine, release, expected):
    assert release.startswith(f"{expected.home}/releases/")
    if machine.variables == "altered":
        assert release.rpartition("/")[2].startswith("2.1-")


def test_the_application_cannot_change_its_own_code(machine, release, expected):
    assert machine.mode(f"{release}/source/manage.py").startswith("root root")
    for path in ("source", "espalier", "venv", "static", "release.json"):
        assert machine.run("test", "-w", f"{release}/{path}", user=expected.user).returncode == 1, path
    assert machine.run("test", "-w", expected.data, user=expected.user).returncode == 0


def test_nobody_else_reads_environment_and_secrets(machine, release, expected):
    assert machine.mode(f"{release}/environment") == f"root {expected.user} 640", "the environment file is readable for others"
    assert machine.mode(f"/run/{expected.name}/environment").endswith(" 600"), "the file of secrets is readable for others"
    assert machine.mode(f"{expected.home}/secret-key").endswith(" 600"), "SECRET_KEY is readable for others"
    assert machine.mode(expected.data) == f"{expected.user} {expected.user} 750"
    for path in (f"{release}/environment", f"/run/{expected.name}/environment", f"{expected.home}/secret-key"):
        assert machine.run("test", "-r", path, user="nobody").returncode == 1, path


def test_nobody_logs_in_as_the_application(machine, expected):
    assert machine.output("getent", "passwd", expected.user).endswith(":/usr/sbin/nologin")


def test_each_machine_without_aws_has_a_key_of_its_own(machine, release):
    # Its length only: a failed comparison would print it.
    assert int(setting(machine, release, "len(settings.SECRET_KEY)")) >= 50


def test_the_database_is_migrated(machine, release):
    assert "[ ]" not in machine.output(f"{release}/manage", "showmigrations", "--plan")


def test_static_files_are_collected(machine, release):
    assert machine.output("sh", "-c", f"ls {release}/static/guestbook/style.*.css")


def test_settings_and_environment(machine, release):
    zone, debug = setting(machine, release, "settings.TIME_ZONE, settings.DEBUG").split()
    assert debug == "False"
    if machine.variables == "altered":
        assert zone == "Europe/Berlin"
        assert setting(machine, release, "__import__('os').environ['GREETING']") == 'say "$100" \\o/'


def test_addresses_are_read_anew_after_a_boot(machine):
    assert machine.unit("django-environment.service") == ("active", "enabled")


def test_gone(machine, expected):
    for path in (expected.home, expected.data, f"/run/{expected.name}", "/etc/systemd/system/django-environment.service"):
        assert machine.run("test", "-e", path).returncode == 1, f"{path} is left"
    assert machine.run("getent", "passwd", expected.user).returncode == 2
