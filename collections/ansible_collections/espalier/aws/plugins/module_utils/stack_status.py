# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How an environment is today: read-only calls (second half), and what is made of their answers (first half).

What an environment owns is the matter of stack.py; the readers here take the same arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from ansible_collections.espalier.aws.plugins.module_utils.stack import Clients, Scope, pages, tags_of, unless_missing

SNAPSHOTS = 10
ACTIVITIES = 10
# What SNS writes where an address that was never confirmed has no ARN.
PENDING = ("PendingConfirmation", "pending confirmation")


def text(moment: datetime | None) -> str | None:
    """ISO 8601 in whole seconds."""
    return moment.replace(microsecond=0).isoformat() if moment else None


def alarms(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that ring first."""
    rows = [
        {
            "name": alarm["AlarmName"],
            "state": alarm["StateValue"],
            "since": text(alarm.get("StateUpdatedTimestamp")),
            "reason": alarm.get("StateReason", ""),
            "actions": bool(alarm.get("AlarmActions")),
            "muted": not alarm.get("ActionsEnabled", True),
        }
        for alarm in found
    ]
    return sorted(rows, key=lambda row: (row["state"] != "ALARM", row["name"]))


def subscriptions(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"protocol": one["Protocol"], "endpoint": one["Endpoint"], "pending": one["SubscriptionArn"] in PENDING}
        for one in sorted(found, key=lambda one: (one["Protocol"], one["Endpoint"]))
    ]


def snapshots(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The newest first. One that is being made has no time yet."""
    rows = [
        {
            "name": snapshot["DBSnapshotIdentifier"],
            "type": snapshot.get("SnapshotType", ""),
            "status": snapshot["Status"],
            "at": text(snapshot.get("SnapshotCreateTime")),
            "encrypted": snapshot.get("Encrypted", False),
        }
        for snapshot in found
    ]
    return sorted(rows, key=lambda row: row["at"] or "9999", reverse=True)[:SNAPSHOTS]


def backups(instance: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "retention_days": instance.get("BackupRetentionPeriod", 0),
        "restorable_to": text(instance.get("LatestRestorableTime")) if instance.get("BackupRetentionPeriod") else None,
        "snapshots": snapshots(found),
    }


def activities(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The newest first, as AWS lists them."""
    return [
        {
            "at": text(one["StartTime"]),
            "status": one["StatusCode"],
            "description": one["Description"],
            "cause": one.get("Cause", ""),
            "message": one.get("StatusMessage", ""),
        }
        for one in found[:ACTIVITIES]
    ]


def machine(instance: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": instance["InstanceId"],
        "role": tags_of(instance)["Role"],
        "state": instance["State"]["Name"],
        "type": instance["InstanceType"],
        "zone": instance["Placement"]["AvailabilityZone"],
        "address": instance.get("PrivateIpAddress"),
        "image": instance.get("ImageId"),
        "launched": text(instance.get("LaunchTime")),
    }


def certificate(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "arn": found["CertificateArn"],
        "domain": found["DomainName"],
        "names": sorted({found["DomainName"], *found.get("SubjectAlternativeNames", [])}),
        "status": found["Status"],
        "expires": text(found.get("NotAfter")),
        "renewal": (found.get("RenewalSummary") or {}).get("RenewalStatus"),
        "imported": found.get("Type") == "IMPORTED",
    }


# Calls


def read_alarms(clients: Clients, scope: Scope) -> dict[str, Any]:
    return {"alarms": alarms(pages(clients("cloudwatch"), "describe_alarms", "MetricAlarms", AlarmNamePrefix=f"{scope.prefix}-"))}


def read_subscriptions(clients: Clients, scope: Scope) -> dict[str, Any]:
    arn = f"arn:{scope.partition}:sns:{scope.region}:{scope.account_id}:{scope.prefix}-alarms"
    paginator = clients("sns").get_paginator("list_subscriptions_by_topic")
    found = unless_missing(
        ["NotFound", "NotFoundException"], lambda **options: paginator.paginate(**options).build_full_result(), TopicArn=arn
    )
    return {"subscriptions": subscriptions((found or {}).get("Subscriptions", []))}


def read_backups(clients: Clients, scope: Scope) -> dict[str, Any]:
    name = f"{scope.prefix}-postgres"
    found = unless_missing(
        ["DBInstanceNotFound", "DBInstanceNotFoundFault"], clients("rds").describe_db_instances, DBInstanceIdentifier=name
    )
    if not found:
        return {"backups": None}
    return {
        "backups": backups(
            found["DBInstances"][0], pages(clients("rds"), "describe_db_snapshots", "DBSnapshots", DBInstanceIdentifier=name)
        )
    }


def read_activities(clients: Clients, scope: Scope) -> dict[str, Any]:
    # Of a group that does not exist, AWS answers with a ValidationError.
    found = unless_missing(
        ["ValidationError"],
        clients("autoscaling").describe_scaling_activities,
        AutoScalingGroupName=f"{scope.prefix}-asg",
        MaxRecords=ACTIVITIES,
    )
    return {"activities": activities((found or {}).get("Activities", []))}


def read_machines(clients: Clients, scope: Scope) -> dict[str, Any]:
    alive = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    filters = [*scope.filters, {"Name": "tag:Role", "Values": ["app", "bastion"]}, alive]
    reservations = pages(clients("ec2"), "describe_instances", "Reservations", Filters=filters)
    rows = [machine(instance) for reservation in reservations for instance in reservation["Instances"]]
    return {"machines": sorted(rows, key=lambda row: (row["role"], row["id"]))}


def read_agents(clients: Clients, scope: Scope) -> dict[str, Any]:
    filters = [{"Key": f"tag:{key}", "Values": [value]} for key, value in scope.tags.items()]
    found = pages(clients("ssm"), "describe_instance_information", "InstanceInformationList", Filters=filters)
    return {"agents": {one["InstanceId"]: one["PingStatus"] for one in found}}


def read_certificates(clients: Clients, scope: Scope) -> dict[str, Any]:
    elbv2 = clients("elbv2")
    found = unless_missing(
        ["LoadBalancerNotFound", "LoadBalancerNotFoundException"], elbv2.describe_load_balancers, Names=[f"{scope.prefix}-alb"]
    )
    return {"certificates": certificates_of(clients, found["LoadBalancers"][0]["LoadBalancerArn"]) if found else []}


def certificates_of(clients: Clients, load_balancer_arn: str) -> list[dict[str, Any]]:
    listeners = pages(clients("elbv2"), "describe_listeners", "Listeners", LoadBalancerArn=load_balancer_arn)
    arns = sorted({one["CertificateArn"] for listener in listeners for one in listener.get("Certificates", [])})
    # A listener may hold a certificate of IAM's, too.
    arns = [arn for arn in arns if ":acm:" in arn]
    return [certificate(clients("acm").describe_certificate(CertificateArn=arn)["Certificate"]) for arn in arns]


SERVICES = ("cloudwatch", "sns", "rds", "autoscaling", "ec2", "ssm", "elbv2", "acm")

READERS: tuple[Callable[[Clients, Scope], dict[str, Any]], ...] = (
    read_machines,
    read_certificates,
    read_backups,
    read_activities,
    read_agents,
    read_alarms,
    read_subscriptions,
)
