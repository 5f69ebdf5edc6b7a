"""`lab status`: what runs, as the API and the machine tell it."""

from __future__ import annotations

from collections.abc import Iterable

from botocore.exceptions import BotoCoreError, ClientError

from lab import control, load_balancers
from lab.controller import Controller
from lab.kubernetes import foreign, programs
from lab.kubernetes.progress import latest
from lab.parts import wanted
from lab.settings import Settings
from lab.supervisor import Supervisor, read_record


def show(settings: Settings) -> int:
    """Print the tables. Returns 0 when every part runs, 1 otherwise."""
    running, record = Supervisor(settings).running(), read_record()
    # What `lab up` started: it may have left Kubernetes out.
    expected = list(record["parts"]) if record and record["root"] == str(settings.root) else wanted(settings)
    print(table(("PART", "STATE", "PROCESS", "SINCE"), [part_row(part, running.get(part)) for part in expected]))
    if "api" in running:
        account = Account(settings)
        for title, rows in (
            ("INSTANCE", account.instances),
            ("DATABASE", account.databases),
            ("LOAD BALANCER", account.load_balancers),
            ("CLUSTER", account.clusters),
        ):
            try:
                header, *found = rows()
            except (BotoCoreError, ClientError) as error:
                header, found = (title, "PROBLEM"), [("-", str(error))]
            if found:
                print("\n" + table(header, found))
    if foreign.given(settings):
        print(f"\n{foreign.words(settings)}")
    elif "clusters" in running and latest(settings) and programs.missing(settings):
        print(f"\n{latest(settings)}")
    return 0 if set(expected) <= set(running) else 1


def part_row(part: str, process) -> tuple[str, ...]:
    return (part, "running", str(process.pid), duration(process.since())) if process else (part, "down", "-", "-")


class Account(Controller):
    """The account's machines, databases, load balancers and clusters as rows: a header first."""

    name = "status"

    def instances(self) -> Iterable[tuple[str, ...]]:
        yield ("INSTANCE", "NAME", "STATE", "ADDRESS", "ZONE")
        for page in self.client("ec2").get_paginator("describe_instances").paginate():
            for instance in (i for reservation in page["Reservations"] for i in reservation["Instances"]):
                if instance["State"]["Name"] != "terminated":
                    name = next((tag["Value"] for tag in instance.get("Tags", []) if tag["Key"] == "Name"), "-")
                    place = instance["Placement"]["AvailabilityZone"]
                    yield (instance["InstanceId"], name, instance["State"]["Name"], instance.get("PrivateIpAddress", "-"), place)

    def databases(self) -> Iterable[tuple[str, ...]]:
        yield ("DATABASE", "STATE", "ENGINE", "ENDPOINT")
        for found in self.client("rds").describe_db_instances()["DBInstances"]:
            endpoint = found.get("Endpoint", {})
            address = f"{endpoint['Address']}:{endpoint['Port']}" if endpoint.get("Address") else "-"
            yield (found["DBInstanceIdentifier"], found["DBInstanceStatus"], f"{found['Engine']} {found['EngineVersion']}", address)

    def load_balancers(self) -> Iterable[tuple[str, ...]]:
        yield ("LOAD BALANCER", "STATE", "NAME IN THE LAB", "URL", "HEALTHY TARGETS")
        elb, urls = self.client("elbv2"), load_balancers.urls(self.settings)
        groups = elb.describe_target_groups()["TargetGroups"]
        for found in elb.describe_load_balancers()["LoadBalancers"]:
            states = [
                target["TargetHealth"]["State"]
                for group in groups
                if found["LoadBalancerArn"] in group["LoadBalancerArns"]
                for target in elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
            ]
            url = urls.get(found["DNSName"], {}).get(80, "-")
            healthy = f"{states.count('healthy')} of {len(states)}"
            yield (found["LoadBalancerName"], found["State"]["Code"], found["DNSName"], url, healthy)

    def clusters(self) -> Iterable[tuple[str, ...]]:
        yield ("CLUSTER", "STATE", "VERSION", "ENDPOINT", "NODES READY", "ADD-ONS")
        model = {cluster["name"]: cluster for cluster in control.call("eks_model", settings=self.settings)["clusters"]}
        eks = self.client("eks")
        for name, cluster in model.items():
            found = eks.describe_cluster(name=name)["cluster"]
            addons = " ".join(f"{addon['name']}={addon['status']}" for addon in cluster["addons"]) or "-"
            nodes = f"{len(cluster['ready_nodes'])} of {len(cluster['nodes'])}"
            yield (name, found["status"], found["version"], found.get("endpoint", "-"), nodes, addons)


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Columns as wide as what is in them, two blanks apart."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def duration(seconds: float) -> str:
    """Short and rounded: 42 s, 3 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
