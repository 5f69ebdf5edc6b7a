"""What a request asks IAM for: actions, each with its resource and the circumstances that a policy's condition may look at.

AWS decides by action and resource, and publishes for each operation which those are (Service Authorization Reference). Here:

- the action is mostly the operation's own name; S3 and a few others have names of their own
- a resource is named by the request (an ARN, a name, an id), and `*` where nothing is named or AWS knows no resource for the operation
- some operations need a second right: roles are passed (iam:PassRole), tags are made with a resource (ec2:CreateTags), and so on
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

import botocore.exceptions
import botocore.loaders

from lab.settings import SETTINGS

REGION, ACCOUNT = SETTINGS.region, SETTINGS.account_id
PREFIXES = {"monitoring": "cloudwatch"}
XML_TAG = re.compile(r"<Key>([^<]*)</Key>\s*<Value>([^<]*)</Value>")


@dataclass(frozen=True)
class Need:
    """One right that a request needs."""

    action: str
    resource: str = "*"
    context: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass
class Call:
    """A request: `parameters` flat as the query protocol sends them, or as the JSON body has them; empty for REST."""

    service: str
    operation: str
    parameters: dict[str, Any] = field(default_factory=dict)
    path: str = ""
    query: dict[str, str] = field(default_factory=dict)

    def get(self, *names: str) -> str:
        return next((str(self.parameters[name]) for name in names if self.parameters.get(name)), "")

    def values(self, start: str) -> list[str]:
        """Of a list, in either protocol: Names.member.1, VpcId.1, or Names: []."""
        found = self.parameters.get(start)
        if isinstance(found, list):
            return [value for value in found if isinstance(value, str)]
        return [value for name, value in self.parameters.items() if re.fullmatch(rf"{start}(\.member)?\.\d+", name)]

    def tags(self) -> dict[str, str]:
        """The tags that the request gives, wherever they stand."""
        pairs = [entry for value in self.parameters.values() if isinstance(value, list) for entry in value if isinstance(entry, dict)]
        named = {entry["Key"]: entry.get("Value", "") for entry in pairs if "Key" in entry}
        if isinstance(self.parameters.get("tags"), dict):
            named |= self.parameters["tags"]
        for name, key in self.parameters.items():
            if name.endswith(".Key") and ("Tag" in name):
                named[key] = self.parameters.get(f"{name.removesuffix('Key')}Value", "")
        return named


def call_of(environ: dict) -> Call | None:
    """The request as a call; None where it is not one of AWS's (no signature)."""
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    scope = (environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split(",")[0] or query.get("X-Amz-Credential", "")).split(
        "/"
    )
    if len(scope) < 5:
        return None
    service, stream = scope[-2], environ.get("wsgi.input")
    body = stream.getvalue() if isinstance(stream, io.BytesIO) else b""
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return Call(service, target.rpartition(".")[2], json.loads(body or b"{}"))
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        parameters = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        if "Action" in parameters:
            return Call(service, parameters["Action"], parameters)
    path, method = unquote(environ.get("PATH_INFO", "")), environ["REQUEST_METHOD"]
    if service != "s3":
        for verb, form, operation in rest_operations(service):
            if verb == method and form.fullmatch(path):
                return Call(service, operation, rest_parameters(body), path, query)
    # Of what DeleteObjects names: whether a version is meant decides upon the right.
    counts = {name: body.count(f"<{name}>".encode()) for name in ("Object", "VersionId")} if method == "POST" and "delete" in query else {}
    return Call(service, f"{method} {path}", counts, path, query)


def rest_parameters(body: bytes) -> dict[str, Any]:
    """Of JSON all, of XML the tags."""
    if body.lstrip().startswith(b"{"):
        return json.loads(body)
    return {"Tags": [{"Key": key, "Value": value} for key, value in XML_TAG.findall(body.decode("utf-8", "replace"))]}


@cache
def rest_operations(service: str) -> list[tuple[str, re.Pattern, str]]:
    """Method, form of the path and name of each operation of a service that has no other name in its requests; the longest paths first."""
    try:
        operations = botocore.loaders.create_loader().load_service_model(service, "service-2")["operations"]
    except botocore.exceptions.UnknownServiceError:
        return []
    found = []
    for name, model in operations.items():
        path = model["http"]["requestUri"].partition("?")[0]
        form = re.sub(r"\\\{[^}]*?\\\}", "[^/]+", re.escape(path).replace("\\+", ""))
        found.append((model["http"]["method"], form, name))
    # A parameter that is an ARN has slashes of its own.
    return [
        (method, re.compile(form.replace("[^/]+", "(?:[^/]+|arn:.+)") + "/?"), name)
        for method, form, name in sorted(found, key=lambda entry: -len(entry[1]))
    ]


