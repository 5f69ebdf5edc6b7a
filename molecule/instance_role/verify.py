"""Read from IAM: who may take the role, and every right that comes with it."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.acceptance import compute
from tests.acceptance.system import only, tags_of

NAME = {"defaults": "defaults-django-instance-role", "altered": "shop-role"}
PARAMETERS = {"defaults": ["/DjangoApp/rds_endpoint", "/DjangoApp/release"], "altered": ["/Shop/database"]}
CHECKS = (compute.check_instance_role_trust, compute.check_instance_role_is_least, compute.check_instance_role_rights)


def statements(account) -> dict[str, dict]:
    name = NAME[account.environment]
    policy = account.client("iam").get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"]
    return {statement["Sid"]: statement for statement in policy["Statement"]}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_defaults(defaults, check):
    check(defaults)


def test_rights_of_the_defaults_name_what_they_are_for(defaults):
    found = statements(defaults)
    bucket = "arn:aws:s3:::defaults-django-static-123456789012"
    assert found["ReadOwnFolders"]["Resource"] == [f"{bucket}/{folder}/*" for folder in ("bundles", "releases", "static", "media")]
    assert found["WriteOwnFolders"]["Resource"] == [f"{bucket}/{folder}/*" for folder in ("births", "static", "media")]
    scope = "us-east-1:123456789012"
    names = ("django-db-credentials", "django-secret-key")
    assert found["ReadOwnSecrets"]["Resource"] == [f"arn:aws:secretsmanager:{scope}:secret:{name}-??????" for name in names]
    assert found["ReadOwnParameters"]["Resource"] == [f"arn:aws:ssm:{scope}:parameter{name}" for name in PARAMETERS["defaults"]]
    assert found["CompleteOwnBirth"]["Resource"].endswith(":autoScalingGroupName/defaults-django-asg")
    assert found["WriteOwnLogs"]["Resource"] == [f"arn:aws:logs:{scope}:log-group:/aws/ec2/django-app:*"]
    assert found["PutOwnMetrics"]["Condition"] == {"StringEquals": {"cloudwatch:namespace": "django-app"}}


def test_rights(altered):
    found = statements(altered)
    assert set(found) == {
        "ListOwnFolders",
        "ReadOwnFolders",
        "WriteOwnFolders",
        "ReadOwnSecrets",
        "ReadOwnParameters",
        "DenyOtherParameters",
        "CompleteOwnBirth",
    }
    group = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:*:autoScalingGroupName/shop"
    assert found["CompleteOwnBirth"]["Resource"] == group
    assert found["ReadOwnFolders"]["Resource"] == ["arn:aws:s3:::shop-files/images/*"]
    assert found["WriteOwnFolders"]["Resource"] == ["arn:aws:s3:::shop-files/uploads/*"]
    assert found["ReadOwnSecrets"]["Resource"] == ["arn:aws:secretsmanager:us-east-1:123456789012:secret:shop-db-??????"]


def test_other_parameters_are_denied(account):
    denial = statements(account)["DenyOtherParameters"]
    assert denial["Effect"] == "Deny"
    assert denial["NotResource"] == [
        *(f"arn:aws:ssm:us-east-1:123456789012:parameter{name}" for name in PARAMETERS[account.environment]),
        "arn:aws:ssm:us-east-1::parameter/aws/service/*",
    ]


def test_managed_policies(account):
    attached = account.client("iam").list_attached_role_policies(RoleName=NAME[account.environment])["AttachedPolicies"]
    more = {"CloudWatchAgentServerPolicy"} if account.environment == "altered" else set()
    assert {policy["PolicyName"] for policy in attached} == {"AmazonSSMManagedInstanceCore"} | more


def test_machines_get_it_by_a_profile_of_its_name(account):
    profile = account.client("iam").get_instance_profile(InstanceProfileName=NAME[account.environment])["InstanceProfile"]
    assert only(profile["Roles"], "role")["RoleName"] == NAME[account.environment]
    assert tags_of(profile)["Environment"] == account.environment


def test_gone(account):
    iam, name = account.client("iam"), NAME[account.environment]
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_role(RoleName=name)
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_instance_profile(InstanceProfileName=name)
