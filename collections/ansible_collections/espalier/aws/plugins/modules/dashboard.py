#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: dashboard
version_added: 0.2.0
short_description: Manage a dashboard of CloudWatch
description:
  - Writes a dashboard when it is not there or says something else, and removes it.
author:
  - Contributors to the Espalier project
options:
  name:
    description:
      - Name of the dashboard; letters, digits, hyphens and underscores.
    type: str
    required: true
  body:
    description:
      - The dashboard as CloudWatch's dashboard body structure, that is, a dictionary with C(widgets). Required when O(state=present).
    type: dict
  state:
    description:
      - Whether the dashboard exists.
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
    description: Says whether it would be written or removed.
  diff_mode:
    support: full
    description: Shows the dashboard before and after.
"""

EXAMPLES = r"""
- name: Show the requests
  espalier.aws.dashboard:
    name: staging-django
    body:
      widgets:
        - type: metric
          x: 0
          y: 0
          width: 12
          height: 6
          properties:
            title: Requests
            region: us-east-1
            stat: Sum
            metrics: [[AWS/ApplicationELB, RequestCount, LoadBalancer, app/staging-django-alb/50dc6c495c0c9188]]
"""

RETURN = r"""
url:
  description: Address of the dashboard in AWS's console; empty when it is removed.
  returned: success
  type: str
  sample: https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#dashboards:name=staging-django
"""

import contextlib
import json

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry


class BodyError(Exception):
    """CloudWatch has taken the dashboard and cannot show it; the message says what is wrong."""


def find(client, name):
    """The body as a dictionary, or None."""
    try:
        return json.loads(client.get_dashboard(DashboardName=name, aws_retry=True)["DashboardBody"])
    except is_boto3_error_code(["ResourceNotFound", "DashboardNotFoundError"]):
        return None


def put(client, name, body):
    answer = client.put_dashboard(DashboardName=name, DashboardBody=json.dumps(body), aws_retry=True)
    messages = answer.get("DashboardValidationMessages") or []
    if messages:
        raise BodyError("; ".join(f"{one.get('DataPath', '')}: {one.get('Message', '')}" for one in messages))


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "body": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["body"])],
        supports_check_mode=True,
    )
    name, after = module.params["name"], module.params["body"] if module.params["state"] == "present" else None
    client = module.client("cloudwatch", retry_decorator=AWSRetry.jittered_backoff())
    try:
        before = find(client, name)
        if before != after and not module.check_mode:
            if after:
                put(client, name, after)
            else:
                client.delete_dashboards(DashboardNames=[name], aws_retry=True)
    except BodyError as error:
        module.fail_json(msg=f"CloudWatch cannot show the dashboard {name}: {error}")
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage the dashboard {name}")
    console = f"https://{module.region}.console.aws.amazon.com/cloudwatch/home?region={module.region}#dashboards:name={name}"
    module.exit_json(changed=before != after, url=console if after else "", diff={"before": before or {}, "after": after or {}})


if __name__ == "__main__":
    main()
