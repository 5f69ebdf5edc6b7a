"""What auditors look for (ids of checkov and Prowler), asked of AWS's API: each a check, or the reason why it does not hold here.

docs/production.md has the same rows; a test compares. `CHECKS` runs against a system that was built with the switches of
inventories/production.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.acceptance import cluster
from tests.acceptance.compute import launch_template_data, security_groups_of_template
from tests.acceptance.network import default_route, nat_gateways
from tests.acceptance.system import System, only, tags_of
from tests.tree import ROOT


@dataclass(frozen=True)
class Check:
    """`ids` of the auditors' checks, what they ask for, and how it is seen here; or why it is otherwise."""

    ids: tuple[str, ...]
    what: str
    holds: Callable[[System], bool] | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        return self.ids[0]


# ---- what several checks look at


def parameters(system: System, **only_of: str) -> dict[str, str]:
    """Of the database's parameter group; Source="user" is what was set there."""
    group = only(system.database()["DBParameterGroups"], "parameter group")["DBParameterGroupName"]
    pages = system.client("rds").get_paginator("describe_db_parameters").paginate(DBParameterGroupName=group, **only_of)
    return {one["ParameterName"]: one.get("ParameterValue", "") for page in pages for one in page["Parameters"]}


def attributes(system: System) -> dict[str, str]:
    """Of the load balancer."""
    arn = system.load_balancer()["LoadBalancerArn"]
    answer = system.client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    return {entry["Key"]: entry["Value"] for entry in answer}


def listeners(system: System) -> dict[int, dict]:
    arn = system.load_balancer()["LoadBalancerArn"]
    return {entry["Port"]: entry for entry in system.client("elbv2").describe_listeners(LoadBalancerArn=arn)["Listeners"]}


def protocols(system: System) -> set[str]:
    name = listeners(system)[443]["SslPolicy"]
    return set(only(system.client("elbv2").describe_ssl_policies(Names=[name])["SslPolicies"], "policy")["SslProtocols"])


def web_acl(system: System) -> dict | None:
    return system.client("wafv2").get_web_acl_for_resource(ResourceArn=system.load_balancer()["LoadBalancerArn"]).get("WebACL")


def managed_groups(system: System) -> set[str]:
    """Rule groups of AWS that refuse, and do not only count."""
    rules = [rule for rule in (web_acl(system) or {"Rules": []})["Rules"] if rule.get("OverrideAction") == {"None": {}}]
    return {rule["Statement"]["ManagedRuleGroupStatement"]["Name"] for rule in rules}


def waf_is_logged(system: System) -> bool:
    acl = web_acl(system)
    logged = system.client("wafv2").list_logging_configurations(Scope="REGIONAL")["LoggingConfigurations"] if acl else []
    found = [one["LogDestinationConfigs"][0] for one in logged if one["ResourceArn"] == acl["ARN"]]
    return bool(found) and ":log-group:aws-waf-logs-" in only(found, "destination")


def security_groups(system: System) -> list[dict]:
    return system.described("describe_security_groups", "SecurityGroups")


def rules(system: System, *directions: str) -> Iterator[dict]:
    for group in security_groups(system):
        for direction in directions:
            yield from group[direction]


def inbound(system: System) -> Iterator[dict]:
    return rules(system, "IpPermissions")


def rules_are_described(system: System) -> bool:
    """Of both directions, whatever they name."""
    found = rules(system, "IpPermissions", "IpPermissionsEgress")
    kinds = ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")
    named = [one for rule in found for kind in kinds for one in rule.get(kind, [])]
    groups = security_groups(system)
    return bool(named) and all(one.get("Description") for one in named) and all(group["Description"] for group in groups)


def ssh_is_closed(system: System) -> bool:
    return not [
        rule for rule in inbound(system) if rule["IpProtocol"] == "-1" or rule.get("FromPort", 0) <= 22 <= rule.get("ToPort", 65535)
    ]


def groups_are_used(system: System) -> bool:
    """Each stands on an interface, on the database, or in the launch template."""
    interfaces = system.client("ec2").describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [system.vpc_id()]}])
    used = {group["GroupId"] for one in interfaces["NetworkInterfaces"] for group in one["Groups"]}
    used |= {group["VpcSecurityGroupId"] for group in system.database()["VpcSecurityGroups"]}
    used |= set(system.load_balancer()["SecurityGroups"]) | set(security_groups_of_template(launch_template_data(system)))
    used |= {group["GroupId"] for machine in system.instances("bastion") for group in machine["SecurityGroups"]}
    used |= {group["GroupId"] for endpoint in system.described("describe_vpc_endpoints", "VpcEndpoints") for group in endpoint["Groups"]}
    return {group["GroupId"] for group in security_groups(system)} <= used


