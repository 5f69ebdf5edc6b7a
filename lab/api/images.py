"""Images that are made of instances. What the image holds is podman's, and lab.instances makes it; the account's record is here.

- CreateImage: `pending` until the machine is committed, `failed` when it cannot be; the instance is stopped for it and started again
  unless NoReboot. A name is taken once.
- RegisterImage of the snapshot of such an image boots the same, as does CopyImage.
- Only an available image launches. DeregisterImage leaves running instances alone.
"""

from __future__ import annotations

from moto.ec2.exceptions import EC2ClientError, InvalidAMIIdError, UnvailableAMIIdError
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.responses.amis import AmisResponse


class InvalidNameDuplicate(EC2ClientError):
    def __init__(self, name: str, image_id: str) -> None:
        super().__init__("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image_id}")


def install() -> None:
    # Of the images that come with the lab: they boot its base image.
    Ami.lab_machine = ""
    Ami.lab_source = Ami.lab_no_reboot = None
    moto_create, moto_copy, moto_register = AmiBackend.create_image, AmiBackend.copy_image, AmiBackend.register_image

    def refuse_duplicate(backend, name: str) -> None:
        for image in backend.amis.values():
            if image.name == name and image.owner_id == backend.account_id:
                raise InvalidNameDuplicate(name, image.id)

    def create_image(self, instance_id, name, description, tag_specifications):
        refuse_duplicate(self, name)
        wanted = [entry for entry in tag_specifications if entry["ResourceType"] != "snapshot"]
        image = moto_create(self, instance_id, name, description, wanted)
        for entry in tag_specifications:
            if entry["ResourceType"] == "snapshot":
                image.ebs_snapshot.add_tags({tag["Key"]: tag["Value"] for tag in entry["Tags"]})
        image.root_device_type, image.state, image.lab_source, image.lab_machine = "ebs", "pending", instance_id, image.id
        return image

    def copy_image(self, source_image_id, source_region, name=None, description=None):
        image = moto_copy(self, source_image_id, source_region, name, description)
        image.lab_machine = self.amis[source_image_id].lab_machine
        return image

    def register_image(self, name=None, description=None):
        refuse_duplicate(self, name)
        return moto_register(self, name, description)

    AmiBackend.create_image, AmiBackend.copy_image, AmiBackend.register_image = create_image, copy_image, register_image
    patch_responses()


def patch_responses() -> None:
    moto_create, moto_register = AmisResponse.create_image, AmisResponse.register_image

    def create_image(self):
        answer = moto_create(self)
        image = newest(self.ec2_backend, self._get_param("Name"))
        image.lab_no_reboot = self._get_bool_param("NoReboot", False)
        return answer

    def register_image(self):
        answer = moto_register(self)
        image, mappings = newest(self.ec2_backend, self._get_param("Name")), self._get_param("BlockDeviceMappings", []) or []
        snapshots = {mapping.get("Ebs", {}).get("SnapshotId") for mapping in mappings}
        for source in self.ec2_backend.amis.values():
            if source.ebs_snapshot.id in snapshots:
                image.lab_machine = source.lab_machine
        return answer

    AmisResponse.create_image, AmisResponse.register_image = create_image, register_image


def newest(backend, name: str) -> Ami:
    return next(image for image in reversed(list(backend.amis.values())) if image.name == name)


def machine_of(backend, image_id: str) -> str:
    """What a machine of this image boots: the id of the image whose commit it is, empty for the lab's base image."""
    image = backend.amis.get(image_id)
    return getattr(image, "lab_machine", "")


def refuse_unavailable(backend, image_id: str) -> None:
    """As RunInstances does for an image that is not finished, or deregistered."""
    image = backend.amis.get(image_id)
    if image_id in backend.deleted_amis:
        raise InvalidAMIIdError([image_id])
    if image is not None and image.state != "available":
        raise UnvailableAMIIdError(image_id)


def list_images(body: dict) -> dict:
    """What the instances controller compares podman's images with."""
    from lab.api.ec2 import backend

    images = [image for image in backend().amis.values() if image.lab_machine]
    return {
        "wanted": [
            {"id": image.id, "instance": image.lab_source, "no_reboot": image.lab_no_reboot} for image in images if image.state == "pending"
        ],
        "machines": sorted({image.lab_machine for image in images}),
    }


def image_state(body: dict) -> dict:
    """The controller reports that image `id` is now `state`: available or failed. Ignored when it is deregistered already."""
    from lab.api.ec2 import backend

    image = backend().amis.get(body["id"])
    if image is not None and image.state == "pending":
        image.state = body["state"]
    return {}


ROUTES = {"images": list_images, "image_state": image_state}
