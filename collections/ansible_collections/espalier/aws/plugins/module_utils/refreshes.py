# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Instance refreshes of an auto scaling group: what is asked for, what goes on, and why it did not work. No calls but in Group."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

ACTIVE = ("Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress")
# Lines of a diagnosis.
MOST_ACTIVITIES = 5


class RefreshError(Exception):
    """The refresh cannot be done; the message says why, and what to do."""


class Group:
    """A group and its refreshes, as AWS tells them. Errors of the SDK pass through."""

    def __init__(self, autoscaling: Any, ec2: Any, name: str) -> None:
        self.autoscaling, self.ec2, self.name = autoscaling, ec2, name

    def read(self) -> dict[str, Any]:
        groups = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name], aws_retry=True)["AutoScalingGroups"]
        if not groups:
            raise RefreshError(f"There is no auto scaling group {self.name}.")
        if not groups[0].get("LaunchTemplate"):
            raise RefreshError(f"The auto scaling group {self.name} has no launch template, so there is no version to roll out.")
        return groups[0]

    def newest_version(self, template: dict[str, Any]) -> int:
        found = self.ec2.describe_launch_templates(LaunchTemplateIds=[template["LaunchTemplateId"]], aws_retry=True)
        return found["LaunchTemplates"][0]["LatestVersionNumber"]

    def refresh(self, refresh_id: str = "") -> dict[str, Any] | None:
        """One refresh, or the newest."""
        wanted = {"InstanceRefreshIds": [refresh_id]} if refresh_id else {}
        found = self.autoscaling.describe_instance_refreshes(AutoScalingGroupName=self.name, aws_retry=True, **wanted)["InstanceRefreshes"]
        return found[0] if found else None

    def failures(self, since: datetime) -> list[dict[str, Any]]:
        """Scaling activities that have failed since then, newest first."""
        found = self.autoscaling.describe_scaling_activities(AutoScalingGroupName=self.name, aws_retry=True)["Activities"]
        return [activity for activity in found if activity["StatusCode"] == "Failed" and activity["StartTime"] >= since]


def preferences(params: dict[str, Any]) -> dict[str, Any]:
    """The module's options in AWS's words."""
    wanted: dict[str, Any] = {
        "MinHealthyPercentage": params["min_healthy_percentage"],
        "MaxHealthyPercentage": params["max_healthy_percentage"],
        "InstanceWarmup": params["instance_warmup_seconds"],
        "SkipMatching": params["skip_matching"],
        "AutoRollback": params["auto_rollback"],
        "BakeTime": params["bake_time_seconds"] or None,
        "CheckpointPercentages": params["checkpoint_percentages"] or None,
        "CheckpointDelay": params["checkpoint_delay_seconds"] if params["checkpoint_percentages"] else None,
        "AlarmSpecification": {"Alarms": params["alarms"]} if params["alarms"] else None,
    }
    return {key: value for key, value in wanted.items() if value is not None}


def outdated(group: dict[str, Any], version: int) -> list[str]:
    """Instances that come from another version, or another template."""
    template = group["LaunchTemplate"]["LaunchTemplateId"]

    def matches(instance: dict[str, Any]) -> bool:
        found = instance.get("LaunchTemplate") or {}
        return found.get("LaunchTemplateId") == template and found.get("Version") == str(version)

    staying = [instance for instance in group["Instances"] if not instance["LifecycleState"].startswith("Terminating")]
    return sorted(instance["InstanceId"] for instance in staying if not matches(instance))


def version_of(refresh: dict[str, Any]) -> str:
    """Launch template version that a refresh rolls out; empty for one without a desired configuration."""
    return str(refresh.get("DesiredConfiguration", {}).get("LaunchTemplate", {}).get("Version", ""))


def summary(refresh: dict[str, Any]) -> str:
    """One line for who waits."""
    text = f"{refresh['Status']}, {refresh.get('PercentageComplete', 0)} %, {refresh.get('InstancesToUpdate', 0)} to go"
    return f"{text}: {refresh['StatusReason']}" if refresh.get("StatusReason") else text


def births(failures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [activity for activity in failures if activity["Description"].startswith("Launching")]


def diagnosis(name: str, refresh: dict[str, Any], failures: list[dict[str, Any]], group: dict[str, Any]) -> str:
    """Why a refresh did not work, for the person who has to mend it."""
    lines = [f"The instance refresh {refresh['InstanceRefreshId']} of {name} ended as {refresh['Status']}."]
    rollback = refresh.get("RollbackDetails", {}).get("RollbackReason")
    lines += list(dict.fromkeys(text for text in (refresh.get("StatusReason"), rollback) if text))
    lines += [f"{activity['Description']}: {activity.get('StatusMessage', '')}" for activity in failures[:MOST_ACTIVITIES]]
    waiting = [found for found in group["Instances"] if found["LifecycleState"] != "InService" or found["HealthStatus"] != "Healthy"]
    lines += [f"{found['InstanceId']} is {found['LifecycleState']} and {found['HealthStatus']}." for found in waiting]
    standing = {
        "RollbackSuccessful": "All instances are as they were before.",
        "Failed": "Instances that were replaced stay as they are. To go back, refresh to the version before.",
        "RollbackFailed": "Some instances are of the new version, some of the old one. Mend what stands above, then refresh again.",
        "Cancelled": "Instances that were replaced stay as they are.",
    }
    return "\n".join([*lines, standing.get(refresh["Status"], "")]).strip()


def age_seconds(refresh: dict[str, Any]) -> float:
    return (datetime.now(UTC) - refresh["StartTime"]).total_seconds() if refresh.get("StartTime") else 0.0
