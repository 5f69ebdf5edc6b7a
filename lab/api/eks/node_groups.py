"""Managed node groups: what EKS makes for them in the account, and statuses that follow the nodes.

The machines are an auto scaling group's (lab.api.scaling); an instance that carries the tag `eks:cluster-name` is a node.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.autoscaling.models import FakeAutoScalingGroup, InstanceState, autoscaling_backends
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.eks.models import Cluster, EKSBackend, Nodegroup
from moto.eks.responses import EKSResponse
from moto.iam.models import iam_backends

from lab.api import autoscaling, hooks
from lab.api.eks import access
from lab.api.eks.common import Parameters, add, cluster_of, in_use, invalid, not_found, now, require_active, update, wrap
from lab.settings import SETTINGS

# Amazon's account of EKS images. Id and date are made up, in Amazon's form.
EKS_IMAGES = "602401143452"
IMAGE = "ami-0e1c5a2b3c4d50035"
IMAGE_DATE = datetime(2026, 10, 20, tzinfo=UTC)
AMI_TYPE = "AL2023_x86_64_STANDARD"
CLUSTER_TAG = "eks:cluster-name"
GROUP_TAG = "eks:nodegroup-name"
# EKS's own, by which it drains the nodes that the group takes away.
DRAIN_HOOK, DRAIN_SECONDS = "Terminate-LC-Hook", 1800
# What a launch template of the customer's may bring; the rest is EKS's own.
# https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html
TEMPLATE_KEYS = ("BlockDeviceMappings", "MetadataOptions", "Monitoring", "InstanceType", "SecurityGroupIds", "UserData")


def groups_backend():
    return autoscaling_backends[SETTINGS.account_id][SETTINGS.region]


def ec2():
    return ec2_backends[SETTINGS.account_id][SETTINGS.region]


def iam():
    return iam_backends[SETTINGS.account_id]["aws"]


# --- creation


def create(original: Callable, self: EKSResponse) -> Any:
    """moto makes the record; the machines are made here."""
    self.parse_parameters(self.normalized_request)
    wanted = self.params
    cluster = cluster_of(self.eks_backend, wanted)
    if wanted["nodegroupName"] not in cluster.nodegroups:
        check_creation(cluster, wanted)
    answer = original(self)
    complete(cluster, cluster.nodegroups[wanted["nodegroupName"]], wanted)
    return answer


def check_creation(cluster: Cluster, wanted: Parameters) -> None:
    check_scaling(scaling_of(wanted.get("scalingConfig") or {}))
    for subnet_id in wanted["subnets"]:
        if ec2().get_subnet(subnet_id).vpc_id != cluster.resources_vpc_config["vpcId"]:
            raise invalid(f"The subnet {subnet_id} is not in the cluster's VPC", clusterName=cluster.name)
    template = template_data(wanted.get("launchTemplate"))
    if template.get("InstanceType") and wanted.get("instanceTypes"):
        raise invalid("You cannot specify instance types within launch template and node group at the same time.")
    if template and wanted.get("diskSize"):
        raise invalid("Disk size must be specified within the launch template.")
    role = next((role for role in iam().roles.values() if role.arn == wanted["nodeRole"]), None)
    if role is None or "ec2.amazonaws.com" not in json.dumps(role.assume_role_policy_document):
        raise invalid(f"The role {wanted['nodeRole']} does not exist, or cannot be assumed by ec2.amazonaws.com.")


def scaling_of(asked: dict) -> dict:
    return {"minSize": asked.get("minSize", 1), "maxSize": asked.get("maxSize", 2), "desiredSize": asked.get("desiredSize", 2)}


def check_scaling(scaling: dict) -> None:
    if scaling["desiredSize"] > scaling["maxSize"]:
        raise invalid(f"desired capacity {scaling['desiredSize']} can't be greater than max size {scaling['maxSize']}")
    if scaling["minSize"] > scaling["desiredSize"]:
        raise invalid(f"Minimum capacity {scaling['minSize']} can't be greater than desired size {scaling['desiredSize']}")
    if scaling["maxSize"] < 1:
        raise invalid("max size must be at least 1")


def template_data(given: dict | None) -> dict:
    """What the customer's launch template says, in the version that the request names. Its default version otherwise."""
    if not given:
        return {}
    backend = ec2()
    template = backend.get_launch_template(given["id"]) if given.get("id") else backend.get_launch_template_by_name(given["name"])
    return template.get_version(given.get("version") or str(template.default_version_number)).data


