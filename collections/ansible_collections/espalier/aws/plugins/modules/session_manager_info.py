#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: session_manager_info
version_added: 0.1.0
short_description: Tell which instances can be reached through Session Manager
description:
  - Asks Systems Manager for the last sign of life of each instance's agent.
author:
  - The Espalier authors
options:
  instance_ids:
    description:
      - The instances.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Reads only.
"""

EXAMPLES = r"""
- name: Wait until two instances can be reached
  espalier.aws.session_manager_info:
    instance_ids: [i-0123456789abcdef0, i-0123456789abcdef1]
  register: reached
  until: not reached.offline
  retries: 60
  delay: 5
"""

RETURN = r"""
online:
  description: Ids of the instances whose agent is online, sorted.
  returned: success
  type: list
  elements: str
  sample: [i-0123456789abcdef0]
offline:
  description: The status of every other instance by its id. C(Unknown) means that its agent has never reported.
  returned: success
  type: dict
  sample: {i-0123456789abcdef1: Unknown}
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry


def read_statuses(client, instance_ids):
    """PingStatus by instance id; an instance whose agent has never reported is missing."""
    filters = [{"Key": "InstanceIds", "Values": instance_ids}]
    pages = client.get_paginator("describe_instance_information").paginate(Filters=filters, PaginationConfig={"PageSize": 50})
    return {entry["InstanceId"]: entry["PingStatus"] for page in pages for entry in page["InstanceInformationList"]}


def main():
    module = AnsibleAWSModule(
        argument_spec={"instance_ids": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    wanted = module.params["instance_ids"]
    client = module.client("ssm", retry_decorator=AWSRetry.jittered_backoff())
    try:
        statuses = read_statuses(client, wanted) if wanted else {}
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="Unable to ask Systems Manager for its instances")
    online = sorted(instance for instance in wanted if statuses.get(instance) == "Online")
    offline = {instance: statuses.get(instance, "Unknown") for instance in wanted if instance not in online}
    module.exit_json(changed=False, online=online, offline=offline)


if __name__ == "__main__":
    main()
