#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_cluster
version_added: 0.3.0
short_description: Manage the control plane of an EKS cluster
description:
  - Creates, changes and removes the control plane. M(community.aws.eks_cluster) can neither change one nor set who may reach its API
    server, how callers are told apart, what is logged and whether secrets are encrypted with a key of one's own.
  - The cluster is made without add-ons of its own accord; M(espalier.aws.eks_addons) brings them.
  - Changes are made one after the other, since EKS takes one at a time, and each is awaited.
  - A cluster that AWS has brought to a newer Kubernetes is left there.
author:
  - The Espalier authors
options:
  name:
    description:
      - Name of the cluster.
    type: str
    required: true
  state:
    description:
      - Whether it exists.
    type: str
    choices: [present, absent]
    default: present
  version:
    description:
      - Kubernetes version, such as V(1.35). A floor. One minor version more than the cluster has upgrades its control plane.
    type: str
  role_arn:
    description:
      - Role of the control plane. Cannot be changed.
    type: str
  subnet_ids:
    description:
      - Subnets of the control plane's network interfaces, in two availability zones or more.
    type: list
    elements: str
  endpoint_public_access:
    description:
      - Whether the API server can be reached from the internet, by O(public_access_cidr_blocks).
    type: bool
    default: true
  endpoint_private_access:
    description:
      - Whether nodes and whoever is in the VPC reach the API server without leaving it.
    type: bool
    default: true
  public_access_cidr_blocks:
    description:
      - Networks that may reach it from the internet.
    type: list
    elements: str
    default: [0.0.0.0/0]
  authentication_mode:
    description:
      - Whether access entries alone say who may do what, or the ConfigMap aws-auth, too. There is no way back to V(API_AND_CONFIG_MAP).
    type: str
    choices: [API, API_AND_CONFIG_MAP]
    default: API
  creator_admin:
    description:
      - Make whoever creates the cluster its administrator. Counts at creation only.
    type: bool
    default: true
  encryption_key_arn:
    description:
      - KMS key that Kubernetes secrets are encrypted with. Can be added later, and never changed or removed.
    type: str
    default: ""
  log_types:
    description:
      - Logs of the control plane that go to CloudWatch.
    type: list
    elements: str
    choices: [api, audit, authenticator, controllerManager, scheduler]
    default: []
  support_type:
    description:
      - What happens when a version's standard support ends. V(STANDARD) upgrades the control plane, V(EXTENDED) keeps it for a price.
    type: str
    choices: [STANDARD, EXTENDED]
    default: STANDARD
  deletion_protection:
    description:
      - Refuse to delete the cluster.
    type: bool
    default: false
  service_cidr_block:
    description:
      - Network of the services' addresses. Empty lets EKS choose. Cannot be changed.
    type: str
    default: ""
  tags:
    description:
      - Tags of the cluster; others are removed.
    type: dict
    default: {}
  wait:
    description:
      - Wait until it is active or gone. Without, a cluster that is being created is left alone.
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
- name: Start the control plane, and go on
  espalier.aws.eks_cluster:
    name: django-app
    version: "1.35"
    role_arn: arn:aws:iam::123456789012:role/staging-django-cluster-role
    subnet_ids: [subnet-0a1, subnet-0b2]
    wait: false

- name: Remove it
  espalier.aws.eks_cluster:
    name: django-app
    state: absent
"""

RETURN = r"""
cluster:
  description: The cluster as M(espalier.aws.stack_info) returns it; null where there is none.
  returned: success
  type: dict
  sample: {name: django-app, status: ACTIVE, version: "1.35"}
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

LOG_TYPES = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
ON_ITS_WAY = ("CREATING", "UPDATING", "PENDING")


def wanted(params):
    """The settings, as they are compared."""
    return {
        "version": params["version"],
        "subnet_ids": sorted(params["subnet_ids"]),
        "endpoint": {
            "public": params["endpoint_public_access"],
            "private": params["endpoint_private_access"],
            # Without public access EKS keeps the list, and it means nothing.
            "cidr_blocks": sorted(params["public_access_cidr_blocks"]) if params["endpoint_public_access"] else [],
        },
        "authentication_mode": params["authentication_mode"],
        "encryption_key_arn": params["encryption_key_arn"],
        "log_types": sorted(params["log_types"]),
        "support_type": params["support_type"],
        "deletion_protection": params["deletion_protection"],
        "tags": params["tags"],
    }


