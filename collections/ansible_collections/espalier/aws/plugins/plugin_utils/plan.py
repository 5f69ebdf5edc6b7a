# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what the tasks of a run in check mode say to a plan: what would be created, changed, replaced or removed.

A plan is a dictionary of plain values, which is what `bin/plan.py --json` prints:

- `result`: "nothing to do", "changes" or "error"
- `changes`: a list of {action, kind, name, details, interrupts, interruption, role, task, hosts}; `action` is create, change, replace or
  remove, `interrupts` says whether visitors or operators notice, `interruption` how
- `errors`: a list of {task, host, message}
- `cost`: {before, after, differences, prices_date} of the filter espalier.aws.monthly_cost, or null where the run did not get so far
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

# What a task of the suite itself says, or a module: "Would create ...", "Would have modified ... if not in check mode."
WORDS = (
    ("create", re.compile(r"^would (?:have )?(?:creat|add|allocat|make)", re.IGNORECASE)),
    ("replace", re.compile(r"^would (?:have )?replac", re.IGNORECASE)),
    ("remove", re.compile(r"^would (?:have )?(?:delet|remov|terminat|releas)", re.IGNORECASE)),
    ("change", re.compile(r"^would (?:have )?(?:modif|updat|chang|set)", re.IGNORECASE)),
)
NO_INTERRUPTION = "no"

# What differs, by name: before and after.
Differences = dict[str, tuple[Any, Any]]


@dataclass
class Change:
    """One row of a plan."""

    action: str
    kind: str
    name: str
    role: str
    task: str
    details: list[str] = field(default_factory=list)
    interruption: str = NO_INTERRUPTION
    hosts: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "interrupts": self.interruption != NO_INTERRUPTION}


@dataclass(frozen=True)
class Kind:
    """How the resource of a module is called.

    `name` are the options that may hold its name, the first that is set wins. `exists` answers from stack_info's answer and the
    options whether there is one already; without it, one is known by its name. `several`: the module manages any number at once,
    and its diff has them by name.
    """

    word: str
    name: tuple[str, ...] = ("name",)
    exists: Callable[[dict, dict], Any] | None = None
    several: bool = False


def _role_of(options: dict) -> str:
    return (options.get("tags") or {}).get("Role", "")


