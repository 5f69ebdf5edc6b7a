"""The deployment role may do whatever the suite's own plugins ask AWS for: read out of their source, and out of the role's policies.

What amazon.aws and community.aws ask, and whether the resources fit, is seen by tests/rehearse/test_rights.py.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import botocore.loaders
import pytest
from ansible_collections.espalier.aws.plugins.modules import cluster_leftovers
from botocore import xform_name

from lab.api.policies import as_list, like, verdict
from tests.tree import ROOT, tracked
from tests.unit.deployment_role import rendered, statements_of

PLUGINS = "collections/ansible_collections/espalier/aws/plugins"
SERVICES = (
    "acm", "autoscaling", "budgets", "cloudfront", "cloudwatch", "ec2", "ecr", "eks", "elbv2", "iam", "kms", "logs", "rds", "route53", "s3",
    "secretsmanager", "service-quotas", "sns", "ssm", "sts", "wafv2",
)  # fmt: skip
# Where IAM has another name for a service or an operation.
PREFIXES = {"elbv2": "elasticloadbalancing", "service-quotas": "servicequotas"}
ACTIONS = {
    "cloudfront:CreateDistributionWithTags": "cloudfront:CreateDistribution",
    "s3:DeleteObjects": "s3:DeleteObjectVersion",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListObjectsV2": "s3:ListBucket",
}
# Everybody may.
FREE = {"sts:GetCallerIdentity"}
# Asked where there is a cluster, or is to be one.
OF_CLUSTERS = {"eks:DescribeAddon", "eks:DescribeClusterVersions", "eks:DescribeNodegroup", "eks:ListAddons", "eks:ListNodegroups"}
CLUSTER_PLUGINS = ("eks", "ecr", "cluster_leftovers", "release_image", "iam_oidc_provider")


@pytest.fixture(scope="module", params=["production", "staging"])
def environment(request) -> str:
    """With a cluster, and without one."""
    return request.param


@pytest.fixture(scope="module")
def statements(environment) -> list[dict]:
    """What the role may do, by the inventory."""
    return statements_of(rendered(environment)["documents"])


@cache
def operations() -> dict[str, list[tuple[str, str]]]:
    """Service and operation by the name of boto3's method."""
    loader, found = botocore.loaders.create_loader(), {}
    for service in SERVICES:
        for operation in loader.load_service_model(service, "service-2")["operations"]:
            found.setdefault(xform_name(operation), []).append((service, operation))
    return found


def action(service: str, operation: str) -> str:
    if service == "budgets" and "Tag" not in operation:
        return "budgets:ViewBudget" if operation.startswith("Describe") else "budgets:ModifyBudget"
    name = f"{PREFIXES.get(service, service)}:{operation}"
    return ACTIONS.get(name, name)


def asked(path: Path) -> list[set[str]]:
    """The actions of each method of boto3 that a plugin calls or names; several where it might be one of several services'."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = texts | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    found = []
    for name in sorted(names & operations().keys()):
        known = [pair for pair in operations()[name] if pair[0] in texts] or operations()[name]
        found.append({action(*pair) for pair in known})
    return found


def allowed(statements: list[dict], name: str) -> bool:
    rights = [right for one in statements if one["Effect"] == "Allow" for right in as_list(one["Action"])]
    return name in FREE or any(like(name.lower(), right.lower()) for right in rights)


def needed(environment: str) -> set[tuple[str, frozenset[str]]]:
    """By the plugin's name."""
    found = {(path.name, frozenset(actions)) for path in tracked(f"{PLUGINS}/*.py") for actions in asked(path)}
    if environment == "production":
        return found
    return {(name, actions) for name, actions in found if not name.startswith(CLUSTER_PLUGINS) and not actions & OF_CLUSTERS}


def test_every_call_of_a_plugin_is_allowed(environment, statements):
    missing = {(name, *actions) for name, actions in needed(environment) if not any(allowed(statements, one) for one in actions)}
    assert missing == set(), "roles/deployment_role/vars/main lacks rights"


def test_calls_are_found():
    """Else the test before could not fail."""
    found = {action for _name, actions in needed("production") for action in actions}
    assert {"servicequotas:GetServiceQuota", "ssm:CreateDocument", "rds:DescribeDBInstances", "s3:ListBucket"} <= found and len(found) > 150


def test_what_names_its_documents_and_logs_has_a_name(statements):
    """An optional log group that is off leaves nothing behind."""
    resources = [one for statement in statements for one in as_list(statement["Resource"])]
    assert not [one for one in resources if one.endswith((":log-group:", ":log-group::*", ":document/"))]


def test_what_a_cluster_left_may_be_removed_by_each_of_its_tags(environment, statements):
    """cluster_leftovers finds things by one tag of several, and each of their makers sets only its own."""
    source = ROOT / PLUGINS / "modules" / "cluster_leftovers.py"
    deletions = {name for actions in asked(source) for name in actions if ":Delete" in name}
    assert len(deletions) == 5
    for cluster, answer in (("django-app", "Allow" if environment == "production" else "nothing"), ("another", "nothing")):
        for key, value in cluster_leftovers.owned(cluster).items():
            circumstances = {f"aws:ResourceTag/{key}": value}
            judged = {name: verdict(statements, name, "arn:aws:any:us-east-1:123456789012:thing/1", circumstances) for name in deletions}
            assert set(judged.values()) == {answer}, f"{key}: {value}: {judged}"
