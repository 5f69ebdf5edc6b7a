# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What only AWS knows about the inputs: whether what they ask for exists, can be created here, and is nobody else's.

A check takes the AWS clients and inputs, reads, and returns findings.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.espalier.aws.plugins.module_utils.check_table import Input
from ansible_collections.espalier.aws.plugins.module_utils.findings import finding
from ansible_collections.espalier.aws.plugins.module_utils.stack import unless_missing

with contextlib.suppress(ImportError):
    from botocore.exceptions import ClientError


@dataclass(frozen=True)
class Aws:
    """Clients by boto3's name, and whose resources are ours."""

    clients: dict[str, Any]
    project: str
    environment: str
    account_id: str
    region: str

    @property
    def partition(self) -> str:
        return self.clients["ec2"].meta.partition

    def filters(self, **more: str) -> list[dict]:
        wanted = {"tag:Project": self.project, "tag:Environment": self.environment, **more}
        return [{"Name": name, "Values": value.split(",")} for name, value in wanted.items()]


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def zones(aws: Aws, zones: Input) -> list[dict]:
    answer = aws.clients["ec2"].describe_availability_zones(Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}])
    usable = sorted(zone["ZoneName"] for zone in answer["AvailabilityZones"] if zone["State"] == "available")
    strangers = [zone for zone in zones.value if zone not in usable]
    if not strangers:
        return []
    problem = f"{', '.join(strangers)} is no availability zone that account {aws.account_id} has in {aws.region}."
    return [finding(zones.name, zones.value, problem, f"Set {zones.name} to two of: {', '.join(usable)}.")]


def instance_types(aws: Aws, types: list[Input], zones: Input) -> list[dict]:
    names = sorted({one.value for one in types})
    pages = aws.clients["ec2"].get_paginator("describe_instance_type_offerings")
    wanted = [{"Name": "instance-type", "Values": names}, {"Name": "location", "Values": list(zones.value)}]
    offers = {
        (offer["InstanceType"], offer["Location"])
        for page in pages.paginate(LocationType="availability-zone", Filters=wanted)
        for offer in page["InstanceTypeOfferings"]
    }
    findings = []
    for one in types:
        missing = [zone for zone in zones.value if (one.value, zone) not in offers]
        if missing:
            problem = f"there is no such instance type in {', '.join(missing)}."
            fix = f"Set {one.name} to a type that every zone of {zones.name} has; newer zones have t3.micro where t2.micro is missing."
            findings.append(finding(one.name, one.value, problem, fix))
    return findings


def _orderable(rds, **options: Any) -> list[dict]:
    """What RDS would create; nothing for a version or class that it does not know."""
    try:
        pages = rds.get_paginator("describe_orderable_db_instance_options").paginate(Engine="postgres", Vpc=True, **options)
        return [option for page in pages for option in page["OrderableDBInstanceOptions"]]
    except ClientError as error:
        if _code(error) in ("InvalidParameterCombination", "InvalidParameterValue"):
            return []
        raise


def _newest_first(versions: set[str]) -> list[str]:
    return sorted(versions, key=lambda version: [int(part) for part in re.findall(r"\d+", version)], reverse=True)


def database(aws: Aws, identifier: Input, version: Input, instance_class: Input, storage_type: Input, multi_az: Input) -> list[dict]:
    """A database that is there already is never created again, whatever can be created today."""
    rds = aws.clients["rds"]
    try:
        rds.describe_db_instances(DBInstanceIdentifier=identifier.value)
        return []
    except ClientError as error:
        if _code(error) not in ("DBInstanceNotFound", "DBInstanceNotFoundFault"):
            raise
    options = _orderable(rds, EngineVersion=version.value, DBInstanceClass=instance_class.value)
    if not options:
        return _what_instead(_orderable(rds, DBInstanceClass=instance_class.value), version, instance_class, aws.region)
    options = [option for option in options if option["StorageType"] == storage_type.value]
    if not options:
        problem = f"RDS has no PostgreSQL {version.value} on {instance_class.value} with this storage in {aws.region}."
        return [
            finding(
                storage_type.name, storage_type.value, problem, f"Set {storage_type.name} to gp3, or choose another {instance_class.name}."
            )
        ]
    if multi_az.value and not any(option["MultiAZCapable"] for option in options):
        problem = f"RDS has no Multi-AZ PostgreSQL {version.value} on {instance_class.value} in {aws.region}."
        return [finding(multi_az.name, multi_az.value, problem, f"Set {multi_az.name} to false, or choose another {instance_class.name}.")]
    return []