KINDS = {
    "ec2_vpc_net": Kind("VPC", exists=lambda stack, options: stack.get("vpc")),
    "ec2_vpc_igw": Kind("internet gateway", ("tags.Name",), lambda stack, options: stack.get("internet_gateway_id")),
    "ec2_vpc_subnet": Kind(
        "subnet", ("tags.Name", "cidr"), lambda stack, options: options.get("cidr") in set(strings(stack.get("subnets")))
    ),
    "ec2_eip": Kind("elastic IP address", ("tag_value", "public_ip")),
    "ec2_vpc_nat_gateway": Kind(
        "NAT gateway",
        ("tags.Name", "nat_gateway_id"),
        lambda stack, options: options.get("subnet_id") in {gateway.get("subnet_id") for gateway in stack.get("nat_gateways") or []},
    ),
    "ec2_vpc_route_table": Kind("route table", ("tags.Name", "route_table_id"), lambda stack, options: options.get("lookup") == "id"),
    "ec2_security_group": Kind(
        "security group", ("name", "group_id"), lambda stack, options: (stack.get("security_groups") or {}).get(_role_of(options))
    ),
    "ec2_vpc_endpoint": Kind(
        "VPC endpoint",
        ("tags.Name", "vpc_endpoint_id"),
        lambda stack, options: (stack.get("vpc_endpoints") or {}).get(str(options.get("service", "")).rpartition(".")[2]),
    ),
    "rds_subnet_group": Kind("DB subnet group", exists=lambda stack, options: stack.get("database_subnet_group")),
    "rds_instance": Kind("database", ("db_instance_identifier",), lambda stack, options: stack.get("database")),
    "generated_secret": Kind("secret"),
    "ssm_parameter": Kind("SSM parameter"),
    "s3_bucket": Kind("bucket"),
    "bucket_drift": Kind("bucket", exists=lambda stack, options: True),
    "s3_lifecycle": Kind("bucket lifecycle"),
    "elb_target_group": Kind("target group"),
    "elb_application_lb": Kind("load balancer"),
    "ec2_launch_template": Kind("launch template", ("template_name", "name")),
    "autoscaling_group": Kind("auto scaling group"),
    "target_tracking_policy": Kind("scaling policy"),
    "autoscaling_lifecycle_hook": Kind("lifecycle hook", ("lifecycle_hook_name",)),
    "autoscaling_notification": Kind("scaling events of group"),
    "autoscaling_processes": Kind("scaling processes of group"),
    "iam_role": Kind("IAM role"),
    "iam_policy": Kind("policy of IAM role", ("iam_name",)),
    "iam_managed_policy": Kind("IAM policy"),
    "iam_instance_profile": Kind("instance profile"),
    "ec2_instance": Kind("instance", ("name", "instance_ids"), lambda stack, options: stack.get("bastion")),
    "sns_topic": Kind("SNS topic"),
    "cloudwatch_metric_alarm": Kind("alarm"),
    "metric_alarms": Kind("alarm", several=True),
    "acm_certificate": Kind("certificate", ("name_tag", "domain_name")),
    "route53": Kind("DNS record", ("record",)),
    "flow_log": Kind("flow logs of", ("vpc_id",)),
    "wafv2_web_acl": Kind("web ACL"),
    "wafv2_resources": Kind("web ACL", ("name",), lambda stack, options: True),
    "web_acl_log": Kind("log of web ACL", ("web_acl_arn",)),
    "db_parameter_group": Kind("DB parameter group"),
    "db_backup_replication": Kind("copies of backups of", ("identifier",)),
    "kms_key": Kind("key", ("alias",)),
    "cloudwatchlogs_log_group": Kind("log group", ("log_group_name",)),
    "log_group": Kind("log group", ("log_group_name",)),
    "eks_cluster": Kind("cluster"),
    "eks_node_group": Kind("node group"),
    "eks_addons": Kind("add-on", several=True),
}

# What is noticed of a change, by kind and action; of all others nothing is, unless what changes decides: `felt`.
INTERRUPTIONS = {
    ("auto scaling group", "remove"): "the application, until there is another one",
    ("cluster", "remove"): "everything in the cluster, for good",
    ("database", "remove"): "the application, for good",
    ("load balancer", "create"): "the load balancer's name is a new one: DNS entries have to follow",
    ("load balancer", "remove"): "the application, until there is another one",
    ("target group", "remove"): "the application, until there is another one",
    ("NAT gateway", "replace"): "connections of the instances to the internet, for some minutes",
    ("NAT gateway", "remove"): "connections of the instances to the internet through it",
    ("route table", "change"): "connections over the routes that change",
    ("instance", "change"): "sessions on the bastion",
    ("instance", "replace"): "sessions on the bastion",
    ("instance", "remove"): "sessions on the bastion",
    ("node group", "remove"): "pods that have no other node",
    ("security group", "remove"): "connections that it allows",
    ("subnet", "remove"): "everything in it",
    ("target group", "replace"): "the application, until there is another one",
    ("VPC", "remove"): "everything in it",
    ("VPC endpoint", "remove"): "connections to that service of AWS, where no NAT gateway leads to it",
}
DATABASE_RESTART = "perhaps a minute or two without the database, in its maintenance window or at once (database_apply_immediately)"
NEW_NODES = "pods move to new nodes, one node at a time: felt where there is one pod only"
API_SERVER = "connections to the cluster's API server, for moments"
# What EKS replaces nodes for.
NODE_VERSIONS = {"version", "release_version", "launch_template_version"}
# `target group x` or `target group x: details`
RESOURCE_WORDS = "|".join(sorted({kind.word for kind in KINDS.values()}, key=len, reverse=True))
RESOURCE = re.compile(rf"(?P<kind>{RESOURCE_WORDS}) (?P<name>[^\s,:]+)(?:: (?P<details>.*))?$")


