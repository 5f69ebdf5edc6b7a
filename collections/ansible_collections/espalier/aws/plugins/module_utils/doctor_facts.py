# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a diagnosis looks at beyond stack.py and stack_status.py: read-only calls, each answering one key.

A reader may fail, for want of a right or because a service is away: the diagnosis goes on without it, and says so.
"""

from __future__ import annotations

import contextlib
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

try:
    from botocore.exceptions import ClientError
except ImportError:  # AnsibleAWSModule reports the missing library
    ClientError = Exception

from ansible_collections.espalier.aws.plugins.module_utils.stack import (
    GONE,
    Clients,
    Scope,
    pages,
    read_cluster,
    tagged,
    tags_of,
    targets,
    unless_missing,
)
from ansible_collections.espalier.aws.plugins.module_utils.stack_status import certificates_of, text

# Service, code and name of each quota that the suite can meet, and how what is used is counted:
# https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html
QUOTAS = (
    ("vpc", "L-F678F1CE", "VPCs per Region"),
    ("ec2", "L-0263D0A3", "EC2-VPC Elastic IPs"),
    ("ec2", "L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"),
    ("elasticloadbalancing", "L-53DA6B97", "Application Load Balancers per Region"),
    ("rds", "L-7B6409FD", "DB instances"),
)
BIRTHS = timedelta(hours=24)
LOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
TAIL = 5


def read_rules(clients: Clients, scope: Scope) -> Any:
    """By role, the group's id and its rules: (protocol, first port, last port, source), the ports None for all."""
    found = tagged(clients("ec2"), scope, "describe_security_groups", "SecurityGroups")
    return {
        tags_of(group).get("Role", group["GroupName"]): {
            "id": group["GroupId"],
            "inbound": [rule for permission in group["IpPermissions"] for rule in flatten(permission)],
            "outbound": [rule for permission in group["IpPermissionsEgress"] for rule in flatten(permission)],
        }
        for group in found
    }


def flatten(permission: dict[str, Any]) -> list[dict[str, Any]]:
    sources = [entry["CidrIp"] for entry in permission.get("IpRanges", [])]
    sources += [entry["CidrIpv6"] for entry in permission.get("Ipv6Ranges", [])]
    sources += [entry["GroupId"] for entry in permission.get("UserIdGroupPairs", [])]
    ports = {"first": permission.get("FromPort"), "last": permission.get("ToPort")}
    return [{"protocol": permission["IpProtocol"], **ports, "source": source} for source in sources]


def read_group(clients: Clients, scope: Scope) -> Any:
    name = f"{scope.prefix}-asg"
    client = clients("autoscaling")
    found = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if not found:
        return None
    policies = client.describe_policies(AutoScalingGroupName=name)["ScalingPolicies"]
    return {
        "target_groups": found[0].get("TargetGroupARNs", []),
        "policies": [{"name": one["PolicyName"], "enabled": one.get("Enabled", True), "type": one["PolicyType"]} for one in policies],
    }


def read_image(clients: Clients, scope: Scope) -> Any:
    """State of the image that new instances are made of; null without a launch template, C(missing) where there is no such image."""
    templates = tagged(clients("ec2"), scope, "describe_launch_templates", "LaunchTemplates")
    # That of the cluster's nodes is another part's.
    templates = [one for one in templates if tags_of(one).get("Role") != "node"]
    if not templates:
        return None
    version = clients("ec2").describe_launch_template_versions(LaunchTemplateId=templates[0]["LaunchTemplateId"], Versions=["$Latest"])
    image = version["LaunchTemplateVersions"][0]["LaunchTemplateData"].get("ImageId")
    found = unless_missing(["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"], clients("ec2").describe_images, ImageIds=[image])
    images = (found or {"Images": []})["Images"]
    return {"id": image, "state": images[0]["State"] if images else "missing"}


