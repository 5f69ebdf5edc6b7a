"""Instance refresh: the group replaces its instances, a few at a time, by such as its launch template or a desired configuration gives.

- StartInstanceRefresh, DescribeInstanceRefreshes, CancelInstanceRefresh, RollbackInstanceRefresh
- with a minimum of 100 % healthy, new instances are launched before old ones go, as many as the maximum allows and one at least; below that
  old ones go first, as many as the minimum allows and one at least
- a new instance counts when it is in service, healthy and has been so for the warmup
- skip matching, checkpoints and their delay, bake time, alarms, instances in standby and protected ones
- a refresh that gets nowhere for an hour fails; with automatic rollback, or by request, it goes back to the group's own configuration
- the group takes the desired configuration over when the refresh has succeeded

Warmup, delays and the hour are divided by the time scale. Mixed instances policies, warm pools and ReplaceRootVolume are refused.
"""

from __future__ import annotations

import math
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import FakeAutoScalingGroup, InstanceState
from moto.autoscaling.responses import AutoScalingResponse
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.responses import ActionResult

from lab.settings import SETTINGS

DEFAULTS = {
    "MinHealthyPercentage": 90,
    "SkipMatching": False,
    "AutoRollback": False,
    "ScaleInProtectedInstances": "Wait",
    "StandbyInstances": "Wait",
    "BakeTime": 0,
}
DEFAULT_CHECKPOINT_DELAY_SECONDS = 3600
# Without any progress.
PATIENCE_SECONDS = 3600
REFRESHES_KEPT = 100
ACTIVE = ("Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress")


@dataclass
class Refresh:
    """One refresh of a group. `desired` and `previous` are (template, version number); times of time.monotonic() unless they are dates."""

    group_name: str
    preferences: dict
    desired: tuple | None
    previous: tuple | None
    desired_asked: dict | None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "Pending"
    reason: str | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None
    old: set[str] = field(default_factory=set)
    total: int = 0
    updated: int = 0
    surplus: int = 0
    progress_at: float = field(default_factory=time.monotonic)
    pause_until: float = 0.0
    passed: int = 0
    wait_for_transitions: bool = True
    rollback: dict | None = None

    def percentage(self) -> int:
        """Of what was replaced; back down to zero during a rollback."""
        if self.rollback:
            return self.rollback["PercentageCompleteOnRollback"] * (self.total - self.updated) // self.total if self.total else 0
        return 100 * self.updated // self.total if self.total else (100 if self.status in ("Successful", "Baking") else 0)

    def to_update(self) -> int:
        return self.rollback["InstancesToUpdateOnRollback"] if self.rollback else self.total - self.updated

    def describe(self) -> dict:
        found = {
            "InstanceRefreshId": self.id,
            "AutoScalingGroupName": self.group_name,
            "Status": self.status,
            "StatusReason": self.reason,
            "StartTime": self.started if self.status != "Pending" else None,
            "EndTime": self.ended,
            "PercentageComplete": self.percentage(),
            "InstancesToUpdate": self.to_update(),
            "Preferences": self.preferences,
            "DesiredConfiguration": {"LaunchTemplate": self.desired_asked} if self.desired_asked else None,
            "RollbackDetails": self.rollback,
            "Strategy": "Rolling",
        }
        return {key: value for key, value in found.items() if value is not None}


# --- what the group asks


def refreshes_of(group: FakeAutoScalingGroup) -> list[Refresh]:
    """Newest first."""
    return group.__dict__.setdefault("lab_refreshes", [])


def active(group: FakeAutoScalingGroup) -> Refresh | None:
    newest = next(iter(refreshes_of(group)), None)
    return newest if newest and newest.status in ACTIVE else None


def surplus(group: FakeAutoScalingGroup) -> int:
    """Instances beyond the desired capacity that the refresh asks for now."""
    refresh = active(group)
    return refresh.surplus if refresh else 0


def desired_version(group: FakeAutoScalingGroup):
    """The launch template's version that new instances come from; None for the group's own."""
    refresh = active(group)
    if refresh is None or refresh.desired is None or refresh.status not in ("Pending", "InProgress", "Baking"):
        return None
    template, number = refresh.desired
    return template.get_version(number)


# --- one step


