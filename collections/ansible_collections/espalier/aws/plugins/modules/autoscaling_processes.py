#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: autoscaling_processes
version_added: 0.1.0
short_description: Suspend or resume processes of an auto scaling group
description:
  - Suspends or resumes the named processes of an auto scaling group and leaves its other processes, and everything else, as they are.
  - M(amazon.aws.autoscaling_group) can do so only while it writes the whole group anew.
author:
  - Contributors to the Espalier project
options:
  name:
    description:
      - Name of the group. It must exist.
    type: str
    required: true
  processes:
    description:
      - The processes.
    type: list
    elements: str
    required: true
    choices:
      - Launch
      - Terminate
      - AddToLoadBalancer
      - AlarmNotification
      - AZRebalance
      - HealthCheck
      - InstanceRefresh
      - ReplaceUnhealthy
      - ScheduledActions
  state:
    description:
      - Whether the processes are to be suspended or resumed.
    type: str
    required: true
    choices: [suspended, resumed]
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says which processes would be suspended or resumed.
  diff_mode:
    support: full
    description: Shows the suspended processes before and after.
"""

EXAMPLES = r"""
- name: Keep unconfigured instances alive
  espalier.aws.autoscaling_processes:
    name: staging-django-asg
    processes: [HealthCheck, ReplaceUnhealthy]
    state: suspended

- name: Replace unhealthy instances again
  espalier.aws.autoscaling_processes:
    name: staging-django-asg
    processes: [HealthCheck, ReplaceUnhealthy]
    state: resumed
"""

RETURN = r"""
suspended_processes:
  description: All suspended processes of the group afterwards, sorted.
  returned: success
  type: list
  elements: str
  sample: [HealthCheck, ReplaceUnhealthy]
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

PROCESSES = [
    "Launch",
    "Terminate",
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
]


def read_suspended(client, name):
    """The suspended processes of a group, or None when there is no such group."""
    groups = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name], aws_retry=True)["AutoScalingGroups"]
    return {process["ProcessName"] for process in groups[0]["SuspendedProcesses"]} if groups else None


def plan(suspended, processes, state):
    """What is to be acted on, and the suspended processes afterwards."""
    if state == "suspended":
        return set(processes) - suspended, suspended | set(processes)
    return set(processes) & suspended, suspended - set(processes)


def act(client, name, processes, state):
    call = client.suspend_processes if state == "suspended" else client.resume_processes
    call(AutoScalingGroupName=name, ScalingProcesses=sorted(processes), aws_retry=True)


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "processes": {"type": "list", "elements": "str", "required": True, "choices": PROCESSES},
            "state": {"type": "str", "required": True, "choices": ["suspended", "resumed"]},
        },
        supports_check_mode=True,
    )
    name, state = module.params["name"], module.params["state"]
    client = module.client("autoscaling", retry_decorator=AWSRetry.jittered_backoff())
    try:
        before = read_suspended(client, name)
        if before is None:
            module.fail_json(msg=f"There is no auto scaling group {name}.")
        pending, after = plan(before, module.params["processes"], state)
        if pending and not module.check_mode:
            act(client, name, pending, state)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to change the processes of auto scaling group {name}")
    diff = {"before": {"suspended_processes": sorted(before)}, "after": {"suspended_processes": sorted(after)}}
    module.exit_json(changed=bool(pending), suspended_processes=sorted(after), diff=diff)


if __name__ == "__main__":
    main()
