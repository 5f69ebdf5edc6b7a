#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cluster_leftovers
version_added: 0.3.0
short_description: Remove what a Kubernetes cluster made in AWS and left there
description:
  - Finds by the tags of their makers the load balancers and target groups of the AWS Load Balancer Controller, volumes of persistent volume
    claims, network interfaces of the VPC CNI, and security groups of either and of EKS, and removes them.
  - Meant for after the cluster. While it is there, its controllers would make them anew, and volumes that are in use stay.
author:
  - The Espalier authors
options:
  cluster:
    description:
      - Name of the cluster.
    type: str
    required: true
  wait_timeout_seconds:
    description:
      - How long AWS may hold what is being removed, for example a security group while a load balancer's network interfaces are there.
    type: int
    default: 600
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says what would be removed.
"""

EXAMPLES = r"""
- name: Remove what the cluster left
  espalier.aws.cluster_leftovers:
    cluster: django-app
"""

RETURN = r"""
removed:
  description: ARN or id of everything that was removed.
  returned: success
  type: list
  elements: str
  sample: [vol-0a1]
"""

import contextlib
import time

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.espalier.aws.plugins.module_utils.clients import make_clients
from ansible_collections.espalier.aws.plugins.module_utils.eks import EksError, code_of
from ansible_collections.espalier.aws.plugins.module_utils.stack import pages, tags_of

PAUSE_SECONDS = 5
# Whatever still holds something, and what is gone meanwhile.
HELD = ("DependencyViolation", "ResourceInUse", "VolumeInUse", "InvalidParameterValue", "InvalidNetworkInterface.InUse")
GONE = (
    "InvalidVolume.NotFound",
    "InvalidGroup.NotFound",
    "InvalidNetworkInterfaceID.NotFound",
    "TargetGroupNotFound",
    "LoadBalancerNotFound",
)


def owned(cluster):
    """Tags of EKS, the VPC CNI, the EBS CSI driver and the load balancer controller."""
    return {f"kubernetes.io/cluster/{cluster}": "owned", "elbv2.k8s.aws/cluster": cluster, "cluster.k8s.amazonaws.com/name": cluster}


def is_owned(tags, cluster):
    return bool(owned(cluster).items() & tags.items())


def balancing(client, cluster, operation, result, key):
    """ARNs of load balancers or target groups with the cluster's tags. DescribeTags takes 20 at a time."""
    arns = [one[key] for one in pages(client, operation, result)]
    for start in range(0, len(arns), 20):
        for described in client.describe_tags(ResourceArns=arns[start : start + 20])["TagDescriptions"]:
            if is_owned(tags_of(described), cluster):
                yield described["ResourceArn"]


def tagged(client, cluster, operation, result, key, state=None):
    """Ids of what EC2 knows with the cluster's tags. A tag's value is looked at here: filters of several tags mean all of them."""
    names = {"Name": "tag-key", "Values": sorted(owned(cluster))}
    for one in pages(client, operation, result, Filters=[names]):
        if is_owned(tags_of(one), cluster) and (state is None or one[state[0]] == state[1]):
            yield one[key]


def steps(clients, cluster):
    """What is looked for and how it is removed, in the order in which things let go of each other."""
    ec2, elbv2 = clients["ec2"], clients["elbv2"]
    return (
        (
            lambda: balancing(elbv2, cluster, "describe_load_balancers", "LoadBalancers", "LoadBalancerArn"),
            lambda arn: elbv2.delete_load_balancer(LoadBalancerArn=arn),
        ),
        (
            lambda: balancing(elbv2, cluster, "describe_target_groups", "TargetGroups", "TargetGroupArn"),
            lambda arn: elbv2.delete_target_group(TargetGroupArn=arn),
        ),
        (
            lambda: tagged(ec2, cluster, "describe_volumes", "Volumes", "VolumeId", ("State", "available")),
            lambda name: ec2.delete_volume(VolumeId=name),
        ),
        (
            lambda: tagged(ec2, cluster, "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId", ("Status", "available")),
            lambda name: ec2.delete_network_interface(NetworkInterfaceId=name),
        ),
        (
            lambda: tagged(ec2, cluster, "describe_security_groups", "SecurityGroups", "GroupId"),
            lambda name: ec2.delete_security_group(GroupId=name),
        ),
    )


def attempt(remove, name):
    """Whether it is gone."""
    try:
        remove(name)
    except ClientError as error:
        if code_of(error) in GONE:
            return True
        if code_of(error) not in HELD:
            raise
        return False
    return True


def clear(look, remove, seconds):
    """Remove all that one step finds; what was removed. Raises EksError for what AWS does not let go in time."""
    removed, deadline = [], time.monotonic() + seconds
    left = sorted(look())
    while left:
        gone = [name for name in left if attempt(remove, name)]
        removed += gone
        left = [name for name in left if name not in gone]
        if left and time.monotonic() > deadline:
            raise EksError(f"Something still holds {', '.join(left)} after {seconds} s. Run again, or remove it by hand.")
        if left:
            time.sleep(PAUSE_SECONDS)
    return removed


def main():
    module = AnsibleAWSModule(
        argument_spec={"cluster": {"type": "str", "required": True}, "wait_timeout_seconds": {"type": "int", "default": 600}},
        supports_check_mode=True,
    )
    removed = []
    try:
        for look, remove in steps(make_clients(module, ["ec2", "elbv2"]), module.params["cluster"]):
            removed += sorted(look()) if module.check_mode else clear(look, remove, module.params["wait_timeout_seconds"])
    except EksError as error:
        module.fail_json(msg=str(error), changed=bool(removed), removed=removed)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to remove what the cluster {module.params['cluster']} left")
    module.exit_json(changed=bool(removed), removed=removed)


if __name__ == "__main__":
    main()
