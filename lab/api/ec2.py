"""What EC2 does and moto does not.

- Images: Ubuntu 22.04 and 24.04 of Canonical (099720109477), each with an older and a newer build, and Canonical's public
  SSM parameters that name the newest.
- Instances go through `pending`, `stopping` and `shutting-down`, as long as their machine takes; they keep their address, network
  interface and instance profile until they are `terminated`. A primary network interface goes with its instance.
- A launch template's own tags are no part of its versions; user data of a second version launches like that of the first. Versions can be
  deleted, but for the default one; a number is never given again.
- RunInstances with a launch template takes over its instance profile, network interfaces and metadata options.
- DescribeInstances keeps terminated instances for an hour (divided by the time scale), not for ever.
"""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime

from moto.core.responses import ActionResult
from moto.ec2.exceptions import InvalidLaunchTemplateVersionNotFound
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.ec2.utils import parse_user_data
from moto.ssm.models import Parameter, ParameterDict

from lab.api import images, vpc
from lab.settings import SETTINGS

CANONICAL = "099720109477"
# id, series, number, build date. Ids and dates are made up, in Canonical's form.
UBUNTU_IMAGES = (
    ("ami-0a1b2c3d4e5f60001", "jammy", "22.04", datetime(2026, 8, 14, tzinfo=UTC)),
    ("ami-0a1b2c3d4e5f60002", "jammy", "22.04", datetime(2026, 10, 21, tzinfo=UTC)),
    ("ami-0a1b2c3d4e5f60003", "noble", "24.04", datetime(2026, 8, 14, tzinfo=UTC)),
    ("ami-0a1b2c3d4e5f60004", "noble", "24.04", datetime(2026, 10, 21, tzinfo=UTC)),
)
STATES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
# AWS's documentation: "approximately one hour".
TERMINATED_VISIBLE_SECONDS = 3600


def backend() -> EC2Backend:
    """EC2 of the lab's one account and region."""
    return ec2_backends[SETTINGS.account_id][SETTINGS.region]


def install() -> None:
    add_images()
    patch_parameters()
    patch_life_cycle()
    patch_launch_templates()
    patch_launch()


def add_images() -> None:
    for ami_id, series, number, built in UBUNTU_IMAGES:
        kind = "hvm-ssd" if series == "jammy" else "hvm-ssd-gp3"
        backend().amis[ami_id] = Ami(
            backend(),
            ami_id,
            name=f"ubuntu/images/{kind}/ubuntu-{series}-{number}-amd64-server-{built:%Y%m%d}",
            description=f"Canonical, Ubuntu, {number} LTS, amd64 {series} image build on {built:%Y-%m-%d}",
            owner_id=CANONICAL,
            owner_alias=None,
            public=True,
            virtualization_type="hvm",
            architecture="x86_64",
            creation_date=built,
            image_location=f"amazon/ubuntu/images/{kind}/ubuntu-{series}-{number}-amd64-server-{built:%Y%m%d}",
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name="/dev/sda1",
            sriov="simple",
            region_name=f"{SETTINGS.region}a",
            boot_mode="uefi-preferred",
        )


def patch_parameters() -> None:
    """As moto does with Amazon's own: public parameters come when they are asked for, and are not listed among the account's before."""
    moto_check = ParameterDict._check_loading_status

    def check_loading_status(self, key):
        moto_check(self, key)
        if str(key).startswith("/aws/service/canonical/"):
            for ami_id, series, number, built in UBUNTU_IMAGES:
                volume = "gp2" if series == "jammy" else "gp3"
                name = f"/aws/service/canonical/ubuntu/server/{number}/stable/current/amd64/hvm/ebs-{volume}/ami-id"
                # The list above is in order of build: the last one stays.
                dict.__setitem__(self, name, [public_parameter(name, ami_id, built)])

    ParameterDict._check_loading_status = check_loading_status


def public_parameter(name: str, value: str, modified: datetime) -> Parameter:
    return Parameter(
        account_id=SETTINGS.account_id,
        name=name,
        value=value,
        parameter_type="String",
        description=None,
        allowed_pattern=None,
        keyid=None,
        last_modified_date=modified.timestamp(),
        version=1,
        data_type="aws:ec2:image",
    )


def set_state(instance: Instance, state: str) -> None:
    instance._state.name, instance._state.code = state, STATES[state]


