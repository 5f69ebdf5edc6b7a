#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: instance_refresh
version_added: 0.2.0
short_description: Roll a launch template's version out over an auto scaling group, and wait for it
description:
  - Starts an instance refresh with a desired configuration, follows it to its end and says how far it is, and tells why it failed.
  - Changes nothing where every instance and the group itself are of the version already. A refresh to the same version that runs already is
    followed; another one is an error.
  - Launches that fail again and again, and O(wait_timeout_seconds), end it, with O(auto_rollback) by going back to the version before.
  - M(amazon.aws.autoscaling_instance_refresh) starts or cancels one, and neither waits nor knows a desired configuration.
author:
  - The Espalier authors
options:
  name:
    description:
      - Name of the auto scaling group. It must have a launch template.
    type: str
    required: true
  state:
    description:
      - V(present) rolls the version out. V(cancelled) ends a refresh where it is. V(rolled_back) ends it and goes back.
      - The latter two do nothing where no refresh runs.
    type: str
    choices: [present, cancelled, rolled_back]
    default: present
  launch_template_version:
    description:
      - Number of the version; the newest one of the group's launch template when it is left out.
    type: int
  min_healthy_percentage:
    description:
      - Percent of the desired capacity that stay in service. With V(100), new instances are launched before old ones go.
    type: int
    default: 100
  max_healthy_percentage:
    description:
      - Percent of the desired capacity that there may be meanwhile, 100 more than O(min_healthy_percentage) at most.
    type: int
    default: 150
  instance_warmup_seconds:
    description:
      - Seconds for which a new instance must be healthy before the next one is replaced. Should be as long as the load balancer takes to
        call an instance healthy. The group's own warmup, or its grace period, when it is left out.
    type: int
  skip_matching:
    description:
      - Leave instances alone that are of the version already.
    type: bool
    default: true
  auto_rollback:
    description:
      - Go back to the group's own version when the refresh fails.
    type: bool
    default: true
  alarms:
    description:
      - CloudWatch alarms that make the refresh fail.
    type: list
    elements: str
    default: []
  checkpoint_percentages:
    description:
      - Percentages at which the refresh pauses for O(checkpoint_delay_seconds), ascending, the last one V(100).
    type: list
    elements: int
    default: []
  checkpoint_delay_seconds:
    description:
      - Seconds of such a pause.
    type: int
    default: 3600
  bake_time_seconds:
    description:
      - Seconds at the end in which alarms still count.
    type: int
    default: 0
  failed_launches:
    description:
      - Launches that may fail before the refresh is given up; V(0) for AWS's own patience of an hour.
    type: int
    default: 2
  refresh_id:
    description:
      - Follow this refresh, and start none.
    type: str
  wait:
    description:
      - Wait for the end.
    type: bool
    default: true
  wait_timeout_seconds:
    description:
      - Seconds after which the refresh is given up, counted from its start.
    type: int
    default: 3600
  poll_seconds:
    description:
      - Seconds between two looks.
    type: int
    default: 10
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says which instances would be replaced.
"""

EXAMPLES = r"""
- name: Roll the new image out
  espalier.aws.instance_refresh:
    name: staging-django-asg
    launch_template_version: 7
    instance_warmup_seconds: 90
    alarms: [staging-django-unhealthy-targets]

- name: Go back while it runs
  espalier.aws.instance_refresh:
    name: staging-django-asg
    state: rolled_back
"""

RETURN = r"""
refresh:
  description: The refresh that was followed, as AWS describes it; null where none was needed.
  returned: success
  type: dict
outdated:
  description: Instances that were of another version at the beginning.
  returned: when O(state=present)
  type: list
  elements: str
finished:
  description: Whether the refresh has ended.
  returned: success
  type: bool
summary:
  description: One line on how far it is.
  returned: success
  type: str
