#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_node_group
version_added: 0.3.0
short_description: Manage a node group of an EKS cluster
description:
  - Creates, changes and removes a managed node group whose machines are described by a launch template.
  - The desired number of nodes is an initial one. Whatever scaled the group later is not undone, except beyond O(min_size) and
    O(max_size). M(community.aws.eks_nodegroup) writes it back at every run.
  - New versions (Kubernetes, AMI, launch template) are rolled out by EKS, node by node, which drains each and respects disruption budgets.
author:
  - The Espalier authors
options:
  cluster:
    description:
      - Name of the cluster.
    type: str
    required: true
  name:
    description:
      - Name of the node group. Required with O(state=present); without one O(state=absent) removes every group of the cluster.
    type: str
  state:
    description:
      - Whether it exists.
    type: str
    choices: [present, absent]
    default: present
  role_arn:
    description:
      - Role of the nodes. Cannot be changed.
    type: str
  subnet_ids:
    description:
      - Subnets of the nodes. Cannot be changed.
    type: list
    elements: str
  instance_types:
    description:
      - Instance types. Cannot be changed.
    type: list
    elements: str
    default: [t3.medium]
  ami_type:
    description:
      - AWS's name of the family of node images. Cannot be changed.
    type: str
    default: AL2023_x86_64_STANDARD
  capacity_type:
    description:
      - V(SPOT) nodes cost less and may be taken away at two minutes' notice. Cannot be changed.
    type: str
    choices: [ON_DEMAND, SPOT]
    default: ON_DEMAND
  min_size:
    description:
      - Fewest nodes.
    type: int
    default: 1
  max_size:
    description:
      - Most nodes.
    type: int
    default: 2
  desired_size:
    description:
      - Nodes of a new group.
    type: int
    default: 2
  max_unavailable:
    description:
      - Nodes that are replaced at a time.
    type: int
    default: 1
  labels:
    description:
      - Kubernetes labels of the nodes; others that EKS set are removed.
    type: dict
    default: {}
  launch_template:
    description:
      - Name of the launch template of the machines, without an AMI. Cannot be changed.
    type: str
  launch_template_version:
    description:
      - Version of it, as a number.
    type: str
  version:
    description:
      - Kubernetes version of the nodes, a floor. Empty for the cluster's.
    type: str
    default: ""
  release_version:
    description:
      - Release of EKS's node image, such as V(1.35.0-20260120). Empty for the newest at creation, kept until another version is rolled out.
    type: str
    default: ""
  tags:
    description:
      - Tags of the node group; others are removed. Machines have those of their launch template.
    type: dict
    default: {}
  wait:
    description:
      - Wait until it is active or gone.
    type: bool
    default: true
  wait_timeout_seconds:
    description:
      - How long to wait for each step.
    type: int
    default: 1800
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says what would be made or changed.
  diff_mode:
    support: full
    description: Shows the settings before and after.
"""

EXAMPLES = r"""
- name: Ensure two nodes, up to four
  espalier.aws.eks_node_group:
    cluster: django-app
    name: django-workers
    role_arn: arn:aws:iam::123456789012:role/staging-django-node-role
    subnet_ids: [subnet-0a1, subnet-0b2]
    max_size: 4
    launch_template: staging-django-node-lt
    launch_template_version: "1"

- name: Remove them
  espalier.aws.eks_node_group:
    cluster: django-app
    name: django-workers
    state: absent

- name: Remove every group that the cluster has
  espalier.aws.eks_node_group:
    cluster: django-app
    state: absent
"""

RETURN = r"""
node_group:
  description: The node group as M(espalier.aws.stack_info) returns it; null where there is none.
  returned: success
  type: dict
  sample: {name: django-workers, status: ACTIVE, min_size: 1, max_size: 2, desired_size: 2}
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.espalier.aws.plugins.module_utils import stack
from ansible_collections.espalier.aws.plugins.module_utils.eks import (
    EksError,
    await_status,
    await_update,
    own_tags,
    read,
    retag,
    version_of,
    with_new,
)

# AWS gives a group that is not whole these statuses; it can be changed and removed all the same.
THERE = ("ACTIVE", "DEGRADED")
FIXED = {
    "role_arn": "nodeRole",
    "subnet_ids": "subnets",
    "instance_types": "instanceTypes",
    "ami_type": "amiType",
    "capacity_type": "capacityType",
}


def desired(params, found):
    """What scaling made of it, within the limits."""
    return min(max(params["desired_size"] if found is None else found, params["min_size"]), params["max_size"])