def database_settled(aws: Aws, identifier: Input, encrypted: Input, name: Input, username: Input, storage_gib: Input) -> list[dict]:
    """What RDS cannot change, or not back, in a database that is there."""
    try:
        found = aws.clients["rds"].describe_db_instances(DBInstanceIdentifier=identifier.value)["DBInstances"][0]
    except ClientError as error:
        if _code(error) in ("DBInstanceNotFound", "DBInstanceNotFoundFault"):
            return []
        raise
    findings = []
    if bool(encrypted.value) != found["StorageEncrypted"]:
        problem = f"{identifier.value} is {'' if found['StorageEncrypted'] else 'not '}encrypted, and AWS cannot change that in place."
        fix = f"Set {encrypted.name} to true: AWS has no way back." if found["StorageEncrypted"] else (
            f"Run ansible-playbook playbooks/encrypt_database.yml, which makes an encrypted copy, or set {encrypted.name} to false."
        )  # fmt: skip
        findings.append(finding(encrypted.name, encrypted.value, problem, fix))
    for wanted, there, what, way in (
        (name, found.get("DBName"), "its first database", "Make another database in it with SQL (CREATE DATABASE), or move the data"),
        (username, found.get("MasterUsername"), "its master user", "Make another user in it with SQL (CREATE ROLE), or move the data"),
    ):
        if there and wanted.value != there:
            problem = f"{what} is called {there} since {identifier.value} was created, and AWS cannot change that."
            findings.append(finding(wanted.name, wanted.value, problem, f"Set {wanted.name} to {there}. {way} to a new instance."))
    if storage_gib.value < found["AllocatedStorage"]:
        problem = f"{identifier.value} has {found['AllocatedStorage']} GiB, and RDS's storage never shrinks."
        fix = f"Set {storage_gib.name} to {found['AllocatedStorage']} or more, or move the data to a new instance."
        findings.append(finding(storage_gib.name, storage_gib.value, problem, fix))
    return findings


def database_features(aws: Aws, version: Input, instance_class: Input, features: dict[str, Input]) -> list[dict]:
    """Switches that not every class has; `features` are variables by the name that RDS's orderable options give the feature."""
    wanted = {flag: one for flag, one in features.items() if one.value}
    if not wanted:
        return []
    major = str(version.value).split(".")[0]
    options = _orderable(aws.clients["rds"], DBInstanceClass=instance_class.value)
    options = [option for option in options if option["EngineVersion"].split(".")[0] == major]
    return [
        finding(
            one.name,
            one.value,
            f"RDS has no such thing for PostgreSQL {major} on {instance_class.value} in {aws.region}.",
            f"Set {one.name} to false (0), or choose another {instance_class.name}.",
        )
        for flag, one in wanted.items()
        if options and not any(option.get(flag) for option in options)
    ]


def second_region(aws: Aws, second: Input) -> list[dict]:
    """A region that the account has; empty is none."""
    if not second.value:
        return []
    regions = sorted(one["RegionName"] for one in aws.clients["ec2"].describe_regions()["Regions"])
    if second.value in regions:
        return []
    problem = f"account {aws.account_id} has no such region, or has not opted in to it."
    return [finding(second.name, second.value, problem, f"Set {second.name} to one of: {', '.join(regions)}; or leave it empty.")]


