"""Auto scaling groups at work: one step brings each a little nearer to what its record says. lab.api.autoscaling tells what they do."""

from __future__ import annotations

import contextlib
import json
import logging
import time
import uuid
from collections import Counter
from datetime import UTC, datetime

from moto.autoscaling.models import ASG_NAME_TAG, AutoScalingBackend, FakeAutoScalingGroup, InstanceState, autoscaling_backends
from moto.elbv2.exceptions import TargetGroupNotFoundError
from moto.elbv2.models import elbv2_backends
from moto.sns import sns_backends

from lab.api import hooks, refresh
from lab.settings import SETTINGS

log = logging.getLogger("autoscaling")

LAUNCH_RETRY_SECONDS = 60
ACTIVITIES_KEPT = 100
COUNTED = ("Pending", "Pending:Wait", "Pending:Proceed", "InService")


def backend() -> AutoScalingBackend:
    """Auto Scaling of the lab's one account and region."""
    return autoscaling_backends[SETTINGS.account_id][SETTINGS.region]


def load_balancing():
    return elbv2_backends[SETTINGS.account_id][SETTINGS.region]


# --- one step of a group


def step(body: dict) -> dict:
    """Bring every group one step nearer to what its record says."""
    for group in list(backend().autoscaling_groups.values()):
        try:
            step_group(group)
        except Exception:
            log.exception("group %s", group.name)
    return {}


def step_group(group: FakeAutoScalingGroup) -> None:
    suspended = set(group._suspended_processes)
    for state in list(group.instance_states):
        follow(group, state, suspended)
    if not {"ReplaceUnhealthy", "Terminate"} & suspended:
        for state in group.instance_states:
            if state.health_status == "Unhealthy" and state.lifecycle_state == "InService":
                begin_terminate(group, state, "an instance was taken out of service in response to a health check failure")
    refresh.step(group, suspended)
    counted = [state for state in group.instance_states if state.lifecycle_state in COUNTED]
    missing = (group.desired_capacity or 0) + refresh.surplus(group) - len(counted)
    if missing > 0 and "Launch" not in suspended:
        launch(group, counted, missing)
    elif missing < 0 and "Terminate" not in suspended:
        for state in choose_to_terminate(counted, -missing, launch_template_version(group)):
            begin_terminate(group, state, f"capacity was changed to {group.desired_capacity}")
    if getattr(group, "status", None) and not group.instance_states:
        backend().autoscaling_groups.pop(group.name, None)


def follow(group: FakeAutoScalingGroup, state: InstanceState, suspended: set[str]) -> None:
    """Move one instance along its life cycle by what became of its machine."""
    machine = state.instance.state
    if state.lifecycle_state.startswith("Terminating"):
        if machine == "terminated":
            forget(group, state)
        elif machine != "shutting-down" and time.monotonic() >= state.lab_terminate_at:
            leave(group, state)
    elif machine in ("shutting-down", "terminated"):
        if "HealthCheck" not in suspended:
            state.lab_activity = start_activity(
                group,
                f"Terminating EC2 instance: {state.instance_id}",
                "an instance was taken out of service: EC2 health check, it is terminated",
            )
            state.lifecycle_state = "Terminating"
            deregister(group, state)
    elif state.lifecycle_state == "Pending" and machine == "running":
        if hooks.begin(group, state, hooks.LAUNCHING):
            state.lifecycle_state = "Pending:Wait"
        else:
            enter(group, state, suspended)
    elif state.lifecycle_state == "Pending:Wait":
        result = hooks.outcome(group, state)
        if result == "CONTINUE":
            state.lifecycle_state = "Pending:Proceed"
        elif result == "ABANDON":
            abandon(group, state)
    elif state.lifecycle_state == "Pending:Proceed":
        enter(group, state, suspended)
    elif state.lifecycle_state == "InService" and "HealthCheck" not in suspended and failed_check(group, state):
        state.health_status = "Unhealthy"


def enter(group: FakeAutoScalingGroup, state: InstanceState, suspended: set[str]) -> None:
    """Into service."""
    state.lifecycle_state = "InService"
    state.lab_in_service_at = time.monotonic()
    if "AddToLoadBalancer" not in suspended:
        register(group, state)
    end_activity(state.lab_activity)
    notify(group, "autoscaling:EC2_INSTANCE_LAUNCH", state.lab_activity, state.instance_id)


