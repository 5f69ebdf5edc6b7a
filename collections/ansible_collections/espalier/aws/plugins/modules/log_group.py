#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: log_group
version_added: 0.2.0
short_description: Manage a CloudWatch log group
description:
  - Creates, changes and removes a log group, with its retention and its tags.
  - M(amazon.aws.cloudwatchlogs_log_group) 11.4, with the same options, writes the retention in check mode, too.
author:
  - Contributors to the Espalier project
options:
  log_group_name:
    description:
      - Name of the group.
    type: str
    required: true
  retention:
    description:
      - Days that lines are kept, one of the numbers that CloudWatch takes. Lines are kept for ever when it is left out.
    type: int
  tags:
    description:
      - Tags of the group; others are removed.
    type: dict
    default: {}
  state:
    description:
      - Whether there is such a group.
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
    description: Says what would change.
  diff_mode:
    support: full
    description: Shows retention and tags before and after.
"""

EXAMPLES = r"""
- name: Keep the application's log for a month
  espalier.aws.log_group:
    log_group_name: /aws/ec2/django-app
    retention: 30
    tags: {Project: django, Environment: staging}
"""

RETURN = r"""
arn:
  description: ARN of the group, as IAM's policies and the tagging calls want it; empty where there is none, or in a plan of a new one.
  returned: success
  type: str
  sample: arn:aws:logs:us-east-1:123456789012:log-group:/aws/ec2/django-app
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry


def find(client, name):
    """ARN and settings of the group; empty where there is none. CloudWatch looks groups up by the beginning of their names."""
    pages = client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
    for group in pages.build_full_result().get("logGroups", []):
        if group["logGroupName"] == name:
            arn = group["arn"].removesuffix(":*")
            tags = client.list_tags_for_resource(resourceArn=arn, aws_retry=True)["tags"]
            return arn, {"retention": group.get("retentionInDays"), "tags": tags}
    return "", {}


def apply(client, name, arn, before, after):
    """Make the group what it should be; its ARN."""
    if not after:
        client.delete_log_group(logGroupName=name, aws_retry=True)
        return ""
    if not before:
        client.create_log_group(logGroupName=name, **({"tags": after["tags"]} if after["tags"] else {}), aws_retry=True)
        arn, before = find(client, name)
    if after["retention"] is None and before["retention"] is not None:
        client.delete_retention_policy(logGroupName=name, aws_retry=True)
    elif after["retention"] != before["retention"]:
        client.put_retention_policy(logGroupName=name, retentionInDays=after["retention"], aws_retry=True)
    surplus = sorted(set(before["tags"]) - set(after["tags"]))
    if surplus:
        client.untag_resource(resourceArn=arn, tagKeys=surplus, aws_retry=True)
    missing = {key: value for key, value in after["tags"].items() if before["tags"].get(key) != value}
    if missing:
        client.tag_resource(resourceArn=arn, tags=missing, aws_retry=True)
    return arn


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "log_group_name": {"type": "str", "required": True},
            "retention": {"type": "int"},
            "tags": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    name, client = module.params["log_group_name"], module.client("logs", retry_decorator=AWSRetry.jittered_backoff())
    tags = {key: str(value) for key, value in module.params["tags"].items()}
    after = {"retention": module.params["retention"], "tags": tags} if module.params["state"] == "present" else {}
    try:
        arn, before = find(client, name)
        if before != after and not module.check_mode:
            arn = apply(client, name, arn, before, after)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage log group {name}")
    module.exit_json(changed=before != after, arn=arn, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