def _what_instead(options: list[dict], version: Input, instance_class: Input, region: str) -> list[dict]:
    versions = _newest_first({option["EngineVersion"] for option in options})
    if not versions:
        problem = f"RDS has no PostgreSQL on this class in {region}."
        return [
            finding(instance_class.name, instance_class.value, problem, f"Set {instance_class.name} to another class, such as db.t3.micro.")
        ]
    major = str(version.value).split(".")[0]
    near = [one for one in versions if one.split(".")[0] == major] or versions
    problem = f"RDS creates no PostgreSQL of this version on {instance_class.value} in {region}."
    return [finding(version.name, version.value, problem, f"Set {version.name} to one of: {', '.join(near[:5])}.")]


def _owner(tags: list[dict], ours: Aws) -> str | None:
    """Whose a resource is, when its tags say that it is not ours. Without tags it may be one of a run that was cut short."""
    found = {tag["Key"]: tag["Value"] for tag in tags}
    if found.get("Environment", ours.environment) == ours.environment and found.get("Project", ours.project) == ours.project:
        return None
    return f"environment {found.get('Environment', '(no tag)')} of project {found.get('Project', '(no tag)')}"


def _taken(name: Input, kind: str, owner: str | None) -> list[dict]:
    if owner is None:
        return []
    problem = f"this {kind} of the account belongs to {owner}."
    return [finding(name.name, name.value, problem, f"Set {name.name} to a name of this environment's own.")]


def parameter(aws: Aws, name: Input) -> list[dict]:
    try:
        answer = aws.clients["ssm"].list_tags_for_resource(ResourceType="Parameter", ResourceId=name.value)
    except ClientError as error:
        if _code(error) == "InvalidResourceId":
            return []
        raise
    return _taken(name, "SSM parameter", _owner(answer["TagList"], aws))


def secret(aws: Aws, name: Input) -> list[dict]:
    try:
        answer = aws.clients["secretsmanager"].describe_secret(SecretId=name.value)
    except ClientError as error:
        if _code(error) == "ResourceNotFoundException":
            return []
        raise
    return _taken(name, "secret", _owner(answer.get("Tags") or [], aws))


def log_group(aws: Aws, name: Input) -> list[dict]:
    arn = f"arn:{aws.partition}:logs:{aws.region}:{aws.account_id}:log-group:{name.value}"
    try:
        tags = aws.clients["logs"].list_tags_for_resource(resourceArn=arn)["tags"]
    except ClientError as error:
        if _code(error) == "ResourceNotFoundException":
            return []
        raise
    return _taken(name, "log group", _owner([{"Key": key, "Value": value} for key, value in tags.items()], aws))


def bucket(aws: Aws, name: Input) -> list[dict]:
    """Bucket names are one space for all accounts."""
    try:
        aws.clients["s3"].head_bucket(Bucket=name.value, ExpectedBucketOwner=aws.account_id)
        return []
    except ClientError as error:
        if _code(error) in ("404", "NoSuchBucket"):
            return []
        if _code(error) not in ("403", "301"):
            raise
        where = "in another region" if _code(error) == "301" else "in another account, or closed to these credentials"
        return [finding(name.name, name.value, f"an S3 bucket of this name exists {where}.", f"Set {name.name} to a name of your own.")]


def bucket_versioning(aws: Aws, name: Input, versioning: Input, suspend: Input) -> list[dict]:
    """Versioning that is on can only be suspended."""
    if versioning.value or suspend.value:
        return []
    try:
        status = aws.clients["s3"].get_bucket_versioning(Bucket=name.value, ExpectedBucketOwner=aws.account_id).get("Status")
    except ClientError as error:
        # Whose it is, or that it is not there, is another check's matter.
        if _code(error) in ("404", "NoSuchBucket", "403", "AccessDenied", "301", "PermanentRedirect"):
            return []
        raise
    if status != "Enabled":
        return []
    problem = f"{name.value} keeps versions, and AWS can only suspend that: the versions that there are stay, and cost."
    fix = f"Set {versioning.name} to true, or, to keep no further ones, {suspend.name} to true."
    return [finding(versioning.name, versioning.value, problem, fix)]


def _covers(certified: str, name: str) -> bool:
    """A star stands for one label."""
    return certified == name or (certified.startswith("*.") and certified[1:] == f".{name.partition('.')[2]}")


