#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: flow_log
version_added: 0.2.0
short_description: Write the flow logs of a VPC to CloudWatch Logs
description:
  - Manages the one flow log of a VPC that carries the given tags. Other flow logs of the VPC are left alone.
  - AWS cannot change a flow log, nor write two of one VPC to one place. For other settings the old one is removed and a new one started.
author:
  - Contributors to the Espalier project
options:
  vpc_id:
    description:
      - The VPC.
    type: str
    required: true
  log_group:
    description:
      - Log group of CloudWatch Logs. Required when O(state=present).
    type: str
  role_arn:
    description:
      - Role that AWS writes the lines with. Required when O(state=present).
    type: str
  traffic_type:
    description:
      - Which connections are logged.
    type: str
    choices: [ALL, ACCEPT, REJECT]
    default: ALL
  interval_seconds:
    description:
      - Seconds that the packets of a connection are gathered in one line.
    type: int
    choices: [60, 600]
    default: 600
  tags:
    description:
      - Tags of the flow log; by those it is found.
    type: dict
    required: true
  state:
    description:
      - Whether it is written.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says what would change.
  diff_mode:
    support: full
    description: Shows the settings before and after.
"""

EXAMPLES = r"""
- name: Log every connection of the VPC
  espalier.aws.flow_log:
    vpc_id: vpc-0a1
    log_group: /aws/vpc/flowlogs
    role_arn: arn:aws:iam::123456789012:role/staging-django-flow-logs
    tags: {Project: django, Environment: staging}
"""

RETURN = r"""
flow_log_ids:
  description: The flow logs of these tags afterwards; none in a plan that would start one.
  returned: success
  type: list
  elements: str
  sample: [fl-0a1]
msg:
  description: Which are replaced.
  returned: in check mode, when another one would be started in their place
  type: str
  sample: Would replace fl-0a1.
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import boto3_tag_specifications

LOGS = "cloud-watch-logs"


class RefusedError(Exception):
    """AWS answers a refused flow log with success; the message is what it says of it."""


@AWSRetry.jittered_backoff()
def find(client, vpc_id, tags):
    filters = [{"Name": "resource-id", "Values": [vpc_id]}, *({"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items())]
    return client.get_paginator("describe_flow_logs").paginate(Filter=filters).build_full_result()["FlowLogs"]


def settings(found):
    """What of a flow log can be asked for."""
    return {
        "log_group": found.get("LogGroupName"),
        "role_arn": found.get("DeliverLogsPermissionArn"),
        "traffic_type": found.get("TrafficType"),
        "interval_seconds": found.get("MaxAggregationInterval", 600),
    }


def create(client, params):
    answer = client.create_flow_logs(
        ResourceIds=[params["vpc_id"]],
        ResourceType="VPC",
        TrafficType=params["traffic_type"],
        LogDestinationType=LOGS,
        LogGroupName=params["log_group"],
        DeliverLogsPermissionArn=params["role_arn"],
        MaxAggregationInterval=params["interval_seconds"],
        TagSpecifications=boto3_tag_specifications(params["tags"], types=["vpc-flow-log"]),
        aws_retry=True,
    )
    if answer.get("Unsuccessful"):
        raise RefusedError(answer["Unsuccessful"][0]["Error"]["Message"])
    return answer["FlowLogIds"]


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "vpc_id": {"type": "str", "required": True},
            "log_group": {"type": "str"},
            "role_arn": {"type": "str"},
            "traffic_type": {"type": "str", "choices": ["ALL", "ACCEPT", "REJECT"], "default": "ALL"},
            "interval_seconds": {"type": "int", "choices": [60, 600], "default": 600},
            "tags": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["log_group", "role_arn"])],
        supports_check_mode=True,
    )
    params = module.params
    wanted = {key: params[key] for key in ("log_group", "role_arn", "traffic_type", "interval_seconds")}
    after = wanted if params["state"] == "present" else None
    client = module.client("ec2", retry_decorator=AWSRetry.jittered_backoff())
    try:
        found = find(client, params["vpc_id"], params["tags"])
        kept = [one for one in found if settings(one) == after and one.get("LogDestinationType", LOGS) == LOGS][:1]
        surplus = [one["FlowLogId"] for one in found if one not in kept]
        ids = [one["FlowLogId"] for one in kept]
        if surplus and not module.check_mode:
            client.delete_flow_logs(FlowLogIds=surplus, aws_retry=True)
        if after and not kept and not module.check_mode:
            ids = create(client, params)
    except RefusedError as error:
        module.fail_json(msg=f"AWS refuses the flow log of {params['vpc_id']}: {error}")
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage the flow log of {params['vpc_id']}")
    changed = bool(surplus) or bool(after and not kept)
    diff = {"before": settings(found[0]) if found else {}, "after": after or {}}
    replaced = {"msg": f"Would replace {', '.join(surplus)}."} if module.check_mode and surplus and after and not kept else {}
    module.exit_json(changed=changed, flow_log_ids=ids, diff=diff, **replaced)


if __name__ == "__main__":
    main()