def abandon(group: FakeAutoScalingGroup, state: InstanceState) -> None:
    """A launch that a hook has called off: the activity fails, the instance goes, and the group launches another."""
    why = state.lab_wait_ended or "a lifecycle hook was completed with ABANDON"
    end_activity(state.lab_activity, "Failed", f"Instance {state.instance_id} was abandoned: {why}")
    notify(group, "autoscaling:EC2_INSTANCE_LAUNCH_ERROR", state.lab_activity, state.instance_id)
    begin_terminate(group, state, f"instance {state.instance_id} was abandoned: {why}")


def failed_check(group: FakeAutoScalingGroup, state: InstanceState) -> bool:
    if state.instance.state in ("stopping", "stopped"):
        return True
    grace = SETTINGS.scaled(group.health_check_grace_period or 0)
    if "ELB" not in (group.health_check_type or "") or time.monotonic() - state.lab_in_service_at < grace:
        return False
    return any(target_health(arn).get(state.instance_id) == "unhealthy" for arn in group.target_group_arns)


def target_health(arn: str) -> dict[str, str]:
    """State of each target of a target group by instance id; empty when the group is gone."""
    with contextlib.suppress(TargetGroupNotFoundError):
        return {found.instance_id: found.status for found in load_balancing().describe_target_health(arn, [])}
    return {}


# --- launching


def launch_template_version(group: FakeAutoScalingGroup):
    """The version that new instances come from: a running instance refresh's, the group's own otherwise."""
    wanted = refresh.desired_version(group)
    if wanted is not None:
        return wanted
    template = group.ec2_launch_template
    return template.get_version(group.launch_template_version) if template else None


def launch(group: FakeAutoScalingGroup, counted: list[InstanceState], missing: int) -> None:
    if time.monotonic() < getattr(group, "lab_launch_not_before", 0):
        return
    zones = Counter(state.availability_zone for state in counted)
    subnets = group.ec2_backend.describe_subnets(subnet_ids=group.vpc_zone_identifier.split(","))
    for _ in range(missing):
        subnet = min(subnets, key=lambda candidate: (zones[candidate.availability_zone], candidate.availability_zone))
        activity = start_activity(
            group, "Launching a new EC2 instance", f"an instance was started to reach the desired capacity of {group.desired_capacity}"
        )
        try:
            state = launch_one(group, subnet.id)
        except Exception as error:
            log.exception("group %s cannot launch", group.name)
            # As AWS: the activity says why, and the group tries again later.
            end_activity(activity, "Failed", str(getattr(error, "message", None) or error))
            notify(group, "autoscaling:EC2_INSTANCE_LAUNCH_ERROR", activity, "")
            group.lab_launch_not_before = time.monotonic() + SETTINGS.scaled(LAUNCH_RETRY_SECONDS)
            return
        activity["Description"] = f"Launching a new EC2 instance: {state.instance_id}"
        state.lab_activity = activity
        zones[subnet.availability_zone] += 1
        group.instance_states.append(state)


def launch_one(group: FakeAutoScalingGroup, subnet_id: str) -> InstanceState:
    version = launch_template_version(group)
    # moto's group answers with the version of its own record, whatever a refresh asks for.
    source = version or group
    tags = {**source.instance_tags, **group.get_propagated_tags(), ASG_NAME_TAG: group.name}
    reservation = group.ec2_backend.run_instances(
        source.image_id,
        1,
        source.user_data,
        source.security_groups,
        instance_type=source.instance_type,
        is_instance_type_default=False,
        tags={"instance": tags},
        launch_config=group.launch_config,
        launch_template={"LaunchTemplateId": version.template.id, "Version": str(version.number)} if version else None,
        # None: the subnet decides, as in AWS.
        associate_public_ip=group.launch_config.associate_public_ip_address if group.launch_config else None,
        subnet_id=subnet_id,
    )
    instance = reservation.instances[0]
    state = InstanceState(
        instance,
        lifecycle_state="Pending",
        protected_from_scale_in=group.new_instances_protected_from_scale_in,
        autoscaling_group=group,
    )
    state.lab_version = version.number if version else None
    state.lab_in_service_at = time.monotonic()
    return state


# --- leaving