def read_endpoints(clients: Clients, scope: Scope) -> Any:
    found = tagged(clients("ec2"), scope, "describe_vpc_endpoints", "VpcEndpoints")
    # For some minutes AWS still shows those that were deleted, beside the new ones.
    found = [one for one in found if one["State"].lower() not in GONE]
    return {one["ServiceName"].rsplit(".", 1)[-1]: {"id": one["VpcEndpointId"], "state": one["State"].lower()} for one in found}


def read_profile(clients: Clients, scope: Scope) -> Any:
    found = unless_missing(["NoSuchEntity"], clients("iam").get_instance_profile, InstanceProfileName=f"{scope.prefix}-instance-role")
    return found and {"roles": [role["Arn"] for role in found["InstanceProfile"]["Roles"]]}


def read_database(clients: Clients, scope: Scope) -> Any:
    name = f"{scope.prefix}-postgres"
    found = unless_missing(
        ["DBInstanceNotFound", "DBInstanceNotFoundFault"], clients("rds").describe_db_instances, DBInstanceIdentifier=name
    )
    if not found:
        return None
    one = found["DBInstances"][0]
    return {
        "groups": [group["VpcSecurityGroupId"] for group in one.get("VpcSecurityGroups", [])],
        "certificate_expires": text((one.get("CertificateDetails") or {}).get("ValidTill")),
        "pending": sorted(one.get("PendingModifiedValues") or {}),
    }


def read_public_access(clients: Clients, scope: Scope) -> Any:
    """Which of the four locks on the bucket are open; null where there is no bucket."""
    bucket = f"{scope.prefix}-static-{scope.account_id}"
    try:
        locks = clients("s3").get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "NoSuchBucket":
            return None
        if code != "NoSuchPublicAccessBlockConfiguration":
            raise
        locks = {}
    return {"bucket": bucket, "open": [name for name in LOCKS if not locks.get(name)]}


def read_births(clients: Clients, scope: Scope) -> Any:
    """Logs of the instances that failed to configure themselves in the last day, the newest first, with their last lines."""
    bucket = f"{scope.prefix}-static-{scope.account_id}"
    listed = unless_missing(["NoSuchBucket"], clients("s3").list_objects_v2, Bucket=bucket, Prefix="births/")
    recent = [one for one in (listed or {}).get("Contents", []) if one["LastModified"] > datetime.now(UTC) - BIRTHS]
    recent.sort(key=lambda one: one["LastModified"], reverse=True)
    births = []
    for one in recent[:3]:
        body = clients("s3").get_object(Bucket=bucket, Key=one["Key"])["Body"].read().decode(errors="replace")
        births.append({"log": f"s3://{bucket}/{one['Key']}", "at": text(one["LastModified"]), "tail": body.splitlines()[-TAIL:]})
    return births


def read_eks(clients: Clients, scope: Scope) -> Any:
    """What EKS finds wrong with the cluster, its node group and its add-ons, each with its subject."""
    found, client = read_cluster(clients, scope), clients("eks")
    if not found["cluster"]:
        return []
    name, group = found["cluster"]["name"], found["node_group"]
    said = [(f"cluster {name}", client.describe_cluster(name=name)["cluster"])]
    if group:
        answer = client.describe_nodegroup(clusterName=name, nodegroupName=group["name"])
        said.append((f"node group {group['name']}", answer["nodegroup"]))
    addons = pages(client, "list_addons", "addons", clusterName=name)
    answers = [client.describe_addon(clusterName=name, addonName=addon)["addon"] for addon in addons]
    said += [(f"add-on {one['addonName']}", one) for one in answers]
    problems = [
        {"subject": subject, "problem": f"{issue['code']}: {issue['message']}"}
        for subject, one in said
        for issue in (one.get("health") or {}).get("issues", [])
    ]
    told = {one["subject"] for one in problems}
    # Whether one is being changed at the moment is nobody's trouble.
    quiet = [(f"add-on {one['addonName']}", one["status"]) for one in answers if one["status"] not in ("ACTIVE", "CREATING", "UPDATING")]
    return problems + [{"subject": subject, "problem": f"it is {status}"} for subject, status in quiet if subject not in told]


