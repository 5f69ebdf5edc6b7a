#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: target_tracking_policy
version_added: 0.2.0
short_description: Let an auto scaling group follow its average CPU
description:
  - Manages one target tracking policy of an auto scaling group, which holds the average CPU of its instances near a target.
  - M(community.aws.autoscaling_policy) does the same, but has no check mode, so that a plan would not see a policy that somebody changed.
  - The alarms of a policy belong to AWS; it makes, changes and deletes them.
author:
  - Contributors to the Espalier project
options:
  name:
    description:
      - Name of the policy.
    type: str
    required: true
  group:
    description:
      - Name of the auto scaling group.
    type: str
    required: true
  cpu_percent:
    description:
      - Average CPU of all instances that the group is scaled to, in percent. Needed unless O(state=absent).
    type: float
  warmup_seconds:
    description:
      - Seconds after its launch in which an instance does not count in the average yet. Not compared or set when left out.
    type: int
  state:
    description:
      - Whether the policy exists.
    type: str
    default: present
    choices: [present, absent]
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says whether the policy would change. A group that does not exist yet has none.
  diff_mode:
    support: full
    description: Shows the policy before and after.
"""

EXAMPLES = r"""
- name: Scale at 70 percent
  espalier.aws.target_tracking_policy:
    name: staging-django-cpu
    group: staging-django-asg
    cpu_percent: 70
    warmup_seconds: 300

- name: Scale no more
  espalier.aws.target_tracking_policy:
    name: staging-django-cpu
    group: staging-django-asg
    state: absent
"""

RETURN = r"""
policy:
  description: The policy as it is afterwards, empty where there is none.
  returned: success
  type: dict
  sample: {type: TargetTrackingScaling, metric: ASGAverageCPUUtilization, target: 70.0, scale_in: true, warmup_seconds: 300}
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

TYPE, METRIC = "TargetTrackingScaling", "ASGAverageCPUUtilization"


def read(client, group, name):
    """The policy in this module's words; empty where it, or its group, does not exist."""
    try:
        found = client.describe_policies(AutoScalingGroupName=group, PolicyNames=[name], aws_retry=True)["ScalingPolicies"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError" and "not found" in str(error):
            return {}
        raise
    if not found:
        return {}
    tracking = found[0].get("TargetTrackingConfiguration", {})
    return {
        "type": found[0]["PolicyType"],
        "metric": tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType"),
        "target": tracking.get("TargetValue"),
        "scale_in": not tracking.get("DisableScaleIn", False),
        "warmup_seconds": found[0].get("EstimatedInstanceWarmup"),
    }


def wanted(params, before):
    """The policy as it shall be, in the same words."""
    if params["state"] == "absent":
        return {}
    warmup = params["warmup_seconds"] if params["warmup_seconds"] is not None else before.get("warmup_seconds")
    return {"type": TYPE, "metric": METRIC, "target": params["cpu_percent"], "scale_in": True, "warmup_seconds": warmup}


def write(client, group, name, policy):
    """AWS replaces a policy of the same name whole."""
    if not policy:
        client.delete_policy(AutoScalingGroupName=group, PolicyName=name, aws_retry=True)
        return
    warmup = {"EstimatedInstanceWarmup": policy["warmup_seconds"]} if policy["warmup_seconds"] is not None else {}
    client.put_scaling_policy(
        AutoScalingGroupName=group,
        PolicyName=name,
        PolicyType=TYPE,
        TargetTrackingConfiguration={
            "PredefinedMetricSpecification": {"PredefinedMetricType": METRIC},
            "TargetValue": policy["target"],
            "DisableScaleIn": False,
        },
        aws_retry=True,
        **warmup,
    )


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "group": {"type": "str", "required": True},
            "cpu_percent": {"type": "float"},
            "warmup_seconds": {"type": "int"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["cpu_percent"])],
        supports_check_mode=True,
    )
    name, group = module.params["name"], module.params["group"]
    client = module.client("autoscaling", retry_decorator=AWSRetry.jittered_backoff())
    try:
        before = read(client, group, name)
        after = wanted(module.params, before)
        if before != after and not module.check_mode:
            write(client, group, name, after)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to change scaling policy {name} of auto scaling group {group}")
    module.exit_json(changed=before != after, policy=after, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
