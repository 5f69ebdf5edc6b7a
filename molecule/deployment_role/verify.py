"""Read from IAM: who may take the role, what it may do, and what it may never do."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from lab.api import policies
from tests.acceptance.system import tags_of

NAME = {"defaults": "defaults-django-deployment", "altered": "shop-deployer"}
BOUNDARY = {"defaults": "defaults-django-boundary", "altered": "shop-boundary"}
PREFIX = {"defaults": "defaults-django", "altered": "shop"}
ACCOUNT = "123456789012"


def role(account) -> dict:
    return account.client("iam").get_role(RoleName=NAME[account.environment])["Role"]


def document(account, arn: str) -> dict:
    iam = account.client("iam")
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


def documents(account) -> list[dict]:
    attached = account.client("iam").list_attached_role_policies(RoleName=NAME[account.environment])["AttachedPolicies"]
    return [document(account, policy["PolicyArn"]) for policy in attached]


def allowed(account, action: str, resource: str, **context: str) -> bool:
    keys = {name.replace("__", ":").replace("_SLASH_", "/"): value for name, value in context.items()}
    return policies.refusal(documents(account), None, action, resource, keys) == ""


def test_policies_are_short_enough(account):
    found = documents(account)
    assert len(found) > 10 if account.environment == "altered" else found
    for policy in found:
        assert len("".join(json.dumps(policy).split())) <= 6144


def test_nothing_is_allowed_by_a_wildcard_of_a_service(account):
    actions = [
        action
        for policy in documents(account)
        for one in policy["Statement"]
        if one["Effect"] == "Allow"
        for action in policies.as_list(one["Action"])
    ]
    assert not [action for action in actions if action.endswith(":*") or action == "*"]
    assert ("sqs:CreateQueue" in actions) == (account.environment == "altered")


def test_trust_of_the_defaults(defaults):
    (statement,) = role(defaults)["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"AWS": [f"arn:aws:iam::{ACCOUNT}:root"]}
    assert role(defaults)["MaxSessionDuration"] == 7200


def test_trust_of_github(altered):
    statements = {statement["Sid"]: statement for statement in role(altered)["AssumeRolePolicyDocument"]["Statement"]}
    github = statements["GitHubActions"]
    assert github["Principal"] == {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"}
    assert github["Condition"] == {
        "StringEquals": {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"},
        "StringLike": {
            "token.actions.githubusercontent.com:sub": ["repo:you/shop:ref:refs/heads/main", "repo:you@123/shop@456:ref:refs/heads/main"]
        },
    }
    assert statements["Administrators"]["Principal"] == {"AWS": ["arn:aws:iam::123456789012:role/administrators"]}
    providers = altered.client("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"]
    assert [provider["Arn"] for provider in providers] == [github["Principal"]["Federated"]]
    found = altered.client("iam").get_open_id_connect_provider(OpenIDConnectProviderArn=github["Principal"]["Federated"])
    assert set(found["ClientIDList"]) == {"https://github.com/somebody", "sts.amazonaws.com"}, "it is the whole account's"
    assert found["Tags"] == [{"Key": "Team", "Value": "other"}]


def test_names_and_tags_are_the_limit(account):
    own = PREFIX[account.environment]
    rds = f"arn:aws:rds:us-east-1:{ACCOUNT}:db"
    assert allowed(account, "rds:DeleteDBInstance", f"{rds}:{own}-postgres")
    assert not allowed(account, "rds:DeleteDBInstance", f"{rds}:other-postgres")
    instance = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-0123456789abcdef0"
    assert allowed(account, "ec2:TerminateInstances", instance, **tags("aws__ResourceTag", account.environment))
    assert not allowed(account, "ec2:TerminateInstances", instance, **tags("aws__ResourceTag", "other"))
    assert not allowed(account, "ec2:TerminateInstances", instance)
    assert allowed(account, "ec2:CreateVpc", "arn:aws:ec2:us-east-1:123456789012:vpc/*", **tags("aws__RequestTag", account.environment))
    assert not allowed(account, "ec2:CreateVpc", "arn:aws:ec2:us-east-1:123456789012:vpc/*")


def tags(key: str, environment: str) -> dict[str, str]:
    return {f"{key}_SLASH_Project": "django", f"{key}_SLASH_Environment": environment}


# Of the playbooks beside site.yml: what they do to what is ours, by name. {own} is the prefix.
DAY_TWO = [
    ("rds:CreateDBSnapshot", "rds:us-east-1:{account}:snapshot:{own}-postgres-20260301"),
    ("rds:CreateDBSnapshot", "rds:us-east-1:{account}:db:{own}-postgres"),
    ("rds:CopyDBSnapshot", "rds:us-east-1:{account}:snapshot:{own}-postgres-encrypted"),
    ("rds:DeleteDBSnapshot", "rds:us-east-1:{account}:snapshot:{own}-postgres-plain"),
    ("rds:RestoreDBInstanceFromDBSnapshot", "rds:us-east-1:{account}:db:{own}-postgres-restored"),
    ("rds:RestoreDBInstanceToPointInTime", "rds:us-east-1:{account}:db:{own}-postgres-restored"),
    ("iam:SimulatePrincipalPolicy", "iam::{account}:role/{own}-instance-role"),
    ("ssm:CreateDocument", "ssm:us-east-1:{account}:document/{own}-shell"),
    ("ssm:UpdateDocumentDefaultVersion", "ssm:us-east-1:{account}:document/{own}-ansible"),
    ("ssm:StartSession", "ssm:us-east-1:{account}:document/{own}-shell"),
    ("cloudwatch:PutDashboard", "cloudwatch::{account}:dashboard/{own}"),
    ("cloudwatch:PutDashboard", "cloudwatch::{account}:dashboard/{own}-x"),
    ("wafv2:CreateWebACL", "wafv2:us-east-1:{account}:regional/webacl/{own}-web/1"),
]


@pytest.mark.parametrize(("action", "resource"), DAY_TWO)
def test_day_two_is_allowed_by_name(account, action, resource):
    arn = f"arn:aws:{resource}"
    assert allowed(account, action, arn.format(account=ACCOUNT, own=PREFIX[account.environment]))
    assert not allowed(account, action, arn.format(account=ACCOUNT, own="other"))


SECRET = {"defaults": "django-app-db-credentials", "altered": "shop-db"}


@pytest.mark.parametrize("action", ["CreateSecret", "DeleteSecret", "PutSecretValue", "UpdateSecretVersionStage"])
def test_passwords_of_the_environment_are_rotated(account, action):
    start = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:"
    assert allowed(account, f"secretsmanager:{action}", f"{start}{SECRET[account.environment]}-AbCdEf")
    assert not allowed(account, f"secretsmanager:{action}", f"{start}other-AbCdEf")


def test_secrets_of_the_application_are_read_and_not_changed(altered):
    secret = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:shop-stripe-AbCdEf"
    boundary = document(altered, f"arn:aws:iam::{ACCOUNT}:policy/{BOUNDARY['altered']}")
    for policy, action, refused in (
        (documents(altered), "GetSecretValue", False),
        (documents(altered), "DeleteSecret", True),
        ([boundary], "GetSecretValue", False),
        ([boundary], "PutSecretValue", True),
    ):
        assert bool(policies.refusal(policy, None, f"secretsmanager:{action}", secret, {})) is refused, action


@pytest.mark.parametrize("action", ["CreateLogGroup", "DeleteLogGroup", "PutRetentionPolicy"])
def test_logs_of_the_environment_are_made(account, action):
    start = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:"
    own = {
        "defaults": ["/aws/ec2/django-app", "/aws/vpc/flowlogs", "aws-waf-logs-defaults-django"],
        "altered": ["/shop", "/aws/eks/shop/cluster"],
    }[account.environment]
    assert all(allowed(account, f"logs:{action}", f"{start}{name}") for name in own)
    assert not allowed(account, f"logs:{action}", f"{start}/aws/eks/other/cluster")
    assert not allowed(account, f"logs:{action}", start)


def test_what_a_run_and_the_doctor_look_at_without_names(account):
    for action in (
        "cloudfront:CreateOriginAccessControl",
        "cloudfront:ListDistributions",
        "cloudfront:ListOriginAccessControls",
        "ec2:DescribeImageAttribute",
        "ecr:DescribeRepositories",
        "iam:ListOpenIDConnectProviders",
        "servicequotas:GetAWSDefaultServiceQuota",
        "rds:ListTagsForResource",
        "servicequotas:GetServiceQuota",
        "ssm:ListDocuments",
    ):
        assert allowed(account, action, "*"), action


def test_distributions_are_known_by_their_tags(account):
    distribution = f"arn:aws:cloudfront::{ACCOUNT}:distribution/E1"
    for action in ("cloudfront:DeleteDistribution", "cloudfront:UpdateDistribution"):
        assert allowed(account, action, distribution, **tags("aws__ResourceTag", account.environment))
        assert not allowed(account, action, distribution, **tags("aws__ResourceTag", "other"))
    assert allowed(account, "cloudfront:CreateDistribution", "*", **tags("aws__RequestTag", account.environment))
    assert not allowed(account, "cloudfront:CreateDistribution", "*")


def test_sessions_are_of_the_kinds_that_are_used(account):
    """Those of `make shell`, `logs`, `dbshell` and `tunnel`, on machines of the environment."""
    for kind in ("StartInteractiveCommand", "StartPortForwardingSession", "StartPortForwardingSessionToRemoteHost"):
        assert allowed(account, "ssm:StartSession", f"arn:aws:ssm:us-east-1::document/AWS-{kind}")
    assert allowed(account, "ssm:StartSession", f"arn:aws:ssm:us-east-1:{ACCOUNT}:document/SSM-SessionManagerRunShell")
    assert not allowed(account, "ssm:UpdateDocument", f"arn:aws:ssm:us-east-1:{ACCOUNT}:document/SSM-SessionManagerRunShell")
    assert not allowed(account, "ssm:StartSession", "arn:aws:ssm:us-east-1::document/AWS-StartSSHSession")
    for action in ("ssm:TerminateSession", "ssmmessages:OpenDataChannel"):
        assert allowed(account, action, f"arn:aws:ssm:us-east-1:{ACCOUNT}:session/ada-1")
    machine = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-0123456789abcdef0"
    assert allowed(account, "ssm:StartSession", machine, **tags("ssm__resourceTag", account.environment))
    assert not allowed(account, "ssm:StartSession", machine, **tags("ssm__resourceTag", "other"))


def test_roles_need_the_boundary(account):
    own = f"arn:aws:iam::{ACCOUNT}:role/{PREFIX[account.environment]}-instance-role"
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/{BOUNDARY[account.environment]}"
    assert allowed(account, "iam:CreateRole", own, iam__PermissionsBoundary=boundary)
    assert not allowed(account, "iam:CreateRole", own)
    assert not allowed(account, "iam:CreateRole", own, iam__PermissionsBoundary="arn:aws:iam::aws:policy/AdministratorAccess")
    assert not allowed(account, "iam:DeleteRolePermissionsBoundary", own, iam__PermissionsBoundary=boundary)
    assert allowed(account, "iam:UpdateAssumeRolePolicy", own, iam__PermissionsBoundary=boundary)
    assert not allowed(account, "iam:UpdateAssumeRolePolicy", own), "a mightier role would let others in"
    assert allowed(account, "iam:PassRole", own, iam__PassedToService="ec2.amazonaws.com")
    assert not allowed(account, "iam:PassRole", own, iam__PassedToService="lambda.amazonaws.com")


@pytest.mark.parametrize("action", ["iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:DeleteRole"])
def test_it_cannot_change_itself(defaults, action):
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/{BOUNDARY['defaults']}"
    assert not allowed(defaults, action, f"arn:aws:iam::{ACCOUNT}:role/{NAME['defaults']}", iam__PermissionsBoundary=boundary)
    assert allowed(defaults, "iam:GetRole", f"arn:aws:iam::{ACCOUNT}:role/{NAME['defaults']}")


def test_it_cannot_change_its_boundary(account):
    arn = f"arn:aws:iam::{ACCOUNT}:policy/{BOUNDARY[account.environment]}"
    for action in ("iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:SetDefaultPolicyVersion"):
        assert not allowed(account, action, arn)


def test_boundary_holds_no_right_of_iam(account):
    found = document(account, f"arn:aws:iam::{ACCOUNT}:policy/{BOUNDARY[account.environment]}")
    assert policies.refusal([found], None, "iam:CreateUser", "*", {})
    assert policies.refusal([found], None, "ssm:SendCommand", "*", {})
    assert policies.refusal([found], None, "ssmmessages:OpenDataChannel", "*", {}) == ""
    assert (
        policies.refusal([found], None, "s3:GetObject", f"arn:aws:s3:::{PREFIX[account.environment]}-static-{ACCOUNT}/releases/x", {}) == ""
    )
    assert policies.refusal([found], None, "s3:GetObject", "arn:aws:s3:::other/x", {})


def test_tags(account):
    assert tags_of(role(account))["Environment"] == account.environment


def test_gone(account):
    iam = account.client("iam")
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_role(RoleName=NAME[account.environment])
    names = {policy["PolicyName"] for policy in iam.list_policies(Scope="Local")["Policies"]}
    assert not [name for name in names if name.startswith((NAME[account.environment], BOUNDARY[account.environment]))]