def patch_life_cycle() -> None:
    moto_init, moto_start, moto_stop, moto_terminate = Instance.__init__, Instance.start, Instance.stop, Instance.terminate

    def init(self, *arguments, **options):
        moto_init(self, *arguments, **options)
        self.lab_reboot_wanted = False
        # Now: the image may be deregistered before the machine is brought up.
        self.lab_machine_image = images.machine_of(self.ec2_backend, self.image_id)
        set_state(self, "pending")

    def start(self):
        if self.state not in ("stopped", "stopping"):
            return _copy(self)
        previous = moto_start(self)
        set_state(self, "pending")
        return previous

    def stop(self):
        if self.state not in ("pending", "running"):
            return _copy(self)
        previous = moto_stop(self)
        set_state(self, "stopping")
        return previous

    def terminate(self):
        previous = _copy(self)
        if self.state not in ("shutting-down", "terminated"):
            set_state(self, "shutting-down")
        return previous

    def reboot(self):
        self.lab_reboot_wanted = True

    def finish_terminate(self):
        # AWS's default for the interface that comes with the instance; moto leaves it behind.
        self.nics[0].delete_on_termination = True
        moto_terminate(self)
        # Its destructor would free them once more, when they may be another instance's.
        self._private_ips.clear()
        self.lab_terminated_at = time.monotonic()

    Instance.__init__, Instance.start, Instance.stop, Instance.terminate, Instance.reboot = init, start, stop, terminate, reboot
    Instance.lab_finish_terminate = finish_terminate


def _copy(instance: Instance):
    return type(instance._state)(instance._state.name, instance._state.code)


def patch_launch_templates() -> None:
    moto_create_version = LaunchTemplate.create_version

    def create_version(self, data, description):
        data, specifications = dict(data), data.get("TagSpecifications", [])
        data["TagSpecifications"] = [entry for entry in specifications if entry["ResourceType"] != "launch-template"]
        if not data["TagSpecifications"]:
            del data["TagSpecifications"]
        if isinstance(data.get("UserData"), str):
            data["UserData"] = parse_user_data(data["UserData"])
        version = moto_create_version(self, data, description)
        self.lab_versions_made = version.number = getattr(self, "lab_versions_made", 0) + 1
        return version

    def get_version(self, number):
        asked = {"$latest": self.latest_version_number, "$default": self.default_version_number}.get(str(number).lower(), number)
        for version in self.versions:
            if str(version.number) == str(asked):
                return version
        raise InvalidLaunchTemplateVersionNotFound(template_id=self.id, version=number)

    LaunchTemplate.create_version, LaunchTemplate.get_version = create_version, get_version
    LaunchTemplate.default_version = lambda self: self.get_version(self.default_version_number)
    LaunchTemplates.delete_launch_template_versions = delete_launch_template_versions


def delete_launch_template_versions(self: LaunchTemplates) -> ActionResult:
    name, template_id = self._get_param("LaunchTemplateName"), self._get_param("LaunchTemplateId")
    self.error_on_dryrun()
    template = self.ec2_backend.get_launch_template_by_name(name) if name else self.ec2_backend.get_launch_template(template_id)
    known = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name}
    deleted, refused = [], []
    for number in self._get_param("Versions", []):
        place = {**known, "VersionNumber": int(number)}
        found = [version for version in template.versions if str(version.number) == number]
        if found and not template.is_default(found[0]):
            template.versions.remove(found[0])
            deleted.append(place)
        else:
            code, why = ("unexpectedError", "is the default") if found else ("launchTemplateVersionDoesNotExist", "does not exist")
            refused.append({**place, "ResponseError": {"Code": code, "Message": f"Version {number} {why}"}})
    return ActionResult({"SuccessfullyDeletedLaunchTemplateVersions": deleted, "UnsuccessfullyDeletedLaunchTemplateVersions": refused})


def patch_launch() -> None:
    moto_run = InstanceBackend.run_instances

    def run_instances(self, image_id, count, user_data, security_group_names, **options):
        template = options.get("launch_template")
        data = self._get_template_from_args(template).data if template else {}
        images.refuse_unavailable(self, image_id or data.get("ImageId", ""))
        if data:
            options["metadata_options"] = options.get("metadata_options") or data.get("MetadataOptions", {})
            nics = data.get("NetworkInterfaces")
            if nics and not options.get("nics"):
                # A subnet of the request beats the template's; moto wants it inside the interface.
                subnet = options.pop("subnet_id", None)
                options["nics"] = [{**nic, **({"SubnetId": subnet} if subnet else {})} for nic in nics]
        reservation = moto_run(self, image_id, count, user_data, security_group_names, **options)
        name, arn = options.get("iam_instance_profile_name"), options.get("iam_instance_profile_arn")
        # moto's RunInstances associates the profile of the request itself, but only with the first instance.
        pending = reservation.instances[1:] if name or arn else reservation.instances
        if not (name or arn):
            profile = data.get("IamInstanceProfile", {})
            name, arn = profile.get("Name"), profile.get("Arn")
        for instance in pending if name or arn else ():
            self.associate_iam_instance_profile(instance.id, iam_instance_profile_name=name, iam_instance_profile_arn=arn)
        return reservation

    InstanceBackend.run_instances = run_instances