def _certificate(acm: Any, region: str, arn: Input, names: Input, where: str) -> list[dict]:
    """What is wrong with a certificate of a region for these host names."""
    if not re.fullmatch(rf"arn:aws[a-z-]*:acm:{re.escape(region)}:\d{{12}}:certificate/\S+", arn.value):
        problem = f"this is no ARN of an ACM certificate in {region}, where {where}."
        return [finding(arn.name, arn.value, problem, f"Set {arn.name} to a certificate of {region}, or leave it empty.")]
    answer = unless_missing(["ResourceNotFoundException"], acm.describe_certificate, CertificateArn=arn.value)
    found = answer["Certificate"] if answer else {"Status": "not there"}
    if found["Status"] != "ISSUED":
        fix = f"Wait until it is issued (validation record in DNS), or correct {arn.name}."
        return [finding(arn.name, arn.value, f"the certificate is {found['Status']}, and only an issued one can be used.", fix)]
    certified = [name.lower() for name in (found.get("DomainName"), *found.get("SubjectAlternativeNames", [])) if name]
    missing = [name for name in names.value or [] if not any(_covers(one, str(name).lower()) for one in certified)]
    if not missing:
        return []
    problem = f"the certificate is for {', '.join(dict.fromkeys(certified))}, not for {', '.join(missing)} of {names.name}."
    return [finding(arn.name, arn.value, problem, f"Set {arn.name} to a certificate for all of them, or correct {names.name}.")]


def certificate(aws: Aws, arn: Input, domains: Input) -> list[dict]:
    """A certificate of AWS Certificate Manager that the load balancer can use now; empty is no certificate."""
    return _certificate(aws.clients["acm"], aws.region, arn, domains, "the load balancer is") if arn.value else []


def cdn_certificate(aws: Aws, arn: Input, aliases: Input, enabled: Input) -> list[dict]:
    """Host names of one's own need one; CloudFront looks for it in one region only."""
    if not enabled.value or not (arn.value or aliases.value):
        return []
    if not arn.value:
        problem = f"it is empty, and CloudFront serves {aliases.name} ({', '.join(aliases.value)}) only with a certificate."
        fix = f"Set {arn.name} to an ACM certificate of these names in us-east-1, or leave {aliases.name} empty."
        return [finding(arn.name, arn.value, problem, fix)]
    return _certificate(aws.clients["acm@us-east-1"], "us-east-1", arn, aliases, "CloudFront looks for it")


def _public_zone(aws: Aws, zone: str) -> str | None:
    """Id of the account's public zone of this name."""
    name = zone.rstrip(".").lower()
    found = aws.clients["route53"].list_hosted_zones_by_name(DNSName=name)["HostedZones"]
    return next((one["Id"] for one in found if one["Name"].rstrip(".") == name and not one["Config"].get("PrivateZone")), None)


def hosted_zone(aws: Aws, zone: Input) -> list[dict]:
    """A public zone of this account; empty is none."""
    if not zone.value or _public_zone(aws, zone.value):
        return []
    fix = f"Make the zone in Route 53 and delegate to it, correct {zone.name}, or bring a certificate (load_balancer_certificate_arn)."
    return [finding(zone.name, zone.value, f"account {aws.account_id} has no public hosted zone of this name.", fix)]


def _addresses(aws: Aws, zone_id: str, name: str) -> list[dict]:
    """Records that say where a host name leads."""
    found = aws.clients["route53"].list_resource_record_sets(HostedZoneId=zone_id, StartRecordName=name)["ResourceRecordSets"]
    # Route 53 writes a wildcard's star so.
    return [one for one in found if one["Type"] in ("A", "CNAME") and one["Name"].replace(r"\052", "*").rstrip(".") == name.lower()]


def _target(record: dict) -> str:
    values = [one["Value"] for one in record.get("ResourceRecords", [])]
    return ", ".join([record["AliasTarget"]["DNSName"]] if "AliasTarget" in record else values).rstrip(".").lower()