def actual(cluster):
    """The same of a cluster that is there."""
    network = cluster["resourcesVpcConfig"]
    public = network.get("endpointPublicAccess", True)
    keys = [entry["provider"]["keyArn"] for entry in cluster.get("encryptionConfig") or []]
    logs = {log for entry in (cluster.get("logging") or {}).get("clusterLogging", []) if entry["enabled"] for log in entry["types"]}
    return {
        "version": cluster["version"],
        "subnet_ids": sorted(network["subnetIds"]),
        "endpoint": {
            "public": public,
            "private": network.get("endpointPrivateAccess", False),
            "cidr_blocks": sorted(network.get("publicAccessCidrs") or []) if public else [],
        },
        "authentication_mode": (cluster.get("accessConfig") or {}).get("authenticationMode", "CONFIG_MAP"),
        "encryption_key_arn": keys[0] if keys else "",
        "log_types": sorted(logs),
        "support_type": (cluster.get("upgradePolicy") or {}).get("supportType", "EXTENDED"),
        "deletion_protection": cluster.get("deletionProtection", False),
        "tags": own_tags(cluster),
    }


def refuse(cluster, before, after, params):
    """What EKS cannot do, said before anything is changed. Raises EksError."""
    name = cluster["name"]
    if params["role_arn"] and params["role_arn"] != cluster["roleArn"]:
        raise EksError(f"{name} runs with the role {cluster['roleArn']}, and EKS cannot give it {params['role_arn']}.")
    services = (cluster.get("kubernetesNetworkConfig") or {}).get("serviceIpv4Cidr", "")
    if params["service_cidr_block"] and params["service_cidr_block"] != services:
        raise EksError(f"The services of {name} are in {services}, and EKS cannot change that to {params['service_cidr_block']}.")
    if before["encryption_key_arn"] not in ("", after["encryption_key_arn"]):
        raise EksError(f"The secrets of {name} are encrypted with {before['encryption_key_arn']}, and EKS can neither change nor end that.")
    (major, minor), (wanted_major, wanted_minor) = version_of(before["version"]), version_of(after["version"])
    if wanted_major > major or wanted_minor > minor + 1:
        raise EksError(
            f"{name} runs Kubernetes {before['version']}, and EKS upgrades one minor version at a time: first to {major}.{minor + 1}."
        )


def logging(types):
    others = [log for log in LOG_TYPES if log not in types]
    return {"clusterLogging": [{"types": part, "enabled": on} for part, on in ((types, True), (others, False)) if part]}


def endpoint(after):
    request = {"endpointPublicAccess": after["endpoint"]["public"], "endpointPrivateAccess": after["endpoint"]["private"]}
    return {**request, "publicAccessCidrs": after["endpoint"]["cidr_blocks"]} if after["endpoint"]["public"] else request


def requests(before, after):
    """The operations that lead from one to the other, each with its arguments: EKS takes one change at a time."""
    config = {
        "deletion_protection": {"deletionProtection": after["deletion_protection"]},
        "support_type": {"upgradePolicy": {"supportType": after["support_type"]}},
        "authentication_mode": {"accessConfig": {"authenticationMode": after["authentication_mode"]}},
        "endpoint": {"resourcesVpcConfig": endpoint(after)},
        "subnet_ids": {"resourcesVpcConfig": {"subnetIds": after["subnet_ids"]}},
        "log_types": {"logging": logging(after["log_types"])},
    }
    found = [("update_cluster_config", arguments) for key, arguments in config.items() if before[key] != after[key]]
    if before["encryption_key_arn"] != after["encryption_key_arn"]:
        found.append(("associate_encryption_config", {"encryptionConfig": encryption(after)}))
    if before["version"] != after["version"]:
        found.append(("update_cluster_version", {"version": after["version"]}))
    return found


def encryption(after):
    return [{"resources": ["secrets"], "provider": {"keyArn": after["encryption_key_arn"]}}]


def creation(params):
    """The request that makes the cluster."""
    after = wanted(params)
    request = {
        "name": params["name"],
        "version": after["version"],
        "roleArn": params["role_arn"],
        "resourcesVpcConfig": {"subnetIds": params["subnet_ids"], **endpoint(after)},
        "accessConfig": {
            "authenticationMode": after["authentication_mode"],
            "bootstrapClusterCreatorAdminPermissions": params["creator_admin"],
        },
        "upgradePolicy": {"supportType": after["support_type"]},
        "deletionProtection": after["deletion_protection"],
        # Else EKS installs versions of its choice, which nobody manages.
        "bootstrapSelfManagedAddons": False,
        "tags": after["tags"],
    }
    if after["log_types"]:
        request["logging"] = logging(after["log_types"])
    if after["encryption_key_arn"]:
        request["encryptionConfig"] = encryption(after)
    if params["service_cidr_block"]:
        request["kubernetesNetworkConfig"] = {"serviceIpv4Cidr": params["service_cidr_block"]}
    return request


