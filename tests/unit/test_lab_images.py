"""Images that are made of instances: the account's record, and what the controller is asked to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from botocore.exceptions import ClientError
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.responses.amis import AmisResponse
from moto.ssm.models import ParameterDict

from lab import instances
from lab.api import ec2, images
from tests.unit.moto_patches import client, patched

BASE = ec2.UBUNTU_IMAGES[0][0]


def launch(image: str = BASE) -> str:
    return client("ec2").run_instances(ImageId=image, InstanceType="t2.micro", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]


def state(image: str) -> str:
    return client("ec2").describe_images(ImageIds=[image])["Images"][0]["State"]


def machine(instance: str) -> dict:
    return next(found for found in ec2.list_machines({})["machines"] if found["id"] == instance)


@pytest.fixture
def source() -> Iterator[str]:
    """An instance."""
    with ExitStack() as stack:
        stack.enter_context(patched(ec2, Instance, InstanceBackend, LaunchTemplate, ParameterDict))
        stack.enter_context(patched(images, Ami, AmiBackend, AmisResponse))
        yield launch()


@pytest.fixture
def image(source) -> str:
    return client("ec2").create_image(InstanceId=source, Name="django 1", TagSpecifications=[
        {"ResourceType": kind, "Tags": [{"Key": "Project", "Value": "django"}]} for kind in ("image", "snapshot")
    ])["ImageId"]  # fmt: skip


def test_an_image_is_pending_until_its_machine_is_committed(source, image):
    assert state(image) == "pending"
    assert images.list_images({}) == {"wanted": [{"id": image, "instance": source, "no_reboot": False}], "machines": [image]}
    with pytest.raises(ClientError, match=r"InvalidAMIID\.Unavailable"):
        launch(image)
    images.image_state({"id": image, "state": "available"})
    assert state(image) == "available"
    assert images.list_images({})["wanted"] == []
    assert machine(launch(image))["image"] == image
    assert machine(source)["image"] == ""


def test_a_name_is_taken_once(source, image):
    with pytest.raises(ClientError, match=r"InvalidAMIName\.Duplicate"):
        client("ec2").create_image(InstanceId=source, Name="django 1")


def test_an_image_that_is_registered_of_its_snapshot_boots_the_same(image):
    images.image_state({"id": image, "state": "available"})
    described = client("ec2").describe_images(ImageIds=[image])["Images"][0]
    snapshot = described["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    copy = client("ec2").register_image(
        Name="django 2", RootDeviceName="/dev/sda1", BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}]
    )["ImageId"]
    assert machine(launch(copy))["image"] == image


def test_a_deregistered_image_is_forgotten_and_its_instances_stay(image):
    images.image_state({"id": image, "state": "available"})
    born = launch(image)
    client("ec2").deregister_image(ImageId=image)
    assert images.list_images({}) == {"wanted": [], "machines": []}
    assert machine(born)["image"] == image
    with pytest.raises(ClientError, match="InvalidAMIID"):
        launch(image)


def test_without_a_reboot_the_machine_runs_on(source, monkeypatch):
    made = client("ec2").create_image(InstanceId=source, Name="live", NoReboot=True)["ImageId"]
    asked = []
    monkeypatch.setattr(instances, "podman", lambda *arguments, **options: asked.append(arguments))
    controller = instances.Instances()
    controller.commit(images.list_images({})["wanted"][0])
    assert [arguments[0] for arguments in asked] == ["commit"]
    assert asked[0][-2:] == (f"espalier-instance-{source}", f"localhost/espalier-ami:{made}")


def test_a_machine_that_cannot_be_committed_makes_a_failed_image(source, image, monkeypatch):
    def refuse(*arguments, **options):
        raise instances.PodmanError("no space left on device")

    routes = {"images": images.list_images, "image_state": images.image_state}
    monkeypatch.setattr(instances, "podman", refuse)
    monkeypatch.setattr(instances, "images", list)
    monkeypatch.setattr(instances.control, "call", lambda name, settings, **body: routes[name](body))
    instances.Instances().reconcile_images()
    assert state(image) == "failed"
