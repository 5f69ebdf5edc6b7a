#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: target_state
version_added: 0.2.0
short_description: Take an instance out of a load balancer's target group, or put it back, and wait
description:
  - V(drained) deregisters the instance and waits until its connections have ended, at most the target group's deregistration delay.
  - V(healthy) registers it and waits until the load balancer finds it healthy. When it does not, the error tells the reason.
  - An instance without which too few healthy ones would be left stays where it is.
  - M(community.aws.elb_target) tells no reason and knows nothing of the others.
author:
  - The Espalier authors
options:
  target_group:
    description:
      - Name of the target group.
    type: str
    required: true
  instance_id:
    description:
      - The instance.
    type: str
    required: true
  state:
    description:
      - Where it should be.
    type: str
    choices: [drained, healthy]
    required: true
  others_healthy:
    description:
      - With O(state=drained), how many other instances must be healthy. With fewer, nothing is done and RV(out) is false.
    type: int
    default: 1
  timeout_seconds:
    description:
      - How long to wait.
    type: int
    default: 300
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Take it out
  espalier.aws.target_state:
    target_group: staging-django-tg
    instance_id: i-0123456789abcdef0
    state: drained

- name: Put it back
  espalier.aws.target_state:
    target_group: staging-django-tg
    instance_id: i-0123456789abcdef0
    state: healthy
"""

RETURN = r"""
out:
  description: Whether the instance gets no requests now.
  returned: success
  type: bool
target_health:
  description: What the load balancer says of it, C(state) and, where it has them, C(reason) and C(description).
  returned: always
  type: dict
  sample: {state: healthy}
seconds:
  description: How long it took.
  returned: success
  type: float
"""

import contextlib
import time

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

POLL_SECONDS = 0.5
# What is said of an instance that is terminated meanwhile, and for some seconds of one that has just been registered.
GONE = ("Target.NotRegistered", "Target.InvalidState")
GONE_SECONDS = 10
# Registered or not, it gets no requests.
OUT = ("unused",)


class Group:
    def __init__(self, client, name):
        self.client = client
        self.arn = client.describe_target_groups(Names=[name], aws_retry=True)["TargetGroups"][0]["TargetGroupArn"]

    def all(self):
        found = self.client.describe_target_health(TargetGroupArn=self.arn, aws_retry=True)["TargetHealthDescriptions"]
        return {entry["Target"]["Id"]: entry["TargetHealth"] for entry in found}

    def of(self, instance):
        health = self.all().get(instance, {"State": "unused", "Reason": "Target.NotRegistered"})
        return {key.lower(): value for key, value in health.items()}

    def wait(self, instance, states, timeout):
        """Its health, and whether it came to one of these states in time."""
        deadline, seen = time.monotonic() + timeout, time.monotonic()
        while (health := self.of(instance))["state"] not in states:
            now = time.monotonic()
            seen = seen if health.get("reason") in GONE else now
            if now > deadline or now - seen > GONE_SECONDS:
                return health, False
            time.sleep(POLL_SECONDS)
        return health, True


def drain(module, group, instance):
    health = group.all()
    others = [name for name, known in health.items() if known["State"] == "healthy" and name != instance]
    here = group.of(instance)
    if here["state"] == "unused":
        return False, True, here
    # One that is not healthy is missed by nobody.
    if here["state"] == "healthy" and len(others) < module.params["others_healthy"]:
        return False, False, here
    if module.check_mode:
        return True, True, here
    if here["state"] != "draining":
        group.client.deregister_targets(TargetGroupArn=group.arn, Targets=[{"Id": instance}], aws_retry=True)
    here, done = group.wait(instance, OUT, module.params["timeout_seconds"])
    if not done:
        module.fail_json(msg=f"{instance} still drains after {module.params['timeout_seconds']} s", target_health=here)
    return True, True, here


def restore(module, group, instance):
    here = group.of(instance)
    registered = here.get("reason") not in ("Target.NotRegistered", "Target.DeregistrationInProgress")
    if not registered and not module.check_mode:
        group.client.register_targets(TargetGroupArn=group.arn, Targets=[{"Id": instance}], aws_retry=True)
    if not module.check_mode:
        here, done = group.wait(instance, ("healthy",), module.params["timeout_seconds"])
        if not done:
            why = " ".join(filter(None, (here.get("reason"), here.get("description"))))
            module.fail_json(
                msg=f"the load balancer calls {instance} {here['state']}, and waits in vain for it to be healthy: {why}",
                target_health=here,
            )
    return not registered, False, here


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "target_group": {"type": "str", "required": True},
            "instance_id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["drained", "healthy"], "required": True},
            "others_healthy": {"type": "int", "default": 1},
            "timeout_seconds": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    instance, started = module.params["instance_id"], time.monotonic()
    client = module.client("elbv2", retry_decorator=AWSRetry.jittered_backoff())
    try:
        act = drain if module.params["state"] == "drained" else restore
        changed, out, health = act(module, Group(client, module.params["target_group"]), instance)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to bring {instance} into the state {module.params['state']}")
    module.exit_json(changed=changed, out=out, target_health=health, seconds=round(time.monotonic() - started, 1))


if __name__ == "__main__":
    main()
