# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What one environment owns in an account: the read-only calls (this file's second half) and what is made of their answers (its first)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

try:
    from botocore.exceptions import ClientError
except ImportError:  # AnsibleAWSModule reports the missing library
    ClientError = Exception

TIERS = ("public", "private", "database")
SECURITY_GROUP_ROLES = ("load_balancer", "app", "database", "bastion", "endpoints")
ENDPOINT_SERVICES = ("ssm", "ssmmessages", "ec2messages")
BUCKETS = ("static", "session")
GONE = {"deleted", "deleting", "failed", "rejected", "expired", "terminated", "shutting-down"}


class AmbiguousStackError(Exception):
    """Two resources where an environment has one: choosing would be a guess."""


@dataclass(frozen=True)
class Scope:
    """Whose resources are looked for; names follow suite_name_prefix."""

    project: str
    environment: str
    account_id: str
    region: str
    partition: str = "aws"

    @property
    def prefix(self) -> str:
        return f"{self.environment}-{self.project}"

    @property
    def tags(self) -> dict[str, str]:
        return {"Project": self.project, "Environment": self.environment}

    @property
    def filters(self) -> list[dict[str, Any]]:
        return [{"Name": f"tag:{key}", "Values": [value]} for key, value in self.tags.items()]

    def owns(self, resource: dict[str, Any]) -> bool:
        """Secrets Manager's tag filters match prefixes, and some calls do not filter by tag at all."""
        return self.tags.items() <= tags_of(resource).items()


def scope_of(sts: Any, project: str, environment: str, region: str) -> Scope:
    """The scope of an environment in the account that the credentials belong to."""
    caller = sts.get_caller_identity()
    return Scope(project, environment, caller["Account"], region, caller["Arn"].split(":")[1])


# Transformations: AWS's answers in, what stack_info returns out.


def tags_of(resource: dict[str, Any]) -> dict[str, str]:
    tags = resource.get("Tags") or resource.get("TagSet") or []
    return {tag["Key"]: tag["Value"] for tag in tags}


def only(kind: str, found: list[dict[str, Any]], id_key: str) -> dict[str, Any] | None:
    """The one resource of its kind, or None; more than one is an error that names them."""
    if len(found) > 1:
        ids = ", ".join(sorted(resource[id_key] for resource in found))
        raise AmbiguousStackError(
            f"{len(found)} {kind}s carry this environment's tags ({ids}), but it has one: remove or retag the others."
        )
    return found[0] if found else None


def by_tag(resources: Iterable[dict[str, Any]], tag: str, values: Iterable[str], id_key: str) -> dict[str, str | None]:
    found = {tags_of(resource).get(tag): resource[id_key] for resource in resources}
    return {value: found.get(value) for value in values}