def used(clients: Clients, code: str) -> int:
    ec2 = clients("ec2")
    if code == "L-F678F1CE":
        return len(pages(ec2, "describe_vpcs", "Vpcs"))
    if code == "L-0263D0A3":
        return len(ec2.describe_addresses()["Addresses"])
    if code == "L-53DA6B97":
        return sum(one["Type"] == "application" for one in pages(clients("elbv2"), "describe_load_balancers", "LoadBalancers"))
    if code == "L-7B6409FD":
        return len(pages(clients("rds"), "describe_db_instances", "DBInstances"))
    running = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    machines = [one for entry in pages(ec2, "describe_instances", "Reservations", Filters=running) for one in entry["Instances"]]
    # Processors, of those families that share this quota.
    options = [one.get("CpuOptions") or {} for one in machines if one["InstanceType"][0] in "acdhimrtz"]
    return sum(one.get("CoreCount", 1) * one.get("ThreadsPerCore", 1) for one in options)


def read_quotas(clients: Clients, scope: Scope) -> Any:
    quotas = []
    for service, code, name in QUOTAS:
        client = clients("service-quotas")
        # A quota that was never raised is told as AWS's default only.
        found = unless_missing(["NoSuchResourceException"], client.get_service_quota, ServiceCode=service, QuotaCode=code)
        found = found or unless_missing(
            ["NoSuchResourceException"], client.get_aws_default_service_quota, ServiceCode=service, QuotaCode=code
        )
        if found:
            quotas.append(
                {"code": code, "service": service, "name": name, "limit": int(found["Quota"]["Value"]), "used": used(clients, code)}
            )
    return quotas


def wanted_rights(scope: Scope, expected: dict[str, Any]) -> list[tuple[str, str]]:
    """Action and resource of each right without which an instance cannot serve."""
    place = f"{scope.region}:{scope.account_id}"
    bucket = f"arn:{scope.partition}:s3:::{scope.prefix}-static-{scope.account_id}"
    groups = f"arn:{scope.partition}:autoscaling:{place}"
    rights = [
        ("s3:GetObject", f"{bucket}/releases/x"),
        ("s3:GetObject", f"{bucket}/bundles/current.json"),
        ("s3:PutObject", f"{bucket}/births/x"),
        ("s3:PutObject", f"{bucket}/media/x"),
        # Without it, every new instance is abandoned at the end of its birth. The id in the middle is AWS's own.
        ("autoscaling:CompleteLifecycleAction", f"{groups}:autoScalingGroup:x:autoScalingGroupName/{scope.prefix}-asg"),
    ]
    if expected["log_group"]:
        rights.append(("logs:PutLogEvents", f"arn:{scope.partition}:logs:{place}:log-group:{expected['log_group']}:log-stream:x"))
    # AWS ends a secret's ARN with six characters of its own.
    rights += [
        ("secretsmanager:GetSecretValue", f"arn:{scope.partition}:secretsmanager:{place}:secret:{name}-AbCdEf")
        for name in expected["secrets"]
    ]
    rights += [("ssm:GetParameter", f"arn:{scope.partition}:ssm:{place}:parameter{name}") for name in expected["parameters"]]
    return [*rights, ("ssm:UpdateInstanceInformation", "*"), ("ssmmessages:CreateControlChannel", "*")]


def read_rights(clients: Clients, scope: Scope, expected: dict[str, Any]) -> Any:
    """The rights that the instance role lacks, by IAM's own simulation; null where there is no such role."""
    role = f"arn:{scope.partition}:iam::{scope.account_id}:role/{scope.prefix}-instance-role"
    denied = []
    for action, resource in wanted_rights(scope, expected):
        answer = unless_missing(
            ["NoSuchEntity"], clients("iam").simulate_principal_policy, PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource]
        )
        if answer is None:
            return None
        denied += [f"{action} on {resource}" for one in answer["EvaluationResults"] if one["EvalDecision"] != "allowed"]
    return denied


