# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with an environment, judged by facts alone: each check takes them and yields findings, from the visitor to the data.

`facts` are the answers of stack.py (`stack`), stack_status.py (`today`), release_store.py (`released`), doctor_facts.py (its keys),
what each machine said of itself (`machines`, by id), what the cluster's API server answered (`kubernetes`) and what the inventory wants
(`expected`). What could not be read is missing: a key of doctor_facts.py, or one of `stack` or `today`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

Facts = dict[str, Any]
Findings = Iterator[dict[str, str]]

# How old a snapshot may be with daily backups, and how far behind the log may be; AWS ships it every five minutes.
SNAPSHOT_HOURS, LOG_MINUTES = 26, 30
# AWS renews its own certificates 60 days before they expire; one that is closer than this was not renewed.
CERTIFICATE_DAYS = 30
# The clock's offset includes the time that the question was under way. AWS refuses requests that are five minutes off.
DISK_PERCENT, MEMORY_PERCENT, CLOCK_SECONDS, QUOTA_PERCENT = 90, 5, 60, 90
# How Python and command lines begin the line that says why.
ERROR = re.compile(r"^(?:[\w.]*(?:Error|Exception|ImproperlyConfigured|DoesNotExist)|[\w-]+: error): ")
UNITS = ("nginx.service", "gunicorn.socket", "gunicorn.service", "django-environment.service")
READY = ("available", "backing-up", "modifying", "storage-optimization")
NETWORK = "ansible-playbook site.yml --tags network"
COMPUTE = "ansible-playbook site.yml --tags compute"
APP = "ansible-playbook site.yml --tags app"
APP_FULL = f"{APP} -e app_full=true"
CLUSTER = "ansible-playbook site.yml --tags cluster"
# By the end of its name: the switch that makes it, and what to do when it rings. docs/runbooks/alarms.md has the same with more words.
ALARMS = {
    "cpu-high": (
        "alarms",
        "The group should have grown: docs/runbooks/auto-scaling.md. At its maximum: a higher autoscaling_max_size, or a larger "
        f"autoscaling_instance_type; {COMPUTE}",
    ),
    "unhealthy-targets": ("alarms", "Which target, and why, is among the other findings; docs/runbooks/unhealthy-targets.md"),
    "errors-high": (
        "alarms_requests",
        "make logs; after a deploy: ansible-playbook playbooks/rollback.yml; 502 and 503: docs/runbooks/unhealthy-targets.md",
    ),
    "latency-high": (
        "alarms_requests",
        "make logs, and the database: make dbshell, then SELECT * FROM pg_stat_activity WHERE state <> 'idle';",
    ),
    "database-storage-low": (
        "alarms_database",
        "A larger database_storage_gib; ansible-playbook site.yml --tags data -e database_apply_immediately=true; it never shrinks again",
    ),
    "database-connections-high": (
        "alarms_database",
        "Fewer gunicorn_workers, or a larger database_instance_class; who holds them: make dbshell, then "
        "SELECT usename, state, count(*) FROM pg_stat_activity GROUP BY 1, 2;",
    ),
    "database-cpu-high": (
        "alarms_database",
        "make dbshell, then SELECT pid, now() - query_start, query FROM pg_stat_activity WHERE state = 'active' ORDER BY 2 DESC; "
        "(an index?), to end one: SET ROLE NONE; SELECT pg_terminate_backend(PID); or a larger database_instance_class",
    ),
}


class UnknownError(Exception):
    """A check needs to know what could not be looked at."""


class Known(dict[str, Any]):
    """What was looked at."""

    def __missing__(self, key: str) -> Any:
        raise UnknownError(key)


def finding(check: str, subject: str, problem: str, fix: str, severity: str = "problem") -> dict[str, str]:
    """`severity` is `problem`, or `warning` for what hurts nobody yet."""
    return {"check": check, "severity": severity, "subject": subject, "problem": problem, "fix": fix}


def seconds_since(moment: str | None, now: datetime) -> float:
    return (now - datetime.fromisoformat(moment)).total_seconds() if moment else 0.0


def now_of(facts: Facts) -> datetime:
    return datetime.fromisoformat(facts["now"]) if facts.get("now") else datetime.now(UTC)


def app_machines(facts: Facts) -> list[dict[str, Any]]:
    return [one for one in facts["today"]["machines"] if one["role"] == "app" and one["state"] == "running"]