def key_of(environ: dict) -> str:
    """The access key that signed the request."""
    query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
    return (environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2] or query.get("X-Amz-Credential", "")).split("/")[0]


def arn(service: str, rest: str, region: str = REGION, account: str = ACCOUNT) -> str:
    return f"arn:aws:{service}:{region}:{account}:{rest}"


# ---- EC2: resources are ids inside the parameters

KINDS = {
    "vpc": "vpc", "subnet": "subnet", "sg": "security-group", "sgr": "security-group-rule", "igw": "internet-gateway", "rtb": "route-table",
    "nat": "natgateway", "eipalloc": "elastic-ip", "vpce": "vpc-endpoint", "i": "instance", "lt": "launch-template", "ami": "image",
    "vol": "volume", "snap": "snapshot", "fl": "vpc-flow-log", "eni": "network-interface",
}  # fmt: skip
ID = re.compile(rf"({'|'.join(KINDS)})-[0-9a-f]{{8,17}}")
MADE = {
    "AllocateAddress": ["elastic-ip"], "CreateFlowLogs": ["vpc-flow-log"], "CreateImage": ["image"],
    "CreateInternetGateway": ["internet-gateway"],
    "CreateLaunchTemplate": ["launch-template"], "CreateNatGateway": ["natgateway"], "CreateRouteTable": ["route-table"],
    "CreateSecurityGroup": ["security-group"], "CreateSubnet": ["subnet"], "CreateVpc": ["vpc"], "CreateVpcEndpoint": ["vpc-endpoint"],
    "RunInstances": ["instance", "volume", "network-interface"],
}  # fmt: skip


def ec2_tags(name: str) -> dict[str, str]:
    from moto.ec2.models import ec2_backends

    return dict(ec2_backends[ACCOUNT][REGION].tags.get(name, {}))


def resource_tags(tags: dict[str, str], *prefixes: str) -> dict[str, str]:
    return {f"{prefix}/{key}": value for prefix in prefixes for key, value in tags.items()}


def ec2_arn(kind: str, name: str) -> str:
    return arn("ec2", f"{kind}/{name}", account="" if kind in ("image", "snapshot") else ACCOUNT)


def given_tags(call: Call) -> dict[str, dict[str, str]]:
    """Tags by kind of the resource that is made: TagSpecification.1.ResourceType, .Tag.1.Key."""
    found: dict[str, dict[str, str]] = {}
    for name, kind in call.parameters.items():
        if name.startswith("TagSpecification.") and name.endswith(".ResourceType"):
            start = f"{name.removesuffix('ResourceType')}Tag."
            keys = [(key, value) for key, value in call.parameters.items() if key.startswith(start) and key.endswith(".Key")]
            found[kind] = {value: call.parameters.get(f"{key.removesuffix('Key')}Value", "") for key, value in keys}
    return found


def ec2_needs(call: Call) -> list[Need]:
    action = f"ec2:{call.operation}"
    if call.operation.startswith(("Describe", "Get")):
        return [Need(action)]
    made, tags = MADE.get(call.operation, []), given_tags(call)
    needs = [Need(action, ec2_arn(kind, "*"), resource_tags(tags.get(kind, {}), "aws:RequestTag")) for kind in made]
    for kind, given in tags.items():
        context = resource_tags(given, "aws:RequestTag") | {"ec2:CreateAction": call.operation}
        needs.append(Need("ec2:CreateTags", ec2_arn(kind, "*"), context))
    requested = resource_tags(call.tags(), "aws:RequestTag") if call.operation in ("CreateTags", "DeleteTags") else {}
    # What a template will launch with is asked for when it launches.
    given = {name: str(value) for name, value in call.parameters.items() if not name.startswith(("TagSpecification", "LaunchTemplateData"))}
    if call.operation.startswith(("AuthorizeSecurityGroup", "RevokeSecurityGroup", "UpdateSecurityGroupRule")):
        # A group that a rule lets in is not asked for.
        given = {name: value for name, value in given.items() if name == "GroupId" or name.startswith("SecurityGroupRuleId")}
    names = {value for value in given.values() if ID.fullmatch(value)}
    named = call.get("LaunchTemplateName", "LaunchTemplate.LaunchTemplateName")
    names |= {name for name in (id_of_template(named),) if name} | ends_of_association(call.get("AssociationId"))
    needs += uses(action, names, requested)
    profile = call.get("IamInstanceProfile.Name", "IamInstanceProfile.Arn")
    if call.operation == "RunInstances" and profile:
        needs.append(pass_role(profile.rpartition("/")[2] or profile, "ec2.amazonaws.com"))
    if call.operation == "CreateFlowLogs" and call.get("DeliverLogsPermissionArn"):
        needs.append(pass_role(call.get("DeliverLogsPermissionArn"), "vpc-flow-logs.amazonaws.com"))
    if call.operation == "CreateVpcEndpoint" and call.get("VpcEndpointType") == "Interface" and call.get("PrivateDnsEnabled") != "false":
        needs.append(Need("route53:AssociateVPCWithHostedZone"))
    return needs or [Need(action)]