class Run:
    """One call of the module."""

    def __init__(self, client, params, check_mode):
        self.client, self.params, self.check_mode = client, params, check_mode
        self.name = params["name"]
        self.what = f"The cluster {self.name}"
        self.result = {"changed": False, "diff": {"before": {}, "after": {}}}

    def look(self):
        return read(self.client.describe_cluster, "cluster", name=self.name, aws_retry=True)

    def arrived(self):
        """The cluster once nothing goes on with it any more. One that is to be there has to be well then."""
        good, bad = ("ACTIVE", "FAILED", None), ()
        if self.params["state"] == "present":
            good, bad = ("ACTIVE",), ("FAILED", None)
        return await_status(self.look, good, bad, self.params["wait_timeout_seconds"], self.what)

    def present(self):
        cluster = self.look()
        if cluster and cluster["status"] == "DELETING":
            raise EksError(f"{self.what} is being deleted. Wait until it is gone (some minutes) and run again.")
        if cluster is None:
            self.note({}, wanted(self.params))
            if self.check_mode:
                return None
            cluster = with_new(self.client.create_cluster, aws_retry=True, **creation(self.params))["cluster"]
        elif cluster["status"] in ON_ITS_WAY and (self.check_mode or not self.params["wait"]):
            return cluster
        else:
            self.change(self.arrived())
        return self.arrived() if self.params["wait"] and not self.check_mode else cluster

    def change(self, cluster):
        before, after = actual(cluster), wanted(self.params)
        if version_of(before["version"]) > version_of(after["version"]):
            after["version"] = before["version"]
        if after["authentication_mode"] == "API_AND_CONFIG_MAP" and before["authentication_mode"] == "API":
            after["authentication_mode"] = "API"
        refuse(cluster, before, after, self.params)
        self.note(before, after)
        if self.check_mode:
            return
        if before["tags"] != after["tags"]:
            retag(self.client, cluster["arn"], before["tags"], after["tags"])
        for operation, arguments in requests(before, after):
            key = "clusterName" if operation == "associate_encryption_config" else "name"
            update = with_new(getattr(self.client, operation), aws_retry=True, **{key: self.name}, **arguments)["update"]
            await_update(self.client, self.params["wait_timeout_seconds"], f"{update['type']} of {self.name}", update, name=self.name)

    def absent(self):
        cluster = self.look()
        if cluster is None:
            return None
        self.note({"name": self.name}, {})
        if self.check_mode:
            return cluster
        if cluster["status"] in ON_ITS_WAY:
            cluster = self.arrived()
        if cluster and cluster["status"] != "DELETING":
            self.client.delete_cluster(name=self.name, aws_retry=True)
        if self.params["wait"]:
            return await_status(self.look, (None,), ("ACTIVE", "FAILED"), self.params["wait_timeout_seconds"], self.what)
        return self.look()

    def note(self, before, after):
        self.result["changed"] = before != after
        self.result["diff"] = {"before": before, "after": after}


SPEC = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "version": {"type": "str"},
    "role_arn": {"type": "str"},
    "subnet_ids": {"type": "list", "elements": "str"},
    "endpoint_public_access": {"type": "bool", "default": True},
    "endpoint_private_access": {"type": "bool", "default": True},
    "public_access_cidr_blocks": {"type": "list", "elements": "str", "default": ["0.0.0.0/0"]},
    "authentication_mode": {"type": "str", "choices": ["API", "API_AND_CONFIG_MAP"], "default": "API"},
    "creator_admin": {"type": "bool", "default": True},
    "encryption_key_arn": {"type": "str", "default": ""},
    "log_types": {"type": "list", "elements": "str", "choices": LOG_TYPES, "default": []},
    "support_type": {"type": "str", "choices": ["STANDARD", "EXTENDED"], "default": "STANDARD"},
    "deletion_protection": {"type": "bool", "default": False},
    "service_cidr_block": {"type": "str", "default": ""},
    "tags": {"type": "dict", "default": {}},
    "wait": {"type": "bool", "default": True},
    "wait_timeout_seconds": {"type": "int", "default": 1800},
}


def main():
    module = AnsibleAWSModule(
        argument_spec=SPEC, required_if=[("state", "present", ["version", "role_arn", "subnet_ids"])], supports_check_mode=True
    )
    run = Run(module.client("eks", retry_decorator=AWSRetry.jittered_backoff()), module.params, module.check_mode)
    try:
        cluster = run.present() if module.params["state"] == "present" else run.absent()
    except EksError as error:
        module.fail_json(msg=str(error), **run.result)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage the cluster {run.name}")
    module.exit_json(cluster=stack.cluster(cluster) if cluster else None, **run.result)


if __name__ == "__main__":
    main()
