"""Asked over AWS's API: the controller's rights, all on its own cluster's things, and whose pods have them."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

NAMES = {
    "defaults": ("defaults-django-load-balancer-controller", "kube-system", "aws-load-balancer-controller"),
    "altered": ("altered-django-ingresses", "ingresses", "alb"),
}
MARK = "elbv2.k8s.aws/cluster"


def statements(account) -> dict[str, dict]:
    name = NAMES[account.environment][0]
    policy = account.client("iam").get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"]
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def test_its_pods_have_them(account):
    eks, (role, namespace, service_account) = account.client("eks"), NAMES[account.environment]
    name = f"{account.environment}-cluster"
    (found,) = eks.list_pod_identity_associations(clusterName=name)["associations"]
    assert (found["namespace"], found["serviceAccount"]) == (namespace, service_account)
    association = eks.describe_pod_identity_association(clusterName=name, associationId=found["associationId"])["association"]
    assert association["roleArn"].endswith(f":role/{role}")


def test_what_it_removes_is_its_own(account):
    own = {f"aws:ResourceTag/{MARK}": f"{account.environment}-cluster"}
    for statement in statements(account).values():
        actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        if {"ec2:DeleteSecurityGroup", "elasticloadbalancing:DeleteLoadBalancer", "elasticloadbalancing:DeleteTargetGroup"} & set(actions):
            assert statement["Condition"]["StringEquals"] == own, statement["Sid"]


def test_what_it_makes_is_marked(account):
    asked = {f"aws:RequestTag/{MARK}": f"{account.environment}-cluster"}
    found = statements(account)
    assert found["MakeMarkedLoadBalancers"]["Condition"]["StringEquals"] == asked
    for name in ("MarkNewSecurityGroups", "MarkNewLoadBalancers"):
        assert asked.items() <= found[name]["Condition"]["StringEquals"].items(), "a mark could be put on what is somebody else's"
    for name in ("TagOwnSecurityGroups", "TagOwnLoadBalancers"):
        assert found[name]["Condition"]["Null"] == {f"aws:RequestTag/{MARK}": "true"}, "the mark could be changed"


def test_no_right_to_everything(account):
    for statement in statements(account).values():
        actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        assert not [action for action in actions if "*" in action], statement["Sid"]


def test_gone(account):
    with pytest.raises(ClientError, match="NoSuchEntity"):
        account.client("iam").get_role(RoleName=NAMES[account.environment][0])
    assert account.client("eks").list_pod_identity_associations(clusterName=f"{account.environment}-cluster")["associations"] == []
