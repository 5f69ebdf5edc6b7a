"""The deployment role is enough for the production environment, too: what the lab's switches leave out goes through the same judge.

Certificate and records, WAF, flow logs, exports, monitoring, copies of backups, session documents, dashboard, budget, CloudFront, a cluster
with a key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.control import call
from lab.settings import Settings
from tests.production.conftest import AWS, FOLDER, Profile, opened

ROLE = "production-django-deployment"
WITHOUT_MACHINES = ("--tags", "network,data,edge,compute,cluster")
# On top of what the other tests here have: volumes.
VALUES = {"eks_storage": True}
UNPROTECTED = {f"{part}_deletion_protection": False for part in ("database", "load_balancer", "eks")}
# One right of each switch. Who did not need it was never judged.
NEEDED = (
    "acm:AddTagsToCertificate", "acm:RequestCertificate", "budgets:ModifyBudget", "cloudfront:CreateDistribution", "cloudfront:TagResource",
    "cloudwatch:PutDashboard", "ec2:CreateFlowLogs", "ec2:DescribeRegions", "ec2:RevokeSecurityGroupEgress", "eks:CreateAddon",
    "eks:CreateCluster", "eks:CreateNodegroup", "eks:CreatePodIdentityAssociation", "elasticloadbalancing:ModifyLoadBalancerAttributes",
    "iam:CreateOpenIDConnectProvider", "iam:CreateServiceLinkedRole", "kms:CreateAlias", "kms:CreateGrant", "kms:CreateKey",
    "kms:EnableKeyRotation", "kms:TagResource", "rds:CreateDBInstance", "rds:CreateDBParameterGroup",
    "rds:StartDBInstanceAutomatedBackupsReplication", "route53:AssociateVPCWithHostedZone", "route53:ChangeResourceRecordSets",
    "s3:PutLifecycleConfiguration", "ssm:CreateDocument", "wafv2:AssociateWebACL", "wafv2:CreateWebACL", "wafv2:PutLoggingConfiguration",
)  # fmt: skip


@dataclass
class Governed:
    """An account whose judge refuses what the role may not, and plays that act as the role."""

    profile: Profile
    values: dict[str, object]
    settings: Settings

    def play(self, playbook: str, *options: str, **values: object):
        done = self.profile.play(playbook, *options, **{**VALUES, **self.values, **values})
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:] + "\n".join(self.refusals())
        return done

    def needs(self) -> list[dict]:
        return [row for row in call("rights", settings=self.settings)["needs"] if row["role"] == ROLE]

    def refusals(self) -> list[str]:
        return sorted(f"{row['action']} on {row['resource']}: {row['refused']}" for row in self.needs() if row["refused"])


@pytest.fixture(scope="module")
def governed() -> Iterator[Governed]:
    folder = FOLDER.with_name("production-rights")
    with opened(folder) as profile:
        made = profile.play("playbooks/deployment_role.yml", **VALUES)
        assert made.returncode == 0, (made.stdout + made.stderr)[-6000:]
        account, url = profile.system.account_id, profile.system.endpoint_url
        arn = f"arn:aws:iam::{account}:role/{ROLE}"
        given = profile.system.client("sts").assume_role(RoleArn=arn, RoleSessionName="rehearsal")["Credentials"]
        credentials = folder / "credentials"
        credentials.touch(0o600)
        credentials.write_text(
            f"[espalier-lab]\naws_access_key_id = {given['AccessKeyId']}\naws_secret_access_key = {given['SecretAccessKey']}\n"
            f"aws_session_token = {given['SessionToken']}\n",
            "utf-8",
        )
        values = {
            "suite_permissions_boundary": f"arn:aws:iam::{account}:policy/production-django-boundary",
            "suite_aws_environment": {**AWS, "AWS_ENDPOINT_URL": url, "AWS_SHARED_CREDENTIALS_FILE": str(credentials)},
        }
        settings = Settings(api_port=json.loads((folder / "account.json").read_text("utf-8"))["port"])
        call("rights", settings=settings, mode="enforce", forget=True)
        yield Governed(profile, values, settings)


@pytest.fixture(scope="module")
def built(governed) -> Governed:
    # What must be there before it can be known is known by the second run.
    for _run in range(2):
        governed.play("site.yml", *WITHOUT_MACHINES)
    return governed


def test_building_is_allowed(built):
    assert built.refusals() == []
    assert len(built.needs()) > 200, "the runs acted as somebody else"


@pytest.mark.parametrize("action", NEEDED)
def test_a_switch_went_through_the_judge(built, action):
    assert action in {row["action"] for row in built.needs()}


def test_a_plan_and_a_further_run_are_allowed(built):
    built.play("site.yml", *WITHOUT_MACHINES, "--check")
    done = built.play("site.yml", *WITHOUT_MACHINES)
    assert not [line for line in done.stdout.splitlines() if "changed=" in line and "changed=0" not in line]
    assert built.refusals() == []


def test_removing_is_allowed(built):
    built.play("site.yml", "--tags", "data,edge,cluster", **UNPROTECTED)
    done = built.play("playbooks/destroy.yml", destroy_confirmation="django", **UNPROTECTED)
    assert "final" in done.stdout, "the database's last snapshot is not said"
    assert built.refusals() == []
