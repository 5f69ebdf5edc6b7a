#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_pod_identity
version_added: 0.3.0
short_description: Give the pods of a service account an IAM role
description:
  - Manages the EKS Pod Identity association of one Kubernetes service account. The cluster needs the add-on eks-pod-identity-agent, and the
    role has to trust C(pods.eks.amazonaws.com).
  - Pods get the credentials when they start; those that run already keep what they have.
author:
  - The Espalier authors
options:
  cluster:
    description:
      - Name of the cluster.
    type: str
    required: true
  namespace:
    description:
      - Namespace of the service account. Neither has to exist yet.
    type: str
    required: true
  service_account:
    description:
      - Name of the service account.
    type: str
    required: true
  role_arn:
    description:
      - Role that its pods get.
    type: str
  state:
    description:
      - Whether they get it.
    type: str
    choices: [present, absent]
    default: present
  tags:
    description:
      - Tags of the association; others are removed.
    type: dict
    default: {}
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says what would be made or changed. A cluster that does not exist yet has no associations.
  diff_mode:
    support: full
    description: Shows the association before and after.
"""

EXAMPLES = r"""
- name: Let the application's pods use its bucket
  espalier.aws.eks_pod_identity:
    cluster: django-app
    namespace: django-app
    service_account: django-app
    role_arn: arn:aws:iam::123456789012:role/staging-django-pod-role
"""

RETURN = r"""
association:
  description: Role and tags; empty where there is no association.
  returned: success
  type: dict
  sample: {role_arn: "arn:aws:iam::123456789012:role/staging-django-pod-role", tags: {}}
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.espalier.aws.plugins.module_utils.eks import own_tags, read, retag, with_new


def find(client, of):
    """The association of a service account, which has one at most; None where there is none."""
    # The listing has neither role nor tags.
    found = read(client.list_pod_identity_associations, "associations", aws_retry=True, **of) or []
    for one in found:
        return read(
            client.describe_pod_identity_association,
            "association",
            aws_retry=True,
            clusterName=of["clusterName"],
            associationId=one["associationId"],
        )
    return None


def apply(client, of, found, before, after):
    """Make the association what it should be."""
    if found is None:
        with_new(client.create_pod_identity_association, aws_retry=True, roleArn=after["role_arn"], tags=after["tags"], **of)
        return
    this = {"clusterName": of["clusterName"], "associationId": found["associationId"]}
    if not after:
        client.delete_pod_identity_association(aws_retry=True, **this)
        return
    if before["role_arn"] != after["role_arn"]:
        with_new(client.update_pod_identity_association, aws_retry=True, roleArn=after["role_arn"], **this)
    if before["tags"] != after["tags"]:
        retag(client, found["associationArn"], before["tags"], after["tags"])


SPEC = {
    "cluster": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "service_account": {"type": "str", "required": True},
    "role_arn": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "tags": {"type": "dict", "default": {}},
}


def main():
    module = AnsibleAWSModule(argument_spec=SPEC, required_if=[("state", "present", ["role_arn"])], supports_check_mode=True)
    client = module.client("eks", retry_decorator=AWSRetry.jittered_backoff())
    params = module.params
    of = {"clusterName": params["cluster"], "namespace": params["namespace"], "serviceAccount": params["service_account"]}
    after = {"role_arn": params["role_arn"], "tags": params["tags"]} if params["state"] == "present" else {}
    try:
        found = find(client, of)
        before = {"role_arn": found["roleArn"], "tags": own_tags(found)} if found else {}
        if before != after and not module.check_mode:
            apply(client, of, found, before, after)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage the role of {of['namespace']}/{of['serviceAccount']} in {of['clusterName']}")
    module.exit_json(changed=before != after, association=after, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
