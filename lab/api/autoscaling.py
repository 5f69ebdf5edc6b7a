"""What Auto Scaling does and moto does not: the group itself.

moto keeps the record; the group is run here, one step a second (control route `groups_step`):

- desired capacity is reached by launching into the zone with the fewest instances and terminating from the one with the most
  (older launch template version first, then the oldest instance); instances are `Pending` until their machine runs
- instances that are terminated or stopped, that SetInstanceHealth or (with health check type ELB, after the grace period) a
  target group calls unhealthy are replaced
- an instance that leaves is deregistered first and terminated when the target group's deregistration delay is over
- suspended Launch, Terminate, HealthCheck, ReplaceUnhealthy and AddToLoadBalancer do not happen
- standby takes an instance out of its target groups and back
- desired capacity outside of min and max is refused; deleting a group that has instances needs ForceDelete
- DescribeScalingActivities, Put/Describe/DeleteNotificationConfiguration(s), DescribeAutoScalingNotificationTypes,
  DisableMetricsCollection; launches and terminations are published to the configured SNS topics

The grace period and the deregistration delay are divided by the time scale.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import uuid
from collections import Counter
from datetime import UTC, datetime

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import ASG_NAME_TAG, AutoScalingBackend, FakeAutoScalingGroup, InstanceState, autoscaling_backends
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.elbv2.exceptions import TargetGroupNotFoundError
from moto.elbv2.models import elbv2_backends
from moto.sns import sns_backends

from lab.settings import SETTINGS

log = logging.getLogger("autoscaling")

NOTIFICATION_TYPES = [
    "autoscaling:EC2_INSTANCE_LAUNCH",
    "autoscaling:EC2_INSTANCE_LAUNCH_ERROR",
    "autoscaling:EC2_INSTANCE_TERMINATE",
    "autoscaling:EC2_INSTANCE_TERMINATE_ERROR",
    "autoscaling:TEST_NOTIFICATION",
]
METRICS = [
    "GroupMinSize", "GroupMaxSize", "GroupDesiredCapacity", "GroupInServiceInstances", "GroupPendingInstances",
    "GroupStandbyInstances", "GroupTerminatingInstances", "GroupTotalInstances",
]  # fmt: skip
LAUNCH_RETRY_SECONDS = 60
ACTIVITIES_KEPT = 100
COUNTED = ("Pending", "InService")


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
    counted = [state for state in group.instance_states if state.lifecycle_state in COUNTED]
    missing = (group.desired_capacity or 0) - len(counted)
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
    if state.lifecycle_state == "Terminating":
        if machine == "terminated":
            forget(group, state)
        elif machine != "shutting-down" and time.monotonic() >= state.lab_terminate_at:
            group.ec2_backend.terminate_instances([state.instance_id])
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
        state.lifecycle_state = "InService"
        state.lab_in_service_at = time.monotonic()
        if "AddToLoadBalancer" not in suspended:
            register(group, state)
        end_activity(state.lab_activity)
        notify(group, "autoscaling:EC2_INSTANCE_LAUNCH", state.lab_activity, state.instance_id)
    elif state.lifecycle_state == "InService" and "HealthCheck" not in suspended and failed_check(group, state):
        state.health_status = "Unhealthy"


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
        return {found.instance_id: found.health_status for found in load_balancing().describe_target_health(arn, [])}
    return {}


# --- launching


def launch_template_version(group: FakeAutoScalingGroup):
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
    tags = {**group.instance_tags, **group.get_propagated_tags(), ASG_NAME_TAG: group.name}
    reservation = group.ec2_backend.run_instances(
        group.image_id,
        1,
        group.user_data,
        group.security_groups,
        instance_type=group.instance_type,
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
        target_group = load_balancing().target_groups.get(arn)
        if target_group and state.instance_id in target_health(arn):
            load_balancing().deregister_targets(arn, [{"Id": state.instance_id}])
            delay = max(delay, float(target_group.attributes.get("deregistration_delay.timeout_seconds", 300)))
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


# --- moto's record, without what moto does itself


def install() -> None:
    patch_group()
    patch_backend()
    patch_responses()


def check_capacity(minimum: int, maximum: int, desired: int) -> None:
    if minimum > maximum:
        raise ValidationError(f"Min bound, {minimum}, must be less than or equal to max bound, {maximum}")
    if not minimum <= desired <= maximum:
        raise ValidationError(f"Desired capacity:{desired} must be between the specified min size:{minimum} and max size:{maximum}")


def patch_group() -> None:
    moto_update = FakeAutoScalingGroup.update

    def set_desired_capacity(self, new_capacity):
        self.desired_capacity = self.min_size if new_capacity is None else new_capacity

    def update(self, **options):
        minimum = self.min_size if options.get("min_size") is None else options["min_size"]
        maximum = self.max_size if options.get("max_size") is None else options["max_size"]
        if options.get("desired_capacity") is None:
            options["desired_capacity"] = max(minimum, min(maximum, self.desired_capacity))
        check_capacity(minimum, maximum, options["desired_capacity"])
        moto_update(self, **options)

    def launch_template(self):
        template = self.auto_scaling_group.ec2_launch_template
        if template is None:
            return None
        version = getattr(self, "lab_version", None) or template.default_version_number
        return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": str(version)}

    FakeAutoScalingGroup.set_desired_capacity = set_desired_capacity
    FakeAutoScalingGroup.update = update
    InstanceState.launch_template = property(launch_template)
    # Of instances that were attached, not launched.
    InstanceState.lab_in_service_at = 0.0
    InstanceState.lab_version = None


def patch_backend() -> None:
    moto_create, moto_detach = AutoScalingBackend.create_auto_scaling_group, AutoScalingBackend.detach_instances
    moto_enter, moto_exit = AutoScalingBackend.enter_standby_instances, AutoScalingBackend.exit_standby_instances

    def create(self, **options):
        minimum, maximum = int(options["min_size"]), int(options["max_size"])
        check_capacity(minimum, maximum, minimum if options.get("desired_capacity") is None else int(options["desired_capacity"]))
        return moto_create(self, **options)

    def set_desired_capacity(self, group_name, desired_capacity):
        group = find(group_name)
        check_capacity(group.min_size, group.max_size, desired_capacity)
        group.set_desired_capacity(desired_capacity)

    def terminate(self, instance_id, should_decrement):
        state = next((s for g in self.autoscaling_groups.values() for s in g.instance_states if s.instance_id == instance_id), None)
        if state is None:
            raise ValidationError(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")
        group = state.auto_scaling_group
        if should_decrement:
            check_capacity(group.min_size, group.max_size, group.desired_capacity - 1)
            group.desired_capacity -= 1
        return begin_terminate(group, state, f"instance {instance_id} was taken out of service in response to a user request")

    def update_attached_target_groups(self, group_name):
        group = find(group_name)
        if "AddToLoadBalancer" in group._suspended_processes:
            return
        for arn in group.target_group_arns:
            known = target_health(arn)
            targets = [
                {"Id": s.instance_id} for s in group.instance_states if s.lifecycle_state == "InService" and s.instance_id not in known
            ]
            if targets:
                load_balancing().register_targets(arn, targets)

    def detach(self, group_name, instance_ids, should_decrement):
        group = find(group_name)
        for state in group.instance_states:
            if state.instance_id in instance_ids:
                deregister(group, state)
        return moto_detach(self, group_name, instance_ids, should_decrement)

    def enter_standby(self, group_name, instance_ids, should_decrement):
        group = find(group_name)
        for state in group.instance_states:
            if state.instance_id in instance_ids:
                deregister(group, state)
        return moto_enter(self, group_name, instance_ids, should_decrement)

    def exit_standby(self, group_name, instance_ids):
        activities = moto_exit(self, group_name, instance_ids)
        group = find(group_name)
        for state in group.instance_states:
            if state.instance_id in instance_ids:
                state.lab_in_service_at = time.monotonic()
                register(group, state)
        return activities

    AutoScalingBackend.create_auto_scaling_group = create
    AutoScalingBackend.set_desired_capacity = set_desired_capacity
    AutoScalingBackend.terminate_instance = terminate
    AutoScalingBackend.update_attached_target_groups = update_attached_target_groups
    AutoScalingBackend.detach_instances = detach
    AutoScalingBackend.enter_standby_instances = enter_standby
    AutoScalingBackend.exit_standby_instances = exit_standby
    # The next step sees it by itself.
    AutoScalingBackend.notify_terminate_instances = lambda self, instance_ids: None


def find(name: str) -> FakeAutoScalingGroup:
    try:
        return backend().autoscaling_groups[name]
    except KeyError:
        raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup: {name} not found") from None


def patch_responses() -> None:
    def delete_auto_scaling_group(self):
        group = find(self._get_param("AutoScalingGroupName"))
        if group.instance_states and not self._get_bool_param("ForceDelete", False):
            raise AutoscalingClientError(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.",
            )
        group.min_size = group.max_size = group.desired_capacity = 0
        group.status = "Delete in progress"
        for state in group.instance_states:
            if state.lifecycle_state != "Terminating":
                begin_terminate(group, state, "the group is being deleted")
                state.lab_terminate_at = 0
        if not group.instance_states:
            backend().autoscaling_groups.pop(group.name)
        return EmptyResult()

    def terminate_instance_in_auto_scaling_group(self):
        decrement = self._get_bool_param("ShouldDecrementDesiredCapacity", False)
        return ActionResult({"Activity": self.autoscaling_backend.terminate_instance(self._get_param("InstanceId"), decrement)})

    def describe_scaling_activities(self):
        name, wanted = self._get_param("AutoScalingGroupName"), self._get_param("ActivityIds", [])
        groups = [find(name)] if name else backend().autoscaling_groups.values()
        found = [a for group in groups for a in group.__dict__.get("lab_activities", []) if not wanted or a["ActivityId"] in wanted]
        found.sort(key=lambda activity: activity["StartTime"], reverse=True)
        return ActionResult({"Activities": found[: self._get_int_param("MaxRecords", 100)]})

    def put_notification_configuration(self):
        group, topic = find(self._get_param("AutoScalingGroupName")), self._get_param("TopicARN")
        types = self._get_param("NotificationTypes", [])
        unknown = set(types) - set(NOTIFICATION_TYPES)
        if unknown:
            raise ValidationError(f"{', '.join(sorted(unknown))} is not a valid notification type")
        group.__dict__.setdefault("lab_notifications", {})[topic] = types
        return EmptyResult()

    def describe_notification_configurations(self):
        names = self._get_param("AutoScalingGroupNames", [])
        return ActionResult(
            {
                "NotificationConfigurations": [
                    {"AutoScalingGroupName": group.name, "TopicARN": topic, "NotificationType": kind}
                    for group in backend().autoscaling_groups.values()
                    if not names or group.name in names
                    for topic, kinds in group.__dict__.get("lab_notifications", {}).items()
                    for kind in kinds
                ]
            }
        )

    def delete_notification_configuration(self):
        find(self._get_param("AutoScalingGroupName")).__dict__.get("lab_notifications", {}).pop(self._get_param("TopicARN"), None)
        return EmptyResult()

    def describe_auto_scaling_notification_types(self):
        return ActionResult({"AutoScalingNotificationTypes": NOTIFICATION_TYPES})

    def enable_metrics_collection(self):
        find(self._get_param("AutoScalingGroupName")).metrics = self._get_param("Metrics") or list(METRICS)
        return EmptyResult()

    def disable_metrics_collection(self):
        group, metrics = find(self._get_param("AutoScalingGroupName")), self._get_param("Metrics") or METRICS
        group.metrics = [metric for metric in group.metrics if metric not in metrics]
        return EmptyResult()

    for function in (
        delete_auto_scaling_group, terminate_instance_in_auto_scaling_group, describe_scaling_activities,
        put_notification_configuration, describe_notification_configurations, delete_notification_configuration,
        describe_auto_scaling_notification_types, enable_metrics_collection, disable_metrics_collection,
    ):  # fmt: skip
        setattr(AutoScalingResponse, function.__name__, function)


ROUTES = {"groups_step": step}