def strings(value: Any) -> Iterator[str]:
    """Every string inside, keys too; of an ARN its last part, too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(key)
            yield from strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value
        if value.startswith("arn:"):
            yield value.rpartition(":")[2]


def pick(options: dict, path: str) -> str:
    """The value of an option as a name: `tags.Name` looks inside, a list is its members."""
    value: Any = options
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def short(value: Any, limit: int = 60) -> str:
    text = "none" if value in (None, "", [], {}) else str(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def diffs_of(result: dict) -> list[dict]:
    found = result.get("diff") or []
    return [entry for entry in (found if isinstance(found, list) else [found]) if isinstance(entry, dict)]


def differences(result: dict) -> Differences:
    """What a module's diff says. Text is not quoted: it may be a whole file."""
    found: Differences = {}
    for entry in diffs_of(result):
        before, after = entry.get("before"), entry.get("after")
        if isinstance(before, dict) and isinstance(after, dict):
            # A plan has no ARN of what it would change.
            keys = [key for key in sorted({*before, *after}, key=str) if not str(key).endswith("_arn")]
            found |= {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}
    return found


def against_stack(kind: str, options: dict, stack: dict) -> Differences:
    """The same for modules without a diff, where stack_info knows the value."""
    found = {"auto scaling group": stack.get("autoscaling_group")}.get(kind) or {}
    keys = [key for key in ("min_size", "max_size", "desired_capacity") if key in found and options.get(key) is not None]
    return {key: (found[key], options[key]) for key in keys if found[key] != options[key]}


# Options of rds_instance, and where its answer has them; the others are called the same in both.
DATABASE_ANSWERS: dict[str, Callable[[dict], Any]] = {
    "db_parameter_group_name": lambda found: next((one["db_parameter_group_name"] for one in found["db_parameter_groups"]), None),
    "db_subnet_group_name": lambda found: found["db_subnet_group"]["db_subnet_group_name"],
    "enable_cloudwatch_logs_exports": lambda found: found.get("enabled_cloudwatch_logs_exports") or [],
    "enable_iam_database_authentication": lambda found: found["iam_database_authentication_enabled"],
    "enable_performance_insights": lambda found: found.get("performance_insights_enabled", False),
    "port": lambda found: found["endpoint"]["port"],
    "vpc_security_group_ids": lambda found: sorted(one["vpc_security_group_id"] for one in found["vpc_security_groups"]),
}
DATABASE_OPTIONS = {
    *DATABASE_ANSWERS,
    "allocated_storage",
    "auto_minor_version_upgrade",
    "backup_retention_period",
    "copy_tags_to_snapshot",
    "db_instance_class",
    "deletion_protection",
    "engine_version",
    "monitoring_interval",
    "multi_az",
    "performance_insights_retention_period",
    "preferred_backup_window",
    "preferred_maintenance_window",
    "publicly_accessible",
    "storage_type",
    "tags",
}


def of_a_database(options: dict, result: dict) -> Differences:
    """rds_instance has no diff; in check mode it answers with the instance as it is, and what waits for the maintenance window."""
    if "db_instance_status" not in result:
        return {}
    pending, found = result.get("pending_modified_values") or {}, {}
    for key in sorted(DATABASE_OPTIONS & {key for key, value in options.items() if value is not None}):
        before = pending[key] if key in pending else DATABASE_ANSWERS.get(key, lambda answer, key=key: answer.get(key))(result)
        after = sorted(options[key]) if isinstance(options[key], list) else options[key]
        if before != after:
            found[key] = (before, after)
    return found


def database_felt(changed: Differences, single: bool) -> str:
    """https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ModifyInstance.Settings.html, column "Downtime notes"."""
    kinds_of_disk = {str(kind)[:2] for kind in changed.get("storage_type", ())}
    restarts = (
        bool(changed.keys() & {"db_instance_class", "engine_version", "port"})
        or len({bool(days) for days in changed.get("backup_retention_period", ())}) == 2
        # gp2 to gp3 is free of it; between gp and io it is felt in one zone, to and from magnetic disks always.
        or (len(kinds_of_disk) == 2 and (single or "st" in kinds_of_disk))
    )
    return DATABASE_RESTART if restarts else NO_INTERRUPTION


