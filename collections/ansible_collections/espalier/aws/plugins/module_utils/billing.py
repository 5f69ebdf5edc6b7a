# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an environment costs a month: quantities of what AWS bills, times list prices.

Quantities are one plain dictionary, whether they come from an inventory (`from_inputs`) or from an account (the module
espalier.aws.billed_info):

    {"machines": [{"part", "type", "count", "volume_type", "volume_gib"}], "database": {...} or null, "load_balancers": 1, ...}

An estimate is {"total": dollars, "parts": {part: dollars}, "lines": [{part, what, quantity, unit, price, dollars}], "unpriced": [name]}.
"""

from __future__ import annotations

from typing import Any

HOURS = 730
# The two that AWS makes for a target tracking policy are billed like any other.
ALARMS_OF_A_POLICY = 2
# One alarm for busy instances, one for unhealthy targets.
ALARMS = 2
# Storage, connections and CPU.
ALARMS_OF_THE_DATABASE = 3
# An alarm on an expression is billed for each metric in it: three for the errors, two for the latency.
ALARMS_OF_REQUESTS = 5
# The master's of the database, the application's, and Django's key.
SECRETS = 3
# AWS gives these away each month, account-wide and for good. Flow logs are priced apart.
FREE_TRANSFER_GIB = 100
FREE_DASHBOARDS = 3
FREE_ALARMS = 10
FREE_LOG_GIB = 5
# A log line of one gibibyte is kept compressed, at about a sixth.
LOG_COMPRESSION = 0.15

EMPTY = {
    "machines": [],
    "database": None,
    "load_balancers": 0,
    "load_balancer_zones": 0,
    "nat_gateways": 0,
    "public_machines": 0,
    "endpoints": {},
    "secrets": 0,
    "alarms": 0,
    "dashboards": 0,
    "clusters": 0,
    "web_acls": 0,
    "web_acl_rules": 0,
    "keys": 0,
    "flow_logs": False,
}


def machine(part: str, kind: str, count: int, volume_type: str, volume_gib: float) -> dict[str, Any]:
    return {"part": part, "type": kind, "count": int(count), "volume_type": volume_type, "volume_gib": float(volume_gib)}


def alarms_of(values: dict[str, Any]) -> int:
    if not values["alarms_enabled"]:
        return 0
    more = (ALARMS_OF_THE_DATABASE if values.get("alarms_database") else 0) + (ALARMS_OF_REQUESTS if values.get("alarms_requests") else 0)
    return ALARMS + more


def from_inputs(values: dict[str, Any]) -> dict[str, Any]:
    """Quantities of what an inventory asks for. `values` are inputs of the roles by name; one that is missing is not asked for."""
    zones = len(values["suite_availability_zones"])
    machines = [
        machine(
            "Instances",
            values["autoscaling_instance_type"],
            values["autoscaling_desired_capacity"],
            values["autoscaling_volume_type"],
            values["autoscaling_volume_gib"],
        ),
        machine("Bastion", values["bastion_instance_type"], 1, values["bastion_volume_type"], values["bastion_volume_gib"]),
    ]
    cluster = bool(values.get("suite_cluster"))
    if cluster:
        machines.append(
            machine(
                "Cluster",
                values["eks_node_instance_types"][0],
                values["eks_node_desired_size"],
                values["eks_node_volume_type"],
                values["eks_node_volume_gib"],
            )
        )
    load_balancers = 2 if cluster else 1
    return {
        **EMPTY,
        "machines": machines,
        "database": {
            "class": values["database_instance_class"],
            "multi_az": bool(values["database_multi_az"]),
            "storage_type": values["database_storage_type"],
            "storage_gib": float(values["database_storage_gib"]),
        },
        "load_balancers": load_balancers,
        "load_balancer_zones": load_balancers * zones,
        "nat_gateways": zones if values["vpc_nat_gateway_per_zone"] else 1,
        "public_machines": 1,
        "endpoints": dict.fromkeys(values["vpc_endpoints_services"], zones),
        "secrets": SECRETS,
        "alarms": alarms_of(values) + ALARMS_OF_A_POLICY,
        "dashboards": 1 if values.get("dashboard_enabled") else 0,
        "clusters": 1 if cluster else 0,
        "web_acls": 1 if values.get("waf_enabled") else 0,
        # A rule for each group, and one that limits how often an address asks.
        "web_acl_rules": len(values.get("waf_managed_rule_groups") or []) + 1 if values.get("waf_enabled") else 0,
        "keys": 1 if cluster and values.get("eks_encrypt_secrets") else 0,
        "flow_logs": bool(values.get("vpc_flow_logs")),
    }


def lines_of(quantities: dict[str, Any], usage: dict[str, float]) -> list[tuple[str, str, str, float]]:
    """(part, what, name of the price, quantity); a quantity of hours is per month."""
    q = {**EMPTY, **quantities}
    endpoint_zones = sum(q["endpoints"].values())
    lines = []
    for one in q["machines"]:
        what = f"{one['count']} x {one['type']}"
        lines.append((one["part"], what, f"ec2 {one['type']}", one["count"] * HOURS))
        lines.append((one["part"], f"volumes, {one['volume_type']}", f"ebs {one['volume_type']}", one["count"] * one["volume_gib"]))
    database = q["database"]
    if database:
        copies, words = (2, "Multi-AZ") if database["multi_az"] else (1, "Single-AZ")
        lines.append(("Database", f"{database['class']}, {words}", f"rds {database['class']}", copies * HOURS))
        lines.append(
            ("Database", f"storage, {database['storage_type']}", f"rds {database['storage_type']}", copies * database["storage_gib"])
        )
    balancers, gateways = q["load_balancers"], q["nat_gateways"]
    lines += [
        ("Load balancer", f"{balancers} running", "alb", balancers * HOURS),
        ("Load balancer", "capacity units", "lcu", usage["load_balancer_units"] * HOURS if balancers else 0),
        ("NAT gateways", f"{gateways} running", "nat", gateways * HOURS),
        ("NAT gateways", "data", "nat data", usage["nat_gib"] if gateways else 0),
        ("Public addresses", "NAT gateways", "ipv4", gateways * HOURS),
        ("Public addresses", "load balancer, one a zone", "ipv4", q["load_balancer_zones"] * HOURS),
        ("Public addresses", "bastion", "ipv4", q["public_machines"] * HOURS),
        ("VPC endpoints", "endpoints times zones", "endpoint", endpoint_zones * HOURS),
        ("VPC endpoints", "data", "endpoint data", usage["endpoint_gib"] if endpoint_zones else 0),
        ("S3", "storage", "s3", usage["bucket_gib"]),
        ("S3", "requests that write, thousands", "s3 writes", usage["bucket_writes"] / 1000),
        ("S3", "requests that read, thousands", "s3 reads", usage["bucket_reads"] / 1000),
        ("CloudWatch", "alarms, a metric each, beyond the free ones", "alarm", max(0, q["alarms"] - FREE_ALARMS)),
        ("CloudWatch", f"logs, written, beyond the first {FREE_LOG_GIB} GB", "logs", max(0, usage["log_gib"] - FREE_LOG_GIB)),
        ("CloudWatch", f"logs, kept, beyond {FREE_LOG_GIB} GB", "logs kept", max(0, usage["log_gib"] * LOG_COMPRESSION - FREE_LOG_GIB)),
        ("CloudWatch", "flow logs", "logs", usage["flow_log_gib"] if q["flow_logs"] else 0),
        ("CloudWatch", "dashboards beyond the free ones", "dashboard", max(0, q["dashboards"] - FREE_DASHBOARDS)),
        ("Secrets", "secrets", "secret", q["secrets"]),
        ("Secrets", "KMS keys", "key", q["keys"]),
        ("WAF", "web ACL", "web acl", q["web_acls"]),
        ("WAF", "rules", "web acl rule", q["web_acl_rules"]),
        ("WAF", "requests, millions", "web acl requests", usage["requests"] / 1e6 if q["web_acls"] else 0),
        ("Cluster", "control plane", "eks", q["clusters"] * HOURS),
        (
            "Data transfer",
            f"to the internet, beyond the first {FREE_TRANSFER_GIB} GB",
            "transfer",
            max(0, usage["transfer_gib"] - FREE_TRANSFER_GIB),
        ),
    ]
    return [line for line in lines if line[3]]


def estimate(quantities: dict[str, Any], prices: dict[str, dict], usage: dict[str, float]) -> dict[str, Any]:
    """The estimate. What the table has no price for is not in the sum, and named in `unpriced`."""
    lines, unpriced = [], []
    for part, what, name, quantity in lines_of(quantities, usage):
        if name not in prices:
            unpriced.append(name)
            continue
        price = prices[name]
        dollars = quantity * price["dollars"]
        lines.append(
            {"part": part, "what": what, "quantity": quantity, "unit": price["unit"], "price": price["dollars"], "dollars": dollars}
        )
    parts: dict[str, float] = {}
    for line in lines:
        parts[line["part"]] = parts.get(line["part"], 0) + line["dollars"]
    return {"total": sum(parts.values()), "parts": parts, "lines": lines, "unpriced": sorted(set(unpriced))}


# What can be saved: name, inputs that do it, and what one gives up.
SAVINGS = (
    ("one NAT gateway", {"vpc_nat_gateway_per_zone": False}, "when its zone fails, instances of the other zone lose the internet, too"),
    ("database in one zone", {"database_multi_az": False}, "when its zone or machine fails, it is away for minutes to hours"),
    ("20 GiB of database storage", {"database_storage_gib": 20}, "room; at creation only: it grows later, and never shrinks"),
    ("one instance", {"autoscaling_desired_capacity": 1}, "a failed instance is an outage until its successor serves"),
    (
        "no VPC endpoints",
        {"vpc_endpoints_services": []},
        "Session Manager then needs the NAT gateways; at creation only: no run removes one",
    ),
    (
        "t3.micro instances",
        {"autoscaling_instance_type": "t3.micro", "bastion_instance_type": "t3.micro"},
        "bursts are billed, where t2 becomes slow",
    ),
    ("db.t4g.micro", {"database_instance_class": "db.t4g.micro"}, "nothing: the same memory, on Arm processors"),
    ("no cluster", {"suite_cluster": False}, "the application runs on instances alone; at creation only: no run removes a cluster"),
)


def savings(values: dict[str, Any], prices: dict[str, dict], usage: dict[str, float]) -> list[dict[str, Any]]:
    """What each option saves by itself, the largest first; those that would save nothing are left out."""
    total = estimate(from_inputs(values), prices, usage)["total"]
    found = []
    for name, changes, loss in SAVINGS:
        other = estimate(from_inputs({**values, **changes}), prices, usage)
        saved = total - other["total"]
        if saved > 0.005 and not other["unpriced"]:
            found.append({"option": name, "set": changes, "dollars": saved, "loss": loss})
    return sorted(found, key=lambda entry: -entry["dollars"])


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """Parts whose cost differs."""
    rows = [
        {"part": part, "before": before["parts"].get(part, 0.0), "after": after["parts"].get(part, 0.0)}
        for part in dict.fromkeys([*before["parts"], *after["parts"]])
    ]
    return [row for row in rows if abs(row["before"] - row["after"]) > 0.005]


# What scales by itself: the part of its machines, and the inputs that say how many there are.
SCALED = (
    ("Instances", "autoscaling_desired_capacity", "autoscaling_min_size", "autoscaling_max_size"),
    ("Cluster", "eks_node_desired_size", "eks_node_min_size", "eks_node_max_size"),
)


# No run removes one that is there: a cluster that is switched off, or what somebody else made.
KEPT = ("alarms", "secrets", "keys", "clusters", "load_balancers", "load_balancer_zones")


def wanted(values: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What an account will bill after a run: the inventory's quantities; the account's own where scaling decides or no run removes it."""
    for part, desired, least, most in SCALED:
        count = sum(one["count"] for one in found["machines"] if one["part"] == part)
        if count:
            values = {**values, desired: max(int(values[least]), min(int(values[most]), count))}
    asked = from_inputs(values)
    parts = {one["part"] for one in asked["machines"]}
    return {
        **asked,
        **{key: max(asked[key], found[key]) for key in KEPT},
        "machines": asked["machines"] + [one for one in found["machines"] if one["part"] not in parts],
        # One that exists keeps its zones, too.
        "endpoints": asked["endpoints"] | found["endpoints"],
    }
