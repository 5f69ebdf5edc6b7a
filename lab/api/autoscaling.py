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
- lifecycle hooks (lab.api.hooks), instance refreshes (lab.api.refresh) and target tracking (lab.api.tracking) do what they say
- DescribeScalingActivities, Put/Describe/DeleteNotificationConfiguration(s), DescribeAutoScalingNotificationTypes,
  DisableMetricsCollection; launches and terminations are published to the configured SNS topics

The grace period and the deregistration delay are divided by the time scale.
"""

from __future__ import annotations

import time

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, InstanceState
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

from lab.api import hooks, refresh, tracking
from lab.api.scaling import backend, begin_terminate, deregister, load_balancing, register, step, target_health

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


def install() -> None:
    patch_group()
    patch_backend()
    patch_responses()
    hooks.install()
    refresh.install()
    tracking.install()


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


def begin_delete(group: FakeAutoScalingGroup) -> None:
    """Terminate what is in the group; the step in which the last instance has gone forgets the group."""
    tracking.forget(group.name)
    group.min_size = group.max_size = group.desired_capacity = 0
    group.status = "Delete in progress"
    for state in group.instance_states:
        if not state.lifecycle_state.startswith("Terminating"):
            begin_terminate(group, state, "the group is being deleted")
        # Neither connections nor lifecycle hooks are waited for.
        state.lab_terminate_at = 0
        state.lifecycle_state = "Terminating:Proceed"
    if not group.instance_states:
        backend().autoscaling_groups.pop(group.name)


def patch_responses() -> None:
    def delete_auto_scaling_group(self):
        group = find(self._get_param("AutoScalingGroupName"))
        if group.instance_states and not self._get_bool_param("ForceDelete", False):
            raise AutoscalingClientError(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.",
            )
        begin_delete(group)
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


ROUTES = {"groups_step": step, **tracking.ROUTES}
