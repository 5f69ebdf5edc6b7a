"""The boundary admits what the roles of the suite need, and little else.

What they need: the statements of their own policies, and those of AWS's managed policies, as moto has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml
from moto.iam.aws_managed_policies import aws_managed_policies_data

from lab.api import policies
from tests.tree import ROOT
from tests.unit.deployment_role import ACCOUNT, rendered

OWN, OTHER = ({"Project": "django", "Environment": name} for name in ("production", "other"))
HERE = f"us-east-1:{ACCOUNT}"
# Policies that roles of the suite have of their own, by where they are written.
WRITTEN = (
    "roles/instance_role/vars/main.yml",
    "roles/load_balancer_controller/vars/policy.yml",
    "roles/vpc/vars/main.yml",
    "playbooks/vars/cluster.yml",
)


def tags(kind: str, values: dict[str, str]) -> dict[str, str]:
    return {f"aws:{kind}/{name}": value for name, value in values.items()}


# What an action may be asked for: a thing of the environment's or of its cluster's, or a new one.
THINGS: list[tuple[str, dict[str, str]]] = [
    ("*", {}),
    ("*", tags("ResourceTag", OWN)),
    ("*", tags("ResourceTag", {"kubernetes.io/cluster/django-app": "owned"})),
    ("*", {**tags("RequestTag", OWN), "ec2:CreateAction": "CreateVolume"}),
    ("*", {"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}),
    ("arn:aws:s3:::production-django-static-123456789012/media/a", {}),
    (f"arn:aws:secretsmanager:{HERE}:secret:django-secret-key-AbCdEf", {}),
    (f"arn:aws:ssm:{HERE}:parameter/DjangoApp/release", {}),
    (f"arn:aws:autoscaling:{HERE}:autoScalingGroup:1:autoScalingGroupName/production-django-asg", {}),
    (f"arn:aws:logs:{HERE}:log-group:RDSOSMetrics", {}),
    (f"arn:aws:eks:{HERE}:cluster/django-app", {}),
]


def refused(action: str, resource: str = "*", environment: str = "production", **context: str) -> bool:
    return policies.refusal([rendered(environment)["boundary"]], None, action, resource, context) != ""


@cache
def managed() -> dict[str, Any]:
    return {name: policy["Document"] for name, policy in json.loads(aws_managed_policies_data).items()}


def attached() -> set[str]:
    """AWS's policies that a role of the suite names."""
    files = [path for folder in ("defaults", "tasks", "vars") for path in ROOT.glob(f"roles/*/{folder}/**/*.yml")]
    names = {
        name for path in files for line in path.read_text("utf-8").splitlines() for name in re.findall(r"\bAmazon\w+", line.split("#")[0])
    }
    return names & managed().keys()


def actions_of(document: Any) -> Iterator[str]:
    """Of every statement that allows something, however deep."""
    if isinstance(document, dict):
        if document.get("Effect") == "Allow" and "Principal" not in document:
            yield from policies.as_list(document["Action"])
        for value in document.values():
            yield from actions_of(value)
    elif isinstance(document, list):
        for value in document:
            yield from actions_of(value)


def not_admitted(actions: set[str]) -> list[str]:
    return sorted(action for action in actions if all(refused(action, resource, **context) for resource, context in THINGS))


def test_the_policies_of_aws_are_found():
    assert attached() == {
        "AmazonEBSCSIDriverPolicyV2",
        "AmazonEC2ContainerRegistryPullOnly",
        "AmazonEKSClusterPolicy",
        "AmazonEKSWorkerNodePolicy",
        "AmazonEKS_CNI_Policy",
        "AmazonRDSEnhancedMonitoringRole",
        "AmazonSSMManagedInstanceCore",
    }


@pytest.mark.parametrize("name", sorted(attached()))
def test_a_policy_of_aws_is_admitted(name):
    assert not_admitted(set(actions_of(managed()[name]))) == []


