#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: check_with_aws
short_description: Ask AWS whether the inputs can be had before anything is changed
version_added: 0.1.0
description:
  - Whether regions, availability zones, instance types and the engine version exist, whether names are free or ours, whether a
    certificate is issued and for these host names, whether host names lead elsewhere, whether there is an instance to configure.
  - Reads only, with all questions at the same time. Run M(espalier.aws.account_guard) first.
options:
  project:
    description: Tag Project of what is ours.
    type: str
    required: true
  environment:
    description: Tag Environment of what is ours.
    type: str
    required: true
  account_id:
    description: The account (12 digits).
    type: str
    required: true
  checks:
    description:
      - Rows of a table; C(check) is a function of the collection's C(module_utils/aws_checks.py), the other keys are its arguments.
      - An argument that is a string, or a list or dictionary of strings, names variables.
    type: list
    elements: dict
    required: true
  values:
    description: Values of the variables that O(checks) names; a row that names one without a value is left out.
    type: dict
    required: true
  skip_variables:
    description: Variables that are known to be wrong already; rows that name one are left out.
    type: list
    elements: str
    default: []
author:
  - The Espalier authors
attributes:
  check_mode:
    description: Reads only.
    support: full
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Ask for the zones
  espalier.aws.check_with_aws:
    project: django
    environment: lab
    account_id: "123456789012"
    checks:
      - check: zones
        zones: suite_availability_zones
    values:
      suite_availability_zones: [us-east-1a, us-east-1b]
"""

RETURN = r"""
findings:
  description: What cannot be had.
  returned: success
  type: list
  elements: dict
  contains:
    variable:
      description: What has to be set.
      type: str
    value:
      description: What it is now.
      type: raw
    problem:
      description: What is wrong with it.
      type: str
    fix:
      description: What to do.
      type: str
"""

import contextlib
from concurrent.futures import ThreadPoolExecutor

# AnsibleAWSModule says what is missing.
with contextlib.suppress(ImportError):
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.espalier.aws.plugins.module_utils import aws_checks, check_table
from ansible_collections.espalier.aws.plugins.module_utils.clients import make_clients


def ask(aws: aws_checks.Aws, params: dict) -> list[dict]:
    unset = {name for name, value in params["values"].items() if value is None}
    bound = list(check_table.bind(params["checks"], aws_checks.CHECKS, params["values"], unset | set(params["skip_variables"])))
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = [pool.submit(check, aws, **arguments) for check, arguments in bound]
        return [found for answer in answers for found in answer.result()]


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "environment": {"type": "str", "required": True},
            "account_id": {"type": "str", "required": True},
            "checks": {"type": "list", "elements": "dict", "required": True},
            "values": {"type": "dict", "required": True},
            "skip_variables": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    clients = make_clients(module, aws_checks.SERVICES, retries={"mode": "standard", "total_max_attempts": 5})
    names = {name: module.params[name] for name in ("project", "environment", "account_id")}
    try:
        findings = ask(aws_checks.Aws(clients=clients, region=module.region, **names), module.params)
    except ValueError as error:
        module.fail_json(msg=str(error))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="AWS did not say whether the inputs can be had")
    module.exit_json(changed=False, findings=findings)


if __name__ == "__main__":
    main()