def uses(action: str, names: set[str], requested: dict[str, str] | None = None) -> list[Need]:
    """The action on what exists, known by its tags; what is no id is nothing."""
    return [
        Need(
            action,
            ec2_arn(KINDS[name.partition("-")[0]], name),
            resource_tags(ec2_tags(name), "aws:ResourceTag", "ec2:ResourceTag") | (requested or {}),
        )
        for name in sorted(names)
        if ID.fullmatch(name)
    ]


def ends_of_association(name: str) -> set[str]:
    """The route table and the subnet of it."""
    from moto.ec2.models import ec2_backends

    tables = ec2_backends[ACCOUNT][REGION].route_tables.values()
    return {found for table in tables if name in table._associations for found in (table.id, table._associations[name])}


def id_of_template(name: str) -> str:
    from moto.ec2.models import ec2_backends

    return ec2_backends[ACCOUNT][REGION].launch_template_name_to_ids.get(name, "") if name else ""


# ---- IAM, and what passes a role


def iam_arn(rest: str) -> str:
    return arn("iam", rest, region="")


def pass_role(role: str, service: str) -> Need:
    name = role if role.startswith("arn:") else iam_arn(f"role/{role}")
    return Need("iam:PassRole", name, {"iam:PassedToService": service})


def linked_role(service: str, name: str) -> Need:
    """AWS makes a service's own role when an account uses the service for the first time."""
    return Need("iam:CreateServiceLinkedRole", iam_arn(f"role/aws-service-role/{service}/{name}"), {"iam:AWSServiceName": service})


def iam_needs(call: Call) -> list[Need]:
    context = resource_tags(call.tags(), "aws:RequestTag")
    for parameter, key in (("PermissionsBoundary", "iam:PermissionsBoundary"), ("PolicyArn", "iam:PolicyARN")):
        if call.get(parameter):
            context[key] = call.get(parameter)
    resource = "*"
    if call.get("InstanceProfileName"):
        resource = iam_arn(f"instance-profile/{call.get('InstanceProfileName')}")
    elif call.get("RoleName"):
        resource = iam_arn(f"role/{call.get('RoleName')}")
        if "iam:PermissionsBoundary" not in context:
            context |= boundary_of(call.get("RoleName"))
    elif call.get("PolicyArn", "OpenIDConnectProviderArn", "PolicySourceArn"):
        resource = call.get("PolicyArn", "OpenIDConnectProviderArn", "PolicySourceArn")
    elif call.get("PolicyName"):
        resource = iam_arn(f"policy/{call.get('PolicyName')}")
    elif call.operation == "CreateOpenIDConnectProvider":
        resource = iam_arn(f"oidc-provider/{call.get('Url').removeprefix('https://')}")
    needs = [Need(f"iam:{call.operation}", resource, context)]
    if call.operation == "AddRoleToInstanceProfile":
        needs.append(pass_role(call.get("RoleName"), "ec2.amazonaws.com"))
    return needs


def boundary_of(role: str) -> dict[str, str]:
    """A role's own boundary is what a condition sees of a request that names none, but for its creation."""
    from moto.iam.models import iam_backends

    found = next((one for one in iam_backends[ACCOUNT]["aws"].roles.values() if one.name == role), None)
    return {"iam:PermissionsBoundary": found.permissions_boundary_arn} if found and found.permissions_boundary_arn else {}


# ---- services whose resources have names


def autoscaling_needs(call: Call) -> list[Need]:
    if call.operation.startswith("Describe"):
        return [Need(f"autoscaling:{call.operation}")]
    name = call.get("AutoScalingGroupName", "Tags.member.1.ResourceId") or group_of(call.get("InstanceId"))
    resource = arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}")
    needs = [Need(f"autoscaling:{call.operation}", resource, resource_tags(call.tags(), "aws:RequestTag"))]
    template = call.get("LaunchTemplate.LaunchTemplateName", "LaunchTemplate.LaunchTemplateId")
    if template and call.operation in ("CreateAutoScalingGroup", "UpdateAutoScalingGroup"):
        needs += launches(template, call.get("VPCZoneIdentifier").split(","))
    if call.operation == "CreateAutoScalingGroup":
        needs.append(linked_role("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling"))
    return needs


