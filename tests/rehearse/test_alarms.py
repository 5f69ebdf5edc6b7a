"""Each alarm of docs/runbooks/alarms.md: its cause is made, it rings, the doctor names it and its fix, and it falls silent.

Stands on a built system and leaves one behind. The lab's inventory leaves the alarms of the database and of requests off: here they are on,
some with a threshold that a lab can reach.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from lab import control
from lab.podman import podman
from tests.acceptance import app
from tests.acceptance.system import System
from tests.e2e.recorder import Recorder
from tests.e2e.steps import await_page, nothing_changed, succeeded
from tests.rehearse.diagnosis import await_named
from tests.rehearse.load import Load
from tests.rehearse.test_cloudwatch import alarm, busy, until
from tests.rehearse.test_troubles import on, unhealed

# A database of the lab is one process on a machine that has more to do, and allows 81 connections.
ON = {"alarms_database": True, "alarms_requests": True, "alarms_database_connections": 20, "alarms_database_cpu_percent": 25}
HELD = 30
# Bounds what is left behind when a test is cut off.
CAUSE_SECONDS = 600
# 30 in each of the lab's minutes, and the alarms of requests want 20.
LOAD = {"rate": 5, "connections": 5}
MANAGE = "/srv/django-app/current/manage"


@dataclass
class Rehearsal:
    """What makes the cause and ends it, and words of the fix."""

    cause: Callable[[System, Recorder, str], contextlib.AbstractContextManager[None]]
    fix: str


@pytest.fixture(scope="module")
def system(built) -> System:
    return built


def watch(recorder: Recorder, name: str, **more) -> None:
    succeeded(recorder.playbook(name, "site.yml", "--tags", "compute", "-e", json.dumps(ON | more)))


@pytest.fixture(scope="module", autouse=True)
def _watched(recorder, system) -> None:
    watch(recorder, "all alarms are on")


@contextlib.contextmanager
def busy_instances(system: System, _: Recorder, __: str) -> Iterator[None]:
    with busy(system):
        yield


@contextlib.contextmanager
def stopped_nginx(system: System, recorder: Recorder, _: str) -> Iterator[None]:
    with unhealed(system, keep=True):
        on(system, "systemctl", "stop", "nginx.service")
        try:
            yield
        finally:
            succeeded(recorder.playbook("the fix, nginx", "site.yml", "--tags", "app"))


@contextlib.contextmanager
def errors(system: System, recorder: Recorder, name: str) -> Iterator[None]:
    """Visitors go on asking until the fix is felt: without requests, the alarm would fall silent whatever the fix did."""
    with unhealed(system, keep=True), Load(system.app_url, **LOAD):
        for instance in app.instance_ids(system):
            app.output(system, instance, "systemctl", "stop", "gunicorn.socket", "gunicorn.service")
        try:
            yield
        finally:
            succeeded(recorder.playbook("the fix, gunicorn", "site.yml", "--tags", "app"))
        until(lambda: alarm(system, name) == "OK", 20, f"the end of {name} while visitors ask")


def threshold(**low) -> Callable[[System, Recorder, str], contextlib.AbstractContextManager[None]]:
    """A threshold that is crossed as things are, and visitors who ask."""

    @contextlib.contextmanager
    def act(system: System, recorder: Recorder, name: str) -> Iterator[None]:
        with Load(system.app_url, **LOAD):
            watch(recorder, f"a low threshold, {name}", **low)
            try:
                yield
            finally:
                watch(recorder, f"the threshold as it was, {name}")
            until(lambda: alarm(system, name) == "OK", 25, f"the end of {name} while visitors ask")

    return act


def code(*statements: str) -> str:
    return f"from django.db import connection; cursor = connection.cursor(); [cursor.execute(one) for one in {statements!r}]"


@contextlib.contextmanager
def in_database(system: System, held: str) -> Iterator[None]:
    """Somebody holds the database, until the connections that pg_stat_activity shows are cut."""
    instance = app.instance_ids(system)[0]
    podman("exec", "--detach", f"espalier-instance-{instance}", MANAGE, "shell", "-c", held)
    try:
        yield
    finally:
        # As the user that logged in; it works as the owner of the tables, who may not end it.
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'"
        app.output(system, instance, MANAGE, "shell", "-c", code("SET ROLE NONE", cut))


def held_connections(system: System, _: Recorder, __: str) -> contextlib.AbstractContextManager[None]:
    options = "connection.get_connection_params() | {'application_name': 'holder'}"
    more = f"held = [connection.get_new_connection({options}) for _ in range({HELD})]; import time; time.sleep({CAUSE_SECONDS})"
    return in_database(system, f"{code()}; {more}")


def busy_database(system: System, _: Recorder, __: str) -> contextlib.AbstractContextManager[None]:
    """Computes, and needs neither memory nor disk for it."""
    end = f"clock_timestamp() + interval '{CAUSE_SECONDS} s'"
    loop = f"DO $$ DECLARE ends timestamptz := {end}; BEGIN WHILE clock_timestamp() < ends LOOP END LOOP; END $$"
    return in_database(system, code("SET application_name = 'holder'", "SET statement_timeout = 0", loop))


ALARMS = {
    "cpu-high": Rehearsal(busy_instances, "a higher autoscaling_max_size"),
    "unhealthy-targets": Rehearsal(stopped_nginx, "docs/runbooks/unhealthy-targets.md"),
    "errors-high": Rehearsal(errors, "playbooks/rollback.yml"),
    "latency-high": Rehearsal(threshold(alarms_requests_latency_seconds=0.001), "pg_stat_activity"),
    "database-storage-low": Rehearsal(threshold(alarms_database_storage_gib=1000), "A larger database_storage_gib"),
    "database-connections-high": Rehearsal(held_connections, "SELECT usename, state, count(*) FROM pg_stat_activity"),
    "database-cpu-high": Rehearsal(busy_database, "SELECT pid, now() - query_start, query FROM pg_stat_activity"),
}


def test_all_are_quiet(system):
    """A new alarm knows nothing yet; those of requests take that for quiet."""
    await_page(system)
    for end in ALARMS:
        until(lambda end=end: alarm(system, f"{system.prefix}-{end}") == "OK", 30, f"{end} is quiet")


@pytest.mark.parametrize("end", ALARMS)
def test_it_rings_is_named_with_its_fix_and_falls_silent(recorder, system, end):
    name, rehearsal = f"{system.prefix}-{end}", ALARMS[end]
    before = len(control.call("messages")["messages"])
    with rehearsal.cause(system, recorder, name):
        until(lambda: alarm(system, name) == "ALARM", 30, f"{name} rings")
        await_named(recorder, f"{end} rings", f"{name} it rings", rehearsal.fix, "-e", json.dumps(ON))
    until(lambda: alarm(system, name) == "OK", 30, f"the end of {name}")
    told = [found["subject"] for found in control.call("messages")["messages"][before:]]
    for state in ("ALARM", "OK"):
        assert any(subject.startswith(f'{state}: "{name}"') for subject in told), told
    await_page(system, 180)


def test_after_all_of_it_a_run_finds_nothing_to_do(recorder, system):
    succeeded(recorder.playbook("the alarms as they were", "site.yml", "--tags", "compute"))
    nothing_changed(recorder.playbook("site.yml, after all of it", "site.yml"))