def targets(facts: Facts) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in (facts["stack"]["target_group"] or {"targets": []})["targets"]}


# From the visitor to the instances


def names(facts: Facts) -> Findings:
    balancer = (facts["stack"].get("load_balancer") or {}).get("dns_name", "the load balancer")
    for name, addresses in facts.get("names", {}).items():
        if isinstance(addresses, str):
            yield finding(
                "DNS", name, f"the name does not resolve: {addresses}", f"Make a Route 53 alias, or a CNAME, of {name} to {balancer}."
            )


def lead_here(facts: Facts) -> Findings:
    """Some of the addresses have to be the load balancer's: it has several, and changes them."""
    balancer = facts.get("balancer")
    if not isinstance(balancer, list):
        return
    for name, addresses in facts.get("names", {}).items():
        if name in facts["expected"]["domains"] and isinstance(addresses, list) and not set(addresses) & set(balancer):
            dns_name = facts["stack"]["load_balancer"]["dns_name"]
            problem = f"it leads to {', '.join(addresses)}, and the load balancer is {', '.join(balancer)}"
            fix = f"Where no proxy or CDN of yours stands before it: make a Route 53 alias, or a CNAME, of {name} to {dns_name}."
            yield finding("DNS", name, problem, fix, "warning")


def old(certificate: dict[str, Any], now: datetime) -> Findings:
    left = -seconds_since(certificate["expires"], now) / 86400
    if certificate["status"] != "ISSUED":
        problem, fix = f"it is {certificate['status']}", "Make its validation record in DNS, or name another one."
        yield finding("certificate", certificate["domain"], problem, fix)
    elif certificate["expires"] and left < CERTIFICATE_DAYS:
        fix = (
            "Import a new one into ACM under the same ARN."
            if certificate["imported"]
            else "Its validation record must be in DNS, then AWS renews it."
        )
        yield finding("certificate", certificate["domain"], f"it expires in {int(left)} days", fix)


def certificates(facts: Facts) -> Findings:
    covered = {name for one in facts["today"]["certificates"] for name in one["names"]}
    for one in facts["today"]["certificates"]:
        yield from old(one, now_of(facts))
    if covered:
        wild = {f"*.{name.partition('.')[2]}" for name in facts["expected"]["names"]}
        for name in facts["expected"]["names"]:
            if not covered & {name, f"*.{name.partition('.')[2]}"} and wild:
                yield finding(
                    "certificate",
                    name,
                    "no certificate of the load balancer covers the name",
                    "Name one in app_domains that is covered, or a certificate that covers it.",
                )


def allows(rules: list[dict[str, Any]], port: int, sources: set[str]) -> bool:
    return any(
        rule["protocol"] in ("tcp", "-1") and rule["source"] in sources and (rule["first"] is None or rule["first"] <= port <= rule["last"])
        for rule in rules
    )


def security_groups(facts: Facts) -> Findings:
    rules, expected = facts.get("rules"), facts["expected"]
    if rules is None or not facts["stack"]["vpc"]:
        return
    missing = sorted({"load_balancer", "app", "database", "bastion", "endpoints"} - set(rules))
    if missing:
        yield finding("security groups", ", ".join(missing), "the group does not exist", NETWORK)
        return
    block = facts["stack"]["vpc"]["cidr_block"]
    ports = sorted({listener["port"] for listener in facts["stack"]["listeners"]}) or [80]
    app, database = {rules["app"]["id"]}, expected["database_port"]
    everywhere = {"0.0.0.0/0", *expected["visitors"]}
    wanted = [("load_balancer", "inbound", port, everywhere, f"visitors cannot reach port {port}") for port in ports]
    wanted += [
        (
            "load_balancer",
            "outbound",
            expected["app_port"],
            {block, "0.0.0.0/0", *app},
            "the load balancer cannot send requests to instances",
        ),
        (
            "app",
            "inbound",
            expected["app_port"],
            {rules["load_balancer"]["id"]},
            "the load balancer cannot reach instances (Target.Timeout)",
        ),
        ("app", "outbound", database, {"0.0.0.0/0", rules["database"]["id"]}, "instances cannot send anything to the database"),
        ("database", "inbound", database, app, "instances cannot reach the database"),
        ("database", "inbound", database, {rules["bastion"]["id"]}, "the bastion cannot reach the database"),
        ("app", "outbound", 443, {"0.0.0.0/0"}, "instances cannot reach AWS's services"),
    ]
    if expected["endpoints"]:
        wanted.append(("endpoints", "inbound", 443, {block}, "the agents of Session Manager cannot reach its endpoints"))
    for role, direction, port, sources, effect in wanted:
        if not allows(rules[role][direction], port, sources):
            lacks = f"{rules[role]['id']} lacks the {direction} rule for port {port}: {effect}"
            yield finding("security groups", role, lacks, NETWORK)


