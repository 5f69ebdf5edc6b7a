"""The built system as the checks see it: AWS's API, the address of the page, a shell on an instance. Never an Ansible register."""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from lab.podman import podman
from lab.settings import SETTINGS
from tests.tree import ROOT, load_yaml


@dataclass
class Answer:
    """One HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: str


def lab_shell(instance_id: str, *command: str, stdin: str = "", seconds: int = 30) -> subprocess.CompletedProcess[str]:
    """Run a command as root on an instance of the lab and return it finished, whatever its exit code."""
    done = podman("exec", "-i", f"espalier-instance-{instance_id}", *command, stdin=stdin.encode(), timeout=seconds, check=False)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


@dataclass
class System:
    """What identifies one environment. Everything else is looked up by tags when a check asks.

    `endpoint_url` None is real AWS with the shell's credentials; then `run_on` must be given by the caller.
    """

    environment: str = "lab"
    project: str = "django"
    region: str = SETTINGS.region
    account_id: str = SETTINGS.account_id
    endpoint_url: str | None = SETTINGS.api_url
    app_url: str = f"http://127.0.0.1:{SETTINGS.http_port}"
    run_on: Callable[..., subprocess.CompletedProcess[str]] = lab_shell
    _clients: dict = field(default_factory=dict)

    def client(self, service: str):
        if service not in self._clients:
            keys = {"aws_access_key_id": "espalier-lab", "aws_secret_access_key": "espalier-lab"} if self.endpoint_url else {}
            self._clients[service] = boto3.session.Session(region_name=self.region).client(
                service,
                endpoint_url=self.endpoint_url,
                config=Config(retries={"total_max_attempts": 3}, s3={"addressing_style": "path"}),
                **keys,
            )
        return self._clients[service]

    @property
    def prefix(self) -> str:
        return f"{self.environment}-{self.project}"

    @property
    def filters(self) -> list[dict]:
        """EC2 filters for what belongs to this environment."""
        return [{"Name": "tag:Project", "Values": [self.project]}, {"Name": "tag:Environment", "Values": [self.environment]}]

    def described(self, operation: str, key: str, *filters: dict) -> list[dict]:
        """What an EC2 describe operation answers for this environment's tags."""
        return getattr(self.client("ec2"), operation)(Filters=[*self.filters, *filters])[key]

    @cached_property
    def overrides(self) -> dict:
        """Variables that the environment's inventory sets for itself, by name: a check expects them instead of the default."""
        found: dict = {}
        for path in sorted((ROOT / "inventories" / self.environment / "group_vars" / "all").glob("*.yml")):
            if not path.is_symlink():
                found |= load_yaml(path) or {}
        return found

    def expected(self, variable: str, default):
        return self.overrides.get(variable, default)

    # ---- what several checks need
    def vpc_id(self) -> str:
        return only(self.described("describe_vpcs", "Vpcs"), "VPC")["VpcId"]

    def subnets(self, tier: str) -> list[dict]:
        found = self.described("describe_subnets", "Subnets", {"Name": "tag:Tier", "Values": [tier]})
        return sorted(found, key=lambda subnet: subnet["AvailabilityZone"])

    def security_group(self, role: str) -> dict:
        return only(self.described("describe_security_groups", "SecurityGroups", {"Name": "tag:Role", "Values": [role]}), f"group {role}")

    def instances(self, role: str, state: str = "running") -> list[dict]:
        filters = ({"Name": "tag:Role", "Values": [role]}, {"Name": "instance-state-name", "Values": [state]})
        return [machine for entry in self.described("describe_instances", "Reservations", *filters) for machine in entry["Instances"]]

    def auto_scaling_group(self) -> dict:
        tags = [{"Name": f"tag:{key}", "Values": [value]} for key, value in (("Project", self.project), ("Environment", self.environment))]
        return only(self.client("autoscaling").describe_auto_scaling_groups(Filters=tags)["AutoScalingGroups"], "auto scaling group")

    def load_balancer(self) -> dict:
        return only(self.client("elbv2").describe_load_balancers(Names=[f"{self.prefix}-alb"])["LoadBalancers"], "load balancer")

    def target_group(self) -> dict:
        return only(self.client("elbv2").describe_target_groups(Names=[f"{self.prefix}-tg"])["TargetGroups"], "target group")

    def target_states(self) -> dict[str, str]:
        health = self.client("elbv2").describe_target_health(TargetGroupArn=self.target_group()["TargetGroupArn"])
        return {entry["Target"]["Id"]: entry["TargetHealth"]["State"] for entry in health["TargetHealthDescriptions"]}

    def database(self) -> dict:
        found = self.client("rds").describe_db_instances(DBInstanceIdentifier=f"{self.environment}-django-postgres")
        return only(found["DBInstances"], "database")

    def secret(self, name: str) -> str:
        return self.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]

    def get(self, path: str, method: str = "GET", body: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        """One request to the load balancer on a new connection, so that the next may meet another instance. Follows no redirect."""
        url = urlsplit(self.app_url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname, url.port, timeout=15)
        try:
            connection.request(method, path, body=body, headers={"Host": url.netloc, **(headers or {})})
            answer = connection.getresponse()
            return Answer(
                answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode(errors="replace")
            )
        finally:
            connection.close()


def only(found: list, what: str):
    """The single element; anything else is a finding of its own."""
    assert len(found) == 1, f"expected one {what}, found {len(found)}: {found}"
    return found[0]


def tags_of(resource: dict) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource.get("Tags") or resource.get("TagSet") or resource.get("TagList") or []}
