# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A report on an environment as lines of text."""

from __future__ import annotations

DOCUMENTATION = r"""
name: status_screen
short_description: A report as one screen of text
version_added: 0.3.0
description:
  - Lays out what P(espalier.aws.status_report#filter) has put together for a terminal.
options:
  _input:
    description: The report.
    type: dict
    required: true
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ report | espalier.aws.status_screen }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
HEAD = ("instance", "zone", "address", "age", "group", "load balancer", "session manager")


def ago(seconds: int | None) -> str:
    if seconds is None:
        return "-"
    seconds = max(seconds, 0)
    size, unit = next((size, unit) for size, unit in UNITS if seconds >= size or size == 1)
    return f"{seconds // size} {unit}"


def aligned(table: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in table]


def machines(report: dict) -> list[str]:
    rows = [
        (row["id"], row["zone"] or "-", row["address"] or "-", ago(row["age_seconds"]), row["lifecycle"], row["target"], row["agent"])
        for row in report["instances"]
    ]
    bastion = report["bastion"]
    if bastion:
        rows.append((bastion["id"], bastion["zone"], bastion["address"] or "-", "-", "bastion", "-", bastion["agent"]))
    return ["", *aligned([HEAD, *rows])] if rows else []


def release(report: dict) -> str:
    last = report["last_deploy"]
    if not last:
        return f"{report['release'] or 'none'}, never deployed"
    who = last["who"].rpartition(":")[2]
    return f"{report['release'] or 'none'}; last {last['what']} of {last['to']} {last['result']} {ago(last['age_seconds'])} ago, by {who}"


def database(report: dict) -> str:
    found = report["database"]
    if not found:
        return "none"
    traits = [f"PostgreSQL {found['engine_version']}", "two zones" if found["multi_az"] else "one zone"]
    traits.append("encrypted" if found["encrypted"] else "not encrypted")
    return f"{found['identifier']} {found['status']}, {', '.join(traits)}"


def cluster(report: dict) -> str:
    found = report["cluster"]
    if not found:
        return "none"
    nodes = found["nodes"]
    counted = f"{nodes['desired_size']} nodes wanted ({nodes['min_size']} to {nodes['max_size']})" if nodes else "no nodes"
    return f"{found['name']} {found['status']}, Kubernetes {found['version']}, {counted}"


def backup(report: dict) -> str:
    found = report["last_backup"]
    if not found:
        return "none"
    snapshot = f"{found['name']}, {ago(found['age_seconds'])} ago" if found["name"] else "no snapshot"
    if not found["retention_days"]:
        return f"{snapshot}; automatic backups are off"
    until = f"up to {ago(found['restorable_age_seconds'])} ago" if found["restorable_to"] else "not yet"
    return f"{snapshot}; any moment of {found['retention_days']} days, {until}"


def alarms(report: dict) -> str:
    states = [alarm["state"] for alarm in report["alarms"]]
    if not states:
        return "none"
    counts = {"ring": states.count("ALARM"), "are quiet": states.count("OK"), "have no data": states.count("INSUFFICIENT_DATA")}
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def subscriptions(report: dict) -> str:
    found = [f"{one['endpoint']}{' (not confirmed yet)' if one['pending'] else ''}" for one in report["subscriptions"]]
    return ", ".join(found) or "nobody"


def status_screen(report: dict) -> list[str]:
    group = report["group"]
    rows = [
        ("environment", f"{report['environment']} (account {report['account_id']}, {report['region']})"),
        ("address", report["url"] or "none"),
        ("release", release(report)),
        ("group", f"{group['desired_capacity']} wanted ({group['min_size']} to {group['max_size']})" if group else "none"),
        ("database", database(report)),
        ("cluster", cluster(report)),
        ("backup", backup(report)),
        ("alarms", alarms(report)),
        ("told by mail", subscriptions(report)),
    ]
    rows += [
        ("certificate", f"{one['domain']} {one['status']}, expires in {ago(one['expires_in_seconds'])}") for one in report["certificates"]
    ]
    verdict = ["All is well."] if not report["troubles"] else [f"! {trouble}" for trouble in report["troubles"]]
    hint = [] if not report["troubles"] else ["Causes and fixes: ansible-playbook playbooks/doctor.yml"]
    return [*aligned(rows), *machines(report), "", *verdict, *hint]


class FilterModule:
    def filters(self):
        return {"status_screen": status_screen}
