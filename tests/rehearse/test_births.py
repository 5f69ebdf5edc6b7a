"""Instances that configure themselves: scale-out from the bare image, a birth that fails, an image and its roll-out, scale-out from it.

Stands on a built system with a deployed release, and leaves one behind. Figures are printed as they are found.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable

import pytest

from tests.acceptance.system import System, lab_shell
from tests.rehearse.deploying import pointer, served
from tests.rehearse.load import Load

BIRTH_SECONDS = 600


@pytest.fixture(scope="module")
def system(built) -> System:
    return built


@pytest.fixture
def bucket(system) -> str:
    return f"{system.prefix}-static-{system.account_id}"


def until(found: Callable, seconds: float, what: str):
    """What `found` answers as soon as it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s: {what}")


def members(system: System) -> dict[str, str]:
    return {found["InstanceId"]: found["LifecycleState"] for found in system.auto_scaling_group()["Instances"]}


def scale(system: System, capacity: int) -> None:
    client = system.client("autoscaling")
    client.set_desired_capacity(AutoScalingGroupName=system.auto_scaling_group()["AutoScalingGroupName"], DesiredCapacity=capacity)


def settled(system: System, capacity: int) -> list[str]:
    """All instances in service, healthy for the load balancer, and as many as asked for."""
    states = members(system)
    healthy = [name for name, state in system.target_states().items() if state == "healthy"]
    whole = len(states) == capacity and set(states.values()) == {"InService"} and set(states) <= set(healthy)
    return sorted(states) if whole else []


def answers(address: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{address}/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def birth(system: System, capacity: int) -> tuple[str, float]:
    """Grow by one. Returns the new instance and the seconds from its launch to its first healthy answer."""
    before = set(members(system))
    scale(system, capacity)
    new = until(lambda: set(members(system)) - before, 30, "a new member of the group").pop()
    machine = system.client("ec2").describe_instances(InstanceIds=[new])["Reservations"][0]["Instances"][0]
    began = machine["LaunchTime"].timestamp()
    until(lambda: answers(machine["PrivateIpAddress"]), BIRTH_SECONDS, f"an answer of {new}")
    return new, time.time() - began


def test_an_instance_of_the_bare_image_serves_the_current_release_by_itself(system, recorder):
    new, seconds = birth(system, 3)
    recorder.say(f"birth of {new} from the bare image: {seconds:.1f} s to the first healthy answer")
    until(lambda: settled(system, 3), 120, "three healthy instances")
    assert served(system)[new] == pointer(system)
    log = lab_shell(new, "cat", "/var/log/espalier-birth.log").stdout
    assert "launch hook completed: CONTINUE" in log
    scale(system, 2)
    until(lambda: settled(system, 2), 120, "two healthy instances")


def test_a_deploy_of_the_same_release_finds_nothing_to_do_on_it(system, recorder):
    outcome = recorder.playbook("deploy again", "site.yml", "--tags", "app")
    assert outcome.returncode == 0, outcome.tail()
    assert outcome.total("changed") == 0, "\n".join(outcome.changed_tasks())


def test_a_birth_that_fails_is_given_up_and_replaced_and_its_log_is_kept(system, bucket, recorder):
    s3, before = system.client("s3"), members(system)
    current = s3.get_object(Bucket=bucket, Key="bundles/current.json")["Body"].read()
    broken = json.loads(current)
    # Of another key, too: an image has the right one already.
    s3.copy_object(Bucket=bucket, Key="bundles/roles-broken.tar.gz", CopySource={"Bucket": bucket, "Key": broken["roles"]["key"]})
    broken["roles"] = {"key": "bundles/roles-broken.tar.gz", "digest": "0" * 64}
    s3.put_object(Bucket=bucket, Key="bundles/current.json", Body=json.dumps(broken).encode())
    try:
        scale(system, 3)
        new = until(lambda: set(members(system)) - set(before), 30, "a new member of the group").pop()
        kept = until(lambda: object_or_none(s3, bucket, f"births/{new}.log"), BIRTH_SECONDS, f"the log of {new}")
    finally:
        s3.put_object(Bucket=bucket, Key="bundles/current.json", Body=current)
        s3.delete_object(Bucket=bucket, Key="bundles/roles-broken.tar.gz")
    assert "is not what its digest says" in kept
    until(lambda: new not in members(system), 120, f"the end of {new}")
    assert members(system).items() >= before.items()
    until(lambda: settled(system, 3), BIRTH_SECONDS, "three healthy instances")
    activities = system.client("autoscaling").describe_scaling_activities(
        AutoScalingGroupName=system.auto_scaling_group()["AutoScalingGroupName"]
    )
    failed = [activity for activity in activities["Activities"] if activity["StatusCode"] == "Failed"]
    assert [activity for activity in failed if new in activity["StatusMessage"]]
    scale(system, 2)
    until(lambda: settled(system, 2), 120, "two healthy instances")


def object_or_none(s3, bucket: str, key: str) -> str | None:
    try:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    except s3.exceptions.NoSuchKey:
        return None


def test_an_image_is_made_and_rolled_out_without_a_lost_request(system, recorder):
    before = set(members(system))
    with Load(system.app_url) as load:
        outcome = recorder.playbook("image", "playbooks/image.yml", seconds=1800)
    recorder.say(f"        image and refresh: {load.felt.summary()}")
    assert outcome.returncode == 0, outcome.tail()
    assert not load.felt.failures, load.felt.failures[:10]
    now = until(lambda: settled(system, 2), 120, "two healthy instances")
    assert not before & set(now)
    reservations = system.client("ec2").describe_instances(InstanceIds=now)["Reservations"]
    images = {machine["ImageId"] for entry in reservations for machine in entry["Instances"]}
    owned = system.client("ec2").describe_images(Owners=["self"])["Images"]
    assert images <= {image["ImageId"] for image in owned}
    assert set(served(system).values()) == {pointer(system)}
    assert system.instances("image") == []


def test_an_instance_of_the_image_needs_no_package_and_less_time(system, recorder):
    new, seconds = birth(system, 3)
    recorder.say(f"birth of {new} from the baked image: {seconds:.1f} s to the first healthy answer")
    until(lambda: settled(system, 3), 120, "three healthy instances")
    assert served(system)[new] == pointer(system)
    installed = lab_shell(new, "sh", "-c", "find /var/log/dpkg.log -newer /proc/1/cmdline").stdout
    assert installed == "", "something was installed at the birth"
    scale(system, 2)
    until(lambda: settled(system, 2), 120, "two healthy instances")


def test_the_system_is_as_its_playbooks_would_have_it(system, recorder):
    outcome = recorder.playbook("rerun after the image", "site.yml", seconds=1200)
    assert outcome.returncode == 0, outcome.tail()
    assert outcome.total("changed") == 0, "\n".join(outcome.changed_tasks())
