#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_access_entry
version_added: 0.3.0
short_description: Let an IAM principal into an EKS cluster
description:
  - Manages the access entry of one IAM user or role, and which of EKS's access policies are associated with it.
  - Entries of other principals are left alone, those that EKS makes for nodes, too.
author:
  - The Espalier authors
options:
  cluster:
    description:
      - Name of the cluster.
    type: str
    required: true
  principal_arn:
    description:
      - ARN of the IAM user or role. Of an assumed role, the role's own ARN.
    type: str
    required: true
  kubernetes_groups:
    description:
      - Groups that the principal belongs to, for role bindings of the cluster's own.
    type: list
    elements: str
    default: []
  policies:
    description:
      - EKS's access policies of the principal; others are taken away.
    type: list
    elements: dict
    default: []
    suboptions:
      policy:
        description:
          - Its name or ARN, for example V(AmazonEKSViewPolicy).
        type: str
        required: true
      namespaces:
        description:
          - Namespaces that it holds for. Empty for the whole cluster.
        type: list
        elements: str
        default: []
  state:
    description:
      - Whether the principal may enter.
    type: str
    choices: [present, absent]
    default: present
  tags:
    description:
      - Tags of the entry; others are removed.
    type: dict
    default: {}
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says what would be made or changed. A cluster that does not exist yet has no entries.
  diff_mode:
    support: full
    description: Shows the entry before and after.
"""

EXAMPLES = r"""
- name: Let the deployment role do everything, and developers look
  espalier.aws.eks_access_entry:
    cluster: django-app
    principal_arn: "{{ item.arn }}"
    policies:
      - policy: "{{ item.policy }}"
  loop:
    - {arn: "arn:aws:iam::123456789012:role/deployment", policy: AmazonEKSClusterAdminPolicy}
    - {arn: "arn:aws:iam::123456789012:role/developers", policy: AmazonEKSViewPolicy}
"""

RETURN = r"""
entry:
  description: Groups, and namespaces by policy ARN (none for the whole cluster); empty where there is no entry.
  returned: success
  type: dict
  sample:
    kubernetes_groups: []
    policies: {"arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy": []}
    tags: {}
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.espalier.aws.plugins.module_utils.eks import own_tags, read, retag, with_new


def policy_arn(name, partition):
    return name if name.startswith("arn:") else f"arn:{partition}:eks::aws:cluster-access-policy/{name}"


def wanted(params, partition):
    """The entry, as it is compared."""
    return {
        "kubernetes_groups": sorted(params["kubernetes_groups"]),
        "policies": {policy_arn(one["policy"], partition): sorted(one["namespaces"]) for one in params["policies"]},
        "tags": params["tags"],
    }


def actual(client, of):
    """The same of the entry that is there; empty where there is none."""
    entry = read(client.describe_access_entry, "accessEntry", aws_retry=True, **of)
    if entry is None:
        return {}, None
    pages = client.get_paginator("list_associated_access_policies").paginate(**of)
    associated = pages.build_full_result()["associatedAccessPolicies"]
    found = {
        "kubernetes_groups": sorted(entry.get("kubernetesGroups") or []),
        "policies": {one["policyArn"]: sorted(one["accessScope"].get("namespaces") or []) for one in associated},
        "tags": own_tags(entry),
    }
    return found, entry


def scope(namespaces):
    return {"type": "namespace", "namespaces": namespaces} if namespaces else {"type": "cluster"}


def apply(client, of, entry, before, after):
    """Make the entry what it should be."""
    if not after:
        client.delete_access_entry(aws_retry=True, **of)
        return
    if not before:
        # IAM needs a moment to tell EKS of a new principal.
        with_new(client.create_access_entry, aws_retry=True, kubernetesGroups=after["kubernetes_groups"], tags=after["tags"], **of)
    elif before["kubernetes_groups"] != after["kubernetes_groups"]:
        client.update_access_entry(aws_retry=True, kubernetesGroups=after["kubernetes_groups"], **of)
    if entry and before["tags"] != after["tags"]:
        retag(client, entry["accessEntryArn"], before["tags"], after["tags"])
    associated = before.get("policies", {})
    for arn in associated.keys() - after["policies"].keys():
        client.disassociate_access_policy(aws_retry=True, policyArn=arn, **of)
    for arn, namespaces in after["policies"].items():
        if associated.get(arn) != namespaces:
            client.associate_access_policy(aws_retry=True, policyArn=arn, accessScope=scope(namespaces), **of)


POLICY = {"policy": {"type": "str", "required": True}, "namespaces": {"type": "list", "elements": "str", "default": []}}
SPEC = {
    "cluster": {"type": "str", "required": True},
    "principal_arn": {"type": "str", "required": True},
    "kubernetes_groups": {"type": "list", "elements": "str", "default": []},
    "policies": {"type": "list", "elements": "dict", "default": [], "options": POLICY},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "tags": {"type": "dict", "default": {}},
}


def main():
    module = AnsibleAWSModule(argument_spec=SPEC, supports_check_mode=True)
    client = module.client("eks", retry_decorator=AWSRetry.jittered_backoff())
    of = {"clusterName": module.params["cluster"], "principalArn": module.params["principal_arn"]}
    after = wanted(module.params, of["principalArn"].split(":")[1]) if module.params["state"] == "present" else {}
    try:
        before, entry = actual(client, of)
        if before != after and not module.check_mode:
            apply(client, of, entry, before, after)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage the access of {of['principalArn']} to {of['clusterName']}")
    module.exit_json(changed=before != after, entry=after, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