def host_records(aws: Aws, domains: Input, zone: Input, replace: Input, load_balancer: Input, tags: Input) -> list[dict]:
    """Host names that lead elsewhere now are taken over with a yes only. For a run that writes their records."""
    if not zone.value or not domains.value or replace.value or not {"all", "edge"} & set(tags.value):
        return []
    zone_id = _public_zone(aws, zone.value)
    records = [one for name in domains.value for one in _addresses(aws, zone_id, name)] if zone_id else []
    if not records:
        return []
    missing = ["LoadBalancerNotFound", "LoadBalancerNotFoundException"]
    answer = unless_missing(missing, aws.clients["elbv2"].describe_load_balancers, Names=[load_balancer.value])
    ours = [one["DNSName"].lower() for one in answer["LoadBalancers"]] if answer else []
    strangers = [f"{one['Name'].rstrip('.')} ({one['Type']} {_target(one)})" for one in records if _target(one) not in ours]
    if not strangers:
        return []
    problem = f"{', '.join(strangers)} leads elsewhere, and its visitors would come here instead."
    fix = f"When that is what you want, run once with -e {replace.name}=true; otherwise correct {domains.name}."
    return [finding(domains.name, domains.value, problem, fix)]


def tls_policy(aws: Aws, policy: Input) -> list[dict]:
    """A policy of Elastic Load Balancing that speaks TLS 1.2 or newer only."""
    default = f"Set {policy.name} to ELBSecurityPolicy-TLS13-1-2-2021-06."
    answer = unless_missing(["SSLPolicyNotFound", "ValidationError"], aws.clients["elbv2"].describe_ssl_policies, Names=[policy.value])
    found = answer["SslPolicies"] if answer else []
    if not found:
        return [finding(policy.name, policy.value, "Elastic Load Balancing has no such policy.", default)]
    old = [protocol for protocol in found[0]["SslProtocols"] if protocol not in ("TLSv1.2", "TLSv1.3")]
    if not old:
        return []
    return [finding(policy.name, policy.value, f"it still speaks {', '.join(old)}.", default)]


def vpc(aws: Aws, cidr_block: Input) -> list[dict]:
    """The CIDR block of a VPC cannot be changed."""
    vpcs = aws.clients["ec2"].describe_vpcs(Filters=aws.filters())["Vpcs"]
    if not vpcs or cidr_block.value in [one["CidrBlock"] for one in vpcs]:
        return []
    problem = f"the VPC {vpcs[0]['VpcId']} exists with {vpcs[0]['CidrBlock']}, and AWS cannot change that."
    return [
        finding(cidr_block.name, cidr_block.value, problem, f"Set {cidr_block.name} to {vpcs[0]['CidrBlock']}, or remove the system first.")
    ]


def subnets(aws: Aws, zones: Input, tiers: dict[str, Input]) -> list[dict]:
    """Ranges and zones of subnets cannot be changed; `tiers` are lists of ranges by the tag Tier."""
    pages = aws.clients["ec2"].get_paginator("describe_subnets").paginate(Filters=aws.filters())
    there: dict[str, list[tuple[str, str]]] = {}
    for found in [one for page in pages for one in page["Subnets"]]:
        tier = next((tag["Value"] for tag in found["Tags"] if tag["Key"] == "Tier"), "")
        there.setdefault(tier, []).append((found["AvailabilityZone"], found["CidrBlock"]))
    findings = []
    for tier, blocks in tiers.items():
        wanted = list(zip(zones.value, blocks.value, strict=False))
        moved = sorted(set(there.get(tier, [])) - set(wanted))
        if moved:
            shown = ", ".join(f"{block} in {zone}" for zone, block in moved)
            problem = f"there is {shown}, and AWS can neither move nor resize a subnet."
            ordered = [block for _zone, block in sorted(there[tier])]
            fix = f"Set {blocks.name} to {ordered} and {zones.name} as it was (further zones go at the end), or remove the system first."
            findings.append(finding(blocks.name, blocks.value, problem, fix))
    return findings


def _cluster(aws: Aws, name: Input) -> dict | None:
    try:
        return aws.clients["eks"].describe_cluster(name=name.value)["cluster"]
    except ClientError as error:
        if _code(error) == "ResourceNotFoundException":
            return None
        raise


