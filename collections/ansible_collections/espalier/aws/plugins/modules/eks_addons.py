#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_addons
version_added: 0.3.0
short_description: Manage the add-ons of an EKS cluster
description:
  - Creates, changes and removes add-ons of a cluster, all of them at the same time.
  - Without a version, an add-on gets EKS's default for the cluster's Kubernetes and keeps it, until the cluster is upgraded to a
    Kubernetes that it does not serve.
  - Add-ons that are not listed are left alone.
author:
  - The Espalier authors
options:
  cluster:
    description:
      - Name of the cluster.
    type: str
    required: true
  addons:
    description:
      - The add-ons.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - EKS's name of the add-on.
        type: str
        required: true
      version:
        description:
          - Version, such as V(v1.12.4-eksbuild.1).
        type: str
      configuration:
        description:
          - Values that differ from the add-on's own, as its schema has them.
        type: dict
        default: {}
      service_account:
        description:
          - Service account of an add-on that needs rights in AWS.
        type: str
      role_arn:
        description:
          - Role that it gets through EKS Pod Identity.
        type: str
  state:
    description:
      - Whether they exist.
    type: str
    choices: [present, absent]
    default: present
  tags:
    description:
      - Tags of the add-ons; others are removed.
    type: dict
    default: {}
  wait:
    description:
      - Wait until all are active or gone. Some are active only when there are nodes.
    type: bool
    default: true
  wait_timeout_seconds:
    description:
      - How long to wait.
    type: int
    default: 900
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
    description: Shows the add-ons before and after.
"""

EXAMPLES = r"""
- name: Ensure network, DNS and metrics
  espalier.aws.eks_addons:
    cluster: django-app
    addons:
      - name: vpc-cni
        configuration: {enableNetworkPolicy: "true"}
      - name: kube-proxy
      - name: coredns
      - name: metrics-server
"""

RETURN = r"""
addons:
  description: Version and status of each add-on by name; empty where there is none.
  returned: success
  type: dict
  sample: {coredns: {version: v1.12.4-eksbuild.1, status: ACTIVE}}