def felt(kind: str, action: str, changed: Differences, result: dict) -> str:
    """What visitors or operators notice."""
    if (kind, action) == ("database", "change"):
        return database_felt(changed, single=not result.get("multi_az"))
    if (kind, action) == ("node group", "change") and changed.keys() & NODE_VERSIONS:
        return NEW_NODES
    if (kind, action) == ("cluster", "change") and "version" in changed:
        return API_SERVER
    return INTERRUPTIONS.get((kind, action), NO_INTERRUPTION)


def told(changed: Differences) -> list[str]:
    """A line for each value that differs; of a dictionary, what differs in it."""
    lines = []
    for key, (before, after) in changed.items():
        if isinstance(before, dict) and isinstance(after, dict):
            same = [name for name in before.keys() & after.keys() if before[name] == after[name]]
            before, after = ({name: value for name, value in side.items() if name not in same} for side in (before, after))
        lines.append(f"{key}: {short(before)} -> {short(after)}")
    return lines


def action_of(kind: Kind | None, name: str, options: dict, result: dict, stack: dict) -> str:
    """create, change, replace or remove: said by the task, by its diff, or known from what exists."""
    if options.get("state") in ("absent", "deleted", "terminated"):
        return "remove"
    message = str(result.get("msg") or "")
    for action, words in WORDS:
        if words.search(message):
            return action
    sides = [(entry.get("before"), entry.get("after")) for entry in diffs_of(result) if "before" in entry and "after" in entry]
    if sides and all(not before and after for before, after in sides):
        return "create"
    if sides and all(before and not after for before, after in sides):
        return "remove"
    if sides:
        return "change"
    there = kind.exists(stack, options) if kind and kind.exists else name in set(strings(stack))
    return "change" if there or not kind else "create"


def changes_of(module: str, options: dict, result: dict, stack: dict, role: str, task: str, label: str = "") -> list[Change]:
    """The rows of one changed result."""
    kind = KINDS.get(module)
    if not kind or not kind.several:
        return [change_of(module, options, result, stack, role, task, label)]
    rows = []
    for entry in diffs_of(result):
        before, after = entry.get("before") or {}, entry.get("after") or {}
        for name in sorted({*before, *after}):
            sides = {"before": before.get(name) or {}, "after": after.get(name) or {}}
            if sides["before"] == sides["after"]:
                continue
            action = "create" if not sides["before"] else "remove" if not sides["after"] else "change"
            rows.append(Change(action, kind.word, name, role, task, told(differences({"diff": sides})) if action == "change" else []))
    return rows or [change_of(module, options, result, stack, role, task, label)]


def change_of(module: str, options: dict, result: dict, stack: dict, role: str, task: str, label: str = "") -> Change:
    """The row of one changed result. `module` is its name without the collection, `options` what it was called with."""
    if module == "debug":
        return said_by_a_task(str(result.get("msg") or task), role, task)
    kind = KINDS.get(module)
    name = (
        next(filter(None, (pick(options, path) for path in (kind.name if kind else ("name", "bucket", "path", "dest")))), "")
        or label
        or task
    )
    word = kind.word if kind else module.replace("_", " ")
    action = action_of(kind, name, options, result, stack)
    changed = differences(result)
    if not changed and action == "change":
        changed = of_a_database(options, result) if module == "rds_instance" else against_stack(word, options, stack)
    details = told(changed)
    if module == "iam_policy":
        details = [f"policy {options.get('policy_name')}"]
    if result.get("waiting_for_reboot"):
        details.append(f"at the next reboot only: {', '.join(result['waiting_for_reboot'])}")
    return Change(action, word, name, role, task, details, felt(word, action, changed, result))