def open_doors(facts: Facts) -> Findings:
    """What is open to the world that must not be."""
    for role in ("app", "database", "bastion"):
        group = (facts.get("rules") or {}).get(role, {"inbound": []})
        for rule in group["inbound"]:
            if rule["source"] in ("0.0.0.0/0", "::/0"):
                ports = (
                    "every port"
                    if rule["first"] is None
                    else f"port {rule['first']}" + (f" to {rule['last']}" if rule["last"] != rule["first"] else "")
                )
                yield finding("drift", role, f"{group['id']} lets the whole world in ({ports} from {rule['source']})", NETWORK)
    bucket = facts.get("public_access")
    if bucket and bucket["open"]:
        problem = f"it may be made public: {', '.join(bucket['open'])} is off"
        yield finding("drift", bucket["bucket"], problem, "ansible-playbook site.yml --tags data")


def said_by(page: dict[str, Any]) -> str:
    return f"answers {page['status']}" if page["status"] else f"does not answer: {page['error']}"


def load_balancer(facts: Facts) -> Findings:
    found, page = facts["stack"]["load_balancer"], facts.get("page")
    if not found:
        yield finding("load balancer", "load balancer", "there is none", "ansible-playbook site.yml --tags edge")
        return
    if found["state"] not in ("active", "active_impaired"):
        yield finding(
            "load balancer", found["name"], f"it is {found['state']}", "Wait some minutes; then see its state reason in the EC2 console."
        )
    if not facts["stack"]["listeners"]:
        yield finding("load balancer", found["name"], "it has no listener", "ansible-playbook site.yml --tags edge")
    if page and page["status"] != 200:
        problem = f"{facts['expected']['health_path']} {said_by(page)}"
        yield finding("page", facts["expected"]["url"], problem, "The causes are among the other findings.")


REASONS = {
    "Target.Timeout": "Nothing answers in time: security groups, or an instance that is overloaded or hangs.",
    "Target.FailedHealthChecks": "Nginx does not answer, or its connection is refused.",
    "Target.ResponseCodeMismatch": "Nginx answers, Django does not.",
    "Target.NotInUse": "No listener forwards to the target group: ansible-playbook site.yml --tags edge",
}
# Of any other reason.
UNHEALTHY = "docs/runbooks/unhealthy-targets.md"


def target_health(facts: Facts) -> Findings:
    for name, target in targets(facts).items():
        if target["state"] in ("unhealthy", "unused"):
            why = " ".join(filter(None, (target["reason"], target["description"])))
            hint = REASONS.get(target["reason"] or "", UNHEALTHY)
            known = facts["machines"].get(name)
            fix = hint if known is None or "silent" in known else f"{hint} What the instance says of itself is among the other findings."
            yield finding("target", name, f"the load balancer calls it {target['state']}: {why}", fix)


def registration(facts: Facts) -> Findings:
    stack, group = facts["stack"], facts.get("group")
    found = stack["autoscaling_group"]
    if not found or not stack["target_group"]:
        return
    attached = group is None or stack["target_group"]["arn"] in group["target_groups"]
    if not attached:
        yield finding(
            "registration", found["name"], "the group is not attached to the target group: no new instance gets requests", COMPUTE
        )
    if "AddToLoadBalancer" in found["suspended_processes"]:
        yield finding(
            "registration",
            found["name"],
            "its process AddToLoadBalancer is suspended: no new instance gets requests",
            resume(found, "AddToLoadBalancer"),
        )
    known = targets(facts)
    for member in found["instances"]:
        if member["lifecycle_state"] == "InService" and member["id"] not in known:
            yield finding("registration", member["id"], "it is in service in the group, and the load balancer does not know it", APP)


# The instances themselves