def wanted(params, found=None):
    """The settings that can be changed, as they are compared; `found` are those of the group that is there."""
    versions = {"version": params["version"], "release_version": params["release_version"]}
    if found:
        # A floor, and what is not asked for stays.
        newer = versions["version"] and version_of(versions["version"]) > version_of(found["version"])
        versions["version"] = versions["version"] if newer else found["version"]
        versions["release_version"] = versions["release_version"] or found["release_version"]
    return {
        **versions,
        "launch_template_version": params["launch_template_version"],
        "scaling": {
            "minSize": params["min_size"],
            "maxSize": params["max_size"],
            "desiredSize": desired(params, found and found["scaling"]["desiredSize"]),
        },
        "max_unavailable": params["max_unavailable"],
        "labels": params["labels"],
        "tags": params["tags"],
    }


def actual(group):
    return {
        "version": group["version"],
        "release_version": group.get("releaseVersion", ""),
        "launch_template_version": (group.get("launchTemplate") or {}).get("version"),
        "scaling": {key: group["scalingConfig"][key] for key in ("minSize", "maxSize", "desiredSize")},
        "max_unavailable": (group.get("updateConfig") or {}).get("maxUnavailable"),
        "labels": group.get("labels") or {},
        "tags": own_tags(group),
    }


def refuse(group, params):
    """What EKS cannot change. Raises EksError."""
    for option, key in FIXED.items():
        before, after = group.get(key), params[option]
        if (sorted(before or []) != sorted(after)) if isinstance(after, list) else before != after:
            raise EksError(
                f"{option} of {group['nodegroupName']} is {before}, and EKS cannot change that to {after}. Give the node group another "
                "name: the new one is made, and the old one can be removed when its pods have moved."
            )
    template = (group.get("launchTemplate") or {}).get("name")
    if template != params["launch_template"]:
        raise EksError(f"{group['nodegroupName']} was made with the launch template {template}, and EKS takes no other.")


def creation(params):
    after = wanted(params)
    request = {
        "clusterName": params["cluster"],
        "nodegroupName": params["name"],
        "nodeRole": params["role_arn"],
        "subnets": params["subnet_ids"],
        "instanceTypes": params["instance_types"],
        "amiType": params["ami_type"],
        "capacityType": params["capacity_type"],
        "scalingConfig": after["scaling"],
        "updateConfig": {"maxUnavailable": after["max_unavailable"]},
        "labels": after["labels"],
        "launchTemplate": {"name": params["launch_template"], "version": after["launch_template_version"]},
        "tags": after["tags"],
    }
    for key, name in (("version", "version"), ("release_version", "releaseVersion")):
        if after[key]:
            request[name] = after[key]
    return request


def configuration(before, after):
    """Arguments of UpdateNodegroupConfig; empty where it has nothing to do."""
    request = {}
    if before["scaling"] != after["scaling"]:
        request["scalingConfig"] = after["scaling"]
    if before["max_unavailable"] != after["max_unavailable"]:
        request["updateConfig"] = {"maxUnavailable": after["max_unavailable"]}
    if before["labels"] != after["labels"]:
        surplus = sorted(set(before["labels"]) - set(after["labels"]))
        request["labels"] = {"addOrUpdateLabels": after["labels"], **({"removeLabels": surplus} if surplus else {})}
    return request


def roll_out(before, after, template):
    """Arguments of UpdateNodegroupVersion, which replaces the nodes; empty where it has nothing to do."""
    request = {}
    if before["version"] != after["version"]:
        request["version"] = after["version"]
    if before["release_version"] != after["release_version"]:
        request["releaseVersion"] = after["release_version"]
    if before["launch_template_version"] != after["launch_template_version"]:
        request["launchTemplate"] = {"name": template, "version": after["launch_template_version"]}
    return request