def group_of(instance: str) -> str:
    from moto.autoscaling.models import autoscaling_backends

    groups = autoscaling_backends[ACCOUNT][REGION].autoscaling_groups.values()
    return next((group.name for group in groups for state in group.instance_states if state.instance_id == instance), "")


def launches(template: str, subnets: list[str]) -> list[Need]:
    """AWS asks of whoever gives a group a launch template that they might launch it themselves, in the group's subnets."""
    from moto.ec2.models import ec2_backends

    backend = ec2_backends[ACCOUNT][REGION]
    found = backend.launch_templates.get(template) or backend.launch_templates.get(id_of_template(template))
    if found is None:
        return []
    data, needs = found.latest_version().data, []
    specifications = data.get("TagSpecification") or data.get("TagSpecifications") or []
    tags = {
        entry["ResourceType"]: {tag["Key"]: tag["Value"] for tag in entry.get("Tag") or entry.get("Tags") or []} for entry in specifications
    }
    for kind in MADE["RunInstances"]:
        asked = resource_tags(tags.get(kind, {}), "aws:RequestTag")
        needs.append(Need("ec2:RunInstances", ec2_arn(kind, "*"), asked))
        if asked:
            needs.append(Need("ec2:CreateTags", ec2_arn(kind, "*"), asked | {"ec2:CreateAction": "RunInstances"}))
    interfaces = data.get("NetworkInterfaces") or []
    groups = data.get("SecurityGroupIds") or [group for one in interfaces for group in one.get("Groups") or []]
    # Where none is named it is the default group of the subnet's VPC.
    networks = {subnet.vpc_id for zone in backend.subnets.values() for subnet in zone.values() if subnet.id in subnets}
    groups = groups or [backend.get_default_security_group(network).id for network in networks]
    needs += uses("ec2:RunInstances", {found.id, *subnets, *groups, data.get("ImageId", "")})
    profile = data.get("IamInstanceProfile") or {}
    if profile.get("Name"):
        needs.append(pass_role(profile["Name"], "ec2.amazonaws.com"))
    return needs


def elb_needs(call: Call) -> list[Need]:
    action = f"elasticloadbalancing:{call.operation}"
    if call.operation.startswith("Describe"):
        return [Need(action)]
    arns = [value for value in call.parameters.values() if str(value).startswith("arn:aws:elasticloadbalancing:")]
    if call.operation == "CreateLoadBalancer":
        arns = [arn("elasticloadbalancing", f"loadbalancer/app/{call.get('Name')}/0")]
    elif call.operation == "CreateTargetGroup":
        arns = [arn("elasticloadbalancing", f"targetgroup/{call.get('Name')}/0")]
    elif call.operation in ("CreateListener", "ModifyListener", "CreateRule", "ModifyRule"):
        arns = [call.get("LoadBalancerArn", "ListenerArn", "RuleArn")]
    context = resource_tags(call.tags(), "aws:RequestTag")
    needs = [Need(action, one, context) for one in dict.fromkeys(arns)] or [Need(action)]
    if call.operation in ("CreateLoadBalancer", "CreateTargetGroup", "CreateListener", "CreateRule") and call.tags():
        needs.append(
            Need("elasticloadbalancing:AddTags", needs[0].resource, context | {"elasticloadbalancing:CreateAction": call.operation})
        )
    if call.operation == "CreateLoadBalancer":
        needs.append(linked_role("elasticloadbalancing.amazonaws.com", "AWSServiceRoleForElasticLoadBalancing"))
    return needs


RDS_NAMES = {
    "DBInstanceIdentifier": "db", "TargetDBInstanceIdentifier": "db", "SourceDBInstanceIdentifier": "db", "DBSubnetGroupName": "subgrp",
    "DBSnapshotIdentifier": "snapshot", "FinalDBSnapshotIdentifier": "snapshot", "TargetDBSnapshotIdentifier": "snapshot",
    "SourceDBSnapshotIdentifier": "snapshot", "DBParameterGroupName": "pg", "OptionGroupName": "og", "SourceDBInstanceArn": "db",
}  # fmt: skip


def rds_needs(call: Call) -> list[Need]:
    action = f"rds:{call.operation}"
    if call.operation.startswith("Describe"):
        return [Need(action)]
    context = resource_tags(call.tags(), "aws:RequestTag")
    names = [(kind, call.get(name)) for name, kind in RDS_NAMES.items() if call.get(name)]
    found = [value if value.startswith("arn:") else arn("rds", f"{kind}:{value}") for kind, value in names]
    found += [call.get("ResourceName")] if call.get("ResourceName") else []
    needs = [Need(action, one, context) for one in found] or [Need(action)]
    if call.tags() and call.operation.startswith(("Create", "Restore", "Copy")):
        needs.append(Need("rds:AddTagsToResource", found[0], context))
    if call.operation == "CreateDBInstance":
        needs.append(linked_role("rds.amazonaws.com", "AWSServiceRoleForRDS"))
    if call.get("MonitoringRoleArn"):
        needs.append(pass_role(call.get("MonitoringRoleArn"), "monitoring.rds.amazonaws.com"))
    return needs