def sessions(facts: Facts) -> Findings:
    endpoints, agents = facts.get("endpoints"), facts["today"]["agents"]
    if endpoints is not None and facts["stack"]["vpc"]:
        for service in facts["expected"]["endpoints"]:
            state = endpoints.get(service.rpartition(".")[2], {"state": "missing"})["state"]
            if state not in ("available", "pending"):
                yield finding("session manager", service, f"the VPC endpoint is {state}: instances cannot reach the service by it", NETWORK)
    profile = facts.get("profile", False)
    if profile is None or (profile and not profile["roles"]):
        yield finding("session manager", "instance profile", "it is missing or has no role: instances have no rights at all", COMPUTE)
    for one in facts["today"]["machines"]:
        # A new machine needs a minute or two.
        if one["state"] == "running" and agents.get(one["id"]) != "Online" and seconds_since(one["launched"], now_of(facts)) > 300:
            state = agents.get(one["id"], "never seen")
            fix = f"If endpoints and profile are sound: aws ec2 reboot-instances --instance-ids {one['id']}"
            yield finding("session manager", one["id"], f"its agent is {state}: Ansible and operators cannot reach it", fix)


def last_words(said: dict[str, Any], what: str) -> str:
    """The last error of the log; Gunicorn ends its own with `Worker failed to boot`."""
    log = said.get("log") or []
    line = next((line for line in reversed(log) if ERROR.search(line)), log[-1] if log else "")
    return f" {what}: {line}" if line else ""


def services(facts: Facts) -> Findings:
    for name, said in facts["machines"].items():
        if "silent" in said:
            yield finding(
                "instance", name, f"it did not answer the question how it is: {said['silent']}", f"make shell INSTANCE={name}", "warning"
            )
            continue
        for unit in UNITS:
            state = said["units"].get(unit, {"active": "unknown", "load": "unknown"})
            if state["load"] == "masked":
                yield finding(
                    "instance", name, f"{unit} is masked", f"make shell INSTANCE={name}, then: sudo systemctl unmask {unit}; then {APP}"
                )
            elif state["active"] != "active":
                yield finding("instance", name, f"{unit} is {state['active']}.{last_words(said, 'Its last words')}", APP)
        if said["health"] != 200 and said["units"].get("nginx.service", {}).get("active") == "active":
            last = last_words(said, "Last line of the log")
            yield finding(
                "instance",
                name,
                f"Django does not answer {facts['expected']['health_path']} (status {said['health']}).{last}",
                f"make logs INSTANCE={name}; ansible-playbook playbooks/restart.yml, or ansible-playbook playbooks/rollback.yml",
            )


def disks(facts: Facts) -> Findings:
    for name, said in facts["machines"].items():
        for disk in said.get("disks", []):
            for what, percent in (("space", disk["space_percent"]), ("inodes", disk["inodes_percent"])):
                if percent >= DISK_PERCENT:
                    fix = (
                        f"make shell INSTANCE={name}, then make room (what is large: sudo du -x {disk['mount']} | sort -n | tail); "
                        "or a larger autoscaling_volume_gib, and replace the instance"
                    )
                    yield finding("disk", name, f"{disk['mount']} has used {percent} % of its {what}", fix)
        if said.get("memory_percent", 100) < MEMORY_PERCENT:
            yield finding(
                "memory",
                name,
                f"{said['memory_percent']} % of its memory is free",
                "A larger autoscaling_instance_type, or fewer gunicorn_workers.",
                "warning",
            )


def clocks(facts: Facts) -> Findings:
    for name, said in facts["machines"].items():
        offset = said.get("clock_offset_seconds", 0)
        if abs(offset) > CLOCK_SECONDS:
            fix = f"make shell INSTANCE={name}, then: timedatectl status; sudo systemctl restart systemd-timesyncd (or chrony)"
            yield finding("clock", name, f"its clock is {offset:.0f} s off: AWS refuses requests that are five minutes off", fix)


# The database


