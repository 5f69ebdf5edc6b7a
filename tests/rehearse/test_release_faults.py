"""Deploys that meet a fault: instances and runs that die, S3 that is away, archives and disks that are not as they should be.

Stands on a built system with a deployed release, and leaves one behind. Each test is one step and stands on the ones before it. A steady
load asks all the time; what it lost is printed, and asserted where the fault is not in the way of a request.
"""

from __future__ import annotations

import contextlib
import random
import re
import subprocess
import threading
import time

import pytest

from lab.podman import podman
from tests.acceptance import app
from tests.acceptance.system import System
from tests.e2e.steps import nothing_changed, succeeded
from tests.rehearse.deploying import is_unlocked, pointer, served
from tests.rehearse.load import Load
from tests.rehearse.test_births import BIRTH_SECONDS, members, scale, settled, until
from tests.tree import VENV_BIN

APP = (str(VENV_BIN / "ansible-playbook"), "site.yml", "--tags", "app")
# Fewer than in the other rehearsals: these take long, and the load is no measurement here.
LOAD = {"rate": 20, "connections": 10}
KILLS = 10
# Begins the line of each task.
TASK = "\nTASK ["
AWAY_SECONDS = 20
API_ADDRESS = "10.0.0.1"


@pytest.fixture(scope="module")
def system(built) -> System:
    return built


@pytest.fixture
def style(project):
    """Options that deploy a release with another style sheet."""
    return lambda name: project(**{"guestbook/static/guestbook/style.css": f"/* {name} */\n"})


def process_of(instance: str) -> str:
    return podman("inspect", "--format", "{{.State.Pid}}", f"espalier-instance-{instance}").stdout.decode().strip()


def inside(instance: str, namespaces: tuple[str, ...], *command: str) -> None:
    """A command of this machine in the instance's network or among its mounts, which an instance itself may not change."""
    chosen = [f"--{name}" for name in namespaces]
    subprocess.run(["nsenter", *chosen, "--target", process_of(instance), *command], check=True, capture_output=True)


def whole(system: System, recorder, options: tuple[str, str]) -> None:
    """After a fault, the same command brings everything to its end, and then finds nothing to do."""
    until(lambda: settled(system, 2), BIRTH_SECONDS, "two healthy instances")
    succeeded(recorder.run("once more", *APP, *options))
    assert set(served(system).values()) == {pointer(system)} and is_unlocked(system)
    assert set(system.target_states().values()) == {"healthy"}
    assert system.auto_scaling_group()["SuspendedProcesses"] == []
    nothing_changed(recorder.run("and again", *APP, *options))


def test_an_instance_that_dies_in_mid_switch(recorder, system, style):
    """The run ends with its name, the other one serves, the group makes a new one, and the rerun brings both to the release."""
    options, gone = style("dies"), []

    def terminate(printed: str) -> None:
        gone.append(re.findall(r"\[(i-[0-9a-f]+)", printed)[-1])
        podman("kill", "--signal", "KILL", f"espalier-instance-{gone[0]}")
        system.client("ec2").terminate_instances(InstanceIds=gone)

    with Load(system.app_url, **LOAD) as load:
        outcome = recorder.disturb("deploy, an instance dies", *APP, *options, at="TASK [django : Switch to the release]", act=terminate)
    assert outcome.returncode != 0 and f"failed on {gone[0]}" in outcome.output, outcome.tail()
    recorder.say(f"        {load.felt.summary()}")
    assert not load.felt.failures, "it was out of the load balancer when it died"
    until(lambda: gone[0] not in members(system), BIRTH_SECONDS, "its end")
    whole(system, recorder, options)


def test_scale_out_in_mid_deploy(recorder, system, style):
    with Load(system.app_url, **LOAD) as load:
        outcome = recorder.disturb(
            "deploy, the group grows", *APP, *style("grows"), at="TASK [Take the instance out", act=lambda _: scale(system, 3)
        )
        succeeded(outcome)
        until(lambda: settled(system, 3), BIRTH_SECONDS, "three healthy instances")
    assert set(served(system).values()) == {pointer(system)}, served(system)
    recorder.say(f"        {load.felt.summary()}")
    assert not load.felt.failures


def test_scale_out_in_mid_rollback(recorder, system):
    """From three instances, so that the group shrinks before and grows meanwhile."""
    scale(system, 2)
    until(lambda: settled(system, 2), 120, "two healthy instances")
    before = pointer(system)
    command = (APP[0], "playbooks/rollback.yml")
    outcome = recorder.disturb("rollback, the group grows", *command, at="TASK [Take the instance out", act=lambda _: scale(system, 3))
    succeeded(outcome)
    until(lambda: settled(system, 3), BIRTH_SECONDS, "three healthy instances")
    assert pointer(system) != before and set(served(system).values()) == {pointer(system)}, served(system)
    scale(system, 2)
    until(lambda: settled(system, 2), 120, "two healthy instances")


def test_s3_is_away_for_a_while(recorder, system, style):
    """The instances wait for it; nobody else does."""

    def cut(_: str) -> None:
        for instance in app.instance_ids(system):
            inside(instance, ("net",), "ip", "route", "add", "blackhole", f"{API_ADDRESS}/32")
        threading.Timer(AWAY_SECONDS, mend).start()

    def mend() -> None:
        for instance in app.instance_ids(system):
            inside(instance, ("net",), "ip", "route", "del", "blackhole", f"{API_ADDRESS}/32")

    with Load(system.app_url, **LOAD) as load:
        outcome = recorder.disturb("deploy, S3 is away", *APP, *style("away"), at="TASK [Look whether the instance", act=cut)
    succeeded(outcome)
    recorder.say(f"        {load.felt.summary()}")
    assert outcome.seconds > AWAY_SECONDS and not load.felt.failures
    assert set(served(system).values()) == {pointer(system)}