def secret_needs(call: Call) -> list[Need]:
    action = f"secretsmanager:{call.operation}"
    if call.operation in ("ListSecrets", "GetRandomPassword", "BatchGetSecretValue"):
        return [Need(action)]
    name = call.get("SecretId", "Name")
    resource = name if name.startswith("arn:") else arn("secretsmanager", f"secret:{name}-AbCdEf")
    needs = [Need(action, resource, resource_tags(call.tags(), "aws:RequestTag"))]
    if call.operation == "CreateSecret" and call.tags():
        needs.append(Need("secretsmanager:TagResource", resource, needs[0].context))
    return needs


def document_arn(name: str) -> str:
    """AWS's own belong to no account."""
    return arn("ssm", f"document/{name}", account="" if name.startswith("AWS-") else ACCOUNT)


def ssm_needs(call: Call) -> list[Need]:
    action = f"ssm:{call.operation}"
    if call.operation in ("StartSession", "SendCommand"):
        target = call.get("Target") or next(iter(call.values("InstanceIds")), "*")
        needs = [Need(action, arn("ec2", f"instance/{target}"), resource_tags(ec2_tags(target), "ssm:resourceTag", "aws:ResourceTag"))]
        document = call.get("DocumentName")
        channel = [Need("ssmmessages:OpenDataChannel", arn("ssm", "session/*"))] if call.operation == "StartSession" else []
        return needs + channel + ([Need(action, document_arn(document))] if document else [])
    if call.operation in ("TerminateSession", "ResumeSession"):
        return [Need(action, arn("ssm", f"session/{call.get('SessionId')}"))]
    if call.operation == "UpdateInstanceInformation" or call.operation.startswith(
        ("DescribeI", "DescribeParam", "DescribeSess", "GetConnection", "ListInst", "ListAss", "ListDoc", "GetDep")
    ):
        return [Need(action)]
    names = call.values("Names") + [name for name in (call.get("Name", "ResourceId"),) if name]
    context = resource_tags(call.tags(), "aws:RequestTag")
    is_document = "Document" in call.operation or call.get("ResourceType") == "Document"
    arns = [document_arn(name) if is_document else arn("ssm", f"parameter/{name.lstrip('/')}") for name in names]
    needs = [Need(action, one, context) for one in arns] or [Need(action)]
    if call.operation in ("PutParameter", "CreateDocument") and call.tags():
        needs.append(Need("ssm:AddTagsToResource", needs[0].resource, context))
    return needs


def sns_needs(call: Call) -> list[Need]:
    # A subscription is no resource.
    topic = call.get("TopicArn", "ResourceArn") or (call.get("Name") and arn("sns", call.get("Name")))
    needs = [Need(f"sns:{call.operation}", topic or "*", resource_tags(call.tags(), "aws:RequestTag"))]
    return needs + ([Need("sns:TagResource", topic, needs[0].context)] if call.operation == "CreateTopic" and call.tags() else [])


def cloudwatch_needs(call: Call) -> list[Need]:
    action = f"cloudwatch:{call.operation}"
    alarms = [name for name in (call.get("AlarmName"),) if name] + call.values("AlarmNames")
    if alarms and not call.operation.startswith("Describe"):
        return [Need(action, arn("cloudwatch", f"alarm:{name}"), resource_tags(call.tags(), "aws:RequestTag")) for name in alarms]
    boards = [name for name in (call.get("DashboardName"),) if name] + call.values("DashboardNames")
    if boards:
        return [Need(action, arn("cloudwatch", f"dashboard/{name}", region="")) for name in boards]
    if call.get("ResourceARN"):
        return [Need(action, call.get("ResourceARN"), resource_tags(call.tags(), "aws:RequestTag"))]
    namespace = call.get("Namespace", "namespace")
    return [Need(action, "*", {"cloudwatch:namespace": namespace} if namespace else {})]