"""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.espalier.aws.plugins.module_utils.eks import EksError, await_status, own_tags, read, retag, with_new

# One that has no node to run on yet is DEGRADED for a while; a failed one can be updated.
SETTLED = ("ACTIVE", "DEGRADED", "CREATE_FAILED", "UPDATE_FAILED")
BROKEN = ("CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED")


def parse(configuration):
    """Configurations are compared by what they mean: EKS keeps the text."""
    return json.loads(configuration) if configuration else {}


class Addon:
    """One add-on of a cluster."""

    def __init__(self, client, params, asked, kubernetes):
        self.client, self.params, self.asked, self.kubernetes = client, params, asked, kubernetes
        self.of = {"clusterName": params["cluster"], "addonName": asked["name"]}
        self.what = f"The add-on {asked['name']} of {params['cluster']}"
        self.before, self.after, self.found = {}, {}, None

    def look(self):
        return read(self.client.describe_addon, "addon", aws_retry=True, **self.of)

    def settled(self, *good):
        return await_status(self.look, good, (), self.params["wait_timeout_seconds"], self.what)

    def compare(self):
        self.found = self.look()
        if self.found:
            self.before = self.actual()
        self.after = self.wanted() if self.params["state"] == "present" else {}
        return self

    def actual(self):
        identity = {}
        for arn in self.found.get("podIdentityAssociations") or []:
            association = self.client.describe_pod_identity_association(
                clusterName=self.params["cluster"], associationId=arn.rpartition("/")[2], aws_retry=True
            )["association"]
            identity = {"serviceAccount": association["serviceAccount"], "roleArn": association["roleArn"]}
        return {
            "version": self.found["addonVersion"],
            "configuration": parse(self.found.get("configurationValues")),
            "identity": identity,
            "tags": own_tags(self.found),
        }

    def wanted(self):
        identity = {"serviceAccount": self.asked["service_account"], "roleArn": self.asked["role_arn"]} if self.asked["role_arn"] else {}
        return {
            "version": self.version(),
            "configuration": self.asked["configuration"],
            "identity": identity,
            "tags": self.params["tags"],
        }

    def version(self):
        if self.asked["version"]:
            return self.asked["version"]
        answer = self.client.describe_addon_versions(addonName=self.asked["name"], kubernetesVersion=self.kubernetes, aws_retry=True)
        serving = [one for addon in answer["addons"] for one in addon["addonVersions"]]
        if self.before and self.before["version"] in [one["addonVersion"] for one in serving]:
            return self.before["version"]
        chosen = [one["addonVersion"] for one in serving if any(fit.get("defaultVersion") for fit in one["compatibilities"])]
        if not chosen:
            raise EksError(f"EKS has no add-on {self.asked['name']} for Kubernetes {self.kubernetes}.")
        return chosen[0]

    def apply(self):
        if self.before == self.after:
            return
        if not self.after:
            self.client.delete_addon(aws_retry=True, **self.of)
            return
        request = {
            "addonVersion": self.after["version"],
            # Whatever somebody changed by hand is the add-on's again.
            "resolveConflicts": "OVERWRITE",
        }
        # Named only where there is something to say: most add-ons know no identity, and some no configuration.
        if self.after["configuration"] or self.before.get("configuration"):
            request["configurationValues"] = json.dumps(self.after["configuration"], sort_keys=True)
        if self.after["identity"] or self.before.get("identity"):
            request["podIdentityAssociations"] = [self.after["identity"]] if self.after["identity"] else []
        if not self.before:
            with_new(self.client.create_addon, aws_retry=True, **self.of, **request, tags=self.after["tags"])
            return
        if self.before["tags"] != self.after["tags"]:
            retag(self.client, self.found["addonArn"], self.before["tags"], self.after["tags"])
        if {**self.before, "tags": None} != {**self.after, "tags": None}:
            self.settled(*SETTLED)
            with_new(self.client.update_addon, aws_retry=True, **self.of, **request)

    def arrive(self):
        """Wait for it. Add-ons that need nodes are DEGRADED until these are there."""
        good, bad = (("ACTIVE",), (*BROKEN, None)) if self.params["state"] == "present" else ((None,), BROKEN)
        return await_status(self.look, good, bad, self.params["wait_timeout_seconds"], self.what)


def side_by_side(call, addons):
    with ThreadPoolExecutor(max_workers=max(len(addons), 1)) as pool:
        return list(pool.map(call, addons))


def manage(client, params, check_mode):
    """Everything; the answer of the module."""
    cluster = read(client.describe_cluster, "cluster", name=params["cluster"], aws_retry=True)
    if cluster is None:
        if params["state"] == "present" and not check_mode:
            raise EksError(f"There is no cluster {params['cluster']}.")
        # Nothing to remove, or nothing that could be planned further.
        return {"changed": params["state"] == "present", "addons": {}, "diff": {"before": {}, "after": {}}}
    addons = [Addon(client, params, asked, cluster["version"]) for asked in params["addons"]]
    side_by_side(Addon.compare, addons)
    diff = {moment: {one.asked["name"]: getattr(one, moment) for one in addons} for moment in ("before", "after")}
    if not check_mode:
        side_by_side(Addon.apply, addons)
        if params["wait"]:
            side_by_side(Addon.arrive, addons)
    found = {one.asked["name"]: one.look() for one in addons}
    return {
        "changed": diff["before"] != diff["after"],
        "diff": diff,
        "addons": {name: {"version": one["addonVersion"], "status": one["status"]} if one else {} for name, one in found.items()},
    }


ADDON = {
    "name": {"type": "str", "required": True},
    "version": {"type": "str"},
    "configuration": {"type": "dict", "default": {}},
    "service_account": {"type": "str"},
    "role_arn": {"type": "str"},
}
SPEC = {
    "cluster": {"type": "str", "required": True},
    "addons": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": ADDON,
        "required_together": [("service_account", "role_arn")],
    },
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "tags": {"type": "dict", "default": {}},
    "wait": {"type": "bool", "default": True},
    "wait_timeout_seconds": {"type": "int", "default": 900},
}


def main():
    module = AnsibleAWSModule(argument_spec=SPEC, supports_check_mode=True)
    client = module.client("eks", retry_decorator=AWSRetry.jittered_backoff())
    try:
        result = manage(client, module.params, module.check_mode)
    except EksError as error:
        module.fail_json(msg=str(error))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage the add-ons of {module.params['cluster']}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
