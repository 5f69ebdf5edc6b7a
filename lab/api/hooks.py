"""Lifecycle hooks: what holds an instance back on its way into or out of an auto scaling group.

- PutLifecycleHook, DescribeLifecycleHooks, DeleteLifecycleHook, CompleteLifecycleAction, RecordLifecycleActionHeartbeat
- a new instance is `Pending:Wait` until every launch hook is answered, then `Pending:Proceed`, then `InService`; one that leaves waits as
  `Terminating:Wait` when its connections have drained
- no answer within the heartbeat timeout is the hook's default result, ABANDON unless it says otherwise; a heartbeat starts the timeout
  anew, up to 100 timeouts or 48 hours; a deleted hook lets new instances down (ABANDON) and old ones go (CONTINUE)
- ABANDON of a launch terminates the instance, and the group launches another

Timeouts are true seconds: what an instance does in them is real work. Notification targets are refused: nobody in the lab reads them.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import FakeAutoScalingGroup, InstanceState
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

LAUNCHING, TERMINATING = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"
RESULTS = ("CONTINUE", "ABANDON")
DEFAULT_TIMEOUT_SECONDS = 3600
LONGEST_SECONDS = 172800
HEARTBEATS = 100


@dataclass
class Wait:
    """One instance held back by one hook. Times are of time.monotonic()."""

    hook: dict
    began: float
    token: str = field(default_factory=lambda: str(uuid.uuid4()))
    deadline: float = 0.0
    result: str | None = None

    def __post_init__(self) -> None:
        self.beat(self.began)

    def beat(self, now: float) -> None:
        self.deadline = min(now + self.hook["HeartbeatTimeout"], self.began + self.hook["GlobalTimeout"])


def hooks_of(group: FakeAutoScalingGroup) -> dict[str, dict]:
    """The group's hooks by name, as DescribeLifecycleHooks tells them."""
    return group.__dict__.setdefault("lab_hooks", {})


def begin(group: FakeAutoScalingGroup, state: InstanceState, transition: str) -> bool:
    """Hold the instance back where hooks ask for it; returns whether they do."""
    now = time.monotonic()
    waits = [Wait(dict(hook), now) for hook in hooks_of(group).values() if hook["LifecycleTransition"] == transition]
    state.lab_waits = waits
    return bool(waits)


def outcome(group: FakeAutoScalingGroup, state: InstanceState) -> str | None:
    """What became of an instance that waits: CONTINUE, ABANDON, or None while an answer is missing."""
    now = time.monotonic()
    for wait in state.lab_waits:
        if wait.result is None and wait.hook["LifecycleHookName"] not in hooks_of(group):
            wait.result = "ABANDON" if wait.hook["LifecycleTransition"] == LAUNCHING else "CONTINUE"
        elif wait.result is None and now >= wait.deadline:
            wait.result = wait.hook["DefaultResult"]
            state.lab_wait_ended = f"no answer to lifecycle hook {wait.hook['LifecycleHookName']} in time: {wait.result}"
    results = {wait.result for wait in state.lab_waits}
    if "ABANDON" in results:
        return "ABANDON"
    return None if None in results else "CONTINUE"


def find_wait(group: FakeAutoScalingGroup, name: str, instance_id: str | None, token: str | None) -> tuple[InstanceState, Wait]:
    for state in group.instance_states:
        for wait in state.lab_waits if state.lifecycle_state.endswith(":Wait") else ():
            mine = wait.token == token if token else state.instance_id == instance_id
            if mine and wait.hook["LifecycleHookName"] == name and wait.result is None:
                return state, wait
    what = f"token {token}" if token else f"instance ID {instance_id}"
    raise ValidationError(f"No active Lifecycle Action found with {what}")


def wanted_hook(old: dict, asked: dict) -> dict:
    """The hook as it shall be; raises ValidationError for what AWS refuses."""
    if not old and asked.get("LifecycleTransition") not in (LAUNCHING, TERMINATING):
        raise ValidationError(f"Lifecycle transition must be one of {LAUNCHING}, {TERMINATING}")
    if asked.get("NotificationTargetARN"):
        raise ValidationError("the lab sends no lifecycle notifications")
    hook = {"DefaultResult": "ABANDON", "HeartbeatTimeout": DEFAULT_TIMEOUT_SECONDS, **old}
    hook.update({key: value for key, value in asked.items() if value not in (None, "")})
    if not 30 <= hook["HeartbeatTimeout"] <= 7200:
        raise ValidationError("HeartbeatTimeout must be between 30 and 7200 seconds")
    if hook["DefaultResult"] not in RESULTS:
        raise ValidationError(f"Default result must be one of {', '.join(RESULTS)}")
    hook["GlobalTimeout"] = min(LONGEST_SECONDS, HEARTBEATS * hook["HeartbeatTimeout"])
    return hook


def install() -> None:
    from lab.api.autoscaling import find

    # Of instances that came before the first hook, or were attached.
    InstanceState.lab_waits = []
    InstanceState.lab_wait_ended = None

    def put_lifecycle_hook(self):
        name, group = self._get_param("LifecycleHookName"), find(self._get_param("AutoScalingGroupName"))
        asked = {
            "LifecycleHookName": name,
            "AutoScalingGroupName": group.name,
            "LifecycleTransition": self._get_param("LifecycleTransition"),
            "HeartbeatTimeout": self._get_int_param("HeartbeatTimeout"),
            "DefaultResult": self._get_param("DefaultResult"),
            "NotificationTargetARN": self._get_param("NotificationTargetARN"),
            "NotificationMetadata": self._get_param("NotificationMetadata"),
        }
        hooks_of(group)[name] = wanted_hook(hooks_of(group).get(name, {}), asked)
        return EmptyResult()

    def describe_lifecycle_hooks(self):
        group, names = find(self._get_param("AutoScalingGroupName")), self._get_param("LifecycleHookNames", [])
        return ActionResult({"LifecycleHooks": [hook for name, hook in hooks_of(group).items() if not names or name in names]})

    def delete_lifecycle_hook(self):
        group, name = find(self._get_param("AutoScalingGroupName")), self._get_param("LifecycleHookName")
        if hooks_of(group).pop(name, None) is None:
            raise ValidationError(f"No Lifecycle Hook found with name: {name}")
        return EmptyResult()

    def waiting(response) -> tuple[InstanceState, Wait]:
        group, name = find(response._get_param("AutoScalingGroupName")), response._get_param("LifecycleHookName")
        return find_wait(group, name, response._get_param("InstanceId"), response._get_param("LifecycleActionToken"))

    def complete_lifecycle_action(self):
        result = self._get_param("LifecycleActionResult")
        if result not in RESULTS:
            raise ValidationError(f"Lifecycle action result must be one of {', '.join(RESULTS)}")
        waiting(self)[1].result = result
        return EmptyResult()

    def record_lifecycle_action_heartbeat(self):
        waiting(self)[1].beat(time.monotonic())
        return EmptyResult()

    for function in (
        put_lifecycle_hook, describe_lifecycle_hooks, delete_lifecycle_hook, complete_lifecycle_action, record_lifecycle_action_heartbeat,
    ):  # fmt: skip
        setattr(AutoScalingResponse, function.__name__, function)
