"""The AWS side of an ingress: the calls that make its load balancer, security group, target groups and listeners what they should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from lab.kubernetes.ingress_model import NOT_FOUND, Backend, ModelError, Stack, health_check, pairs, short_name

RESOURCE = "ingress.k8s.aws/resource"
Client = Callable[[str], Any]


class Aws:
    """`client` gives a boto3 client of a service."""

    def __init__(self, client: Client, stack: Stack, vpc_id: str) -> None:
        self.client, self.stack, self.vpc_id = client, stack, vpc_id
        self.elb, self.annotations = client("elbv2"), stack.annotations

    def tags(self, resource: str) -> list[dict]:
        return [{"Key": key, "Value": value} for key, value in {**self.stack.tags, RESOURCE: resource}.items()]

    # --- load balancer

    def load_balancer(self) -> dict:
        """The load balancer as AWS describes it, made when it is not there."""
        found = self._describe(self.stack.load_balancer)
        if found and found["Scheme"] != self.stack.scheme:
            # As the controller: another scheme is another load balancer.
            self.elb.delete_load_balancer(LoadBalancerArn=found["LoadBalancerArn"])
            found = None
        groups = self._security_groups()
        if found is None:
            (found,) = self.elb.create_load_balancer(
                Name=self.stack.load_balancer,
                Subnets=self._subnets(),
                SecurityGroups=groups,
                Scheme=self.stack.scheme,
                Type="application",
                Tags=self.tags("LoadBalancer"),
            )["LoadBalancers"]
        elif sorted(found["SecurityGroups"]) != sorted(groups):
            self.elb.set_security_groups(LoadBalancerArn=found["LoadBalancerArn"], SecurityGroups=groups)
        attributes = pairs(self.annotations.get("load-balancer-attributes", ""))
        if attributes:
            wanted = [{"Key": key, "Value": value} for key, value in attributes.items()]
            self.elb.modify_load_balancer_attributes(LoadBalancerArn=found["LoadBalancerArn"], Attributes=wanted)
        self._web_acl(found["LoadBalancerArn"])
        return found

    def _web_acl(self, load_balancer: str) -> None:
        """As the controller: nothing said changes nothing."""
        wanted = self.annotations.get("wafv2-acl-arn")
        if wanted == "none":
            self.client("wafv2").disassociate_web_acl(ResourceArn=load_balancer)
        elif wanted:
            self.client("wafv2").associate_web_acl(WebACLArn=wanted, ResourceArn=load_balancer)

    def _describe(self, name: str) -> dict | None:
        try:
            return self.elb.describe_load_balancers(Names=[name])["LoadBalancers"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] != "LoadBalancerNotFound":
                raise
            return None

    def _subnets(self) -> list[str]:
        """Those that the ingress names, or one a zone of those that are tagged for load balancers of its scheme."""
        named = [entry.strip() for entry in self.annotations.get("subnets", "").split(",") if entry.strip()]
        if named:
            return named
        role = "kubernetes.io/role/elb" if self.stack.scheme == "internet-facing" else "kubernetes.io/role/internal-elb"
        filters = [{"Name": "vpc-id", "Values": [self.vpc_id]}, {"Name": f"tag:{role}", "Values": ["1", ""]}]
        found = self.client("ec2").describe_subnets(Filters=filters)["Subnets"]
        zones = {subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in sorted(found, key=lambda entry: entry["SubnetId"])}
        if len(zones) < 2:
            raise ModelError(
                f"couldn't auto-discover subnets: two zones of {self.vpc_id} need one with the tag {role}=1, {len(zones)} found"
            )
        return [zones[zone] for zone in sorted(zones)]

    def _security_groups(self) -> list[str]:
        named = [entry.strip() for entry in self.annotations.get("security-groups", "").split(",") if entry.strip()]
        if named:
            return named
        ec2 = self.client("ec2")
        name = short_name(self.stack.namespace, self.stack.name, self.stack.cluster, self.stack.namespace, self.stack.name, "group")
        filters = [{"Name": "vpc-id", "Values": [self.vpc_id]}, {"Name": "group-name", "Values": [name]}]
        found = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        if found:
            return [found[0]["GroupId"]]
        group = ec2.create_security_group(
            GroupName=name,
            Description="[k8s] Managed SecurityGroup for LoadBalancer",
            VpcId=self.vpc_id,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": self.tags("ManagedLBSecurityGroup")}],
        )["GroupId"]
        ranges = [entry.strip() for entry in self.annotations.get("inbound-cidrs", "0.0.0.0/0").split(",")]
        rules = [
            {
                "IpProtocol": "tcp",
                "FromPort": listener["port"],
                "ToPort": listener["port"],
                "IpRanges": [{"CidrIp": entry} for entry in ranges],
            }
            for listener in self.stack.listeners
        ]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rules)
        return [group]

    # --- target groups

    def target_group(self, backend: Backend, port: int, target_type: str) -> str:
        """ARN of the backend's target group, with the health check and attributes that the ingress asks for."""
        name, check = self.stack.target_group(backend), health_check(self.annotations)
        try:
            arn = self.elb.describe_target_groups(Names=[name])["TargetGroups"][0]["TargetGroupArn"]
            self.elb.modify_target_group(TargetGroupArn=arn, **check)
        except ClientError as error:
            if error.response["Error"]["Code"] != "TargetGroupNotFound":
                raise
            arn = self.elb.create_target_group(
                Name=name,
                Protocol=self.annotations.get("backend-protocol", "HTTP"),
                Port=port,
                VpcId=self.vpc_id,
                TargetType=target_type,
                Tags=self.tags(f"{self.stack.namespace}/{self.stack.name}-{backend.service}:{backend.port}"),
                **check,
            )["TargetGroups"][0]["TargetGroupArn"]
        attributes = pairs(self.annotations.get("target-group-attributes", ""))
        if attributes:
            wanted = [{"Key": key, "Value": value} for key, value in attributes.items()]
            self.elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=wanted)
        return arn

    def sync_targets(self, arn: str, wanted: dict[str, int]) -> dict[str, str]:
        """Register and deregister; returns the state of each target by id."""
        described = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        states = {found["Target"]["Id"]: found["TargetHealth"]["State"] for found in described}
        new = [{"Id": key, "Port": port} for key, port in wanted.items() if states.get(key, "draining") == "draining"]
        if new:
            self.elb.register_targets(TargetGroupArn=arn, Targets=new)
        gone = [{"Id": key} for key, state in states.items() if key not in wanted and state != "draining"]
        if gone:
            self.elb.deregister_targets(TargetGroupArn=arn, Targets=gone)
        return states

    def forget_other_groups(self, used: set[str]) -> None:
        """Target groups of backends that the ingress no longer has."""
        for arn in tagged(self.elb, self.stack.tags, "targetgroup"):
            if arn not in used:
                self.elb.delete_target_group(TargetGroupArn=arn)

    # --- listeners

    def listeners(self, load_balancer: str, groups: dict[Backend, str]) -> None:
        """Make, change and delete, by port."""
        known = {listener["Port"]: listener for listener in self.elb.describe_listeners(LoadBalancerArn=load_balancer)["Listeners"]}
        for wanted in self.stack.listeners:
            listener = self._listener(load_balancer, wanted, groups, known.pop(wanted["port"], None))
            if not wanted["redirect"]:
                self._rules(listener, groups)
        for listener in known.values():
            self.elb.delete_listener(ListenerArn=listener["ListenerArn"])

    def _listener(self, load_balancer: str, wanted: dict, groups: dict[Backend, str], known: dict | None) -> str:
        options: dict[str, Any] = {
            "Protocol": wanted["protocol"],
            "Port": wanted["port"],
            "DefaultActions": [self._default(wanted, groups)],
        }
        if wanted["protocol"] == "HTTPS":
            options |= {"Certificates": [{"CertificateArn": wanted["certificates"][0]}], "SslPolicy": wanted["ssl_policy"]}
        if known is None:
            made = self.elb.create_listener(LoadBalancerArn=load_balancer, Tags=self.tags(str(wanted["port"])), **options)
            return made["Listeners"][0]["ListenerArn"]
        self.elb.modify_listener(ListenerArn=known["ListenerArn"], **options)
        return known["ListenerArn"]

    def _default(self, wanted: dict, groups: dict[Backend, str]) -> dict:
        if wanted["redirect"]:
            return {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": wanted["redirect"], "StatusCode": "HTTP_301"}}
        return forward(groups[self.stack.default]) if self.stack.default else NOT_FOUND

    def _rules(self, listener: str, groups: dict[Backend, str]) -> None:
        wanted = [(conditions, forward(groups[backend])) for conditions, backend in self.stack.rules]
        described = [rule for rule in self.elb.describe_rules(ListenerArn=listener)["Rules"] if not rule["IsDefault"]]
        described.sort(key=lambda rule: int(rule["Priority"]))
        known = [(comparable(rule["Conditions"]), rule["Actions"][0].get("TargetGroupArn")) for rule in described]
        if known == [(comparable(conditions), action["TargetGroupArn"]) for conditions, action in wanted]:
            return
        for rule in described:
            self.elb.delete_rule(RuleArn=rule["RuleArn"])
        for priority, (conditions, action) in enumerate(wanted, start=1):
            self.elb.create_rule(ListenerArn=listener, Conditions=conditions, Actions=[action], Priority=priority)

    # --- removal

    @staticmethod
    def remove(client: Client, tags: dict[str, str]) -> bool:
        """Delete what carries the tags. False while AWS still holds on to some of it."""
        elb, ec2 = client("elbv2"), client("ec2")
        for arn in tagged(elb, tags, "loadbalancer"):
            elb.delete_load_balancer(LoadBalancerArn=arn)
        for arn in tagged(elb, tags, "targetgroup"):
            elb.delete_target_group(TargetGroupArn=arn)
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
        for group in ec2.describe_security_groups(Filters=filters)["SecurityGroups"]:
            try:
                ec2.delete_security_group(GroupId=group["GroupId"])
            except ClientError as error:
                if error.response["Error"]["Code"] != "DependencyViolation":
                    raise
                return False
        return True


def forward(arn: str) -> dict:
    return {"Type": "forward", "TargetGroupArn": arn}


def comparable(conditions: list[dict]) -> list:
    """Conditions without what AWS adds to them."""
    values = {"host-header": "HostHeaderConfig", "path-pattern": "PathPatternConfig"}
    return [(found["Field"], sorted(found[values[found["Field"]]]["Values"])) for found in conditions]


def tagged(elb, tags: dict[str, str], kind: str) -> list[str]:
    """ARNs of load balancers or target groups that carry all of the tags."""
    if kind == "loadbalancer":
        arns = [
            found["LoadBalancerArn"] for page in elb.get_paginator("describe_load_balancers").paginate() for found in page["LoadBalancers"]
        ]
    else:
        arns = [
            found["TargetGroupArn"] for page in elb.get_paginator("describe_target_groups").paginate() for found in page["TargetGroups"]
        ]
    found = []
    for start in range(0, len(arns), 20):
        for entry in elb.describe_tags(ResourceArns=arns[start : start + 20])["TagDescriptions"]:
            known = {tag["Key"]: tag["Value"] for tag in entry["Tags"]}
            if all(known.get(key) == value for key, value in tags.items()):
                found.append(entry["ResourceArn"])
    return found