def database(facts: Facts) -> Findings:
    found, expected = facts["stack"]["database"], facts["expected"]
    if not expected["database"]:
        return
    if not found:
        yield finding(
            "database", "database", "there is none", "ansible-playbook site.yml --tags data,app; with a snapshot: docs/runbooks/restore.md"
        )
        return
    name = found["identifier"]
    if found["status"] == "stopped":
        yield finding("database", name, "it is stopped", f"aws rds start-db-instance --db-instance-identifier {name}")
    elif found["status"] not in READY:
        yield finding(
            "database", name, f"it is {found['status']}", f"aws rds describe-events --source-type db-instance --source-identifier {name}"
        )
    value = facts.get("values", {}).get(expected["database_parameter"], found["address"])
    if found["address"] and value != found["address"]:
        problem = f"it says {value or 'nothing'}, and the database is {found['address']}: instances ask the wrong one"
        yield finding(
            "database",
            expected["database_parameter"],
            problem,
            "ansible-playbook site.yml --tags data, then ansible-playbook playbooks/restart.yml",
        )
    wanted, groups = (facts.get("rules") or {}).get("database"), (facts.get("database") or {}).get("groups")
    if wanted and groups is not None and wanted["id"] not in groups:
        yield finding("database", name, f"it does not wear the security group {wanted['id']}", "ansible-playbook site.yml --tags data")
    expires = (facts.get("database") or {}).get("certificate_expires")
    if expires and -seconds_since(expires, now_of(facts)) < 60 * 86400:
        yield finding(
            "database",
            name,
            f"its TLS certificate expires on {expires[:10]}",
            f"aws rds modify-db-instance --db-instance-identifier {name} --ca-certificate-identifier rds-ca-rsa2048-g1",
            "warning",
        )


def secrets(facts: Facts) -> Findings:
    expected = facts["expected"]
    for name in filter(None, [*expected["secrets"], expected["master_secret"]]):
        found = facts["stack"]["secrets"].get(name)
        if found is None:
            yield finding(
                "secrets",
                name,
                "the secret does not exist: a deploy or a restart fails",
                "ansible-playbook site.yml --tags data",
            )
        elif found["deleted_date"]:
            yield finding(
                "secrets",
                name,
                f"it is about to be deleted ({found['deleted_date']})",
                f"aws secretsmanager restore-secret --secret-id {name}",
            )


LOGINS = (
    (
        "password authentication failed",
        "The database does not accept the password of the secret. " + APP_FULL + " sets it; the master's: see docs/runbooks/database.md",
    ),
    ("timed out", "Security groups, or a network ACL: the finding on security groups says which. " + NETWORK),
    ("refused", "The database's address or port is wrong, or it does not run."),
    ("not known", "The name of the database does not resolve inside the VPC: its DNS attributes must be on. " + NETWORK),
    ("too many", "Fewer gunicorn_workers, or a larger database_instance_class: " + "every worker keeps a connection."),
    ("remaining connection slots", "Fewer gunicorn_workers, or a larger database_instance_class: every worker keeps a connection."),
)


def database_hop(facts: Facts) -> Findings:
    for name, said in facts["machines"].items():
        reached = said.get("database") or {}
        error = reached.get("error", "")
        ready = said.get("ready", 200)
        if not error and ready == 200:
            continue
        if not facts["expected"]["database"] or said.get("health") != 200:
            continue
        error = error or f"{facts['expected']['ready_path']} answers {ready}"
        fix = next((fix for words, fix in LOGINS if words in error.lower()), f"make logs INSTANCE={name}; make dbshell")
        yield finding("database connection", name, f"it does not reach its database {reached.get('address', '')}: {error}", fix)


# The cluster


def cluster(facts: Facts) -> Findings:
    """What EKS says of the control plane, the nodes and the add-ons, and whether pods may reach the database."""
    found, group = facts["stack"]["cluster"], facts["stack"]["node_group"]
    if not found:
        if facts["expected"]["cluster"]:
            yield finding("cluster", "cluster", "there is none", CLUSTER)
        return
    name = found["name"]
    if found["status"] != "ACTIVE":
        yield finding("cluster", name, f"it is {found['status']}", f"aws eks describe-cluster --name {name}; then {CLUSTER}")
    if not group:
        yield finding("cluster", name, "it has no node group: no pod can run", CLUSTER)
    elif group["status"] not in ("ACTIVE", "UPDATING"):
        yield finding("cluster", group["name"], f"the node group is {group['status']}", f"{CLUSTER}; docs/cluster.md")
    for one in facts.get("eks") or []:
        yield finding("cluster", one["subject"], one["problem"], f"{CLUSTER}; docs/cluster.md")
    rules, port = (facts.get("rules") or {}).get("database"), facts["expected"]["database_port"]
    if rules and found["security_group_id"] and not allows(rules["inbound"], port, {found["security_group_id"]}):
        lacks = f"{rules['id']} lacks the inbound rule for port {port} from {found['security_group_id']}: pods cannot reach the database"
        yield finding("security groups", "database", lacks, CLUSTER)