def complete(cluster: Cluster, group: Nodegroup, wanted: Parameters) -> None:
    group.status = "CREATING"
    group.version = wanted.get("version") or cluster.version
    group.release_version = f"{group.version}.4-{IMAGE_DATE:%Y%m%d}"
    group.ami_type = wanted.get("amiType") or AMI_TYPE
    group.scaling_config = scaling_of(wanted.get("scalingConfig") or {})
    group.update_config = wanted.get("updateConfig") or {"maxUnavailable": 1}
    group.health = {"issues": []}
    given = template_data(wanted.get("launchTemplate"))
    if wanted.get("launchTemplate"):
        template_version = wanted["launchTemplate"].get("version") or "1"
        group.launch_template = {**group.launch_template, "version": str(template_version)}
        # Said by the template, or by nobody.
        group.disk_size = None
        if given.get("InstanceType"):
            group.instance_types = None
    group.remote_access = wanted.get("remoteAccess")
    access.admit_nodes(cluster, group.node_role)
    make_machines(cluster, group, given)


def make_machines(cluster: Cluster, group: Nodegroup, given: dict) -> None:
    """Instance profile, launch template and auto scaling group, named as EKS names them."""
    name = f"eks-{group.uuid}"
    iam().create_instance_profile(name, "/", [group.node_role.rpartition("/")[2]], [])
    machine_tags = {
        CLUSTER_TAG: cluster.name,
        GROUP_TAG: group.nodegroup_name,
        f"kubernetes.io/cluster/{cluster.name}": "owned",
        f"k8s.io/cluster-autoscaler/{cluster.name}": "owned",
        "k8s.io/cluster-autoscaler/enabled": "true",
    }
    data = {key: given[key] for key in TEMPLATE_KEYS if key in given}
    data.setdefault("InstanceType", (group.instance_types or ["t3.medium"])[0])
    data.setdefault("SecurityGroupIds", [cluster.resources_vpc_config["clusterSecurityGroupId"]])
    data.setdefault("MetadataOptions", {"HttpTokens": "required", "HttpPutResponseHopLimit": 2})
    data.update(ImageId=IMAGE, IamInstanceProfile={"Name": name}, TagSpecifications=given.get("TagSpecifications") or [])
    template = ec2().create_launch_template(name, "", data, {})
    group_name = f"eks-{group.nodegroup_name}-{group.uuid}"
    subnets = [ec2().get_subnet(subnet_id) for subnet_id in group.subnets]
    groups_backend().create_auto_scaling_group(
        name=group_name,
        availability_zones=[],
        desired_capacity=group.scaling_config["desiredSize"],
        max_size=group.scaling_config["maxSize"],
        min_size=group.scaling_config["minSize"],
        launch_config_name="",
        launch_template={"LaunchTemplateId": template.id, "Version": "1"},
        vpc_zone_identifier=",".join(subnet.id for subnet in subnets),
        default_cooldown=300,
        health_check_period=15,
        health_check_type="EC2",
        load_balancers=[],
        target_group_arns=[],
        placement_group=None,
        termination_policies=["AllocationStrategy", "OldestLaunchTemplate", "OldestInstance"],
        tags=[
            {"Key": key, "Value": value, "ResourceId": group_name, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": True}
            for key, value in machine_tags.items()
        ],
        capacity_rebalance=True,
    )
    group.resources = {"autoScalingGroups": [{"name": group_name}]}
    wanted = {
        "LifecycleHookName": DRAIN_HOOK,
        "AutoScalingGroupName": group_name,
        "LifecycleTransition": hooks.TERMINATING,
        "HeartbeatTimeout": DRAIN_SECONDS,
        "DefaultResult": "CONTINUE",
    }
    hooks.hooks_of(machines(group))[DRAIN_HOOK] = hooks.wanted_hook({}, wanted)


# --- the machines


def machines(group: Nodegroup) -> FakeAutoScalingGroup | None:
    """Its auto scaling group; None when somebody has deleted that, or EKS has."""
    return groups_backend().autoscaling_groups.get(group.resources["autoScalingGroups"][0]["name"])


def leaving(cluster: Cluster) -> dict[str, InstanceState]:
    """Instances by id that wait for their node to be drained."""
    fleets = filter(None, map(machines, cluster.nodegroups.values()))
    return {state.instance_id: state for fleet in fleets for state in fleet.instance_states if state.lifecycle_state == "Terminating:Wait"}


def report_drained(cluster: Cluster, instance_ids: list[str]) -> None:
    for instance_id, state in leaving(cluster).items():
        for wait in state.lab_waits if instance_id in instance_ids else ():
            if wait.hook["LifecycleHookName"] == DRAIN_HOOK:
                wait.result = "CONTINUE"


def nodes(cluster: Cluster) -> list[dict]:
    """The instances of the cluster, with what a node has to know."""
    found, going = [], leaving(cluster)
    for instance in ec2().all_instances():
        tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
        if tags.get(CLUSTER_TAG) != cluster.name or instance.state == "terminated":
            continue
        group = cluster.nodegroups.get(tags.get(GROUP_TAG, ""))
        found.append(
            {
                "id": instance.id,
                "state": instance.state,
                "leaving": instance.id in going,
                "address": instance.private_ip,
                "hostname": instance.private_dns_name.partition(".")[0],
                "name": instance.private_dns_name,
                "zone": instance.placement.zone,
                "instance_type": instance.instance_type,
                "image_id": instance.image_id,
                "node_group": tags.get(GROUP_TAG),
                "capacity_type": group.capacity_type if group else "ON_DEMAND",
                "labels": dict(group.labels) if group else {},
                "taints": list(group.taints) if group else [],
            }
        )
    return found


def step(cluster: Cluster) -> None:
    """Let the statuses of the cluster's node groups follow their machines."""
    for group in list(cluster.nodegroups.values()):
        fleet = machines(group)
        if group.status == "DELETING":
            if fleet is None:
                forget(cluster, group)
        elif fleet is None:
            group.status = "DEGRADED"
            group.health = {
                "issues": [
                    {
                        "code": "AutoScalingGroupNotFound",
                        "message": "The Auto Scaling group of the node group was not found.",
                        "resourceIds": [group.resources["autoScalingGroups"][0]["name"]],
                    }
                ]
            }
        else:
            follow(cluster, group, fleet)


def follow(cluster: Cluster, group: Nodegroup, fleet: FakeAutoScalingGroup) -> None:
    # A cluster autoscaler or a person may have changed it there.
    group.scaling_config["desiredSize"] = fleet.desired_capacity
    ready = [state for state in fleet.instance_states if state.instance_id in cluster.lab_ready_nodes]
    if group.status == "CREATING" and len(ready) >= (fleet.desired_capacity or 0):
        group.status = "ACTIVE"


def forget(cluster: Cluster, group: Nodegroup) -> None:
    name = f"eks-{group.uuid}"
    # What somebody else has removed already is no reason to stay.
    with contextlib.suppress(Exception):
        ec2().delete_launch_template(name, None)
    with contextlib.suppress(Exception):
        iam().delete_instance_profile(name, ignore_attached_roles=True)
    del cluster.nodegroups[group.nodegroup_name]
    cluster.nodegroup_count -= 1


# --- changes and removal


def group_of(cluster: Cluster, parameters: Parameters) -> Nodegroup:
    name = parameters["nodegroupName"]
    if name not in cluster.nodegroups:
        raise not_found(f"No node group found for name: {name}.", clusterName=cluster.name, nodegroupName=name)
    return cluster.nodegroups[name]


def changeable(eks: EKSBackend, parameters: Parameters) -> tuple[Cluster, Nodegroup]:
    cluster = cluster_of(eks, parameters)
    require_active(cluster)
    group = group_of(cluster, parameters)
    if group.status not in ("ACTIVE", "DEGRADED"):
        raise in_use("Nodegroup cannot be updated as it is currently not in Active State", nodegroupName=group.nodegroup_name)
    return cluster, group


def update_config(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster, group = changeable(eks, parameters)
    changed: dict[str, Any] = {}
    scaling = parameters.get("scalingConfig")
    if scaling:
        merged = {**group.scaling_config, **scaling}
        check_scaling(merged)
        group.scaling_config = merged
        fleet = machines(group)
        if fleet is not None:
            fleet.update(
                availability_zones=[], desired_capacity=merged["desiredSize"], max_size=merged["maxSize"], min_size=merged["minSize"],
                launch_config_name=None, launch_template=None, vpc_zone_identifier=None, health_check_period=None, health_check_type=None,
            )  # fmt: skip
        changed.update({name[0].upper() + name[1:]: str(value) for name, value in scaling.items()})
    labels = parameters.get("labels") or {}
    group.labels = {**group.labels, **(labels.get("addOrUpdateLabels") or {})}
    for key in labels.get("removeLabels") or []:
        group.labels.pop(key, None)
    taints = parameters.get("taints") or {}
    gone = [(taint["key"], taint["effect"]) for kind in ("addOrUpdateTaints", "removeTaints") for taint in taints.get(kind) or []]
    kept = [taint for taint in group.taints if (taint["key"], taint["effect"]) not in gone]
    group.taints = [*kept, *(taints.get("addOrUpdateTaints") or [])]
    if parameters.get("updateConfig"):
        group.update_config = parameters["updateConfig"]
    for name, value in (("LabelsToAdd", labels.get("addOrUpdateLabels")), ("TaintsToAdd", taints.get("addOrUpdateTaints"))):
        if value:
            changed[name] = value
    group.modified_at = now()
    return update(cluster, "ConfigUpdate", changed, group)


def update_version(eks: EKSBackend, parameters: Parameters) -> dict:
    """The record only: the lab's nodes have one version."""
    cluster, group = changeable(eks, parameters)
    if parameters.get("launchTemplate"):
        template_data(parameters["launchTemplate"])
        group.launch_template = {**(group.launch_template or {}), **parameters["launchTemplate"]}
    group.version = parameters.get("version") or cluster.version
    group.release_version = parameters.get("releaseVersion") or f"{group.version}.4-{IMAGE_DATE:%Y%m%d}"
    group.modified_at = now()
    return update(cluster, "VersionUpdate", {"Version": group.version, "ReleaseVersion": group.release_version}, group)


def describe(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster = cluster_of(eks, parameters)
    step(cluster)
    return {"nodegroup": group_of(cluster, parameters)}


def delete(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster = cluster_of(eks, parameters)
    group = group_of(cluster, parameters)
    if group.status == "DELETING":
        raise in_use("Nodegroup is already being deleted.", clusterName=cluster.name, nodegroupName=group.nodegroup_name)
    group.status = "DELETING"
    fleet = machines(group)
    if fleet is not None:
        empty(fleet)
    return {"nodegroup": group}


def empty(fleet: FakeAutoScalingGroup) -> None:
    """As DeleteAutoScalingGroup with ForceDelete does it."""
    autoscaling.begin_delete(fleet)


def add_image() -> None:
    ec2().amis[IMAGE] = Ami(
        ec2(),
        IMAGE,
        name=f"amazon-eks-node-al2023-x86_64-standard-1.35-v{IMAGE_DATE:%Y%m%d}",
        description="EKS-optimized Kubernetes node based on Amazon Linux 2023, (k8s: 1.35.4, containerd: 2.*)",
        owner_id=EKS_IMAGES,
        owner_alias="amazon",
        public=True,
        virtualization_type="hvm",
        architecture="x86_64",
        creation_date=IMAGE_DATE,
        image_location=f"amazon/amazon-eks-node-al2023-x86_64-standard-1.35-v{IMAGE_DATE:%Y%m%d}",
        hypervisor="xen",
        root_device_type="ebs",
        root_device_name="/dev/xvda",
        sriov="simple",
        region_name=f"{SETTINGS.region}a",
        boot_mode="uefi-preferred",
    )


def install() -> None:
    add_image()
    wrap(EKSResponse, "create_nodegroup", create)
    for name, operation in {
        "describe_nodegroup": describe,
        "update_nodegroup_config": update_config,
        "update_nodegroup_version": update_version,
        "delete_nodegroup": delete,
    }.items():
        add(name, operation)