def default_group_is_closed(system: System) -> bool:
    named = [{"Name": "group-name", "Values": ["default"]}, {"Name": "vpc-id", "Values": [system.vpc_id()]}]
    group = only(system.client("ec2").describe_security_groups(Filters=named)["SecurityGroups"], "default group")
    return group["IpPermissions"] == group["IpPermissionsEgress"] == []


def flow_log(system: System) -> dict:
    return only(system.client("ec2").describe_flow_logs(Filters=system.filters)["FlowLogs"], "flow log")


def private_subnets_use_nat(system: System) -> bool:
    gateways = {gateway["NatGatewayId"] for gateway in nat_gateways(system)}
    return bool(gateways) and {default_route(system, subnet) for subnet in system.subnets("private")} <= gateways


def node_groups(system: System) -> list[dict]:
    """Of the environment's cluster; none without one."""
    eks, found = system.client("eks"), cluster.find(system)
    names = eks.list_nodegroups(clusterName=found["name"])["nodegroups"] if found else []
    return [eks.describe_nodegroup(clusterName=found["name"], nodegroupName=name)["nodegroup"] for name in names]


def templates(system: System) -> list[dict]:
    """What machines are made from: the application's, and the cluster's nodes."""
    ec2, found = system.client("ec2"), [launch_template_data(system)]
    for used in [group["launchTemplate"] for group in node_groups(system)]:
        answer = ec2.describe_launch_template_versions(LaunchTemplateName=used["name"], Versions=[used["version"]])
        found.append(only(answer["LaunchTemplateVersions"], "version of the nodes' launch template")["LaunchTemplateData"])
    return found


def metadata(system: System) -> list[dict]:
    """How the metadata of the application's instances, of nodes and of the bastion are reached."""
    return [one["MetadataOptions"] for one in (*templates(system), *system.instances("bastion"))]


def volumes_are_encrypted(system: System) -> bool:
    devices = [data["BlockDeviceMappings"] for data in templates(system)]
    bastion = [one["Ebs"]["VolumeId"] for machine in system.instances("bastion") for one in machine["BlockDeviceMappings"]]
    volumes = system.client("ec2").describe_volumes(VolumeIds=bastion)["Volumes"] if bastion else []
    encrypted = [device["Ebs"].get("Encrypted") for each in devices for device in each] + [one["Encrypted"] for one in volumes]
    return all(devices) and all(encrypted)


def no_public_address(system: System) -> bool:
    data = launch_template_data(system)
    asked = [interface.get("AssociatePublicIpAddress") for interface in data.get("NetworkInterfaces", [])]
    return not any(asked) and not any(subnet["MapPublicIpOnLaunch"] for subnet in system.subnets("private"))


def user_data_is_clean(system: System) -> bool:
    text = base64.b64decode(launch_template_data(system)["UserData"]).decode()
    return not any(mark in text for mark in ("AKIA", "aws_secret_access_key", "SECRET_KEY=", "PASSWORD="))


def buckets(system: System) -> list[str]:
    return [f"{system.prefix}-{bucket}-{system.account_id}" for bucket in ("static", "session")]


def each_bucket(system: System, holds: Callable[[str], bool]) -> bool:
    return all(holds(name) for name in buckets(system))


def is_encrypted(system: System, name: str) -> bool:
    rules = system.client("s3").get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    return {rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] for rule in rules} <= {"AES256", "aws:kms"}


def is_blocked(system: System, name: str) -> bool:
    found = system.client("s3").get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    return len(found) == 4 and all(found.values())


def is_versioned(system: System, name: str) -> bool:
    return system.client("s3").get_bucket_versioning(Bucket=name).get("Status") == "Enabled"


def has_lifecycle(system: System, name: str) -> bool:
    rules = system.client("s3").get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    return bool(rules) and all(rule["Status"] == "Enabled" for rule in rules)