def choose_to_terminate(states: list[InstanceState], count: int, current_version) -> list[InstanceState]:
    """AWS's default termination policy: the fullest zone first, in it an outdated launch template, then the oldest instance."""
    left = [state for state in states if not state.protected_from_scale_in]
    chosen: list[InstanceState] = []
    current = current_version.number if current_version else None
    for _ in range(min(count, len(left))):
        zones = Counter(state.availability_zone for state in states if state not in chosen)
        picked = min(
            left,
            key=lambda state: (-zones[state.availability_zone], getattr(state, "lab_version", None) == current, state.instance.launch_time),
        )
        left.remove(picked)
        chosen.append(picked)
    return chosen


def begin_terminate(group: FakeAutoScalingGroup, state: InstanceState, cause: str) -> dict:
    """Take an instance out of service: deregister now, terminate when connections had their time to drain."""
    state.lifecycle_state = "Terminating"
    state.lab_activity = start_activity(group, f"Terminating EC2 instance: {state.instance_id}", cause)
    state.lab_terminate_at = time.monotonic() + SETTINGS.scaled(deregister(group, state))
    return state.lab_activity


def leave(group: FakeAutoScalingGroup, state: InstanceState) -> None:
    """Drained: wait for the hooks, then terminate. What a hook answers makes no difference to an instance that leaves."""
    if state.lifecycle_state == "Terminating" and hooks.begin(group, state, hooks.TERMINATING):
        state.lifecycle_state = "Terminating:Wait"
    elif state.lifecycle_state == "Terminating:Wait" and hooks.outcome(group, state) is None:
        return
    else:
        state.lifecycle_state = "Terminating:Proceed"
        group.ec2_backend.terminate_instances([state.instance_id])


def forget(group: FakeAutoScalingGroup, state: InstanceState) -> None:
    group.instance_states.remove(state)
    end_activity(state.lab_activity)
    notify(group, "autoscaling:EC2_INSTANCE_TERMINATE", state.lab_activity, state.instance_id)


def register(group: FakeAutoScalingGroup, state: InstanceState) -> None:
    for arn in group.target_group_arns:
        with contextlib.suppress(TargetGroupNotFoundError):
            load_balancing().register_targets(arn, [{"Id": state.instance_id}])


def deregister(group: FakeAutoScalingGroup, state: InstanceState) -> float:
    """Deregister from every target group; returns the longest deregistration delay, in AWS's seconds, 0 where nothing was registered."""
    delay = 0.0
    for arn in group.target_group_arns:
        health = target_health(arn).get(state.instance_id)
        if health is None:
            continue
        load_balancing().deregister_targets(arn, [{"Id": state.instance_id}])
        # A target that no load balancer uses has nothing to drain.
        if health != "unused":
            attributes = load_balancing().target_groups[arn].attributes
            delay = max(delay, float(attributes.get("deregistration_delay.timeout_seconds", 300)))
    return delay


# --- activities and notifications


def start_activity(group: FakeAutoScalingGroup, description: str, cause: str) -> dict:
    now = datetime.now(UTC)
    activity = {
        "ActivityId": str(uuid.uuid4()),
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "Description": description,
        "Cause": f"At {now:%Y-%m-%dT%H:%M:%SZ} {cause}.",
        "StartTime": now,
        "StatusCode": "InProgress",
        "Progress": 0,
        "Details": "{}",
    }
    activities = group.__dict__.setdefault("lab_activities", [])
    activities.insert(0, activity)
    del activities[ACTIVITIES_KEPT:]
    return activity


def end_activity(activity: dict, status: str = "Successful", message: str | None = None) -> None:
    activity.update(EndTime=datetime.now(UTC), StatusCode=status, Progress=100)
    if message:
        activity["StatusMessage"] = message


def notify(group: FakeAutoScalingGroup, event: str, activity: dict, instance_id: str) -> None:
    message = {
        "Event": event,
        "AutoScalingGroupName": group.name,
        "EC2InstanceId": instance_id,
        "Cause": activity["Cause"],
        "Description": activity["Description"],
        "StatusCode": activity["StatusCode"],
        "StatusMessage": activity.get("StatusMessage", ""),
        "AccountId": SETTINGS.account_id,
    }
    for topic, types in group.__dict__.get("lab_notifications", {}).items():
        if event in types:
            try:
                sns_backends[SETTINGS.account_id][SETTINGS.region].publish(
                    json.dumps(message), arn=topic, subject=f'Auto Scaling: {event} for group "{group.name}"'
                )
            except Exception as error:
                log.warning("group %s cannot notify %s: %s", group.name, topic, error)