"""

import contextlib
import time

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.espalier.aws.plugins.module_utils.refreshes import (
    ACTIVE,
    Group,
    RefreshError,
    age_seconds,
    births,
    diagnosis,
    outdated,
    preferences,
    summary,
    version_of,
)

GOOD = {"present": ("Successful",), "cancelled": ("Cancelled",), "rolled_back": ("RollbackSuccessful",)}
ALREADY = "Nothing to do."


class Run:
    """One call of the module."""

    def __init__(self, group, params, check_mode):
        self.group, self.params, self.check_mode = group, params, check_mode
        self.result = {"changed": False, "refresh": None, "finished": True, "summary": ALREADY}

    def begin(self):
        """Start what is asked for; the refresh to follow, or None where there is nothing to do."""
        found, newest = self.group.read(), self.group.refresh()
        active = newest if newest and newest["Status"] in ACTIVE else None
        return self.roll_out(found, active) if self.params["state"] == "present" else self.stop(active)

    def roll_out(self, found, active):
        template = found["LaunchTemplate"]
        version = self.params["launch_template_version"] or self.group.newest_version(template)
        self.result["outdated"] = outdated(found, version)
        if active and version_of(active) != str(version):
            raise RefreshError(
                f"The instance refresh {active['InstanceRefreshId']} to version {version_of(active) or 'of the group'} goes on "
                f"({summary(active)}). Wait for it, or end it with state cancelled or rolled_back."
            )
        if active:
            return active
        if self.params["skip_matching"] and not self.result["outdated"] and template["Version"] == str(version):
            return None
        self.result["changed"] = True
        if self.check_mode:
            self.result["summary"] = f"Would replace {len(self.result['outdated'])} instances by version {version}."
            return None
        desired = {"LaunchTemplate": {"LaunchTemplateId": template["LaunchTemplateId"], "Version": str(version)}}
        started = self.group.autoscaling.start_instance_refresh(
            AutoScalingGroupName=self.group.name, DesiredConfiguration=desired, Preferences=preferences(self.params), aws_retry=True
        )
        return self.group.refresh(started["InstanceRefreshId"])

    def stop(self, active):
        if active is None:
            return None
        self.result["changed"] = True
        if self.check_mode:
            self.result["summary"] = f"Would end {active['InstanceRefreshId']}: {summary(active)}"
            return None
        ending = {"cancelled": ("Cancelling",), "rolled_back": ("RollbackInProgress",)}[self.params["state"]]
        if active["Status"] not in ending:
            self.give_up(self.params["state"] == "rolled_back")
        return self.group.refresh(active["InstanceRefreshId"])

    def give_up(self, rollback):
        call = self.group.autoscaling.rollback_instance_refresh if rollback else self.group.autoscaling.cancel_instance_refresh
        call(AutoScalingGroupName=self.group.name, aws_retry=True)

    def hopeless(self, refresh):
        """Whether the rest is not worth waiting for."""
        if self.params["state"] != "present" or refresh["Status"] not in ("Pending", "InProgress"):
            return False
        if age_seconds(refresh) > self.params["wait_timeout_seconds"]:
            return True
        limit = self.params["failed_launches"]
        return bool(limit and refresh.get("StartTime") and len(births(self.group.failures(refresh["StartTime"]))) >= limit)

    def look(self, refresh_id):
        """One look at a refresh that goes on. Raises RefreshError with a diagnosis when it has ended badly."""
        refresh = self.group.refresh(refresh_id)
        if self.hopeless(refresh):
            self.give_up(self.params["auto_rollback"])
            refresh = self.group.refresh(refresh_id)
        finished = refresh["Status"] not in ACTIVE
        if finished and refresh["Status"] not in GOOD[self.params["state"]]:
            failures = self.group.failures(refresh["StartTime"]) if refresh.get("StartTime") else []
            raise RefreshError(diagnosis(self.group.name, refresh, failures, self.group.read()))
        self.result.update(refresh=camel_dict_to_snake_dict(refresh), finished=finished, summary=summary(refresh))
        # One that was found going on is a change in the making.
        self.result["changed"] = True

    def all(self):
        refresh_id = self.params["refresh_id"] or (self.begin() or {}).get("InstanceRefreshId")
        if refresh_id:
            self.look(refresh_id)
            while self.params["wait"] and not self.result["finished"]:
                time.sleep(self.params["poll_seconds"])
                self.look(refresh_id)


SPEC = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "cancelled", "rolled_back"], "default": "present"},
    "launch_template_version": {"type": "int"},
    "min_healthy_percentage": {"type": "int", "default": 100},
    "max_healthy_percentage": {"type": "int", "default": 150},
    "instance_warmup_seconds": {"type": "int"},
    "skip_matching": {"type": "bool", "default": True},
    "auto_rollback": {"type": "bool", "default": True},
    "alarms": {"type": "list", "elements": "str", "default": []},
    "checkpoint_percentages": {"type": "list", "elements": "int", "default": []},
    "checkpoint_delay_seconds": {"type": "int", "default": 3600},
    "bake_time_seconds": {"type": "int", "default": 0},
    "failed_launches": {"type": "int", "default": 2},
    "refresh_id": {"type": "str"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout_seconds": {"type": "int", "default": 3600},
    "poll_seconds": {"type": "int", "default": 10},
}


def main():
    module = AnsibleAWSModule(argument_spec=SPEC, supports_check_mode=True)
    retry = AWSRetry.jittered_backoff()
    group = Group(module.client("autoscaling", retry_decorator=retry), module.client("ec2", retry_decorator=retry), module.params["name"])
    run = Run(group, module.params, module.check_mode)
    try:
        run.all()
    except RefreshError as error:
        module.fail_json(msg=str(error), **run.result)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to refresh the instances of {group.name}")
    module.exit_json(**run.result)


if __name__ == "__main__":
    main()