# Words of the reason why a pod does not run, and the fix; the first that fits.
PODS = (
    ("Insufficient", "The nodes are full: a larger eks_node_max_size, or smaller requests in app_chart_values. " + CLUSTER),
    ("untolerated taint", "No node takes it: kubectl get nodes; kubectl uncordon NODE"),
    ("unschedulable", "No node takes it: kubectl get nodes; kubectl uncordon NODE"),
    ("ImagePull", "The registry has no such image, or refuses the nodes: {again}. Changed by hand: {undo}"),
    ("InvalidImageName", "Changed by hand: {undo}"),
    ("OOMKilled", "It needs more memory: app_chart_values, resources.limits.memory; or fewer gunicorn_workers. {again}"),
    ("CreateContainerConfigError", "A Secret or a ConfigMap that it names is missing. {again}"),
    ("CrashLoopBackOff", "Mostly a setting: kubectl --namespace {namespace} logs deployment/{name} --previous; then {again}"),
    (
        "unready status",
        "Its readiness asks for the database, too: kubectl --namespace {namespace} describe deployment/{name}; then {again}",
    ),
)


def pods(facts: Facts) -> Findings:
    """What the cluster's API server says of nodes, pods and ingresses."""
    said = facts.get("kubernetes") or {}
    if not said:
        return
    if said["error"]:
        fix = "Your address must be in eks_endpoint_public_cidr_blocks, and who you are in eks_access_entries: docs/cluster.md"
        yield finding("cluster", "API server", f"it cannot be asked: {said['error']}", fix)
        return
    for node in said["nodes"]:
        name = node["metadata"]["name"]
        ready = next((one for one in node["status"].get("conditions", []) if one["type"] == "Ready"), {})
        if ready.get("status") != "True":
            problem = f"the node is not ready: {ready.get('message', 'it has said nothing')}"
            yield finding("node", name, problem, f"kubectl describe node {name}; terminate its instance, and the group replaces it")
        elif node["spec"].get("unschedulable"):
            yield finding("node", name, "the node takes no new pods", f"kubectl uncordon {name}", "warning")
    for namespace, troubled in said["pods"].items():
        again = f"ansible-playbook site.yml --tags {said['tags'].get(namespace, 'cluster')}"
        for name, reason in troubled.items():
            fix = next((fix for words, fix in PODS if words in reason), "kubectl --namespace {namespace} describe pods; {again}")
            severity = "warning" if name in said["may_lack"] else "problem"
            undo = f"kubectl --namespace {namespace} rollout undo deployment/{name}"
            fix = fix.format(again=again, undo=undo, namespace=namespace, name=name)
            yield finding("pods", f"{namespace}/{name}", f"a pod is not ready: {reason}", fix, severity)
    for ingress in said["ingresses"]:
        if not (ingress.get("status", {}).get("loadBalancer") or {}).get("ingress"):
            name = f"{ingress['metadata']['namespace']}/{ingress['metadata']['name']}"
            fix = "kubectl --namespace kube-system logs deployment/aws-load-balancer-controller; the public subnets need their tags: "
            yield finding("ingress", name, "it has no address: no load balancer serves it", fix + NETWORK)


def ingresses(facts: Facts) -> Findings:
    """The way of visitors to the pods."""
    for host, one in facts.get("ingresses", {}).items():
        for certificate in one["certificates"]:
            yield from old(certificate, now_of(facts))
        ill = [target for target in one["targets"] if target["state"] == "unhealthy"]
        if ill:
            why = " ".join(filter(None, (ill[0]["reason"], ill[0]["description"])))
            problem = f"its load balancer calls {len(ill)} of {len(one['targets'])} pods unhealthy: {why}"
            hint = REASONS.get(ill[0]["reason"] or "", "")
            yield finding("ingress", host, problem, f"{hint} The pods are among the other findings; {CLUSTER}".strip())
        if one["page"] and one["page"]["status"] != 200:
            problem = f"{facts['expected']['health_path']} {said_by(one['page'])}"
            yield finding("ingress", one["url"], problem, "The causes are among the other findings.")


# Scaling and releases


def resume(group: dict[str, Any], *processes: str) -> str:
    return f"aws autoscaling resume-processes --auto-scaling-group-name {group['name']} --scaling-processes {' '.join(processes)}"