def forget_terminated() -> None:
    oldest = time.monotonic() - SETTINGS.scaled(TERMINATED_VISIBLE_SECONDS)
    for reservation in list(backend().reservations.values()):
        reservation.instances = [i for i in reservation.instances if getattr(i, "lab_terminated_at", oldest) >= oldest]
        if not reservation.instances:
            del backend().reservations[reservation.id]


def find(instance_id: str) -> Instance:
    return backend().get_instance(instance_id)


def list_machines(body: dict) -> dict:
    """What the instances controller compares its containers with: every instance that is not terminated."""
    vpc.do_due()
    forget_terminated()
    return {
        "machines": [
            {
                "id": instance.id,
                "state": instance.state,
                "image": instance.lab_machine_image,
                "address": instance.private_ip,
                "hostname": instance.private_dns_name.partition(".")[0],
                "reboot": instance.lab_reboot_wanted,
                # A cluster's node is no machine like the others: lab.kubernetes brings it up.
                "cluster": next((tag["value"] for tag in instance.get_tags() if tag["key"] == "eks:cluster-name"), ""),
            }
            for instance in backend().all_instances()
            if instance.state != "terminated"
        ]
    }


def machine_user_data(body: dict) -> dict:
    """User data of instance `id`, base64, empty when it has none."""
    return {"user_data": _user_data(find(body["id"]))}


def machine_state(body: dict) -> dict:
    """The controller reports that the machine of `id` is now `state`: running, stopped, terminated or rebooted.

    Ignored when the account changed its mind meanwhile (an instance that was terminated while it started).
    """
    instance, state = find(body["id"]), body["state"]
    expected = {"running": "pending", "stopped": "stopping", "terminated": "shutting-down"}
    if state == "rebooted":
        instance.lab_reboot_wanted = False
    elif instance.state == expected[state]:
        if state == "terminated":
            instance.lab_finish_terminate()
        else:
            set_state(instance, state)
    return {"state": instance.state}


def _user_data(instance: Instance) -> str:
    data = instance.user_data
    if isinstance(data, bytes):
        data = base64.b64encode(data).decode()
    return str(data) if data else ""


def machine_metadata(body: dict) -> dict:
    """What instance metadata tells the instance that has `address` now; {} when no living instance has it."""
    for instance in backend().all_instances():
        if instance.private_ip == body["address"] and instance.state in ("pending", "running"):
            return describe(instance)
    return {}


def describe(instance: Instance) -> dict:
    association = backend().iam_instance_profile_associations.get(instance.id)
    profile = association.iam_instance_profile if association else None
    roles = [role.name for role in profile.roles] if profile else []
    options = instance.metadata_options
    return {
        "instance_id": instance.id,
        "instance_type": instance.instance_type,
        "image_id": instance.image_id,
        "launch_index": instance.ami_launch_index,
        "launch_time": instance.launch_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "architecture": instance.architecture,
        "account_id": instance.owner_id,
        "region": instance.region_name,
        "availability_zone": instance.placement.zone,
        "private_ip": instance.private_ip,
        "private_dns_name": instance.private_dns_name,
        "public_ip": instance.public_ip,
        "public_dns_name": instance.public_dns_name,
        "mac": instance.nics[0].mac_address,
        "subnet_id": instance.subnet_id,
        "vpc_id": instance.vpc_id,
        "security_groups": [group.name for group in instance.security_groups],
        "instance_profile_arn": profile.arn if profile else None,
        "instance_profile_id": profile.id if profile else None,
        "role": roles[0] if roles else None,
        "role_arn": profile.roles[0].arn if roles else None,
        "role_trusts_ec2": bool(roles)
        and '"ec2.amazonaws.com"' in json.dumps(profile.roles[0].assume_role_policy_document).replace("\\", ""),
        "user_data": _user_data(instance),
        "tags": {tag["key"]: tag["value"] for tag in instance.get_tags()},
        "http_tokens": options.http_tokens or "optional",
        "http_endpoint": options.http_endpoint or "enabled",
        "instance_metadata_tags": options.instance_metadata_tags or "disabled",
    }


ROUTES = {
    "machines": list_machines,
    "machine_user_data": machine_user_data,
    "machine_state": machine_state,
    "machine_metadata": machine_metadata,
}
