# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was found of an environment, put together as one report."""

from __future__ import annotations

DOCUMENTATION = r"""
name: status_report
short_description: Put together how an environment is
version_added: 0.3.0
description:
  - Makes one report of what M(espalier.aws.stack_info), M(espalier.aws.stack_status) and M(espalier.aws.release_info) have found.
  - Holds nothing secret, and no value that is not made of plain text, numbers, lists and dictionaries.
options:
  _input:
    description: What M(espalier.aws.stack_info) answers.
    type: dict
    required: true
  status:
    description: What M(espalier.aws.stack_status) answers.
    type: dict
    required: true
  releases:
    description: What M(espalier.aws.release_info) answers; empty where there is no bucket yet.
    type: dict
    default: {}
  environment:
    description: Name of the environment.
    type: str
    required: true
  url:
    description: The inventory's own address of the application; empty for none.
    type: str
    default: ""
  domains:
    description: Host names that visitors use, see P(espalier.aws.application_url#filter).
    type: list
    elements: str
    default: []
  unknown:
    description: What could not be looked at, with the reasons. Nothing is said of what is missing in the other answers.
    type: dict
    default: {}
  now:
    description: The time that ages are counted to, in ISO 8601; the present where it is empty.
    type: str
    default: ""
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ stack | espalier.aws.status_report(today, releases, environment=suite_environment) }}"
"""

RETURN = r"""
_value:
  description: The report; C(troubles) holds a sentence for whatever is not as it should be.
  type: dict
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from ansible_collections.espalier.aws.plugins.module_utils.stack import application_url

# What a report says where nobody could look.
STACK = dict.fromkeys(("load_balancer", "autoscaling_group", "target_group", "database", "cluster", "node_group")) | {"listeners": []}
STATUS = {"machines": [], "agents": {}, "backups": None, "alarms": [], "subscriptions": [], "certificates": [], "activities": []}


def age(moment: str | None, now: datetime) -> int | None:
    """Seconds since a moment in ISO 8601."""
    return int((now - datetime.fromisoformat(moment)).total_seconds()) if moment else None


def instances(stack: dict, status: dict, now: datetime) -> list[dict]:
    """One row for each machine, and for each that only the group or the load balancer still knows."""
    members = {one["id"]: one for one in (stack["autoscaling_group"] or {"instances": []})["instances"]}
    targets = {one["id"]: one for one in (stack["target_group"] or {"targets": []})["targets"]}
    machines = {one["id"]: one for one in status["machines"] if one["role"] == "app"}
    rows = []
    for name in sorted({*members, *targets, *machines}):
        machine, member, target = machines.get(name, {}), members.get(name, {}), targets.get(name, {})
        rows.append(
            {
                "id": name,
                "state": machine.get("state", "gone"),
                "zone": machine.get("zone") or member.get("availability_zone"),
                "type": machine.get("type"),
                "address": machine.get("address"),
                "age_seconds": age(machine.get("launched"), now),
                "lifecycle": member.get("lifecycle_state", "not in the group"),
                "target": target.get("state", "not registered"),
                "reason": " ".join(filter(None, (target.get("reason"), target.get("description")))),
                "agent": status["agents"].get(name, "never seen"),
            }
        )
    return rows


def backup(status: dict, now: datetime) -> dict | None:
    """The newest snapshot that is finished, and until when the database can be restored to any moment."""
    found = status["backups"]
    if found is None:
        return None
    last = next((one for one in found["snapshots"] if one["status"] == "available" and one["at"]), {})
    return {
        "name": last.get("name"),
        "at": last.get("at"),
        "age_seconds": age(last.get("at"), now),
        "restorable_to": found["restorable_to"],
        "restorable_age_seconds": age(found["restorable_to"], now),
        "retention_days": found["retention_days"],
    }


def cluster(stack: dict) -> dict | None:
    """The control plane and its node group. Whether pods run is known to the API server only, which the doctor asks."""
    found, group = stack["cluster"], stack["node_group"] or {}
    return found and {
        **{key: found[key] for key in ("name", "status", "version")},
        "nodes": group and {key: group[key] for key in ("name", "status", "min_size", "desired_size", "max_size")},
    }


def troubles(report: dict, known: set[str]) -> list[str]:
    """What is wrong at a glance. What it comes from is the doctor's matter."""
    group, database = report["group"], report["database"]
    healthy = [row for row in report["instances"] if row["target"] == "healthy"]
    found = []
    if report["url"] is None and "load_balancer" in known:
        found.append("There is no load balancer.")
    if not healthy and "target_group" in known:
        found.append("No instance is healthy: visitors get errors.")
    found += [
        f"{row['id']} is {row['target']}: {row['reason'] or 'no reason given'}"
        for row in report["instances"]
        if row["target"] == "unhealthy"
    ]
    if database is None:
        found += ["There is no database."] if "database" in known else []
    elif database["status"] not in ("available", "backing-up", "modifying", "storage-optimization"):
        found.append(f"The database is {database['status']}.")
    if report["cluster"] and report["cluster"]["status"] not in ("ACTIVE", "UPDATING"):
        found.append(f"The cluster is {report['cluster']['status']}.")
    nodes = (report["cluster"] or {}).get("nodes") or {"status": "ACTIVE"}
    if nodes["status"] not in ("ACTIVE", "UPDATING"):
        found.append(f"The cluster's node group is {nodes['status']}.")
    found += [
        f"Alarm {alarm['name']} rings: {alarm['reason'] or 'no reason given'}" for alarm in report["alarms"] if alarm["state"] == "ALARM"
    ]
    if group and group["suspended_processes"]:
        found.append(f"The auto scaling group's processes {', '.join(group['suspended_processes'])} are suspended.")
    found += [
        f"{one['endpoint']} has not confirmed its subscription: alarms reach nobody." for one in report["subscriptions"] if one["pending"]
    ]
    if report["lock"]:
        found.append(
            f"A {report['lock']['what']} of {report['lock']['owner']} is under way, or was cut off, since {report['lock']['since']}."
        )
    if report["last_deploy"] and report["last_deploy"]["result"] == "failed":
        found.append(f"The last {report['last_deploy']['what']} failed.")
    return found


