#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: web_acl_log
version_added: 0.2.0
short_description: Write the log of a web ACL of AWS WAF to CloudWatch Logs
description:
  - Manages where a web ACL writes its log, which requests it writes, and which headers it leaves out.
  - M(community.aws.wafv2_web_acl) knows no logging. AWS itself allows WAF to write to the log group.
author:
  - Contributors to the Espalier project
options:
  web_acl_arn:
    description:
      - The web ACL.
    type: str
    required: true
  log_group_arn:
    description:
      - Log group whose name begins with C(aws-waf-logs-). Required when O(state=present).
    type: str
  only:
    description:
      - Actions of WAF that are logged, such as V(BLOCK) and V(COUNT); empty for every request.
    type: list
    elements: str
    choices: [ALLOW, BLOCK, COUNT, CAPTCHA, CHALLENGE, EXCLUDED_AS_COUNT]
    default: []
  redacted_headers:
    description:
      - Headers whose values are left out, since they let people in.
    type: list
    elements: str
    default: [authorization, cookie]
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
- name: Log what was blocked, or would have been
  espalier.aws.web_acl_log:
    web_acl_arn: "{{ web_acl.arn }}"
    log_group_arn: arn:aws:logs:us-east-1:123456789012:log-group:aws-waf-logs-staging-django
    only: [BLOCK, COUNT]
"""

RETURN = r"""
log_group_arn:
  description: Where the log is written afterwards; empty for nowhere.
  returned: success
  type: str
  sample: arn:aws:logs:us-east-1:123456789012:log-group:aws-waf-logs-staging-django
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

ACTIONS = ["ALLOW", "BLOCK", "COUNT", "CAPTCHA", "CHALLENGE", "EXCLUDED_AS_COUNT"]
MANAGED = ("LogDestinationConfigs", "RedactedFields", "LoggingFilter")


def find(client, arn):
    """What of the configuration is managed here; empty without one."""
    try:
        found = client.get_logging_configuration(ResourceArn=arn, aws_retry=True)["LoggingConfiguration"]
    except is_boto3_error_code("WAFNonexistentItemException"):
        return {}
    return {key: found[key] for key in MANAGED if found.get(key)}


def wanted(params):
    configuration = {"LogDestinationConfigs": [params["log_group_arn"].removesuffix(":*")]}
    if params["redacted_headers"]:
        configuration["RedactedFields"] = [{"SingleHeader": {"Name": name.lower()}} for name in sorted(params["redacted_headers"])]
    if params["only"]:
        conditions = [{"ActionCondition": {"Action": action}} for action in sorted(params["only"])]
        keep = {"Behavior": "KEEP", "Requirement": "MEETS_ANY", "Conditions": conditions}
        configuration["LoggingFilter"] = {"DefaultBehavior": "DROP", "Filters": [keep]}
    return configuration


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "web_acl_arn": {"type": "str", "required": True},
            "log_group_arn": {"type": "str"},
            "only": {"type": "list", "elements": "str", "choices": ACTIONS, "default": []},
            "redacted_headers": {"type": "list", "elements": "str", "default": ["authorization", "cookie"], "no_log": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["log_group_arn"])],
        supports_check_mode=True,
    )
    arn = module.params["web_acl_arn"]
    after = wanted(module.params) if module.params["state"] == "present" else {}
    client = module.client("wafv2", retry_decorator=AWSRetry.jittered_backoff())
    try:
        before = find(client, arn)
        if before != after and not module.check_mode:
            if after:
                client.put_logging_configuration(LoggingConfiguration={"ResourceArn": arn, **after}, aws_retry=True)
            else:
                client.delete_logging_configuration(ResourceArn=arn, aws_retry=True)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage the log of {arn}")
    places = after.get("LogDestinationConfigs", [""])
    module.exit_json(changed=before != after, log_group_arn=places[0], diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
