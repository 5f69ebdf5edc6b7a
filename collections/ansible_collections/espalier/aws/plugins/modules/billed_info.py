#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: billed_info
version_added: 0.2.0
short_description: Count what AWS bills of one environment
description:
  - Counts machines, volumes, gateways, addresses and so on of one environment, as they are in the account, and changes nothing.
  - Resources are found as M(espalier.aws.stack_info) finds them, by tags or by names that begin with C({environment}-{project}-).
author:
  - Contributors to the Espalier project
options:
  project:
    description:
      - Value of the tag C(Project).
    type: str
    required: true
  environment:
    description:
      - Value of the tag C(Environment).
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Reads only.
"""

EXAMPLES = r"""
- name: Count what is billed
  espalier.aws.billed_info:
    project: django
    environment: staging
  register: billed
"""

RETURN = r"""
billed:
  description: The quantities. P(espalier.aws.monthly_cost#filter) knows their prices.
  returned: success
  type: dict
  sample:
    machines: [{part: Instances, type: t2.micro, count: 2, volume_type: gp3, volume_gib: 8.0}]
    database: {class: db.t3.micro, multi_az: true, storage_type: gp2, storage_gib: 100.0}
    load_balancers: 1
    load_balancer_zones: 2
    nat_gateways: 2
    public_machines: 1
    endpoints: {ssm: 2, ssmmessages: 2, ec2messages: 2}
    secrets: 2
    alarms: 4
    dashboards: 0
    clusters: 0
    web_acls: 0
    web_acl_rules: 0
    keys: 0
    flow_logs: false
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.espalier.aws.plugins.module_utils import billing, stack
from ansible_collections.espalier.aws.plugins.module_utils.clients import make_clients

SERVICES = ("sts", "ec2", "rds", "elbv2", "secretsmanager", "cloudwatch", "autoscaling", "eks", "wafv2")
PARTS = {"app": "Instances", "bastion": "Bastion"}


def machines(ec2, scope):
    """Machines that are billed, alike ones counted together; and how many have a public address."""
    filters = [*scope.filters, {"Name": "instance-state-name", "Values": ["pending", "running"]}]
    found = [one for entry in stack.pages(ec2, "describe_instances", "Reservations", Filters=filters) for one in entry["Instances"]]
    attached = [{"Name": "attachment.instance-id", "Values": [one["InstanceId"] for one in found]}]
    volumes = {volume["VolumeId"]: volume for volume in stack.pages(ec2, "describe_volumes", "Volumes", Filters=attached)} if found else {}
    rows, public = {}, 0
    for one in found:
        tags = stack.tags_of(one)
        part = PARTS.get(tags.get("Role"), "Cluster" if any(key.startswith("eks:") for key in tags) else "Other machines")
        ids = [entry["Ebs"]["VolumeId"] for entry in one.get("BlockDeviceMappings", []) if "Ebs" in entry]
        own = [volumes[name] for name in ids if name in volumes]
        key = (part, one["InstanceType"], own[0]["VolumeType"] if own else "gp3", sum(volume["Size"] for volume in own))
        rows[key] = rows.get(key, 0) + 1
        public += bool(one.get("PublicIpAddress"))
    return [billing.machine(part, kind, count, volume, gib) for (part, kind, volume, gib), count in sorted(rows.items())], public


def database(rds, scope):
    found = stack.unless_missing(
        ["DBInstanceNotFound", "DBInstanceNotFoundFault"], rds.describe_db_instances, DBInstanceIdentifier=f"{scope.prefix}-postgres"
    )
    if not found:
        return None
    one = found["DBInstances"][0]
    return {
        "class": one["DBInstanceClass"],
        "multi_az": one["MultiAZ"],
        "storage_type": one.get("StorageType", "gp2"),
        "storage_gib": float(one["AllocatedStorage"]),
    }


def load_balancer_zones(elbv2, scope):
    """For each load balancer of ours, its zones."""
    found = {
        one["LoadBalancerArn"]: len(one["AvailabilityZones"]) for one in stack.pages(elbv2, "describe_load_balancers", "LoadBalancers")
    }
    ours = []
    for arn in found:
        tags = elbv2.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
        if scope.tags.items() <= {tag["Key"]: tag["Value"] for tag in tags}.items():
            ours.append(found[arn])
    return ours


def alarms(cloudwatch, autoscaling, scope):
    """Metrics of those with the environment's name, and of those that AWS makes for target tracking."""
    found = stack.pages(cloudwatch, "describe_alarms", "MetricAlarms", AlarmNamePrefix=f"{scope.prefix}-")
    named = sum(sum("MetricStat" in metric for metric in one.get("Metrics") or []) or 1 for one in found)
    policies = stack.pages(autoscaling, "describe_policies", "ScalingPolicies")
    tracking = [one for one in policies if one["PolicyType"] == "TargetTrackingScaling"]
    ours = [one for one in tracking if one["AutoScalingGroupName"].startswith(f"{scope.prefix}-")]
    return named + billing.ALARMS_OF_A_POLICY * len(ours)


def clusters(eks, scope):
    """How many, and how many keys their secrets are encrypted with."""
    found = [eks.describe_cluster(name=name)["cluster"] for name in stack.pages(eks, "list_clusters", "clusters")]
    ours = [one for one in found if scope.tags.items() <= (one.get("tags") or {}).items()]
    keys = {entry["provider"]["keyArn"] for one in ours for entry in one.get("encryptionConfig") or []}
    return {"clusters": len(ours), "keys": len(keys)}


def web_acls(wafv2, scope):
    """How many, and how many rules are in them."""
    found = [one for one in wafv2.list_web_acls(Scope="REGIONAL")["WebACLs"] if one["Name"].startswith(f"{scope.prefix}-")]
    rules = [len(wafv2.get_web_acl(Name=one["Name"], Scope="REGIONAL", Id=one["Id"])["WebACL"]["Rules"]) for one in found]
    return {"web_acls": len(found), "web_acl_rules": sum(rules)}


def endpoints(found, scope):
    """The zones of each service's endpoint."""
    return {
        one["ServiceName"].removeprefix(f"com.amazonaws.{scope.region}."): len(one.get("SubnetIds", []))
        for one in found
        if one["VpcEndpointType"] == "Interface" and one["State"].lower() not in stack.GONE
    }


def count(clients, scope):
    ec2 = clients["ec2"]
    found, public = machines(ec2, scope)
    gateways = stack.tagged(ec2, scope, "describe_nat_gateways", "NatGateways", "Filter")
    found_endpoints = stack.tagged(ec2, scope, "describe_vpc_endpoints", "VpcEndpoints")
    zones = load_balancer_zones(clients["elbv2"], scope)
    secrets = stack.pages(clients["secretsmanager"], "list_secrets", "SecretList")
    flow_logs = stack.tagged(ec2, scope, "describe_flow_logs", "FlowLogs", "Filter")
    return {
        **billing.EMPTY,
        "machines": found,
        "database": database(clients["rds"], scope),
        "load_balancers": len(zones),
        "load_balancer_zones": sum(zones),
        "nat_gateways": sum(one["State"] in ("pending", "available") for one in gateways),
        "public_machines": public,
        "endpoints": endpoints(found_endpoints, scope),
        "secrets": sum(scope.owns(one) for one in secrets),
        "alarms": alarms(clients["cloudwatch"], clients["autoscaling"], scope),
        "dashboards": len(stack.pages(clients["cloudwatch"], "list_dashboards", "DashboardEntries", DashboardNamePrefix=scope.prefix)),
        **clusters(clients["eks"], scope),
        **web_acls(clients["wafv2"], scope),
        "flow_logs": bool(flow_logs),
    }


def main():
    module = AnsibleAWSModule(
        argument_spec={"project": {"type": "str", "required": True}, "environment": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    try:
        clients = make_clients(module, SERVICES, retries={"mode": "standard", "total_max_attempts": 8})
        account = clients["sts"].get_caller_identity()["Account"]
        scope = stack.Scope(module.params["project"], module.params["environment"], account, clients["ec2"].meta.region_name)
        billed = count(clients, scope)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="Unable to count what is billed")
    module.exit_json(changed=False, billed=billed)


if __name__ == "__main__":
    main()