def scaling(facts: Facts) -> Findings:
    found, group = facts["stack"]["autoscaling_group"], facts.get("group")
    if not found:
        yield finding("auto scaling", "auto scaling group", "there is none", COMPUTE)
        return
    suspended = [one for one in found["suspended_processes"] if one != "AddToLoadBalancer"]
    if suspended:
        yield finding(
            "auto scaling",
            found["name"],
            f"its processes {', '.join(suspended)} are suspended: it does not do these things",
            f"After a run that was cut off: {APP}. Otherwise: {resume(found, *suspended)}",
        )
    if group is not None:
        policy = next((one for one in group["policies"] if one["name"] == facts["expected"]["policy"]), None)
        if policy is None or not policy["enabled"]:
            yield finding(
                "auto scaling",
                found["name"],
                f"its policy {facts['expected']['policy']} is {'missing' if policy is None else 'off'}: load does not change its size",
                COMPUTE,
            )
    if found["min_size"] == found["max_size"]:
        yield finding(
            "auto scaling",
            found["name"],
            f"its smallest and largest size are both {found['min_size']}: it cannot scale",
            "Set autoscaling_max_size higher; " + COMPUTE,
            "warning",
        )
    for key, variable in (("min_size", "autoscaling_min_size"), ("max_size", "autoscaling_max_size")):
        if found[key] != facts["expected"][key]:
            yield finding("drift", found["name"], f"{key} is {found[key]}, and {variable} is {facts['expected'][key]}", COMPUTE)
    if len(app_machines(facts)) < found["min_size"]:
        yield finding(
            "auto scaling",
            found["name"],
            f"{len(app_machines(facts))} instances run, and it wants {found['min_size']} at least",
            "The causes are among the other findings: launches, births, quotas.",
        )


LAUNCHES = (
    ("Profile", "The instance profile is missing. " + COMPUTE),
    ("AMI", "The image is gone. " + COMPUTE + " -e autoscaling_refresh_image=true"),
    ("image id", "The image is gone. " + COMPUTE + " -e autoscaling_refresh_image=true"),
    ("VcpuLimitExceeded", "Ask for a higher quota L-1216C47A in Service Quotas."),
    ("InsufficientInstanceCapacity", "AWS is out of this type in the zone: wait, or set autoscaling_instance_type."),
    ("security group", NETWORK),
    ("subnet", NETWORK),
)


def launches(facts: Facts) -> Findings:
    image = facts.get("image")
    if image and image["state"] != "available":
        yield finding(
            "launch",
            image["id"],
            f"the image of new instances is {image['state']}: none can be launched",
            COMPUTE + " -e autoscaling_refresh_image=true",
        )
    last = next((one for one in facts["today"]["activities"] if one["status"] in ("Failed", "Cancelled", "Successful")), None)
    if last and last["status"] == "Failed":
        fix = next((fix for words, fix in LAUNCHES if words.lower() in last["message"].lower()), "See the message; then " + COMPUTE)
        yield finding("launch", last["description"], f"the group's last action failed: {last['message']}", fix)
    for birth in facts.get("births", [])[:1]:
        if seconds_since(birth["at"], now_of(facts)) < 3600:
            problem = f"a new instance failed to configure itself at {birth['at']}: {' | '.join(birth['tail'][-2:])}"
            yield finding(
                "birth", birth["log"], problem, f"aws s3 cp {birth['log']} - shows all of it; the group tries again by itself", "warning"
            )


def releases(facts: Facts) -> Findings:
    released = facts.get("released") or {}
    current = released.get("current")
    if current and current not in [one["version"] for one in released.get("releases", [])]:
        problem = f"it names {current}, which is not in the store: no new instance can serve"
        yield finding(
            "release",
            facts["expected"]["release_parameter"],
            problem,
            f"{APP}, or ansible-playbook playbooks/rollback.yml -e app_version=<one of releases.yml>",
        )
    for name, said in facts["machines"].items():
        if current and said.get("release") and said["release"] != current:
            yield finding("release", name, f"it serves {said['release']}, and the current release is {current}", APP)
        if said.get("changed_files"):
            yield finding("drift", name, f"changed since the last deploy: {', '.join(said['changed_files'])}", APP)
    lock = released.get("lock")
    if lock:
        problem = f"{lock['owner']} has had it since {lock['since']} for {lock['what']}"
        yield finding("deploy lock", "releases", problem, "If that run is dead: ansible-playbook playbooks/unlock.yml", "warning")