def log_groups(system: System) -> dict[str, int]:
    """Days that lines are kept, 0 for ever, of each group that this environment must have, and of every other one with its name. One that
    is missing is a finding."""
    database = system.database()["DBInstanceIdentifier"]
    expected = {
        "/aws/ec2/django-app",
        "/aws/vpc/flowlogs",
        f"/aws/ssm/{system.prefix}-sessions",
        f"aws-waf-logs-{system.prefix}",
        *(f"/aws/rds/instance/{database}/{log}" for log in ("postgresql", "upgrade")),
    }
    found = cluster.find(system)
    expected |= {f"/aws/eks/{found['name']}/cluster"} if found else set()
    pages = system.client("logs").get_paginator("describe_log_groups").paginate()
    days = {group["logGroupName"]: group.get("retentionInDays", 0) for page in pages for group in page["logGroups"]}
    assert expected <= days.keys(), f"missing: {', '.join(sorted(expected - days.keys()))}"
    return {name: kept for name, kept in days.items() if name in expected or system.prefix in name}


def roles(system: System) -> list[str]:
    """Of the environment, by their names."""
    pages = system.client("iam").get_paginator("list_roles").paginate()
    return [role["RoleName"] for page in pages for role in page["Roles"] if role["RoleName"].startswith(f"{system.prefix}-")]


def attached(system: System) -> list[str]:
    """ARNs of the policies that the environment's roles have beside their own."""
    paginator = system.client("iam").get_paginator("list_attached_role_policies")
    return [one["PolicyArn"] for role in roles(system) for page in paginator.paginate(RoleName=role) for one in page["AttachedPolicies"]]


def policy_documents(system: System) -> Iterator[dict]:
    """Of the environment's roles: inline, and attached ones of the account. AWS's own are known by their names."""
    iam = system.client("iam")
    for role in roles(system):
        for page in iam.get_paginator("list_role_policies").paginate(RoleName=role):
            yield from (iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in page["PolicyNames"])
    for arn in {arn for arn in attached(system) if not arn.startswith("arn:aws:iam::aws:")}:
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        yield iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


def policies(system: System) -> Iterator[dict]:
    """Statements that allow something."""
    for document in policy_documents(system):
        statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
        yield from (statement for statement in statements if statement["Effect"] == "Allow")


def actions(statement: dict) -> list[str]:
    found = statement.get("Action", [])
    return found if isinstance(found, list) else [found]


def nobody_is_administrator(system: System) -> bool:
    """NotAction allows all but a few."""
    starred = [one for one in policies(system) if {"*", "*:*"} & set(actions(one)) or "NotAction" in one]
    names = {arn.rpartition("/")[2] for arn in attached(system)}
    return bool(roles(system)) and not names & {"AdministratorAccess", "PowerUserAccess", "IAMFullAccess"} and not starred


def topic_is_private(system: System) -> bool:
    """Nobody outside of the account may use the alarms' topic."""
    arns = [topic["TopicArn"] for topic in system.client("sns").list_topics()["Topics"]]
    arn = only([arn for arn in arns if arn.endswith(f":{system.prefix}-alarms")], "topic")
    policy = json.loads(system.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"])
    opened = [one for one in policy["Statement"] if one["Effect"] == "Allow" and one["Principal"] in ("*", {"AWS": "*"})]
    return all(one.get("Condition", {}).get("StringEquals", {}).get("AWS:SourceOwner") == system.account_id for one in opened)


def group_of_instances(system: System) -> dict:
    return system.auto_scaling_group()


def endpoint(system: System) -> dict:
    """How the cluster's API server is reached."""
    return cluster.find(system)["resourcesVpcConfig"]


def control_plane_logs(system: System) -> set[str]:
    entries = cluster.find(system)["logging"]["clusterLogging"]
    return {log for entry in entries if entry["enabled"] for log in entry["types"]}


def nodes_are_private(system: System) -> bool:
    """In private subnets, without an address of the internet and without SSH; and they need none to find the API server."""
    groups = node_groups(system)
    private = {subnet["SubnetId"] for subnet in system.subnets("private")}
    machines = system.instances("node")
    assert groups and machines, "there are no nodes to look at"
    inside = all(set(group["subnets"]) <= private and not group.get("remoteAccess") for group in groups)
    return inside and endpoint(system)["endpointPrivateAccess"] and not any("PublicIpAddress" in machine for machine in machines)


def kubernetes_secrets_are_encrypted(system: System) -> bool:
    """With a key of the account, which turns with the years."""
    entry = only(cluster.find(system)["encryptionConfig"], "encryption")
    kms, key = system.client("kms"), entry["provider"]["keyArn"]
    manager = kms.describe_key(KeyId=key)["KeyMetadata"]["KeyManager"]
    return entry["resources"] == ["secrets"] and manager == "CUSTOMER" and kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]


