#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: metric_alarms
version_added: 0.2.0
short_description: Manage some CloudWatch alarms at once
description:
  - Creates, changes and removes alarms by their names, in one call. Whether somebody has muted an alarm is left alone.
  - M(amazon.aws.cloudwatch_metric_alarm) manages one, sets no tags, and reports a change each time for an alarm on an expression.
author:
  - Contributors to the Espalier project
options:
  alarms:
    description:
      - The alarms, each with the fields of CloudWatch's C(PutMetricAlarm) in its own spelling, without actions and tags.
    type: list
    elements: dict
    default: []
  removed:
    description:
      - Names of alarms that shall not be there.
    type: list
    elements: str
    default: []
  actions:
    description:
      - ARNs of what is told when an alarm rings, and when it ends.
    type: list
    elements: str
    default: []
  tags:
    description:
      - Tags of new alarms.
    type: dict
    default: {}
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
    description: Shows the changed alarms before and after.
"""

EXAMPLES = r"""
- name: Ring when the database's storage runs out
  espalier.aws.metric_alarms:
    alarms:
      - AlarmName: staging-django-database-storage-low
        Namespace: AWS/RDS
        MetricName: FreeStorageSpace
        Dimensions: [{Name: DBInstanceIdentifier, Value: staging-django-postgres}]
        Statistic: Minimum
        Period: 300
        EvaluationPeriods: 1
        ComparisonOperator: LessThanThreshold
        Threshold: 10737418240
    actions: ["{{ topic_arn }}"]
"""

RETURN = r"""
created:
  description: Names of alarms that were not there.
  returned: success
  type: list
  elements: str
updated:
  description: Names of alarms that were otherwise.
  returned: success
  type: list
  elements: str
removed:
  description: Names of alarms that were there.
  returned: success
  type: list
  elements: str
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import ansible_dict_to_boto3_tag_list

# What CloudWatch takes in one call.
NAMES_A_CALL = 100
MANAGED = (
    "AlarmName", "AlarmDescription", "OKActions", "AlarmActions", "InsufficientDataActions", "MetricName", "Namespace", "Statistic",
    "ExtendedStatistic", "Dimensions", "Period", "Unit", "EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator",
    "TreatMissingData", "EvaluateLowSampleCountPercentile", "Metrics",
)  # fmt: skip


class AlarmError(Exception):
    """An alarm that cannot be asked for; the message says why."""


def comparable(value):
    """Without what is empty, lists of records in one order, numbers of one type."""
    if isinstance(value, dict):
        return {key: comparable(one) for key, one in value.items() if one not in (None, "", [], {})}
    if isinstance(value, list):
        return sorted((comparable(one) for one in value), key=str)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def managed(alarm):
    return comparable({"TreatMissingData": "missing", **{key: alarm[key] for key in MANAGED if key in alarm}})


@AWSRetry.jittered_backoff()
def read(client, names):
    found = {}
    for start in range(0, len(names), NAMES_A_CALL):
        pages = client.get_paginator("describe_alarms").paginate(AlarmNames=names[start : start + NAMES_A_CALL], AlarmTypes=["MetricAlarm"])
        found.update({alarm["AlarmName"]: alarm for page in pages for alarm in page["MetricAlarms"]})
    return found


def wanted_alarms(params):
    strangers = sorted({key for alarm in params["alarms"] for key in alarm} - set(MANAGED))
    if strangers:
        raise AlarmError(f"{', '.join(strangers)}: no field that can be given. Fields are: {', '.join(MANAGED)}")
    if any("AlarmName" not in alarm for alarm in params["alarms"]):
        raise AlarmError("an alarm has no AlarmName")
    return {alarm["AlarmName"]: {**alarm, "AlarmActions": params["actions"], "OKActions": params["actions"]} for alarm in params["alarms"]}


def typed(alarm):
    """Ansible hands templated numbers over as text, and boto3 takes no text for a number."""
    numbers = {"Period": int, "EvaluationPeriods": int, "DatapointsToAlarm": int, "Threshold": float}
    return {key: numbers[key](value) if key in numbers else value for key, value in alarm.items()}


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "alarms": {"type": "list", "elements": "dict", "default": []},
            "removed": {"type": "list", "elements": "str", "default": []},
            "actions": {"type": "list", "elements": "str", "default": []},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    client = module.client("cloudwatch", retry_decorator=AWSRetry.jittered_backoff())
    tags = ansible_dict_to_boto3_tag_list(module.params["tags"])
    try:
        wanted = {name: typed(alarm) for name, alarm in wanted_alarms(module.params).items()}
        found = read(client, sorted({*wanted, *module.params["removed"]}))
        created = sorted(wanted.keys() - found.keys())
        updated = sorted(name for name in wanted.keys() & found.keys() if managed(found[name]) != managed(wanted[name]))
        removed = sorted(found.keys() - wanted.keys())
        for name in [*created, *updated] if not module.check_mode else []:
            # An alarm that exists keeps its tags: CloudWatch takes none with a change.
            more = {"Tags": tags} if name in created and tags else {}
            client.put_metric_alarm(**wanted[name], **more, aws_retry=True)
        if removed and not module.check_mode:
            client.delete_alarms(AlarmNames=removed, aws_retry=True)
    except AlarmError as error:
        module.fail_json(msg=str(error))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="Unable to manage the alarms")
    touched = [*created, *updated, *removed]
    before = {name: managed(found[name]) for name in touched if name in found}
    after = {name: managed(wanted[name]) for name in touched if name in wanted}
    diff = {"before": before, "after": after}
    module.exit_json(changed=bool(touched), created=created, updated=updated, removed=removed, diff=diff)


if __name__ == "__main__":
    main()