def backups(facts: Facts) -> Findings:
    found, now = facts["today"]["backups"], now_of(facts)
    if found is None or not facts["expected"]["database"]:
        return
    name = (facts["stack"]["database"] or {"identifier": "database"})["identifier"]
    if not found["retention_days"]:
        yield finding(
            "backup", name, "automatic backups are off", "Set database_backup_retention_days; ansible-playbook site.yml --tags data"
        )
    elif not found["restorable_to"]:
        yield finding(
            "backup",
            name,
            "it cannot be restored to a moment yet",
            "A new database needs some minutes; then: aws rds describe-events",
            "warning",
        )
    elif seconds_since(found["restorable_to"], now) > LOG_MINUTES * 60:
        problem = f"the last moment that it can be restored to is {found['restorable_to']}"
        yield finding("backup", name, problem, f"aws rds describe-events --source-type db-instance --source-identifier {name}")
    last = next((one for one in found["snapshots"] if one["status"] == "available" and one["at"]), None)
    hours = seconds_since(last["at"], now) / 3600 if last else 0
    if not last:
        yield finding("backup", name, "there is no snapshot", "ansible-playbook playbooks/backup.yml", "warning")
    elif hours > SNAPSHOT_HOURS:
        yield finding("backup", name, f"the newest snapshot is {hours:.0f} hours old", "ansible-playbook playbooks/backup.yml")


def alarms(facts: Facts) -> Findings:
    expected, found = facts["expected"], facts["today"]["alarms"]
    if not expected["alarms"]:
        return
    fixes = {f"{expected['alarms_prefix']}-{end}": fix for end, (switch, fix) in ALARMS.items() if expected[switch]}
    for name in sorted(fixes.keys() - {one["name"] for one in found}):
        yield finding("alarms", name, "the alarm is missing", COMPUTE)
    for one in found:
        if not one["actions"]:
            yield finding("alarms", one["name"], "it tells nobody: its actions are gone", COMPUTE)
        elif one["muted"]:
            # A run leaves it so: somebody may have wanted a quiet night.
            command = f"aws cloudwatch enable-alarm-actions --alarm-names {one['name']}"
            yield finding("alarms", one["name"], "it is muted: it tells nobody", command)
        if one["state"] == "ALARM":
            fix = fixes.get(one["name"], "docs/runbooks/alarms.md")
            yield finding("alarms", one["name"], f"it rings since {one['since']}: {one['reason']}", fix, "warning")
    subscriptions = facts["today"]["subscriptions"]
    if not subscriptions:
        yield finding("alarms", "topic", "nobody subscribes to it", COMPUTE)
    for one in subscriptions:
        if one["pending"]:
            yield finding(
                "alarms",
                one["endpoint"],
                "the subscription is not confirmed: no alarm arrives",
                # Only this: the module of a run takes a pending one for one that is there.
                f"Follow the link in AWS's mail; a new one: aws sns subscribe --topic-arn {facts['stack']['topic_arn']} "
                f"--protocol {one['protocol']} --notification-endpoint {one['endpoint']}",
            )


def quotas(facts: Facts) -> Findings:
    for one in facts.get("quotas", []):
        if one["limit"] and one["used"] * 100 >= one["limit"] * QUOTA_PERCENT:
            request = f"--service-code {one['service']} --quota-code {one['code']} --desired-value {one['limit'] * 2}"
            fix = f"aws service-quotas request-service-quota-increase {request}"
            yield finding("quota", one["name"], f"{one['used']} of {one['limit']} are used", fix, "warning")


def rights(facts: Facts) -> Findings:
    denied = facts.get("rights", [])
    if denied:
        yield finding("rights", "instance role", f"it may not {'; '.join(denied)}", COMPUTE)


CHECKS = (
    names, lead_here, certificates, security_groups, open_doors, load_balancer, target_health, registration, sessions,
    services, disks, clocks, database, secrets, database_hop, cluster, pods, ingresses, scaling, launches, releases, backups, alarms,
    quotas, rights,
)  # fmt: skip


def judged(check: Callable[[Facts], Findings], facts: Facts) -> Findings:
    """What a check finds, as far as it is known."""
    with contextlib.suppress(UnknownError):
        yield from check(facts)


def diagnose(facts: Facts) -> list[dict[str, str]]:
    """Problems first, then warnings, each in the order from the visitor to the data."""
    facts = {**facts, "stack": Known(facts["stack"]), "today": Known(facts["today"])}
    found = [one for check in CHECKS for one in judged(check, facts)]
    return [one for severity in ("problem", "warning") for one in found if one["severity"] == severity]