def logs_needs(call: Call) -> list[Need]:
    action = f"logs:{call.operation}"
    group = call.get("logGroupName", "resourceArn", "logGroupIdentifier")
    if not group or call.operation in ("DescribeLogGroups", "DescribeDeliveries", "PutResourcePolicy"):
        return [Need(action)]
    resource = group if group.startswith("arn:") else arn("logs", f"log-group:{group}")
    stream = call.get("logStreamName")
    resource = f"{resource.removesuffix(':*')}:log-stream:{stream}" if stream or call.operation == "DescribeLogStreams" else resource
    needs = [Need(action, resource, resource_tags(call.tags(), "aws:RequestTag"))]
    return needs + ([Need("logs:TagResource", resource, needs[0].context)] if call.operation == "CreateLogGroup" and call.tags() else [])


# ---- S3: the right has another name than the operation, and hangs on method, path and query

BUCKET_RIGHTS = {
    "GET": {
        "accelerate": "GetAccelerateConfiguration", "acl": "GetBucketAcl", "cors": "GetBucketCORS",
        "encryption": "GetEncryptionConfiguration",
        "lifecycle": "GetLifecycleConfiguration", "location": "GetBucketLocation", "logging": "GetBucketLogging",
        "notification": "GetBucketNotification", "object-lock": "GetBucketObjectLockConfiguration",
        "ownershipControls": "GetBucketOwnershipControls", "policy": "GetBucketPolicy", "policyStatus": "GetBucketPolicyStatus",
        "publicAccessBlock": "GetBucketPublicAccessBlock", "requestPayment": "GetBucketRequestPayment", "tagging": "GetBucketTagging",
        "uploads": "ListBucketMultipartUploads", "versioning": "GetBucketVersioning", "versions": "ListBucketVersions",
        "inventory": "GetInventoryConfiguration", "website": "GetBucketWebsite", "": "ListBucket",
    },
    "HEAD": {"": "ListBucket"},
    "PUT": {
        "accelerate": "PutAccelerateConfiguration", "acl": "PutBucketAcl", "cors": "PutBucketCORS",
        "encryption": "PutEncryptionConfiguration", "lifecycle": "PutLifecycleConfiguration",
        "logging": "PutBucketLogging", "notification": "PutBucketNotification",
        "object-lock": "PutBucketObjectLockConfiguration", "ownershipControls": "PutBucketOwnershipControls", "policy": "PutBucketPolicy",
        "publicAccessBlock": "PutBucketPublicAccessBlock", "requestPayment": "PutBucketRequestPayment", "tagging": "PutBucketTagging",
        "versioning": "PutBucketVersioning", "": "CreateBucket",
    },
    "DELETE": {
        "cors": "PutBucketCORS", "encryption": "PutEncryptionConfiguration", "lifecycle": "PutLifecycleConfiguration",
        "ownershipControls": "PutBucketOwnershipControls", "policy": "DeleteBucketPolicy",
        "publicAccessBlock": "PutBucketPublicAccessBlock",
        "tagging": "PutBucketTagging", "": "DeleteBucket",
    },
    "POST": {"delete": "DeleteObject", "": "PutObject"},
}  # fmt: skip
OBJECT_RIGHTS = {
    "GET": {
        "acl": "GetObjectAcl", "tagging": "GetObjectTagging", "uploadId": "ListMultipartUploadParts", "versionId": "GetObjectVersion",
        "": "GetObject",
    },
    "HEAD": {"versionId": "GetObjectVersion", "": "GetObject"},
    "PUT": {"acl": "PutObjectAcl", "tagging": "PutObjectTagging", "": "PutObject"},
    "POST": {"": "PutObject"},
    "DELETE": {
        "uploadId": "AbortMultipartUpload", "tagging": "DeleteObjectTagging", "versionId": "DeleteObjectVersion", "": "DeleteObject",
    },
}  # fmt: skip


def s3_needs(call: Call) -> list[Need]:
    method = call.operation.split()[0]
    bucket, _, key = call.path.lstrip("/").partition("/")
    if not bucket:
        return [Need("s3:ListAllMyBuckets")]
    rights = (OBJECT_RIGHTS if key else BUCKET_RIGHTS)[method]
    right = next((rights[name] for name in rights if name and name in call.query), rights[""])
    whole = f"arn:aws:s3:::{bucket}"
    if right == "DeleteObject" and not key:
        versions = call.parameters["VersionId"]
        asked = {"DeleteObject": call.parameters["Object"] - versions, "DeleteObjectVersion": versions}
        return [Need(f"s3:{right}", f"{whole}/*") for right, count in asked.items() if count]
    resource = f"{whole}/{key}" if key else whole
    context = {"s3:prefix": call.query["prefix"]} if right.startswith("ListBucket") and call.query.get("prefix") else {}
    return [Need(f"s3:{right}", resource, context)]


# ---- what production and the cluster use beside


