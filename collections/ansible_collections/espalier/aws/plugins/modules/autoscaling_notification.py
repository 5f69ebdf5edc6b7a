#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: autoscaling_notification
version_added: 0.1.0
short_description: Let an auto scaling group tell an SNS topic about its scaling
description:
  - Manages which events of an auto scaling group are sent to one SNS topic. Other topics of the group are left alone.
  - M(amazon.aws.autoscaling_group) sends such a configuration with every change of a group, but neither reads it nor reports its change.
author:
  - Contributors to the Espalier project
options:
  name:
    description:
      - Name of the group.
    type: str
    required: true
  topic_arn:
    description:
      - ARN of the SNS topic.
    type: str
    required: true
  notification_types:
    description:
      - The events that are sent; others are not.
    type: list
    elements: str
    choices:
      - autoscaling:EC2_INSTANCE_LAUNCH
      - autoscaling:EC2_INSTANCE_LAUNCH_ERROR
      - autoscaling:EC2_INSTANCE_TERMINATE
      - autoscaling:EC2_INSTANCE_TERMINATE_ERROR
    default:
      - autoscaling:EC2_INSTANCE_LAUNCH
      - autoscaling:EC2_INSTANCE_LAUNCH_ERROR
      - autoscaling:EC2_INSTANCE_TERMINATE
      - autoscaling:EC2_INSTANCE_TERMINATE_ERROR
  state:
    description:
      - Whether events are sent at all.
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
    description: Says whether the events would change. A group that does not exist yet has none.
  diff_mode:
    support: full
    description: Shows the events before and after.
"""

EXAMPLES = r"""
- name: Tell the topic about instances that come and go
  espalier.aws.autoscaling_notification:
    name: staging-django-asg
    topic_arn: arn:aws:sns:us-east-1:123456789012:staging-django-alarms

- name: Tell it no more
  espalier.aws.autoscaling_notification:
    name: staging-django-asg
    topic_arn: arn:aws:sns:us-east-1:123456789012:staging-django-alarms
    state: absent
"""

RETURN = r"""
notification_types:
  description: The events that are sent to the topic afterwards, sorted.
  returned: success
  type: list
  elements: str
  sample: [autoscaling:EC2_INSTANCE_LAUNCH, autoscaling:EC2_INSTANCE_TERMINATE]
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

TYPES = [
    "autoscaling:EC2_INSTANCE_LAUNCH",
    "autoscaling:EC2_INSTANCE_LAUNCH_ERROR",
    "autoscaling:EC2_INSTANCE_TERMINATE",
    "autoscaling:EC2_INSTANCE_TERMINATE_ERROR",
]


@AWSRetry.jittered_backoff()
def read_types(client, name, topic_arn):
    """The events that the group sends to the topic; none for a group that does not exist."""
    pages = client.get_paginator("describe_notification_configurations").paginate(AutoScalingGroupNames=[name])
    found = pages.build_full_result()["NotificationConfigurations"]
    return {entry["NotificationType"] for entry in found if entry["TopicARN"] == topic_arn}


def write_types(client, name, topic_arn, types):
    """AWS replaces all events of a topic at once."""
    if types:
        client.put_notification_configuration(
            AutoScalingGroupName=name, TopicARN=topic_arn, NotificationTypes=sorted(types), aws_retry=True
        )
    else:
        client.delete_notification_configuration(AutoScalingGroupName=name, TopicARN=topic_arn, aws_retry=True)


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "topic_arn": {"type": "str", "required": True},
            "notification_types": {"type": "list", "elements": "str", "choices": TYPES, "default": TYPES},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    name, topic_arn = module.params["name"], module.params["topic_arn"]
    after = set(module.params["notification_types"]) if module.params["state"] == "present" else set()
    client = module.client("autoscaling", retry_decorator=AWSRetry.jittered_backoff())
    try:
        before = read_types(client, name, topic_arn)
        if before != after and not module.check_mode:
            write_types(client, name, topic_arn, after)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to change the notifications of auto scaling group {name}")
    diff = {"before": {"notification_types": sorted(before)}, "after": {"notification_types": sorted(after)}}
    module.exit_json(changed=before != after, notification_types=sorted(after), diff=diff)


if __name__ == "__main__":
    main()
