"""Asked over AWS's API: whom the role trusts, what it may do, and whose pods get it."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError


def role(account) -> dict:
    return account.client("iam").get_role(RoleName=f"{account.prefix}-pods")["Role"]


def associations(account) -> list[dict]:
    eks, name = account.client("eks"), f"{account.environment}-cluster"
    found = eks.list_pod_identity_associations(clusterName=name)["associations"]
    return [eks.describe_pod_identity_association(clusterName=name, associationId=one["associationId"])["association"] for one in found]


def test_role_trusts_these_pods_only(account):
    (statement,) = role(account)["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert statement["Condition"] == {
        "StringEquals": {
            "aws:RequestTag/eks-cluster-arn": f"arn:aws:eks:us-east-1:123456789012:cluster/{account.environment}-cluster",
            "aws:RequestTag/kubernetes-namespace": "shop",
            "aws:RequestTag/kubernetes-service-account": "cart",
        }
    }


def test_pods_get_it(account):
    (found,) = associations(account)
    assert (found["namespace"], found["serviceAccount"], found["roleArn"]) == ("shop", "cart", role(account)["Arn"])
    assert found["tags"].get("Team") == ("shop" if account.environment == "altered" else None)


def test_rights(account):
    iam, name = account.client("iam"), f"{account.prefix}-pods"
    own = iam.list_role_policies(RoleName=name)["PolicyNames"]
    managed = [policy["PolicyName"] for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]]
    if account.environment == "defaults":
        assert (own, managed) == ([], []), "rights that nobody gave"
        return
    assert managed == ["AmazonS3ReadOnlyAccess"]
    assert iam.get_role_policy(RoleName=name, PolicyName=own[0])["PolicyDocument"]["Statement"][0]["Resource"] == "arn:aws:s3:::shop/*"


def test_gone(account):
    with pytest.raises(ClientError, match="NoSuchEntity"):
        role(account)
    assert associations(account) == []