def step(group: FakeAutoScalingGroup, suspended: set[str]) -> None:
    """Bring the group's refresh one step nearer to its end."""
    refresh = active(group)
    if refresh is None or "InstanceRefresh" in suspended:
        return
    if refresh.status == "Pending":
        begin(group, refresh)
    if refresh.status == "Cancelling":
        refresh.surplus = 0
        if not refresh.wait_for_transitions or not transitions(group):
            end(refresh, "Cancelled", refresh.reason)
        return
    why = trouble(refresh)
    if why:
        fail(group, refresh, why)
        return
    if time.monotonic() < refresh.pause_until:
        # Longer than the patience, maybe: a pause is no lack of progress.
        refresh.progress_at = time.monotonic()
        return
    if refresh.status == "Baking":
        finish(group, refresh)
    else:
        replace(group, refresh)


def begin(group: FakeAutoScalingGroup, refresh: Refresh) -> None:
    refresh.status, refresh.started = "InProgress", datetime.now(UTC)
    choose(group, refresh, refresh.desired or refresh.previous, refresh.preferences["SkipMatching"])


def choose(group: FakeAutoScalingGroup, refresh: Refresh, wanted: tuple | None, skip_matching: bool) -> None:
    """The instances that are to be replaced."""
    number = wanted[1] if wanted else None
    standby_stays = refresh.preferences["StandbyInstances"] == "Ignore"
    protected_stays = refresh.preferences["ScaleInProtectedInstances"] == "Ignore"
    refresh.old = {
        state.instance_id
        for state in group.instance_states
        if not state.lifecycle_state.startswith("Terminating")
        and not (standby_stays and state.lifecycle_state == "Standby")
        and not (protected_stays and state.protected_from_scale_in)
        and not (skip_matching and state.lab_version == number)
    }
    refresh.total, refresh.updated, refresh.progress_at = len(refresh.old), 0, time.monotonic()