def cluster(aws: Aws, name: Input, version: Input, types: Input, zones: Input, enabled: Input) -> list[dict]:
    """A cluster of this name is ours; one that has to be made has a version that EKS creates, and nodes that the zones have."""
    if not enabled.value:
        return []
    found = _cluster(aws, name)
    if found:
        return _taken(name, "cluster", _owner([{"Key": key, "Value": value} for key, value in (found.get("tags") or {}).items()], aws))
    pages = aws.clients["eks"].get_paginator("describe_cluster_versions").paginate()
    versions = {one["clusterVersion"] for page in pages for one in page["clusterVersions"]}
    if versions and version.value not in versions:
        problem = f"EKS creates no cluster of this version in {aws.region}."
        return [finding(version.name, version.value, problem, f"Set {version.name} to one of: {', '.join(_newest_first(versions))}.")]
    return instance_types(aws, [Input(types.name, kind) for kind in types.value], zones)


def cluster_settled(aws: Aws, name: Input, encrypted: Input, key: Input, enabled: Input) -> list[dict]:
    """EKS can begin to encrypt the secrets of a cluster that is there, and neither end it nor take another key."""
    found = enabled.value and _cluster(aws, name)
    keys = [one["provider"]["keyArn"] for one in (found or {}).get("encryptionConfig") or []]
    way = "The way back is another cluster: set eks_name and suite_cluster_name to a new name, deploy to it, and remove this one."
    if keys and not encrypted.value:
        problem = f"the secrets of {name.value} are encrypted with {keys[0]}, and EKS cannot end that."
        return [finding(encrypted.name, encrypted.value, problem, f"Set {encrypted.name} to true. {way}")]
    if keys and key.value not in ("", keys[0]):
        problem = f"the secrets of {name.value} are encrypted with {keys[0]}, and EKS cannot take another key."
        return [finding(key.name, key.value, problem, f"Set {key.name} to that one. {way}")]
    return []


def instances(aws: Aws, tags: Input, inventory_hosts: Input) -> list[dict]:
    """For a run that configures instances. `tags` is the run's, `inventory_hosts` are the instance ids that the inventory found."""
    if not {"all", "app"} & set(tags.value):
        return []
    pages = aws.clients["ec2"].get_paginator("describe_instances").paginate(Filters=aws.filters(**{"tag:Role": "app"}))
    states = {one["InstanceId"]: one["State"]["Name"] for page in pages for group in page["Reservations"] for one in group["Instances"]}
    strangers = sorted(set(inventory_hosts.value) - set(states))
    if strangers:
        problem = f"the inventory's group app has {', '.join(strangers)}, which are no instances of this environment."
        fix = "Make the tag filters of the inventory's aws_ec2.yml say the same as suite_project and suite_environment."
        return [finding("suite_environment", aws.environment, problem, fix)]
    if {"all", "compute"} & set(tags.value):
        return []
    running = [name for name, state in states.items() if state in ("pending", "running")]
    shown = ",".join(tags.value)
    if not running:
        problem = f"environment {aws.environment} has no running instance that the application could be put on."
        return [finding("--tags", shown, problem, "Run ansible-playbook site.yml without --tags, or with --tags compute,app.")]
    if not inventory_hosts.value:
        problem = f"{', '.join(running)} run, but the inventory found no host of the group app."
        return [finding("--tags", shown, problem, "See the inventory's warning above: ansible-inventory --graph shows what it finds.")]
    return []


CHECKS = {
    function.__name__: function
    for function in (
        bucket,
        bucket_versioning,
        cdn_certificate,
        certificate,
        cluster,
        cluster_settled,
        database,
        database_features,
        database_settled,
        host_records,
        hosted_zone,
        instance_types,
        instances,
        log_group,
        parameter,
        second_region,
        secret,
        subnets,
        tls_policy,
        vpc,
        zones,
    )
}
SERVICES = ("ec2", "rds", "ssm", "secretsmanager", "s3", "acm", "acm@us-east-1", "logs", "route53", "elbv2", "eks")