def vpc(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    one = only("VPC", found, "VpcId")
    return one and {"id": one["VpcId"], "cidr_block": one["CidrBlock"]}


def subnets(found: list[dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    tiers: dict[str, list[dict[str, str]]] = {tier: [] for tier in TIERS}
    for subnet in sorted(found, key=lambda subnet: (subnet["AvailabilityZone"], subnet["CidrBlock"])):
        tier = tags_of(subnet).get("Tier")
        if tier in tiers:
            tiers[tier].append(
                {"id": subnet["SubnetId"], "cidr_block": subnet["CidrBlock"], "availability_zone": subnet["AvailabilityZone"]}
            )
    return tiers


def nat_gateways(found: list[dict[str, Any]], subnets_by_tier: dict[str, list[dict[str, str]]]) -> list[dict[str, Any]]:
    zones = {subnet["id"]: subnet["availability_zone"] for tier in subnets_by_tier.values() for subnet in tier}
    gateways = [
        {
            "id": gateway["NatGatewayId"],
            "subnet_id": gateway["SubnetId"],
            "state": gateway["State"],
            "allocation_id": next((a.get("AllocationId") for a in gateway["NatGatewayAddresses"]), None),
            "public_ip": next((a.get("PublicIp") for a in gateway["NatGatewayAddresses"]), None),
            "availability_zone": zones.get(gateway["SubnetId"]),
        }
        for gateway in found
        if gateway["State"] not in GONE
    ]
    return sorted(gateways, key=lambda gateway: (gateway["availability_zone"] or "", gateway["id"]))


def route_tables(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    tables = [
        {
            "id": table["RouteTableId"],
            "tier": tags_of(table).get("Tier"),
            "availability_zone": tags_of(table).get("AvailabilityZone"),
        }
        for table in found
    ]
    return sorted(tables, key=lambda table: (table["tier"] or "", table["availability_zone"] or "", table["id"]))


def endpoints(found: list[dict[str, Any]]) -> dict[str, str | None]:
    alive = {e["ServiceName"].rsplit(".", 1)[-1]: e["VpcEndpointId"] for e in found if e["State"].lower() not in GONE}
    # Those of further services, too: a teardown must find them.
    return dict.fromkeys(ENDPOINT_SERVICES) | alive


def bastion(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    alive = [instance for instance in found if instance["State"]["Name"] not in GONE]
    one = only("bastion instance", alive, "InstanceId")
    return one and {
        "instance_id": one["InstanceId"],
        "state": one["State"]["Name"],
        "private_ip": one.get("PrivateIpAddress"),
    }


def secrets(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        secret["Name"]: {"arn": secret["ARN"], "deleted_date": secret["DeletedDate"].isoformat() if secret.get("DeletedDate") else None}
        for secret in found
    }


def database(instance: dict[str, Any]) -> dict[str, Any]:
    # AWS names an endpoint only once the instance is reachable.
    endpoint = instance.get("Endpoint") or {}
    return {
        "identifier": instance["DBInstanceIdentifier"],
        "arn": instance["DBInstanceArn"],
        "status": instance["DBInstanceStatus"],
        "address": endpoint.get("Address"),
        "port": endpoint.get("Port"),
        "name": instance.get("DBName"),
        "engine_version": instance["EngineVersion"],
        "encrypted": instance["StorageEncrypted"],
        "multi_az": instance["MultiAZ"],
        # The fourth part of an ARN is its region.
        "backup_regions": sorted(
            one["DBInstanceAutomatedBackupsArn"].split(":")[3] for one in instance.get("DBInstanceAutomatedBackupsReplications") or []
        ),
    }


def load_balancer(found: dict[str, Any], attributes: dict[str, str]) -> dict[str, Any]:
    logged = attributes.get("access_logs.s3.enabled") == "true"
    return {
        "arn": found["LoadBalancerArn"],
        "name": found["LoadBalancerName"],
        "dns_name": found["DNSName"],
        "zone_id": found["CanonicalHostedZoneId"],
        "state": found["State"]["Code"],
        "drop_invalid_headers": attributes.get("routing.http.drop_invalid_header_fields.enabled") == "true",
        "access_logs": {key: attributes.get(f"access_logs.s3.{key}", "") for key in ("bucket", "prefix")} if logged else None,
    }


def listener(found: dict[str, Any]) -> dict[str, Any]:
    # Further certificates are of another call.
    certificate = next(iter(found.get("Certificates") or []), {})
    return {
        "arn": found["ListenerArn"],
        "port": found["Port"],
        "protocol": found["Protocol"],
        "certificate_arn": certificate.get("CertificateArn"),
        "ssl_policy": found.get("SslPolicy"),
    }


def targets(descriptions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "id": item["Target"]["Id"],
            "port": item["Target"].get("Port"),
            "state": item["TargetHealth"]["State"],
            "reason": item["TargetHealth"].get("Reason"),
            "description": item["TargetHealth"].get("Description"),
        }
        for item in sorted(descriptions, key=lambda item: item["Target"]["Id"])
    ]


def autoscaling_group(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    one = only("auto scaling group", found, "AutoScalingGroupName")
    if one is None:
        return None
    template = one.get("LaunchTemplate")
    return {
        "name": one["AutoScalingGroupName"],
        "min_size": one["MinSize"],
        "max_size": one["MaxSize"],
        "desired_capacity": one["DesiredCapacity"],
        "instances": [
            {
                "id": instance["InstanceId"],
                "lifecycle_state": instance["LifecycleState"],
                "health_status": instance["HealthStatus"],
                "availability_zone": instance["AvailabilityZone"],
            }
            for instance in sorted(one["Instances"], key=lambda instance: instance["InstanceId"])
        ],
        "suspended_processes": sorted(process["ProcessName"] for process in one["SuspendedProcesses"]),
        "launch_template": template
        and {"id": template["LaunchTemplateId"], "name": template["LaunchTemplateName"], "version": template.get("Version")},
    }


def cluster(found: dict[str, Any]) -> dict[str, Any]:
    # Endpoint, certificate authority and issuer come when the control plane does.
    return {
        "name": found["name"],
        "arn": found["arn"],
        "status": found["status"],
        "version": found["version"],
        "endpoint": found.get("endpoint"),
        "certificate_authority": (found.get("certificateAuthority") or {}).get("data"),
        "security_group_id": found["resourcesVpcConfig"].get("clusterSecurityGroupId"),
        "oidc_issuer": ((found.get("identity") or {}).get("oidc") or {}).get("issuer"),
        "role_arn": found["roleArn"],
        "encrypted": bool(found.get("encryptionConfig")),
    }


def node_group(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": found["nodegroupName"],
        "arn": found["nodegroupArn"],
        "status": found["status"],
        "version": found["version"],
        "min_size": found["scalingConfig"]["minSize"],
        "max_size": found["scalingConfig"]["maxSize"],
        "desired_size": found["scalingConfig"]["desiredSize"],
    }


def application_url(stack: dict[str, Any], url: str = "", domains: Iterable[str] = ()) -> str:
    """Where a browser reaches the application: `url`, or what follows from the load balancer; empty where there is none.

    No certificate is for the load balancer's own name: with HTTPS it is the first of the domains. `.example.com` is no name itself.
    """
    if "load_balancer" not in stack or "listeners" not in stack:
        # It could not be looked at.
        return url
    if not stack["load_balancer"]:
        return ""
    https = any(listener["protocol"] == "HTTPS" for listener in stack["listeners"])
    name = next((domain for domain in domains if https and domain[:1] not in ".*"), stack["load_balancer"]["dns_name"])
    return url or f"{'https' if https else 'http'}://{name}"


# Calls: each answers one or more keys of stack_info's result, with as few requests as AWS allows.

Clients = Callable[[str], Any]
Reader = Callable[[Clients, "Scope"], dict[str, Any]]


def named(readers: Iterable[Reader]) -> dict[str, Reader]:
    """By what each reads."""
    return {reader.__name__.removeprefix("read_"): reader for reader in readers}


def pages(client: Any, operation: str, result: str, **arguments: Any) -> list[dict[str, Any]]:
    return client.get_paginator(operation).paginate(**arguments).build_full_result().get(result, [])


def unless_missing(codes: Iterable[str], call: Callable[..., Any], **arguments: Any) -> Any | None:
    """A call that finds by name: None where AWS answers that there is no such thing."""
    try:
        return call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] in codes:
            return None
        raise


def tagged(client: Any, scope: Scope, operation: str, result: str, argument: str = "Filters") -> list[dict[str, Any]]:
    return [found for found in pages(client, operation, result, **{argument: scope.filters}) if scope.owns(found)]


def read_vpc(clients: Clients, scope: Scope) -> dict[str, Any]:
    return {"vpc": vpc(tagged(clients("ec2"), scope, "describe_vpcs", "Vpcs"))}


def read_flow_logs(clients: Clients, scope: Scope) -> dict[str, Any]:
    found = tagged(clients("ec2"), scope, "describe_flow_logs", "FlowLogs", argument="Filter")
    return {"flow_log_ids": sorted(one["FlowLogId"] for one in found)}


def read_web_acl(clients: Clients, scope: Scope) -> dict[str, Any]:
    # There is no paginator; 100 is the most of a page, and of what AWS lets a region have unless asked.
    found = clients("wafv2").list_web_acls(Scope="REGIONAL", Limit=100)["WebACLs"]
    ours = next((one for one in found if one["Name"] == f"{scope.prefix}-waf"), None)
    return {"web_acl": ours and {"arn": ours["ARN"], "name": ours["Name"]}}


def read_internet_gateway(clients: Clients, scope: Scope) -> dict[str, Any]:
    found = only("internet gateway", tagged(clients("ec2"), scope, "describe_internet_gateways", "InternetGateways"), "InternetGatewayId")
    return {"internet_gateway_id": found and found["InternetGatewayId"]}


def read_subnets_and_nat_gateways(clients: Clients, scope: Scope) -> dict[str, Any]:
    by_tier = subnets(tagged(clients("ec2"), scope, "describe_subnets", "Subnets"))
    gateways = tagged(clients("ec2"), scope, "describe_nat_gateways", "NatGateways", argument="Filter")
    return {"subnets": by_tier, "nat_gateways": nat_gateways(gateways, by_tier)}


def read_route_tables(clients: Clients, scope: Scope) -> dict[str, Any]:
    return {"route_tables": route_tables(tagged(clients("ec2"), scope, "describe_route_tables", "RouteTables"))}


def read_security_groups(clients: Clients, scope: Scope) -> dict[str, Any]:
    found = tagged(clients("ec2"), scope, "describe_security_groups", "SecurityGroups")
    return {"security_groups": by_tag(found, "Role", SECURITY_GROUP_ROLES, "GroupId")}


def read_vpc_endpoints(clients: Clients, scope: Scope) -> dict[str, Any]:
    return {"vpc_endpoints": endpoints(tagged(clients("ec2"), scope, "describe_vpc_endpoints", "VpcEndpoints"))}


def read_machines(clients: Clients, scope: Scope) -> dict[str, Any]:
    filters = [*scope.filters, {"Name": "tag:Role", "Values": ["app", "bastion"]}]
    reservations = pages(clients("ec2"), "describe_instances", "Reservations", Filters=filters)
    by_role: dict[str, list[dict[str, Any]]] = {"app": [], "bastion": []}
    for instance in [instance for reservation in reservations for instance in reservation["Instances"]]:
        by_role[tags_of(instance)["Role"]].append(instance)
    running = [instance["InstanceId"] for instance in by_role["app"] if instance["State"]["Name"] in ("pending", "running")]
    return {"bastion": bastion(by_role["bastion"]), "running_app_ids": sorted(running)}


def read_launch_template(clients: Clients, scope: Scope) -> dict[str, Any]:
    templates = tagged(clients("ec2"), scope, "describe_launch_templates", "LaunchTemplates")
    # That of the cluster's nodes is another part's.
    found = only("launch template", [one for one in templates if tags_of(one).get("Role") != "node"], "LaunchTemplateId")
    if found is None:
        return {"launch_template": None}
    # The image is a property of a version, not of the template.
    versions = clients("ec2").describe_launch_template_versions(LaunchTemplateId=found["LaunchTemplateId"], Versions=["$Latest"])
    return {
        "launch_template": {
            "id": found["LaunchTemplateId"],
            "name": found["LaunchTemplateName"],
            "latest_version": found["LatestVersionNumber"],
            "image_id": versions["LaunchTemplateVersions"][0]["LaunchTemplateData"].get("ImageId"),
        }
    }


def read_buckets(clients: Clients, scope: Scope) -> dict[str, Any]:
    names = {bucket: f"{scope.prefix}-{bucket}-{scope.account_id}" for bucket in BUCKETS}
    client = clients("s3")
    # ExpectedBucketOwner: a name that a stranger took is an error (403), never our bucket.
    return {
        "buckets": {
            bucket: name
            if unless_missing(["404", "NoSuchBucket"], client.head_bucket, Bucket=name, ExpectedBucketOwner=scope.account_id)
            else None
            for bucket, name in names.items()
        }
    }


def read_secrets(clients: Clients, scope: Scope) -> dict[str, Any]:
    filters = [{"Key": "tag-key", "Values": ["Environment"]}, {"Key": "tag-value", "Values": [scope.environment]}]
    found = pages(clients("secretsmanager"), "list_secrets", "SecretList", Filters=filters, IncludePlannedDeletion=True)
    return {"secrets": secrets([secret for secret in found if scope.owns(secret)])}


def read_database(clients: Clients, scope: Scope) -> dict[str, Any]:
    found = unless_missing(
        ["DBInstanceNotFound", "DBInstanceNotFoundFault"],
        clients("rds").describe_db_instances,
        DBInstanceIdentifier=f"{scope.prefix}-postgres",
    )
    return {"database": found and database(found["DBInstances"][0])}


def read_database_subnet_group(clients: Clients, scope: Scope) -> dict[str, Any]:
    name = f"{scope.prefix}-postgres"
    found = unless_missing(
        ["DBSubnetGroupNotFound", "DBSubnetGroupNotFoundFault"], clients("rds").describe_db_subnet_groups, DBSubnetGroupName=name
    )
    return {"database_subnet_group": name if found else None}


def read_parameters(clients: Clients, scope: Scope) -> dict[str, Any]:
    filters = [{"Key": f"tag:{key}", "Values": [value]} for key, value in scope.tags.items()]
    names = [found["Name"] for found in pages(clients("ssm"), "describe_parameters", "Parameters", ParameterFilters=filters)]
    arn = f"arn:{scope.partition}:ssm:{scope.region}:{scope.account_id}:parameter"
    return {"parameters": {name: f"{arn}/{name.lstrip('/')}" for name in sorted(names)}}


def read_load_balancer(clients: Clients, scope: Scope) -> dict[str, Any]:
    client = clients("elbv2")
    found = unless_missing(
        ["LoadBalancerNotFound", "LoadBalancerNotFoundException"], client.describe_load_balancers, Names=[f"{scope.prefix}-alb"]
    )
    if not found:
        return {"load_balancer": None, "listeners": []}
    arn = found["LoadBalancers"][0]["LoadBalancerArn"]
    attributes = client.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    listeners = pages(client, "describe_listeners", "Listeners", LoadBalancerArn=arn)
    return {
        "load_balancer": load_balancer(found["LoadBalancers"][0], {one["Key"]: one["Value"] for one in attributes}),
        "listeners": [listener(one) for one in sorted(listeners, key=lambda one: one["Port"])],
    }


def read_target_group(clients: Clients, scope: Scope) -> dict[str, Any]:
    client = clients("elbv2")
    found = unless_missing(
        ["TargetGroupNotFound", "TargetGroupNotFoundException"], client.describe_target_groups, Names=[f"{scope.prefix}-tg"]
    )
    if not found:
        return {"target_group": None}
    one = found["TargetGroups"][0]
    health = client.describe_target_health(TargetGroupArn=one["TargetGroupArn"])
    return {
        "target_group": {
            "arn": one["TargetGroupArn"],
            "name": one["TargetGroupName"],
            "targets": targets(health["TargetHealthDescriptions"]),
        }
    }


def read_autoscaling_group(clients: Clients, scope: Scope) -> dict[str, Any]:
    return {
        "autoscaling_group": autoscaling_group(tagged(clients("autoscaling"), scope, "describe_auto_scaling_groups", "AutoScalingGroups"))
    }


def read_instance_profile(clients: Clients, scope: Scope) -> dict[str, Any]:
    found = unless_missing(["NoSuchEntity"], clients("iam").get_instance_profile, InstanceProfileName=f"{scope.prefix}-instance-role")
    profile = found and found["InstanceProfile"]
    return {"instance_profile": profile and {"arn": profile["Arn"], "name": profile["InstanceProfileName"]}}


def read_topic(clients: Clients, scope: Scope) -> dict[str, Any]:
    arn = f"arn:{scope.partition}:sns:{scope.region}:{scope.account_id}:{scope.prefix}-alarms"
    found = unless_missing(["NotFound", "NotFoundException"], clients("sns").get_topic_attributes, TopicArn=arn)
    return {"topic_arn": arn if found else None}


def read_alarms(clients: Clients, scope: Scope) -> dict[str, Any]:
    found = pages(clients("cloudwatch"), "describe_alarms", "MetricAlarms", AlarmNamePrefix=f"{scope.prefix}-")
    return {"alarms": sorted(alarm["AlarmName"] for alarm in found)}


def read_log_groups(clients: Clients, scope: Scope) -> dict[str, Any]:
    client = clients("logs")
    names = []
    for prefix in (f"/aws/ec2/{scope.project}", "/aws/vpc/", "aws-waf-logs-"):
        for group in pages(client, "describe_log_groups", "logGroups", logGroupNamePrefix=prefix):
            # The listing has no tags, and the tag call wants the ARN without its ":*".
            tags = client.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"]
            if scope.tags.items() <= tags.items():
                names.append(group["logGroupName"])
    return {"log_groups": sorted(names)}


def read_cluster(clients: Clients, scope: Scope) -> dict[str, Any]:
    """EKS filters by nothing; an account has a handful of clusters."""
    client = clients("eks")
    found = []
    for name in pages(client, "list_clusters", "clusters"):
        one = unless_missing(["ResourceNotFoundException"], client.describe_cluster, name=name)
        if one and scope.tags.items() <= (one["cluster"].get("tags") or {}).items():
            found.append(one["cluster"])
    one = only("cluster", found, "name")
    if one is None:
        return {"cluster": None, "node_group": None}
    groups = []
    for name in pages(client, "list_nodegroups", "nodegroups", clusterName=one["name"]):
        answer = unless_missing(["ResourceNotFoundException"], client.describe_nodegroup, clusterName=one["name"], nodegroupName=name)
        if answer and scope.tags.items() <= (answer["nodegroup"].get("tags") or {}).items():
            groups.append(answer["nodegroup"])
    # While one replaces another there are two: the newer one counts.
    newest = max(groups, key=lambda group: group["createdAt"], default=None)
    return {"cluster": cluster(one), "node_group": newest and node_group(newest)}


def read_repository(clients: Clients, scope: Scope) -> dict[str, Any]:
    found = unless_missing(["RepositoryNotFoundException"], clients("ecr").describe_repositories, repositoryNames=[f"{scope.prefix}-app"])
    one = found and found["repositories"][0]
    return {"repository": one and {"name": one["repositoryName"], "arn": one["repositoryArn"], "uri": one["repositoryUri"]}}


SERVICES = ("ec2", "elbv2", "autoscaling", "rds", "s3", "secretsmanager", "ssm", "iam", "sns", "cloudwatch", "logs", "wafv2", "eks", "ecr")

READERS: tuple[Callable[[Clients, Scope], dict[str, Any]], ...] = (
    read_subnets_and_nat_gateways,
    read_vpc,
    read_internet_gateway,
    read_route_tables,
    read_security_groups,
    read_vpc_endpoints,
    read_flow_logs,
    read_web_acl,
    read_machines,
    read_launch_template,
    read_load_balancer,
    read_target_group,
    read_autoscaling_group,
    read_database,
    read_database_subnet_group,
    read_buckets,
    read_secrets,
    read_parameters,
    read_instance_profile,
    read_topic,
    read_alarms,
    read_log_groups,
    read_cluster,
    read_repository,
)