def replace(group: FakeAutoScalingGroup, refresh: Refresh) -> None:
    from lab.api.scaling import COUNTED, begin_terminate

    desired = group.desired_capacity or 0
    counted = [state for state in group.instance_states if state.lifecycle_state in COUNTED]
    old = [state for state in counted if state.instance_id in refresh.old and free_to_go(state, refresh)]
    present = [state for state in group.instance_states if not state.lifecycle_state.startswith("Terminating")]
    left = [state for state in present if state.instance_id in refresh.old]
    ready = [state for state in counted if (state.instance_id in refresh.old and healthy(state)) or warm(group, state, refresh)]
    updated = min(refresh.total, sum(state.instance_id not in refresh.old for state in ready), refresh.total - len(left))
    if updated > refresh.updated:
        refresh.updated, refresh.progress_at = updated, time.monotonic()
    if not left and not transitions(group) and len(counted) <= desired <= len(ready):
        refresh.surplus, refresh.updated = 0, refresh.total
        done(group, refresh)
        return
    if checkpoint(refresh):
        return
    for state in left:
        if state.lifecycle_state == "Standby" and refresh.preferences["StandbyInstances"] == "Terminate":
            begin_terminate(group, state, "an instance refresh replaces it")
    minimum, extra = refresh.preferences["MinHealthyPercentage"], 0
    if minimum == 100:
        extra = max(1, desired * refresh.preferences.get("MaxHealthyPercentage", 100) // 100 - desired)
        may_go = len(ready) - desired
    else:
        may_go = len(ready) - math.ceil(desired * minimum / 100)
        if not transitions(group) and len(ready) == len(counted):
            may_go = max(may_go, 1)
    going = sorted(old, key=lambda found: (healthy(found), found.instance.launch_time))[: max(0, may_go)]
    for state in going:
        begin_terminate(group, state, f"an instance refresh replaces it ({refresh.id})")
        refresh.progress_at = time.monotonic()
    # No birth beyond the next checkpoint.
    after = 100 * (refresh.total - len(left) + len(going)) // refresh.total if refresh.total else 100
    refresh.surplus = 0 if after >= next_checkpoint(refresh) else min(extra, len(old) - len(going))


def healthy(state: InstanceState) -> bool:
    return state.lifecycle_state == "InService" and state.health_status == "Healthy"


def warm(group: FakeAutoScalingGroup, state: InstanceState, refresh: Refresh) -> bool:
    """In service, healthy, and for as long as the warmup asks."""
    warmup = refresh.preferences.get("InstanceWarmup", group.health_check_grace_period or 0)
    return healthy(state) and time.monotonic() - state.lab_in_service_at >= SETTINGS.scaled(warmup)


def free_to_go(state: InstanceState, refresh: Refresh) -> bool:
    return not state.protected_from_scale_in or refresh.preferences["ScaleInProtectedInstances"] == "Refresh"


def transitions(group: FakeAutoScalingGroup) -> bool:
    """Whether instances are on their way in or out."""
    return any(state.lifecycle_state not in ("InService", "Standby") for state in group.instance_states)


def next_checkpoint(refresh: Refresh) -> int:
    """Percent; 101 where none is left. 100 is the end itself."""
    marks = [] if refresh.rollback else refresh.preferences.get("CheckpointPercentages", [])[refresh.passed :]
    return marks[0] if marks and marks[0] < 100 else 101


def checkpoint(refresh: Refresh) -> bool:
    """Pause where the next checkpoint is reached."""
    if refresh.percentage() < next_checkpoint(refresh):
        return False
    refresh.passed += 1
    refresh.pause_until = time.monotonic() + SETTINGS.scaled(refresh.preferences.get("CheckpointDelay", DEFAULT_CHECKPOINT_DELAY_SECONDS))
    return True


# --- how it ends


def trouble(refresh: Refresh) -> str | None:
    """Why the refresh cannot go on."""
    wanted = refresh.preferences.get("AlarmSpecification", {}).get("Alarms", [])
    known = cloudwatch_backends[SETTINGS.account_id][SETTINGS.region].alarms
    firing = [name for name in wanted if name in known and known[name].state_value == "ALARM"]
    if firing and not refresh.rollback:
        return f"The alarm {', '.join(firing)} is in state ALARM."
    if time.monotonic() - refresh.progress_at > SETTINGS.scaled(PATIENCE_SECONDS):
        return f"Nothing was replaced for {PATIENCE_SECONDS} seconds: instances failed to launch, to become healthy or to be let go."
    return None


def fail(group: FakeAutoScalingGroup, refresh: Refresh, why: str) -> None:
    if refresh.rollback:
        end(refresh, "RollbackFailed", why)
    elif refresh.preferences["AutoRollback"]:
        begin_rollback(group, refresh, f"Automatic rollback. {why}")
    else:
        end(refresh, "Failed", why)


def begin_rollback(group: FakeAutoScalingGroup, refresh: Refresh, why: str) -> None:
    """Back to the group's own configuration: what the refresh has launched is replaced, what it has not touched stays."""
    refresh.rollback = {
        "RollbackReason": why,
        "RollbackStartTime": datetime.now(UTC),
        "PercentageCompleteOnRollback": refresh.percentage(),
        "InstancesToUpdateOnRollback": refresh.to_update(),
    }
    refresh.status, refresh.reason, refresh.surplus, refresh.pause_until = "RollbackInProgress", why, 0, 0.0
    choose(group, refresh, refresh.previous, skip_matching=True)
    give_up_births(group, refresh)


def give_up_births(group: FakeAutoScalingGroup, refresh: Refresh) -> None:
    """Those that are not in service yet need not be replaced one by one."""
    from lab.api.scaling import begin_terminate

    for state in group.instance_states:
        if state.instance_id in refresh.old and state.lifecycle_state.startswith("Pending"):
            begin_terminate(group, state, f"an instance refresh is rolled back ({refresh.id})")


def done(group: FakeAutoScalingGroup, refresh: Refresh) -> None:
    if refresh.rollback:
        end(refresh, "RollbackSuccessful", refresh.reason)
    elif refresh.preferences["BakeTime"]:
        refresh.status = "Baking"
        refresh.pause_until = time.monotonic() + SETTINGS.scaled(refresh.preferences["BakeTime"])
    else:
        finish(group, refresh)


def finish(group: FakeAutoScalingGroup, refresh: Refresh) -> None:
    if refresh.desired:
        template, number = refresh.desired
        group.ec2_launch_template = template
        group.launch_template_version = group.provided_launch_template_version = str(number)
    end(refresh, "Successful", None if refresh.total else "All instances matched the desired configuration already.")


def end(refresh: Refresh, status: str, reason: str | None) -> None:
    refresh.status, refresh.reason, refresh.ended, refresh.surplus = status, reason, datetime.now(UTC), 0


# --- requests


def template_of(group: FakeAutoScalingGroup, asked: dict) -> tuple:
    """Launch template and version number that a desired configuration names."""
    backend = group.ec2_backend
    if asked.get("LaunchTemplateId"):
        template = backend.get_launch_template(asked["LaunchTemplateId"])
    else:
        template = backend.get_launch_template_by_name(asked.get("LaunchTemplateName"))
    version = template.get_version(asked.get("Version") or "$Default")
    return template, version.number


def numbered(version: str | None) -> bool:
    return bool(version) and not str(version).startswith("$")


def wanted_preferences(asked: dict, desired: dict | None, group: FakeAutoScalingGroup) -> dict:
    """Preferences with their defaults; raises ValidationError for what AWS refuses."""
    preferences = {**DEFAULTS, **asked}
    minimum, maximum = preferences["MinHealthyPercentage"], preferences.get("MaxHealthyPercentage")
    if not 0 <= minimum <= 100:
        raise ValidationError("MinHealthyPercentage must be between 0 and 100")
    if maximum is not None:
        if "MinHealthyPercentage" not in asked:
            raise ValidationError("MinHealthyPercentage must be specified when MaxHealthyPercentage is specified")
        if not 100 <= maximum <= 200 or maximum - minimum > 100:
            raise ValidationError("MaxHealthyPercentage must be between 100 and 200, and no more than 100 above MinHealthyPercentage")
    marks = preferences.get("CheckpointPercentages", [])
    if marks != sorted(set(marks)):
        raise ValidationError("CheckpointPercentages must be unique and ascending")
    if "CheckpointDelay" in preferences and not marks:
        raise ValidationError("CheckpointDelay needs CheckpointPercentages")
    alarms = preferences.get("AlarmSpecification", {}).get("Alarms", [])
    unknown = set(alarms) - set(cloudwatch_backends[SETTINGS.account_id][SETTINGS.region].alarms)
    if unknown:
        raise ValidationError(f"The alarm {', '.join(sorted(unknown))} does not exist")
    if preferences["AutoRollback"] and not (desired and numbered(desired.get("Version")) and numbered(group.launch_template_version)):
        raise ValidationError("AutoRollback needs a desired configuration, and numbered launch template versions in it and in the group")
    return preferences


def install() -> None:
    from lab.api.autoscaling import find

    def start_instance_refresh(self):
        group = find(self._get_param("AutoScalingGroupName"))
        if active(group):
            raise AutoscalingClientError("InstanceRefreshInProgress", "An Instance Refresh is already in progress and blocks this one.")
        configuration = self._get_param("DesiredConfiguration", {}) or {}
        if self._get_param("Strategy", "Rolling") != "Rolling" or "MixedInstancesPolicy" in configuration:
            raise ValidationError("the lab knows the strategy Rolling and a desired launch template only")
        asked = configuration.get("LaunchTemplate")
        preferences = wanted_preferences(self._get_param("Preferences", {}) or {}, asked, group)
        own = group.ec2_launch_template
        refresh = Refresh(
            group_name=group.name,
            preferences=preferences,
            desired=template_of(group, asked) if asked else None,
            previous=(own, own.get_version(group.launch_template_version).number) if own else None,
            desired_asked=asked,
        )
        refreshes_of(group).insert(0, refresh)
        del refreshes_of(group)[REFRESHES_KEPT:]
        return ActionResult({"InstanceRefreshId": refresh.id})

    def describe_instance_refreshes(self):
        group, wanted = find(self._get_param("AutoScalingGroupName")), self._get_param("InstanceRefreshIds", [])
        found = [refresh.describe() for refresh in refreshes_of(group) if not wanted or refresh.id in wanted]
        return ActionResult({"InstanceRefreshes": found[: self._get_int_param("MaxRecords", 50)]})

    def running(response) -> tuple[FakeAutoScalingGroup, Refresh]:
        group = find(response._get_param("AutoScalingGroupName"))
        refresh = active(group)
        if refresh is None:
            message = f"No in progress or pending Instance Refresh found for Auto Scaling group {group.name}"
            raise AutoscalingClientError("ActiveInstanceRefreshNotFound", message)
        return group, refresh

    def cancel_instance_refresh(self):
        _, refresh = running(self)
        refresh.status, refresh.reason = "Cancelling", "Cancelled due to user request."
        refresh.wait_for_transitions = self._get_bool_param("WaitForTransitioningInstances", True)
        return ActionResult({"InstanceRefreshId": refresh.id})

    def rollback_instance_refresh(self):
        group, refresh = running(self)
        asked = refresh.desired_asked
        if not asked or not numbered(asked.get("Version")) or not numbered(group.launch_template_version):
            message = "The instance refresh, or the group, names no numbered launch template version to go back to."
            raise AutoscalingClientError("IrreversibleInstanceRefresh", message)
        if refresh.rollback:
            raise ValidationError("A rollback is already in progress.")
        begin_rollback(group, refresh, "Rolled back due to user request.")
        return ActionResult({"InstanceRefreshId": refresh.id})

    for function in (start_instance_refresh, describe_instance_refreshes, cancel_instance_refresh, rollback_instance_refresh):
        setattr(AutoScalingResponse, function.__name__, function)