def eks_needs(call: Call) -> list[Need]:
    """/clusters/NAME/node-groups/GROUP: a resource below the cluster carries its name."""
    parts = call.path.strip("/").split("/")
    name = parts[1] if len(parts) > 1 and parts[0] == "clusters" else str(call.parameters.get("name", ""))
    kinds = {
        "node-groups": "nodegroup",
        "addons": "addon",
        "access-entries": "access-entry",
        "pod-identity-associations": "podidentityassociation",
    }
    if parts[0] == "tags":
        return [Need(f"eks:{call.operation}", call.path.removeprefix("/tags/"), resource_tags(call.tags(), "aws:RequestTag"))]
    kind = kinds.get(parts[2], "cluster") if len(parts) > 3 else "cluster"
    resource = "*" if call.operation.startswith("List") and not name else arn("eks", f"{kind}/{name}{'/*' if kind != 'cluster' else ''}")
    needs = [Need(f"eks:{call.operation}", resource if name else "*", resource_tags(call.tags(), "aws:RequestTag"))]
    if call.operation == "CreateCluster":
        needs += [pass_role(call.get("roleArn"), "eks.amazonaws.com"), linked_role("eks.amazonaws.com", "AWSServiceRoleForAmazonEKS")]
    elif call.operation == "CreateNodegroup":
        own = linked_role("eks-nodegroup.amazonaws.com", "AWSServiceRoleForAmazonEKSNodegroup")
        needs += [own, Need("iam:GetRole", own.resource)]
        needs += uses("ec2:RunInstances", {group_of_cluster(name)})
    elif call.operation == "CreatePodIdentityAssociation":
        needs.append(pass_role(call.get("roleArn"), "pods.eks.amazonaws.com"))
    template = call.parameters.get("launchTemplate") or {}
    if template:
        needs += launches(template.get("name") or template.get("id", ""), call.parameters.get("subnets") or [])
    for entry in call.parameters.get("encryptionConfig") or []:
        # By the caller's rights, and without saying that the grant is for a resource of AWS's.
        key, context = kms_key(entry["provider"]["keyArn"])
        context["kms:ViaService"] = f"eks.{REGION}.amazonaws.com"
        needs += [Need(action, key, context) for action in ("kms:DescribeKey", "kms:CreateGrant")]
    return needs


def group_of_cluster(name: str) -> str:
    """Security group that EKS makes, and gives the nodes."""
    from moto.eks.models import eks_backends

    found = eks_backends[ACCOUNT][REGION].clusters.get(name)
    return found.resources_vpc_config.get("clusterSecurityGroupId", "") if found else ""


def route53_needs(call: Call) -> list[Need]:
    zone = re.search(r"/hostedzone/([^/]+)/rrset", call.path)
    return [Need(f"route53:{call.operation}", f"arn:aws:route53:::hostedzone/{zone[1]}" if zone else "*")]


def wafv2_needs(call: Call) -> list[Need]:
    action, context = f"wafv2:{call.operation}", resource_tags(call.tags(), "aws:RequestTag")
    arns = [str(value) for value in call.parameters.values() if str(value).startswith("arn:")]
    configuration = call.parameters.get("LoggingConfiguration")
    arns += [configuration["ResourceArn"]] if isinstance(configuration, dict) else []
    if call.get("Name"):
        arns.append(arn("wafv2", f"regional/webacl/{call.get('Name')}/{call.get('Id') or 'new'}"))
    needs = [Need(action, one, context) for one in arns] or [Need(action)]
    return needs + ([linked_role("wafv2.amazonaws.com", "AWSServiceRoleForWAFV2Logging")] if configuration else [])


def budgets_needs(call: Call) -> list[Need]:
    budget = call.parameters.get("Budget") or call.parameters.get("NewBudget") or {}
    name = call.get("BudgetName") or budget.get("BudgetName", "")
    right = "ViewBudget" if call.operation.startswith("Describe") else "ModifyBudget"
    right = call.operation if "Tag" in call.operation else right
    return [Need(f"budgets:{right}", arn("budgets", f"budget/{name}", region="") if name else call.get("ResourceARN") or "*")]


def acm_needs(call: Call) -> list[Need]:
    from moto.acm.models import acm_backends

    resource, context = call.get("CertificateArn") or "*", resource_tags(call.tags(), "aws:RequestTag")
    found = acm_backends[ACCOUNT][REGION]._certificates.get(resource)
    context |= resource_tags({key: value or "" for key, value in dict(found.tags).items()} if found else {}, "aws:ResourceTag")
    needs = [Need(f"acm:{call.operation}", resource, context)]
    return needs + ([Need("acm:AddTagsToCertificate", "*", context)] if call.operation == "RequestCertificate" and call.tags() else [])