def read_parameter_values(clients: Clients, scope: Scope, expected: dict[str, Any]) -> Any:
    """The addresses and versions that instances read; null where a parameter is missing."""
    found = clients("ssm").get_parameters(Names=expected["parameters"])["Parameters"]
    return {**dict.fromkeys(expected["parameters"]), **{one["Name"]: one["Value"] for one in found}}


def read_names(clients: Clients, scope: Scope, expected: dict[str, Any]) -> Any:
    """The addresses of each name that visitors use, as this machine resolves it; a text where it does not."""
    return {name: resolve(name) for name in expected["names"]}


def read_balancer(clients: Clients, scope: Scope, expected: dict[str, Any]) -> Any:
    """The load balancer's addresses; null where there is none."""
    return resolve(expected["balancer"]) if expected["balancer"] else None


def resolve(name: str) -> list[str] | str:
    try:
        return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})
    except OSError as error:
        return error.strerror or str(error)


def read_page(clients: Clients, scope: Scope, expected: dict[str, Any]) -> Any:
    """What the health check's path answers a visitor: a status, or the reason why nothing came."""
    return ask(expected["url"].rstrip("/") + expected["health_path"]) if expected["url"] else None


def ask(url: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.HTTPRedirectHandler())
    try:
        with contextlib.closing(opener.open(url, timeout=10)) as answer:
            return {"status": answer.status, "error": ""}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "error": ""}
    except (OSError, ValueError) as error:
        return {"status": 0, "error": str(getattr(error, "reason", error))}


def read_ingresses(clients: Clients, scope: Scope, expected: dict[str, Any]) -> Any:
    """By host name, the load balancers of the cluster's ingresses: their targets, certificates and page."""
    elbv2, hosts = clients("elbv2"), {host.lower() for host in expected["ingress_hosts"]}
    found = [one for one in pages(elbv2, "describe_load_balancers", "LoadBalancers") if one["DNSName"].lower() in hosts] if hosts else []
    ingresses = {}
    for one in found:
        arn, host = one["LoadBalancerArn"], one["DNSName"]
        groups = pages(elbv2, "describe_target_groups", "TargetGroups", LoadBalancerArn=arn)
        health = [elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"] for group in groups]
        certificates = certificates_of(clients, arn)
        # No certificate is for the load balancer's own name.
        url = expected["kubernetes_url"] or ("" if certificates else f"http://{host}")
        ingresses[host] = {
            "targets": [target for group in health for target in targets(group)],
            "certificates": certificates,
            "url": url,
            "page": ask(url.rstrip("/") + expected["health_path"]) if url else None,
        }
    return ingresses


SERVICES = ("acm", "ec2", "autoscaling", "eks", "iam", "rds", "s3", "elbv2", "service-quotas", "ssm")

READERS: dict[str, Callable[..., Any]] = {
    "rules": read_rules,
    "group": read_group,
    "image": read_image,
    "endpoints": read_endpoints,
    "profile": read_profile,
    "database": read_database,
    "public_access": read_public_access,
    "births": read_births,
    "eks": read_eks,
    "quotas": read_quotas,
}
# These take what the inventory expects, too.
EXPECTING: dict[str, Callable[..., Any]] = {
    "rights": read_rights,
    "values": read_parameter_values,
    "names": read_names,
    "balancer": read_balancer,
    "page": read_page,
    "ingresses": read_ingresses,
}


def parsed(output: str) -> dict[str, Any]:
    """What a machine said of itself: the last line that it printed is JSON."""
    try:
        return dict(json.loads(output.strip().splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
        return {"silent": output.strip()[-300:] or "it said nothing"}