def test_a_damaged_archive_is_installed_nowhere(recorder, system, style):
    options, before, s3 = style("damaged"), served(system), system.client("s3")
    bucket, prefix = f"{system.prefix}-static-{system.account_id}", "releases/django-app/"
    known = keys(s3, bucket, prefix)
    recorder.interrupt("deploy, cut off when the release is stored", *APP, *options, at="TASK [Look whether the instance")
    new = keys(s3, bucket, prefix) - known
    (archive,) = [key for key in new if key.endswith("release.tar.gz")]
    content = bytearray(s3.get_object(Bucket=bucket, Key=archive)["Body"].read())
    content[len(content) // 2] ^= 1
    s3.put_object(Bucket=bucket, Key=archive, Body=bytes(content))
    with Load(system.app_url, **LOAD) as load:
        outcome = recorder.run("deploy, the archive is damaged", *APP, *options)
    assert outcome.returncode != 0 and "nothing was installed" in outcome.output, outcome.tail()
    assert served(system) == before and is_unlocked(system) and not load.felt.failures
    for key in new:
        s3.delete_object(Bucket=bucket, Key=key)
    whole(system, recorder, options)


def keys(s3, bucket: str, prefix: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {found["Key"] for page in pages for found in page.get("Contents", [])}


def test_a_full_disk_on_one_instance(recorder, system, style):
    options, before = style("full"), served(system)
    victim, folder = sorted(before)[-1], "/srv/django-app/releases"
    with small_disk(victim, folder):
        with Load(system.app_url, **LOAD) as load:
            outcome = recorder.run("deploy, a disk is full", *APP, *options)
        assert outcome.returncode != 0 and "No space left on device" in outcome.output and victim in outcome.output, outcome.tail()
        recorder.say(f"        {load.felt.summary()}")
        assert served(system) == before and is_unlocked(system) and not load.felt.failures
    whole(system, recorder, options)


@contextlib.contextmanager
def small_disk(instance: str, folder: str):
    """The folder on a disk of its own, with what it holds and 64 KiB to spare."""
    kib = int(app.output(System(), instance, "du", "--summarize", "--apparent-size", "--block-size=4K", folder).split()[0]) * 4
    files = int(app.output(System(), instance, "sh", "-c", f"find {folder} | wc -l"))
    mounted = f"mount -t tmpfs -o size={kib + files * 4 + 64}k tmpfs /mnt && cp -a {folder}/. /mnt/"
    filled = "dd if=/dev/zero of=/mnt/.filled bs=4k status=none 2>/dev/null || true; truncate --size=-64K /mnt/.filled"
    inside(instance, ("mount", "pid"), "sh", "-euc", f"{mounted}; {filled}; mount --move /mnt {folder}")
    try:
        yield
    finally:
        inside(instance, ("mount", "pid"), "umount", "--lazy", folder)


def test_a_run_that_dies_at_any_moment(recorder, system, style):
    """Ten times, at random: what serves goes on serving, and the same command brings the release to its end."""
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    tasks = succeeded(recorder.run("deploy, undisturbed", *APP, *style("undisturbed"))).output.count(TASK)
    recorder.say(f"        random seed {seed}, an undisturbed deploy has {tasks} tasks")
    lost = 0
    for number in range(KILLS):
        # Each tenth of a deploy once, counted in tasks, since the machine may be slower or faster than before; then anywhere in the task.
        times, after = int(0.95 * tasks * (number + chance.random()) / KILLS), chance.random() / 2
        options = style(f"killed {number}")
        with Load(system.app_url, **LOAD) as load:
            recorder.interrupt(f"deploy {number}, killed in task {times}", *APP, *options, at=TASK, times=times, after=after)
            assert system.get("/health").status == 200
            succeeded(recorder.run(f"deploy {number}, once more", *APP, *options))
        lost += len(load.felt.failures)
        recorder.say(f"        {load.felt.summary()}")
        assert not load.felt.failures, load.felt.failures[:5]
        assert set(served(system).values()) == {pointer(system)} and is_unlocked(system)
        assert system.auto_scaling_group()["SuspendedProcesses"] == [], "the group no longer heals itself"
    recorder.say(f"        {KILLS} runs killed, {lost} requests lost")
    nothing_changed(recorder.run("at last, again", *APP, *options))


def test_an_instance_that_dies_costs_what_the_health_check_allows(recorder, system):
    """Without a deploy: requests fail from its death until the load balancer has seen it, and not after."""
    check = system.target_group()
    allowed = check["HealthCheckIntervalSeconds"] * check["UnhealthyThresholdCount"] + check["HealthCheckTimeoutSeconds"]
    victim = app.instance_ids(system)[0]
    with Load(system.app_url) as load:
        time.sleep(3)
        podman("kill", "--signal", "KILL", f"espalier-instance-{victim}")
        time.sleep(allowed)
        failed = len(load.felt.failures)
        time.sleep(3)
    recorder.say(f"        an instance dies, {allowed} s for the health check at most: {load.felt.summary()}")
    assert len(load.felt.failures) == failed, "requests still fail after the load balancer must have seen it"
    until(lambda: settled(system, 2), BIRTH_SECONDS, "two healthy instances")