def ecr_needs(call: Call) -> list[Need]:
    action, context = f"ecr:{call.operation}", resource_tags(call.tags(), "aws:RequestTag")
    if call.operation == "GetAuthorizationToken":
        return [Need(action)]
    names = call.values("repositoryNames") + [name for name in (call.get("repositoryName"),) if name]
    # Whoever asks for all repositories has to be allowed each.
    arns = [call.get("resourceArn")] if call.get("resourceArn") else [arn("ecr", f"repository/{name}") for name in names or ["*"]]
    needs = [Need(action, one, context) for one in arns]
    return needs + ([Need("ecr:TagResource", arns[0], context)] if call.operation == "CreateRepository" and call.tags() else [])


def kms_key(name: str) -> tuple[str, dict[str, Any]]:
    """ARN of the key with this id, ARN or alias, and what conditions see of it: tags and aliases."""
    from moto.kms.models import kms_backends

    backend = kms_backends[ACCOUNT][REGION]
    key = next((one for one in backend.keys.values() if name in (one.id, one.arn, *one.aliases)), None)
    if key is None:
        return name if name.startswith("arn:") else arn("kms", f"key/{name}"), {}
    tags = {entry["TagKey"]: entry["TagValue"] for entry in backend.list_resource_tags(key.id)["Tags"]}
    aliases = {"kms:ResourceAliases": sorted(key.aliases)} if key.aliases else {}
    return key.arn, resource_tags(tags, "aws:ResourceTag") | aliases


def kms_needs(call: Call) -> list[Need]:
    """An alias is looked up with its key's rights; who makes or removes it needs the right for both."""
    action = f"kms:{call.operation}"
    requested = {entry["TagKey"]: entry["TagValue"] for entry in call.parameters.get("Tags") or []}
    context = resource_tags(requested, "aws:RequestTag")
    if call.operation == "CreateKey":
        return [Need(action, "*", context)] + ([Need("kms:TagResource", "*", context)] if requested else [])
    alias = call.get("AliasName")
    name = call.get("KeyId", "TargetKeyId") or alias
    if not name:
        return [Need(action)]
    key, circumstances = kms_key(name)
    needs = [Need(action, key, context | circumstances)]
    return needs + ([Need(action, arn("kms", alias))] if alias else [])


def cloudfront_needs(call: Call) -> list[Need]:
    """CloudFront is global. What is made has no resource yet, what exists is known by its tags."""
    from moto.cloudfront.models import cloudfront_backends

    operation, context = call.operation, resource_tags(call.tags(), "aws:RequestTag")
    if operation.startswith("CreateDistribution"):
        needs = [Need("cloudfront:CreateDistribution", "*", context)]
        return needs + ([Need("cloudfront:TagResource", "*", context)] if "WithTags" in call.query else [])
    if call.path.endswith("/tagging"):
        operation = {"Tag": "TagResource", "Untag": "UntagResource"}.get(call.query.get("Operation", ""), "ListTagsForResource")
    kind, _, name = re.sub(r"^/[0-9-]+/", "", call.path).removesuffix("/config").partition("/")
    resource = call.query.get("Resource") or (arn("cloudfront", f"{kind}/{name}", region="") if name else "*")
    tags = cloudfront_backends[ACCOUNT]["aws"].list_tags_for_resource(resource) if "distribution/" in resource else {}
    tags = {entry["Key"]: entry["Value"] for entry in tags.get("Tags", [])}
    return [Need(f"cloudfront:{operation}", resource, context | resource_tags(tags, "aws:ResourceTag"))]


def sts_needs(call: Call) -> list[Need]:
    # Everybody may ask who they are.
    return [] if call.operation == "GetCallerIdentity" else [Need(f"sts:{call.operation}", call.get("RoleArn") or "*")]


NEEDS = {
    "ec2": ec2_needs, "iam": iam_needs, "autoscaling": autoscaling_needs, "elasticloadbalancing": elb_needs, "rds": rds_needs,
    "secretsmanager": secret_needs, "ssm": ssm_needs, "sns": sns_needs, "monitoring": cloudwatch_needs, "logs": logs_needs, "s3": s3_needs,
    "sts": sts_needs, "eks": eks_needs, "ecr": ecr_needs, "kms": kms_needs, "cloudfront": cloudfront_needs, "route53": route53_needs,
    "wafv2": wafv2_needs, "budgets": budgets_needs, "acm": acm_needs,
}  # fmt: skip


def needs_of(call: Call) -> list[Need]:
    """Every right that the request needs. Of a service that is not known here, the operation's own name on every resource."""
    if call.service in NEEDS:
        return NEEDS[call.service](call)
    return [Need(f"{PREFIXES.get(call.service, call.service)}:{call.operation}")]
