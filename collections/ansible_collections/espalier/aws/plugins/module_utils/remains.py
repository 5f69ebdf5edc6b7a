# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is in an account of one environment, service by service, whoever made it and however far a removal came.

stack.py finds what a whole system is made of; this file finds everything that carries the environment's tags or its
names, in any number and state, and says which of it stays on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

from ansible_collections.espalier.aws.plugins.module_utils.stack import BUCKETS, Clients, Scope, pages, tagged, tags_of, unless_missing


@dataclass(frozen=True)
class Remain:
    """One resource. `stays` says why it stays on purpose, `until` (ISO 8601) when AWS removes it by itself.

    `protected`: AWS refuses its deletion until a switch of it is turned off.
    """

    kind: str
    id: str
    name: str = ""
    state: str = ""
    stays: str = ""
    until: str = ""
    protected: bool = False

    def as_dict(self) -> dict[str, str | bool]:
        return asdict(self)


def is_ours(scope: Scope, name: str, tags: dict[str, str]) -> bool:
    """Tags decide where there are any: environment `lab` of project `django` shares its prefix with project `django-two`."""
    if {"Project", "Environment"} & tags.keys():
        return scope.tags.items() <= tags.items()
    return name.startswith(f"{scope.prefix}-")


# EC2: (kind, operation, key of the result, key of the id, key of the state, states in which it is gone)
EC2 = (
    ("volume", "describe_volumes", "Volumes", "VolumeId", "State", ("deleted",)),
    ("elastic IP address", "describe_addresses", "Addresses", "AllocationId", "", ()),
    ("NAT gateway", "describe_nat_gateways", "NatGateways", "NatGatewayId", "State", ("deleted",)),
    ("VPC endpoint", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", "State", ("deleted",)),
    ("internet gateway", "describe_internet_gateways", "InternetGateways", "InternetGatewayId", "", ()),
    ("route table", "describe_route_tables", "RouteTables", "RouteTableId", "", ()),
    ("subnet", "describe_subnets", "Subnets", "SubnetId", "State", ()),
    ("security group", "describe_security_groups", "SecurityGroups", "GroupId", "", ()),
    ("VPC", "describe_vpcs", "Vpcs", "VpcId", "State", ()),
    ("launch template", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateId", "", ()),
    ("flow log", "describe_flow_logs", "FlowLogs", "FlowLogId", "FlowLogStatus", ()),
)


def ec2(clients: Clients, scope: Scope, row: tuple) -> Iterator[Remain]:
    kind, operation, result, id_key, state_key, gone = row
    client = clients("ec2")
    if client.can_paginate(operation):
        argument = "Filter" if operation in ("describe_nat_gateways", "describe_flow_logs") else "Filters"
        found = tagged(client, scope, operation, result, argument)
    else:
        found = getattr(client, operation)(Filters=scope.filters)[result]
    for one in found:
        state = str(one.get(state_key, ""))
        if state.lower() not in gone:
            yield Remain(kind, one[id_key], tags_of(one).get("Name", ""), state)


def instances(clients: Clients, scope: Scope) -> Iterator[Remain]:
    for reservation in pages(clients("ec2"), "describe_instances", "Reservations", Filters=scope.filters):
        for one in reservation["Instances"]:
            if one["State"]["Name"] != "terminated":
                yield Remain("instance", one["InstanceId"], tags_of(one).get("Name", ""), one["State"]["Name"])


def images(clients: Clients, scope: Scope) -> Iterator[Remain]:
    for one in pages(clients("ec2"), "describe_images", "Images", Owners=["self"], Filters=scope.filters):
        yield Remain("AMI", one["ImageId"], one.get("Name", ""), one.get("State", ""))
    for one in pages(clients("ec2"), "describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=scope.filters):
        yield Remain("EBS snapshot", one["SnapshotId"], tags_of(one).get("Name", ""), one["State"])


def network_interfaces(clients: Clients, scope: Scope) -> Iterator[Remain]:
    """AWS's own interfaces carry no tag of ours: those of a load balancer are known by their description."""
    found = {one["NetworkInterfaceId"]: one for one in tagged(clients("ec2"), scope, "describe_network_interfaces", "NetworkInterfaces")}
    mark = {"Name": "description", "Values": [f"ELB app/{scope.prefix}-alb/*"]}
    for one in pages(clients("ec2"), "describe_network_interfaces", "NetworkInterfaces", Filters=[mark]):
        found[one["NetworkInterfaceId"]] = one
    for one in found.values():
        yield Remain("network interface", one["NetworkInterfaceId"], one.get("Description", ""), one["Status"])


def autoscaling_groups(clients: Clients, scope: Scope) -> Iterator[Remain]:
    for one in pages(clients("autoscaling"), "describe_auto_scaling_groups", "AutoScalingGroups"):
        if is_ours(scope, one["AutoScalingGroupName"], tags_of(one)):
            yield Remain("auto scaling group", one["AutoScalingGroupName"], state=one.get("Status", ""))


def _elbv2(clients: Clients, scope: Scope, kind: str, operation: str, result: str, arn_key: str, name_key: str) -> Iterator[Remain]:
    client = clients("elbv2")
    names = {one[arn_key]: one[name_key] for one in pages(client, operation, result)}
    arns = list(names)
    # DescribeTags takes 20 resources at most.
    for start in range(0, len(arns), 20):
        for description in client.describe_tags(ResourceArns=arns[start : start + 20])["TagDescriptions"]:
            arn = description["ResourceArn"]
            if is_ours(scope, names[arn], tags_of(description)):
                yield Remain(kind, arn, names[arn], protected=kind == "load balancer" and _is_protected(client, arn))


def _is_protected(client, arn: str) -> bool:
    attributes = client.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    return {"Key": "deletion_protection.enabled", "Value": "true"} in attributes


def load_balancers(clients: Clients, scope: Scope) -> Iterator[Remain]:
    yield from _elbv2(clients, scope, "load balancer", "describe_load_balancers", "LoadBalancers", "LoadBalancerArn", "LoadBalancerName")
    yield from _elbv2(clients, scope, "target group", "describe_target_groups", "TargetGroups", "TargetGroupArn", "TargetGroupName")


def _tag_list(one: dict) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in one.get("TagList") or []}


def databases(clients: Clients, scope: Scope) -> Iterator[Remain]:
    client = clients("rds")
    for one in pages(client, "describe_db_instances", "DBInstances"):
        if is_ours(scope, one["DBInstanceIdentifier"], _tag_list(one)):
            yield Remain("DB instance", one["DBInstanceIdentifier"], state=one["DBInstanceStatus"], protected=one["DeletionProtection"])
    for one in pages(client, "describe_db_snapshots", "DBSnapshots", SnapshotType="manual"):
        if is_ours(scope, one["DBInstanceIdentifier"], _tag_list(one)):
            yield Remain(
                "DB snapshot", one["DBSnapshotIdentifier"], state=one["Status"], stays="a snapshot stays until somebody deletes it"
            )
    for kind, operation, result, name_key, arn_key in (
        ("DB subnet group", "describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName", "DBSubnetGroupArn"),
        ("DB parameter group", "describe_db_parameter_groups", "DBParameterGroups", "DBParameterGroupName", "DBParameterGroupArn"),
    ):
        for one in pages(client, operation, result):
            if not one[name_key].startswith(f"{scope.prefix}-"):
                continue
            if is_ours(scope, one[name_key], _tag_list(client.list_tags_for_resource(ResourceName=one[arn_key]))):
                yield Remain(kind, one[name_key])


def copied_backups(client, scope: Scope) -> Iterator[Remain]:
    """Of databases that are here or were, by a client of the second region: automatic backups that were copied there."""
    for one in pages(client, "describe_db_instance_automated_backups", "DBInstanceAutomatedBackups"):
        # A database of that region has backups of its own.
        if one["DBInstanceArn"].split(":")[3] == scope.region and is_ours(scope, one["DBInstanceIdentifier"], _tag_list(one)):
            stays = f"a copy stays until it is {one['BackupRetentionPeriod']} days old"
            yield Remain(
                "copied backups", one["DBInstanceAutomatedBackupsArn"], one["DBInstanceIdentifier"], state=one["Status"], stays=stays
            )


def buckets(clients: Clients, scope: Scope) -> Iterator[Remain]:
    client = clients("s3")
    # Without tags only the names that the suite gives: anybody's buckets may begin like ours.
    known = {f"{scope.prefix}-{bucket}-{scope.account_id}" for bucket in BUCKETS}
    for one in client.list_buckets()["Buckets"]:
        name = one["Name"]
        if name.startswith(f"{scope.prefix}-"):
            tags = tags_of(unless_missing(["NoSuchTagSet", "NoSuchBucket"], client.get_bucket_tagging, Bucket=name) or {})
            if is_ours(scope, name, tags) if tags else name in known:
                yield Remain("S3 bucket", name)


def secrets(clients: Clients, scope: Scope) -> Iterator[Remain]:
    filters = [{"Key": "tag-key", "Values": ["Environment"]}, {"Key": "tag-value", "Values": [scope.environment]}]
    for one in pages(clients("secretsmanager"), "list_secrets", "SecretList", Filters=filters, IncludePlannedDeletion=True):
        if not scope.owns(one):
            continue
        if one.get("DeletedDate"):
            stays = "in its recovery window, in which building again restores it"
            yield Remain("secret", one["Name"], state="scheduled for deletion", stays=stays, until=one["DeletedDate"].isoformat())
        else:
            yield Remain("secret", one["Name"])


def parameters(clients: Clients, scope: Scope) -> Iterator[Remain]:
    filters = [{"Key": f"tag:{key}", "Values": [value]} for key, value in scope.tags.items()]
    for one in pages(clients("ssm"), "describe_parameters", "Parameters", ParameterFilters=filters):
        yield Remain("SSM parameter", one["Name"])


def session_documents(clients: Clients, scope: Scope) -> Iterator[Remain]:
    wanted = [{"Key": "Owner", "Values": ["Self"]}, {"Key": "DocumentType", "Values": ["Session"]}]
    for one in pages(clients("ssm"), "list_documents", "DocumentIdentifiers", Filters=wanted):
        if is_ours(scope, one["Name"], tags_of(one)):
            yield Remain("session document", one["Name"])


def of_deployments(tags: dict[str, str]) -> str:
    """A removal may itself run with the role of deployments, which was there before the environment."""
    return "deployments run with it, playbooks/deployment_role.yml removes it" if tags.get("Role") == "deployment" else ""


def identities(clients: Clients, scope: Scope) -> Iterator[Remain]:
    """IAM is global and does not filter: names first, then the tags of the few that are left."""
    client = clients("iam")
    for kind, operation, result, key, get in (
        ("IAM role", "list_roles", "Roles", "RoleName", client.get_role),
        ("IAM instance profile", "list_instance_profiles", "InstanceProfiles", "InstanceProfileName", client.get_instance_profile),
    ):
        for one in pages(client, operation, result):
            if not one[key].startswith(f"{scope.prefix}-"):
                continue
            # The listing has no tags.
            answer = unless_missing(["NoSuchEntity"], get, **{key: one[key]})
            tags = tags_of(answer[result.removesuffix("s")]) if answer else {}
            if answer and is_ours(scope, one[key], tags):
                yield Remain(kind, one[key], stays=of_deployments(tags))
    for one in pages(client, "list_policies", "Policies", Scope="Local"):
        if one["PolicyName"].startswith(f"{scope.prefix}-"):
            tags = unless_missing(["NoSuchEntity"], client.list_policy_tags, PolicyArn=one["Arn"])
            if tags is not None and is_ours(scope, one["PolicyName"], tags_of(tags)):
                yield Remain("IAM policy", one["Arn"], one["PolicyName"], stays=of_deployments(tags_of(tags)))


def oidc_providers(clients: Clients, scope: Scope) -> Iterator[Remain]:
    """Of clusters: an issuer's name says nothing, so tags alone decide."""
    client = clients("iam")
    for one in client.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        tags = unless_missing(["NoSuchEntity"], client.list_open_id_connect_provider_tags, OpenIDConnectProviderArn=one["Arn"])
        if tags is not None and scope.owns(tags):
            yield Remain("OpenID Connect provider", one["Arn"], tags_of(tags).get("Name", ""))


def clusters(clients: Clients, scope: Scope) -> Iterator[Remain]:
    """With their node groups, which hold them."""
    client = clients("eks")
    for name in pages(client, "list_clusters", "clusters"):
        answer = unless_missing(["ResourceNotFoundException"], client.describe_cluster, name=name)
        if not answer or not is_ours(scope, name, answer["cluster"].get("tags") or {}):
            continue
        one = answer["cluster"]
        yield Remain("EKS cluster", name, state=one["status"], protected=one.get("deletionProtection", False))
        for group in pages(client, "list_nodegroups", "nodegroups", clusterName=name):
            yield Remain("EKS node group", f"{name}/{group}")


def repositories(clients: Clients, scope: Scope) -> Iterator[Remain]:
    client = clients("ecr")
    for one in pages(client, "describe_repositories", "repositories"):
        name = one["repositoryName"]
        if name.startswith(f"{scope.prefix}-"):
            tags = unless_missing(["RepositoryNotFoundException"], client.list_tags_for_resource, resourceArn=one["repositoryArn"])
            if tags is not None and is_ours(scope, name, {tag["Key"]: tag["Value"] for tag in tags["tags"]}):
                yield Remain("ECR repository", name)


def keys(clients: Clients, scope: Scope) -> Iterator[Remain]:
    """By their aliases, which begin with our prefix."""
    client = clients("kms")
    for alias in pages(client, "list_aliases", "Aliases"):
        name = alias["AliasName"].removeprefix("alias/")
        if not name.startswith(f"{scope.prefix}-") or "TargetKeyId" not in alias:
            continue
        tags = client.list_resource_tags(KeyId=alias["TargetKeyId"])["Tags"]
        if not is_ours(scope, name, {tag["TagKey"]: tag["TagValue"] for tag in tags}):
            continue
        key = client.describe_key(KeyId=alias["TargetKeyId"])["KeyMetadata"]
        if key["KeyState"] == "PendingDeletion":
            stays = "what is encrypted with it could be read again until then"
            yield Remain("KMS key", key["KeyId"], name, "scheduled for deletion", stays=stays, until=key["DeletionDate"].isoformat())
        else:
            yield Remain("KMS key", key["KeyId"], name, key["KeyState"])


def topics(clients: Clients, scope: Scope) -> Iterator[Remain]:
    client = clients("sns")
    for one in pages(client, "list_topics", "Topics"):
        name = one["TopicArn"].rsplit(":", 1)[-1]
        if name.startswith(f"{scope.prefix}-"):
            tags = unless_missing(["NotFound", "ResourceNotFound"], client.list_tags_for_resource, ResourceArn=one["TopicArn"])
            if tags is not None and is_ours(scope, name, tags_of(tags)):
                yield Remain("SNS topic", one["TopicArn"], name)


def alarms(clients: Clients, scope: Scope) -> Iterator[Remain]:
    client = clients("cloudwatch")
    for one in pages(client, "describe_alarms", "MetricAlarms", AlarmNamePrefix=f"{scope.prefix}-"):
        tags = unless_missing(["ResourceNotFound", "ResourceNotFoundException"], client.list_tags_for_resource, ResourceARN=one["AlarmArn"])
        if tags is not None and is_ours(scope, one["AlarmName"], tags_of(tags)):
            yield Remain("alarm", one["AlarmName"], state=one.get("StateValue", ""))


def dashboards(clients: Clients, scope: Scope) -> Iterator[Remain]:
    """They carry no tags: the one that the suite names, and what begins like it."""
    for one in pages(clients("cloudwatch"), "list_dashboards", "DashboardEntries", DashboardNamePrefix=scope.prefix):
        if one["DashboardName"] == scope.prefix:
            yield Remain("dashboard", one["DashboardName"])


def budgets(clients: Clients, scope: Scope) -> Iterator[Remain]:
    # Who may not look at the bill has made no budget either.
    answer = unless_missing(
        ["NotFoundException", "AccessDeniedException"],
        clients("budgets").describe_budget,
        AccountId=scope.account_id,
        BudgetName=scope.prefix,
    )
    if answer:
        yield Remain("budget", answer["Budget"]["BudgetName"])


def web_acls(clients: Clients, scope: Scope) -> Iterator[Remain]:
    client = clients("wafv2")
    # There is no paginator; 100 is the most of a page, and of what AWS lets a region have unless asked.
    for one in client.list_web_acls(Scope="REGIONAL", Limit=100)["WebACLs"]:
        if one["Name"].startswith(f"{scope.prefix}-"):
            tags = client.list_tags_for_resource(ResourceARN=one["ARN"])["TagInfoForResource"]["TagList"]
            if is_ours(scope, one["Name"], tags_of({"Tags": tags})):
                yield Remain("web ACL", one["ARN"], one["Name"])


def certificates(clients: Clients, scope: Scope) -> Iterator[Remain]:
    client = clients("acm")
    for one in pages(client, "list_certificates", "CertificateSummaryList"):
        tags = unless_missing(["ResourceNotFoundException"], client.list_tags_for_certificate, CertificateArn=one["CertificateArn"])
        if tags and scope.owns(tags):
            yield Remain("certificate", one["CertificateArn"], one["DomainName"])


def _of_cloudfront(clients: Clients, operation: str, result: str) -> list[dict]:
    """CloudFront's lists are one level deeper than others, and have no such level where they are empty."""
    return dict(pages(clients("cloudfront"), operation, result)).get("Items") or []


def distributions(clients: Clients, scope: Scope) -> Iterator[Remain]:
    """By their comment, which is their name. A removal switches one off by itself, so none counts as protected."""
    client = clients("cloudfront")
    for one in _of_cloudfront(clients, "list_distributions", "DistributionList"):
        if one["Comment"].startswith(f"{scope.prefix}-"):
            tags = unless_missing(["NoSuchResource"], client.list_tags_for_resource, Resource=one["ARN"])
            if tags is not None and is_ours(scope, one["Comment"], tags_of({"Tags": tags["Tags"].get("Items", [])})):
                yield Remain("CloudFront distribution", one["Id"], one["Comment"], one["Status"])


def origin_access_controls(clients: Clients, scope: Scope) -> Iterator[Remain]:
    """They carry no tags: the one that the suite names."""
    for one in _of_cloudfront(clients, "list_origin_access_controls", "OriginAccessControlList"):
        if one["Name"] == f"{scope.prefix}-cdn":
            yield Remain("origin access control", one["Id"], one["Name"])


def log_groups(clients: Clients, scope: Scope) -> Iterator[Remain]:
    """Of our own names, of the cluster's, and of the database's logs: RDS makes them, anew where it was renamed, and never removes any."""
    client = clients("logs")
    for prefix in ("/aws/ec2/", "/aws/vpc/", "/aws/ssm/", "/aws/eks/", "aws-waf-logs-", f"/aws/rds/instance/{scope.prefix}-postgres"):
        for one in pages(client, "describe_log_groups", "logGroups", logGroupNamePrefix=prefix):
            # The listing has no tags, and the call for them wants the ARN without its ":*".
            answer = unless_missing(["ResourceNotFoundException"], client.list_tags_for_resource, resourceArn=one["arn"].removesuffix(":*"))
            name = one["logGroupName"]
            if answer is not None and is_ours(scope, name.removeprefix("/aws/rds/instance/").removeprefix("aws-waf-logs-"), answer["tags"]):
                yield Remain("log group", name)


Reader = Callable[[Clients, Scope], Iterable[Remain]]

SERVICES = (
    "ec2",
    "autoscaling",
    "elbv2",
    "rds",
    "s3",
    "secretsmanager",
    "ssm",
    "iam",
    "sns",
    "cloudwatch",
    "logs",
    "wafv2",
    "acm",
    "budgets",
    "cloudfront",
    "eks",
    "ecr",
    "kms",
)


def _of_ec2(row: tuple) -> Reader:
    return lambda clients, scope: ec2(clients, scope, row)


READERS: tuple[Reader, ...] = (
    instances,
    autoscaling_groups,
    load_balancers,
    databases,
    *map(_of_ec2, EC2),
    images,
    network_interfaces,
    buckets,
    secrets,
    parameters,
    session_documents,
    identities,
    oidc_providers,
    clusters,
    repositories,
    keys,
    topics,
    alarms,
    dashboards,
    budgets,
    web_acls,
    certificates,
    distributions,
    origin_access_controls,
    log_groups,
)