@pytest.mark.parametrize("path", WRITTEN)
def test_a_policy_of_the_suite_is_admitted(path):
    actions = set(actions_of(yaml.safe_load((ROOT / path).read_text("utf-8"))))
    assert actions
    assert not_admitted(actions) == []


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_it_is_one_policy_with_room_for_longer_names(environment):
    """And for secrets of the application's. AWS takes 6,144 characters, white space not counted."""
    assert len("".join(json.dumps(rendered(environment)["boundary"]).split())) < 5750


def test_no_service_is_admitted_whole():
    for environment in ("production", "staging"):
        assert not [action for action in actions_of(rendered(environment)["boundary"]) if action.endswith((":*", "*:*")) or action == "*"]


@pytest.mark.parametrize(
    "action",
    [
        "cloudformation:CreateStack", "ec2:RunInstances", "ec2:ModifyVpcAttribute", "ec2:CreateVpcPeeringConnection", "ecr:PutImage",
        "ecr:DeleteRepository", "eks:CreateAccessEntry", "eks:DeleteCluster", "elasticloadbalancing:DeleteLoadBalancer", "iam:CreateUser",
        "iam:PassRole", "iam:PutRolePolicy", "kms:Decrypt", "kms:ScheduleKeyDeletion", "rds:ModifyDBInstance", "s3:PutBucketPolicy",
        "secretsmanager:PutSecretValue", "ssm:CreateAssociation", "ssm:PutParameter", "ssm:SendCommand", "ssm:StartAutomationExecution",
        "ssm:StartSession", "sts:AssumeRole", "wafv2:DeleteWebACL", "wafv2:UpdateWebACL",
    ],
)  # fmt: skip
def test_nothing_else_is_admitted(action):
    assert refused(action)


def test_others_data_is_out_of_reach():
    assert refused("s3:GetObject", "arn:aws:s3:::other-django-static-123456789012/media/a")
    assert refused("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{HERE}:secret:other-AbCdEf")
    assert refused("ssm:GetParameter", f"arn:aws:ssm:{HERE}:parameter/Other/release")
    assert not refused("ssm:GetParameter", "arn:aws:ssm:us-east-1::parameter/aws/service/ami-amazon-linux-latest/x")
    assert refused("eks-auth:AssumeRoleForPodIdentity", f"arn:aws:eks:{HERE}:cluster/other")
    assert not refused("kms:Decrypt", **{"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"})


# What they carry: another environment's tags, or somebody's else who knows nothing of ours.
@pytest.mark.parametrize("whose", [OTHER, {"Team": "shop"}], ids=["other environment", "other tags"])
@pytest.mark.parametrize(
    "action",
    [
        "autoscaling:UpdateAutoScalingGroup", "ec2:AttachVolume", "ec2:AuthorizeSecurityGroupIngress", "ec2:CreateRoute",
        "ec2:CreateSnapshot", "ec2:CreateTags", "ec2:DeleteSecurityGroup", "ec2:DeleteSnapshot", "ec2:DeleteVolume",
        "ec2:ModifyInstanceAttribute", "elasticloadbalancing:AddTags", "elasticloadbalancing:CreateListener",
        "elasticloadbalancing:DeleteLoadBalancer", "elasticloadbalancing:ModifyRule", "elasticloadbalancing:RegisterTargets",
    ],
)  # fmt: skip
def test_others_things_are_out_of_reach(action, whose):
    assert refused(action, **tags("ResourceTag", whose))


@pytest.mark.parametrize("action", ["ec2:DetachNetworkInterface", "ec2:ModifyNetworkInterfaceAttribute", "ec2:CreateTags"])
def test_another_environment_s_interfaces_are_out_of_reach(action):
    """Those of nodes carry no tags until the node gives them."""
    interface = f"arn:aws:ec2:{HERE}:network-interface/eni-0123456789abcdef0"
    assert refused(action, interface, **tags("ResourceTag", OTHER))
    assert not refused(action, interface)


def test_without_a_cluster_nothing_of_ec2_is_admitted():
    assert not [
        action for action in actions_of(rendered("staging")["boundary"]) if action.startswith(("ec2:", "elasticloadbalancing:", "ecr:"))
    ]