def status_report(
    stack: dict,
    status: dict,
    releases: dict | None = None,
    environment: str = "",
    url: str = "",
    domains: Iterable[str] = (),
    unknown: dict[str, str] | None = None,
    now: str = "",
) -> dict:
    moment = datetime.fromisoformat(now) if now else datetime.now(UTC)
    known = stack.keys() & STACK.keys()
    found_at = application_url(stack, url, domains)
    not_seen = [f"Not looked at: {name}: {reason}" for name, reason in sorted((unknown or {}).items())]
    stack, status = {**STACK, **stack}, {**STATUS, **status}
    releases, group = releases or {}, stack["autoscaling_group"]
    log = releases.get("log") or []
    report = {
        "at": moment.replace(microsecond=0).isoformat(),
        "environment": environment,
        "account_id": stack["account_id"],
        "region": stack["region"],
        "url": found_at or None,
        "release": releases.get("current") or None,
        "last_good_release": releases.get("last_good") or None,
        "last_deploy": {**log[-1], "age_seconds": age(log[-1]["at"], moment)} if log else None,
        "lock": releases.get("lock") or None,
        "group": group and {key: group[key] for key in ("name", "min_size", "desired_capacity", "max_size", "suspended_processes")},
        "instances": instances(stack, status, moment),
        "bastion": next(
            ({**one, "agent": status["agents"].get(one["id"], "never seen")} for one in status["machines"] if one["role"] == "bastion"),
            None,
        ),
        "database": stack["database"]
        and {key: stack["database"].get(key) for key in ("identifier", "status", "engine_version", "address", "multi_az", "encrypted")},
        "cluster": cluster(stack),
        "nat_gateways": [{key: one[key] for key in ("id", "state", "availability_zone")} for one in stack.get("nat_gateways") or []],
        "last_backup": backup(status, moment),
        "alarms": status["alarms"],
        "subscriptions": status["subscriptions"],
        "certificates": [
            {**one, "expires_in_seconds": -age(one["expires"], moment) if one["expires"] else None} for one in status["certificates"]
        ],
        "activities": status["activities"][:3],
    }
    return {**report, "unknown": unknown or {}, "troubles": troubles(report, known) + not_seen}


class FilterModule:
    def filters(self):
        return {"status_report": status_report}
