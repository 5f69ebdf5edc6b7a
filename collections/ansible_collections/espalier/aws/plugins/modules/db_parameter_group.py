#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_parameter_group
version_added: 0.2.0
short_description: Manage a DB parameter group with exactly the parameters that are given
description:
  - Parameters that are given are set, and those that somebody else has set go back to the engine's default.
  - Each is applied as soon as RDS can; dynamic parameters at once, static ones at the instance's next reboot.
  - M(amazon.aws.rds_instance_param_group) applies all of them one way, reports no parameter in check mode, and does not fail for
    a parameter that does not exist.
author:
  - Contributors to the Espalier project
options:
  name:
    description:
      - Name of the group; RDS keeps it in lower case.
    type: str
    required: true
  family:
    description:
      - Family of the engine, such as V(postgres16). Cannot be changed. Required when O(state=present).
    type: str
  description:
    description:
      - Description of a new group.
    type: str
    default: Made by Ansible
  parameters:
    description:
      - Values by the parameters' names. Booleans are written as RDS does, C(1) and C(0).
    type: dict
    default: {}
  tags:
    description:
      - Tags of the group; others are removed.
    type: dict
    default: {}
  state:
    description:
      - Whether the group exists. RDS refuses to delete one that an instance uses.
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
    description: Says what would change. Whether a new group's parameters exist is found out when it is made.
  diff_mode:
    support: full
    description: Shows parameters and tags before and after.
"""

EXAMPLES = r"""
- name: Refuse connections without TLS
  espalier.aws.db_parameter_group:
    name: staging-django-postgres-16
    family: postgres16
    parameters:
      rds.force_ssl: true
      log_min_duration_statement: 1000
"""

RETURN = r"""
parameters:
  description: The given parameters, with values as RDS writes them.
  returned: success
  type: dict
  sample: {rds.force_ssl: "1"}
waiting_for_reboot:
  description: Names of static parameters that this run has changed. They wait for the instance's next reboot.
  returned: success
  type: list
  elements: str
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
    compare_aws_tags,
)

# What ModifyDBParameterGroup and ResetDBParameterGroup take in one call.
PARAMETERS_A_CALL = 20


class ParameterError(Exception):
    """A parameter that cannot be set; the message names it."""


def written(value):
    """As RDS writes it."""
    return str(int(value)) if isinstance(value, bool) else str(value)


@AWSRetry.jittered_backoff()
def find(client, name):
    """The group, or None."""
    try:
        return client.describe_db_parameter_groups(DBParameterGroupName=name)["DBParameterGroups"][0]
    except is_boto3_error_code("DBParameterGroupNotFound"):
        return None


@AWSRetry.jittered_backoff()
def read_parameters(client, name):
    """All parameters of the group by name, as DescribeDBParameters tells them."""
    pages = client.get_paginator("describe_db_parameters").paginate(DBParameterGroupName=name)
    return {one["ParameterName"]: one for page in pages for one in page["Parameters"]}


def set_by_somebody(known):
    return {name for name, one in known.items() if one.get("Source") == "user"}


def check(known, wanted):
    """Raise ParameterError for what RDS cannot set."""
    missing = sorted(set(wanted) - set(known))
    fixed = sorted(name for name in wanted if name in known and not known[name].get("IsModifiable", True))
    if missing:
        raise ParameterError(f"{', '.join(missing)}: RDS has no such parameter in this family")
    if fixed:
        raise ParameterError(f"{', '.join(fixed)}: RDS lets nobody set this")


def orders(known, names, wanted):
    """Parameters of a call: dynamic ones take effect at once, static ones cannot."""
    result = []
    for name in sorted(names):
        order = {"ParameterName": name, "ApplyMethod": "immediate" if known[name]["ApplyType"] == "dynamic" else "pending-reboot"}
        result.append({**order, "ParameterValue": wanted[name]} if name in wanted else order)
    return result


def apply(call, name, parameters, **more):
    for start in range(0, len(parameters), PARAMETERS_A_CALL):
        call(DBParameterGroupName=name, Parameters=parameters[start : start + PARAMETERS_A_CALL], aws_retry=True, **more)


def ensure_tags(client, group, tags, check_mode):
    """Returns the tags before."""
    arn = group["DBParameterGroupArn"]
    before = boto3_tag_list_to_ansible_dict(client.list_tags_for_resource(ResourceName=arn, aws_retry=True)["TagList"])
    added, removed = compare_aws_tags(before, tags)
    if added and not check_mode:
        client.add_tags_to_resource(ResourceName=arn, Tags=ansible_dict_to_boto3_tag_list(added), aws_retry=True)
    if removed and not check_mode:
        client.remove_tags_from_resource(ResourceName=arn, TagKeys=removed, aws_retry=True)
    return before


def ensure_present(client, params, check_mode):
    """Returns parameters and tags before, and the names of static parameters that have changed."""
    name, wanted = params["name"], {key: written(value) for key, value in params["parameters"].items()}
    group = find(client, name)
    if group and group["DBParameterGroupFamily"] != params["family"]:
        raise ParameterError(
            f"{name} is of the family {group['DBParameterGroupFamily']}, not {params['family']}, and RDS cannot change that"
        )
    if not group and check_mode:
        return None, []
    created = group is None
    if created:
        made = {"DBParameterGroupFamily": params["family"], "Description": params["description"]}
        tags = ansible_dict_to_boto3_tag_list(params["tags"])
        group = client.create_db_parameter_group(DBParameterGroupName=name, Tags=tags, aws_retry=True, **made)["DBParameterGroup"]
    known = read_parameters(client, name)
    check(known, wanted)
    before = {key: known[key].get("ParameterValue") for key in wanted.keys() | set_by_somebody(known)}
    changing = {key for key, value in wanted.items() if before[key] != value}
    surplus = before.keys() - wanted.keys()
    if not check_mode:
        apply(client.modify_db_parameter_group, name, orders(known, changing, wanted))
        apply(client.reset_db_parameter_group, name, orders(known, surplus, wanted), ResetAllParameters=False)
    tags = ensure_tags(client, group, params["tags"], check_mode)
    static = sorted(key for key in changing | surplus if known[key]["ApplyType"] != "dynamic")
    return None if created else {"parameters": before, "tags": tags}, static


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "family": {"type": "str"},
            "description": {"type": "str", "default": "Made by Ansible"},
            "parameters": {"type": "dict", "default": {}},
            "tags": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["family"])],
        supports_check_mode=True,
    )
    params, static = module.params, []
    params["name"] = params["name"].lower()
    client = module.client("rds", retry_decorator=AWSRetry.jittered_backoff())
    after = {"parameters": {key: written(value) for key, value in params["parameters"].items()}, "tags": params["tags"]}
    try:
        if params["state"] == "present":
            before, static = ensure_present(client, params, module.check_mode)
        else:
            before, after = find(client, params["name"]), None
            if before and not module.check_mode:
                client.delete_db_parameter_group(DBParameterGroupName=params["name"], aws_retry=True)
    except ParameterError as error:
        module.fail_json(msg=str(error))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage the parameter group {params['name']}")
    changed = before != after if after else bool(before)
    found = after["parameters"] if after else {}
    module.exit_json(changed=changed, parameters=found, waiting_for_reboot=static, diff={"before": before or {}, "after": after or {}})


if __name__ == "__main__":
    main()