def kubernetes_is_supported(system: System) -> bool:
    """By EKS, in its standard support."""
    found = system.client("eks").describe_cluster_versions(clusterVersions=[cluster.find(system)["version"]])["clusterVersions"]
    return only(found, "version")["versionStatus"] == "STANDARD_SUPPORT"


def repository(system: System) -> dict:
    return only(system.client("ecr").describe_repositories(repositoryNames=[f"{system.prefix}-app"])["repositories"], "repository")


def deployment_checks_are_clean(_system: System) -> bool:
    """Django's, of the reference project behind HTTPS, with every warning fatal."""
    test = "mysite.tests.ProductionSettingsTests.test_deployment_checks_are_clean"
    done = subprocess.run(
        [sys.executable, "manage.py", "test", test], cwd=ROOT / "app", capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode == 0 and "Ran 1 test" in done.stderr


def database(key: str, wanted: object = True) -> Callable[[System], bool]:
    return lambda system: system.database().get(key) == wanted


CHECKS: tuple[Check, ...] = (
    # RDS
    Check(("CKV_AWS_16", "rds_instance_storage_encrypted"), "database encrypted at rest", database("StorageEncrypted")),
    Check(("CKV_AWS_17", "rds_instance_no_public_access"), "database not public", database("PubliclyAccessible", False)),
    Check(("CKV_AWS_118",), "enhanced monitoring", lambda system: system.database()["MonitoringInterval"] == 60),
    Check(("CKV_AWS_129",), "database logs exported", lambda system: "postgresql" in system.database()["EnabledCloudwatchLogsExports"]),
    Check(
        ("CKV_AWS_133", "rds_instance_backup_enabled"), "automatic backups", lambda system: system.database()["BackupRetentionPeriod"] >= 7
    ),
    Check(("CKV_AWS_157", "rds_instance_multi_az"), "standby in another zone", database("MultiAZ")),
    Check(("CKV_AWS_161", "rds_instance_iam_authentication_enabled"), "IAM may log in", database("IAMDatabaseAuthenticationEnabled")),
    Check(
        ("CKV_AWS_226", "rds_instance_minor_version_upgrade_enabled"), "minor upgrades by themselves", database("AutoMinorVersionUpgrade")
    ),
    Check(("CKV_AWS_293", "rds_instance_deletion_protection"), "database protected against deletion", database("DeletionProtection")),
    Check(("CKV_AWS_353",), "Performance Insights", database("PerformanceInsightsEnabled")),
    Check(
        ("CKV2_AWS_30",),
        "query log",
        lambda system: parameters(system)["log_statement"] == "ddl" and parameters(system)["log_min_duration_statement"] == "1000",
    ),
    Check(("CKV2_AWS_60",), "snapshots carry the tags", database("CopyTagsToSnapshot")),
    Check(
        ("CKV2_AWS_69", "rds_instance_transport_encrypted"),
        "TLS to the database",
        lambda system: parameters(system)["rds.force_ssl"] == "1",
    ),
    Check(
        ("rds_instance_certificate_expiration",),
        "server certificate of an authority that does not end soon",
        lambda system: system.database()["CACertificateIdentifier"] in ("rds-ca-rsa2048-g1", "rds-ca-rsa4096-g1", "rds-ca-ecc384-g1"),
    ),
    Check(
        ("rds_instance_default_admin",),
        "master user not called postgres",
        reason="the specification calls it so; nobody outside reaches it",
    ),
    Check(
        ("rds_instance_critical_event_subscription",),
        "RDS's events subscribed",
        reason="alarms tell what a failure or a full disk does; the events themselves are in RDS's console, and nobody is told of them",
    ),
    # Load balancer and WAF
    Check(("CKV_AWS_2", "elbv2_ssl_listeners"), "HTTPS", lambda system: listeners(system)[443]["Protocol"] == "HTTPS"),
    Check(("CKV_AWS_91", "elbv2_logging_enabled"), "access logs", lambda system: attributes(system)["access_logs.s3.enabled"] == "true"),
    Check(("CKV_AWS_103", "elbv2_insecure_ssl_ciphers"), "TLS 1.2 or newer", lambda system: protocols(system) <= {"TLSv1.2", "TLSv1.3"}),
    Check(
        ("CKV_AWS_131",),
        "invalid headers dropped",
        lambda system: attributes(system)["routing.http.drop_invalid_header_fields.enabled"] == "true",
    ),
    Check(
        ("CKV_AWS_150", "elbv2_deletion_protection"),
        "load balancer protected against deletion",
        lambda system: attributes(system)["deletion_protection.enabled"] == "true",
    ),
    Check(
        ("elbv2_desync_mitigation_mode",),
        "request smuggling mitigated",
        lambda system: attributes(system)["routing.http.desync_mitigation_mode"] in ("defensive", "strictest"),
    ),
    Check(("elbv2_is_in_multiple_az",), "load balancer in two zones", lambda system: len(system.load_balancer()["AvailabilityZones"]) >= 2),
    Check(
        ("CKV2_AWS_20",),
        "HTTP redirects",
        lambda system: only(listeners(system)[80]["DefaultActions"], "action")["RedirectConfig"]["Protocol"] == "HTTPS",
    ),
    Check(("CKV2_AWS_28", "elbv2_waf_acl_attached"), "WAF before the load balancer", lambda system: web_acl(system) is not None),
    Check(("CKV_AWS_175",), "WAF has rules", lambda system: len(managed_groups(system)) >= 4),
    Check(("CKV_AWS_192",), "WAF refuses Log4j", lambda system: "AWSManagedRulesKnownBadInputsRuleSet" in managed_groups(system)),
    Check(("CKV2_AWS_31", "CKV_AWS_176"), "WAF logged", waf_is_logged),
    # Machines and network
    Check(("CKV_AWS_79",), "IMDSv2 only", lambda system: {one["HttpTokens"] for one in metadata(system)} == {"required"}),
    Check(
        ("CKV_AWS_341",), "metadata one hop away", lambda system: {one.get("HttpPutResponseHopLimit", 1) for one in metadata(system)} == {1}
    ),
    Check(
        ("CKV_AWS_88",),
        "application instances without a public address (the bastion has one for its way out, and no inbound rule)",
        no_public_address,
    ),
    Check(("CKV_AWS_46",), "no secret in user data", user_data_is_clean),
    Check(("CKV_AWS_8", "CKV_AWS_3"), "volumes encrypted", volumes_are_encrypted),
    Check(
        ("CKV_AWS_153",),
        "group tagged",
        lambda system: {"Project", "Environment", "ManagedBy"} <= tags_of(group_of_instances(system)).keys(),
    ),
    Check(
        ("CKV_AWS_315", "autoscaling_group_using_ec2_launch_template"),
        "launch template",
        lambda system: bool(group_of_instances(system).get("LaunchTemplate")),
    ),
    Check(
        ("autoscaling_group_multiple_az",),
        "instances in two zones",
        lambda system: len(group_of_instances(system)["AvailabilityZones"]) >= 2,
    ),
    Check(
        ("autoscaling_group_elb_health_check_enabled",),
        "replaced when the load balancer finds them ill",
        lambda system: group_of_instances(system)["HealthCheckType"] == "ELB",
    ),
    Check(("CKV_AWS_23",), "rules described", rules_are_described),
    Check(("CKV_AWS_24",), "port 22 closed", ssh_is_closed),
    Check(("CKV2_AWS_5",), "security groups in use", groups_are_used),
    Check(
        ("CKV2_AWS_11",),
        "flow logs",
        lambda system: flow_log(system)["ResourceId"] == system.vpc_id() and flow_log(system)["TrafficType"] == "ALL",
    ),
    Check(("CKV2_AWS_12",), "default security group closed", default_group_is_closed),
    Check(("CKV2_AWS_35",), "private subnets leave through NAT", private_subnets_use_nat),
    # S3
    Check(
        ("CKV_AWS_18",),
        "S3's own access log",
        reason="who changes objects is told by CloudTrail's data events, an account's matter; the log would need a bucket of its own",
    ),
    Check(("CKV_AWS_19",), "objects encrypted", lambda system: each_bucket(system, lambda name: is_encrypted(system, name))),
    Check(
        ("CKV_AWS_20", "CKV_AWS_53", "CKV_AWS_54", "CKV_AWS_55", "CKV_AWS_56", "CKV_AWS_57", "CKV2_AWS_6"),
        "buckets closed to the public",
        lambda system: each_bucket(system, lambda name: is_blocked(system, name)),
    ),
    Check(
        ("CKV_AWS_21",),
        "files versioned (what Session Manager passes on is not: it must be gone after a day)",
        lambda system: is_versioned(system, buckets(system)[0]),
    ),
    Check(
        ("CKV_AWS_145",),
        "objects encrypted with a KMS key",
        reason="load balancers write access logs to buckets with S3's own encryption (SSE-S3) only",
    ),
    Check(("CKV2_AWS_61",), "what nobody needs expires", lambda system: each_bucket(system, lambda name: has_lifecycle(system, name))),
    # Messages, logs, secrets
    Check(
        ("CKV_AWS_26",),
        "topic encrypted",
        reason="CloudWatch cannot write to a topic with AWS's own key, a key of one's own costs; messages hold no secret",
    ),
    Check(("CKV_AWS_169",), "topic not public", topic_is_private),
    Check(("CKV_AWS_66",), "logs end", lambda system: all(log_groups(system).values())),
    Check(
        ("CKV_AWS_338",),
        "logs kept a year (RDSOSMetrics, which AWS makes for enhanced monitoring, keeps 30 days)",
        lambda system: min(log_groups(system).values()) >= 365,
    ),
    Check(
        ("CKV_AWS_158",),
        "logs encrypted with a KMS key",
        reason="CloudWatch encrypts them with its own key; another one costs and adds no reader",
    ),
    Check(
        ("CKV_AWS_149",),
        "secrets encrypted with a key of one's own",
        reason="AWS's own key of Secrets Manager; nobody outside the account reads them",
    ),
    Check(
        ("CKV_AWS_304", "CKV2_AWS_57"),
        "secrets rotated by themselves",
        reason="playbooks/rotate.yml rotates them without a failed request; how often is the operator's schedule",
    ),
    # Rights
    Check(("CKV_AWS_62", "CKV_AWS_63"), "no administrator, no star", nobody_is_administrator),
    # Django
    Check(
        ("manage.py check --deploy",),
        "Django's own deployment checks, of the reference project (the overlay leaves three to others: the load balancer redirects, W008; "
        "HSTS for all subdomains and browsers' lists, W005 and W021, is the owner's word)",
        deployment_checks_are_clean,
    ),
    # Containers
    Check(
        ("CKV_AWS_37", "eks_control_plane_logging_all_types_enabled"),
        "all logs of the control plane",
        lambda system: control_plane_logs(system) == {"api", "audit", "authenticator", "controllerManager", "scheduler"},
    ),
    Check(
        ("CKV_AWS_38", "eks_cluster_not_publicly_accessible"),
        "API server not open to everybody",
        lambda system: "0.0.0.0/0" not in endpoint(system)["publicAccessCidrs"],
    ),
    Check(
        ("CKV_AWS_39",),
        "API server without a public endpoint",
        reason="it is reached from the networks that the operator names; eks_endpoint_public_access: false closes it",
    ),
    Check(
        ("CKV_AWS_58", "eks_cluster_kms_cmk_encryption_in_secrets_enabled"),
        "Kubernetes secrets encrypted",
        kubernetes_secrets_are_encrypted,
    ),
    Check(("CKV_AWS_100", "eks_cluster_private_nodes_enabled"), "nodes private, and closed to SSH", nodes_are_private),
    Check(
        ("eks_cluster_deletion_protection_enabled",),
        "cluster protected against deletion",
        lambda system: cluster.find(system)["deletionProtection"],
    ),
    Check(("CKV_AWS_339", "eks_cluster_uses_a_supported_version"), "a Kubernetes that is supported", kubernetes_is_supported),
    Check(("CKV_AWS_51",), "image tags that stay", lambda system: repository(system)["imageTagMutability"] == "IMMUTABLE"),
    Check(
        ("CKV_AWS_163", "ecr_repositories_scan_images_on_push_enabled"),
        "images scanned",
        lambda system: repository(system)["imageScanningConfiguration"]["scanOnPush"],
    ),
    Check(
        ("ecr_repositories_lifecycle_policy_enabled",),
        "old images expire",
        lambda system: bool(system.client("ecr").get_lifecycle_policy(repositoryName=f"{system.prefix}-app")["lifecyclePolicyText"]),
    ),
    Check(
        ("CKV_AWS_136",),
        "images encrypted with a KMS key",
        reason="S3's own encryption; ecr_kms_key_arn names a key, at creation only",
    ),
)


def table() -> str:
    """The rows as docs/production.md shows them."""
    rows = [f"| {', '.join(check.ids)} | {check.what} | {'pass' if check.holds else check.reason} |" for check in CHECKS]
    return "\n".join(["| check | asks for | here |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(table())