def said_by_a_task(message: str, role: str, task: str) -> Change:
    """Where a module has no check mode, or what it would stand on is not there yet, a role says in words what it would do.

    `Would change the target group x: {...}` is the row of a resource, with details; any other sentence is a row as it stands.
    """
    text = re.sub(r"\s+", " ", message).strip().rstrip(".")
    action = next((action for action, words in WORDS if words.search(text)), "change")
    what = re.sub(r"^would (?:have )?(?:create|replace|remove|delete|terminate|change) (?:the )?", "", text, flags=re.IGNORECASE)
    named = RESOURCE.match(what)
    if not named:
        return Change(action, "", what, role, task)
    kind, name, details = named.group("kind", "name", "details")
    interruption = INTERRUPTIONS.get((kind, action), NO_INTERRUPTION)
    return Change(action, kind, name, role, task, [details] if details else [], interruption)


def merged(changes: Iterable[Change]) -> list[Change]:
    """One row a resource: several tasks change one; removed and created again is replaced; a task on many hosts is one row."""
    rows: dict[tuple, Change] = {}
    for change in changes:
        key = (change.kind, change.name) if not change.hosts else (change.kind, change.role)
        row = rows.get(key)
        if row is None:
            rows[key] = change
            continue
        row.details += [line for line in change.details if line not in row.details]
        row.hosts += [host for host in change.hosts if host not in row.hosts]
        if {row.action, change.action} == {"create", "remove"}:
            row.action = "replace"
            row.interruption = INTERRUPTIONS.get((row.kind, "replace"), row.interruption)
        elif row.action == "change":
            row.action = change.action
        if row.interruption == NO_INTERRUPTION:
            row.interruption = change.interruption
    return list(rows.values())


def make(changes: Iterable[Change], errors: list[dict], cost: dict | None) -> dict[str, Any]:
    rows = merged(changes)
    result = "error" if errors else "changes" if rows else "nothing to do"
    return {"result": result, "changes": [row.as_dict() for row in rows], "errors": errors, "cost": cost}


SIGNS = {"create": "+", "change": "~", "replace": "!", "remove": "-"}


def render(plan: dict[str, Any]) -> str:
    """The plan as a person reads it."""
    lines = []
    rows = [
        (
            f"{SIGNS[row['action']]} {row['action']}",
            " ".join(filter(None, (row["kind"], row["name"]))) + (f" ({', '.join(row['hosts'])})" if row["hosts"] else ""),
            row["interruption"],
            row["details"],
        )
        for row in plan["changes"]
    ]
    if rows:
        width = min(max(len(what) for _action, what, _felt, _details in rows), 76)
        lines.append(f"{'':9}  {'what':{width}}  downtime")
        for action, what, felt, details in rows:
            lines.append(f"{action:9}  {what:{width}}  {felt}")
            lines += [f"{'':13}{line}" for line in details]
        counts = [(action, sum(row["action"] == action for row in plan["changes"])) for action in SIGNS]
        lines.append("")
        lines.append(f"{len(rows)} in all: " + ", ".join(f"{count} to {action}" for action, count in counts if count))
    elif not plan["errors"]:
        lines.append("Nothing to do: the account is as the inventory wants it.")
    lines += render_cost(plan["cost"])
    lines += [f"ERROR: {error['task']} ({error['host']}): {error['message']}" for error in plan["errors"]]
    if plan["errors"]:
        lines.append("The plan is not complete: the run stopped at the error.")
    return "\n".join(lines)


def render_cost(cost: dict | None) -> list[str]:
    if not cost:
        return []
    before, after = cost["before"]["total"], cost["after"]["total"]
    lines = [
        f"Dollars a month: {before:.2f} now, {after:.2f} after ({after - before:+.2f}), at prices of {cost['prices_date']} (docs/cost.md)"
    ]
    first, last = set(cost["before"]["unpriced"]), set(cost["after"]["unpriced"])
    for name in sorted(first | last):
        sums = "both sums" if name in first & last else "the sum now" if name in first else "the sum after"
        lines.append(f"{'':4}no price is known of {name}, which is missing in {sums} (suite_cost_prices)")
    return lines + [f"{'':4}{row['part']}: {row['before']:.2f} -> {row['after']:.2f}" for row in cost["differences"]]