class Run:
    """One call of the module."""

    def __init__(self, client, params, check_mode):
        self.client, self.params, self.check_mode = client, params, check_mode
        self.of = {"clusterName": params["cluster"], "nodegroupName": params["name"]}
        self.what = f"The node group {params['name']}" if params["name"] else f"The node groups of {params['cluster']}"
        self.result = {"changed": False, "diff": {"before": {}, "after": {}}}

    def look(self):
        return read(self.client.describe_nodegroup, "nodegroup", aws_retry=True, **self.of)

    def arrived(self):
        return await_status(self.look, THERE, ("CREATE_FAILED", "DELETE_FAILED", None), self.params["wait_timeout_seconds"], self.what)

    def present(self):
        group = self.look()
        if group and group["status"] == "DELETING":
            raise EksError(f"{self.what} is being deleted. Wait until it is gone (some minutes) and run again.")
        if group is None:
            self.note({}, wanted(self.params))
            if self.check_mode:
                return None
            group = with_new(self.client.create_nodegroup, aws_retry=True, **creation(self.params))["nodegroup"]
        elif group["status"] not in THERE and (self.check_mode or not self.params["wait"]):
            return group
        else:
            self.change(self.arrived() if group["status"] not in THERE else group)
        return self.arrived() if self.params["wait"] and not self.check_mode else group

    def change(self, group):
        refuse(group, self.params)
        before = actual(group)
        after = wanted(self.params, before)
        self.note(before, after)
        if self.check_mode:
            return
        if before["tags"] != after["tags"]:
            retag(self.client, group["nodegroupArn"], before["tags"], after["tags"])
        for operation, arguments in (
            ("update_nodegroup_config", configuration(before, after)),
            ("update_nodegroup_version", roll_out(before, after, self.params["launch_template"])),
        ):
            if arguments:
                update = getattr(self.client, operation)(aws_retry=True, **self.of, **arguments)["update"]
                of = {"name": self.params["cluster"], "nodegroupName": self.params["name"]}
                await_update(self.client, self.params["wait_timeout_seconds"], f"{update['type']} of {self.params['name']}", update, **of)

    def absent(self):
        group = self.look()
        if group is None:
            return None
        self.note({"name": self.params["name"]}, {})
        if self.check_mode:
            return group
        if group["status"] != "DELETING":
            self.client.delete_nodegroup(aws_retry=True, **self.of)
        if self.params["wait"]:
            return await_status(self.look, (None,), ("DELETE_FAILED",), self.params["wait_timeout_seconds"], self.what)
        return self.look()

    def absent_all(self):
        """Every group of the cluster: all are told to go before the first is waited for."""
        cluster = self.params["cluster"]
        # Whoever has no cluster may have no right to list what is in one.
        there = read(self.client.describe_cluster, "cluster", aws_retry=True, name=cluster)
        names = stack.pages(self.client, "list_nodegroups", "nodegroups", clusterName=cluster) if there else []
        self.note([{"name": name} for name in names], [])
        for wait in (False, True) if self.params["wait"] and not self.check_mode else (False,):
            for name in names:
                Run(self.client, {**self.params, "name": name, "wait": wait}, self.check_mode).absent()

    def note(self, before, after):
        self.result["changed"] = before != after
        self.result["diff"] = {"before": before, "after": after}


SPEC = {
    "cluster": {"type": "str", "required": True},
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "role_arn": {"type": "str"},
    "subnet_ids": {"type": "list", "elements": "str"},
    "instance_types": {"type": "list", "elements": "str", "default": ["t3.medium"]},
    "ami_type": {"type": "str", "default": "AL2023_x86_64_STANDARD"},
    "capacity_type": {"type": "str", "choices": ["ON_DEMAND", "SPOT"], "default": "ON_DEMAND"},
    "min_size": {"type": "int", "default": 1},
    "max_size": {"type": "int", "default": 2},
    "desired_size": {"type": "int", "default": 2},
    "max_unavailable": {"type": "int", "default": 1},
    "labels": {"type": "dict", "default": {}},
    "launch_template": {"type": "str"},
    "launch_template_version": {"type": "str"},
    "version": {"type": "str", "default": ""},
    "release_version": {"type": "str", "default": ""},
    "tags": {"type": "dict", "default": {}},
    "wait": {"type": "bool", "default": True},
    "wait_timeout_seconds": {"type": "int", "default": 1800},
}


def main():
    needed = ["name", "role_arn", "subnet_ids", "launch_template", "launch_template_version"]
    module = AnsibleAWSModule(argument_spec=SPEC, required_if=[("state", "present", needed)], supports_check_mode=True)
    run = Run(module.client("eks", retry_decorator=AWSRetry.jittered_backoff()), module.params, module.check_mode)
    try:
        act = run.present if module.params["state"] == "present" else run.absent if module.params["name"] else run.absent_all
        group = act()
    except EksError as error:
        module.fail_json(msg=str(error), **run.result)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage {run.what}")
    module.exit_json(node_group=stack.node_group(group) if group else None, **run.result)


if __name__ == "__main__":
    main()
