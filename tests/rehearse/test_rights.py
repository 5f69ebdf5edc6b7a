"""The deployment role is enough, for everything that the suite does, and for nothing else; so are the roles of the instances.

The lab judges each call with its action, its resource and its circumstances, and refuses what the role's policies do not allow.
"""

from __future__ import annotations

import json
from collections import defaultdict

import pytest

from lab.api.policies import as_list, like
from lab.control import call
from tests.acceptance.checks import EVERYTHING, KUBERNETES
from tests.acceptance.system import System
from tests.e2e.steps import await_page, nothing_changed, succeeded
from tests.rehearse.role_inventory import FOLDER, inventory_of
from tests.rehearse.unused_rights import REASONS, changes

PREFIX = System().prefix
ROLE, BOUNDARY = f"{PREFIX}-deployment", f"{PREFIX}-boundary"
TAGS = ["network", "data", "edge", "compute", "cluster", "app", "monitoring"]
OPTIONS = ("-i", str(FOLDER))
# Actions that the role needed, in all tests together.
USED: set[str] = set()


def recorded() -> dict[str, dict[tuple[str, str], str]]:
    """By role: why each right (action and resource) was refused, empty where it was not."""
    found: dict[str, dict] = defaultdict(dict)
    for row in call("rights")["needs"]:
        found[row["role"]][row["action"], row["resource"]] = row["refused"]
    return found


def forget() -> None:
    USED.update(action for action, _resource in recorded()[ROLE])
    call("rights", forget=True)


def refusals(role: str) -> list[str]:
    return sorted(f"{action} on {resource}: {why}" for (action, resource), why in recorded()[role].items() if why)


def documents(system: System, role: str) -> dict[str, dict]:
    iam = system.client("iam")
    found = {}
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = policy["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found[arn] = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    return found


@pytest.fixture(scope="module", autouse=True)
def rights_off_afterwards():
    yield
    call("rights", mode="off")


# ---- before the first deployment


@pytest.mark.build
def test_an_empty_account(recorder):
    succeeded(recorder.lab("down", seconds=120))
    # With Kubernetes, which the other sequences leave out.
    succeeded(recorder.lab("up", seconds=300, environment={"SKIP": ""}))


@pytest.mark.build
def test_the_role_is_made(recorder, system):
    succeeded(recorder.playbook("deployment_role.yml --check", "playbooks/deployment_role.yml", "--check"))
    succeeded(recorder.playbook("deployment_role.yml", "playbooks/deployment_role.yml"))
    nothing_changed(recorder.playbook("deployment_role.yml, again", "playbooks/deployment_role.yml"))
    arn = f"arn:aws:iam::{system.account_id}:policy/{BOUNDARY}"
    inventory_of(system, ROLE, suite_permissions_boundary=arn)
    call("rights", mode="enforce", forget=True)


def test_without_the_boundary_no_role_is_made(recorder):
    outcome = recorder.playbook(
        "site.yml without the boundary", "site.yml", *OPTIONS, "--tags", "network,data,edge,compute", "-e", "suite_permissions_boundary="
    )
    assert outcome.returncode != 0
    assert "iam:CreateRole" in outcome.output, outcome.tail()


# ---- everything that a deployment does


@pytest.mark.build
def test_build(recorder, system):
    forget()
    succeeded(recorder.playbook("site.yml as the deployment role", "site.yml", *OPTIONS, seconds=1800))
    await_page(system, 300)
    assert refusals(ROLE) == []
    assert len(recorded()[ROLE]) > 100, "the run acted as somebody else"


@pytest.mark.parametrize("name", EVERYTHING | KUBERNETES)
def test_acceptance(system, name):
    (EVERYTHING | KUBERNETES)[name](system)


@pytest.mark.parametrize("tag", TAGS)
def test_tag(recorder, tag):
    nothing_changed(recorder.playbook(f"site.yml --tags {tag} as the deployment role", "site.yml", *OPTIONS, "--tags", tag))


@pytest.mark.parametrize(
    ("playbook", "options"),
    [
        ("status", ()),
        ("backup", ()),
        ("rotate", ()),
        ("cost", ()),
        ("releases", ()),
        ("restart", ()),
        ("manage", ("-e", "command=check")),
        ("unlock", ()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_playbook(recorder, playbook, options):
    succeeded(recorder.playbook(f"{playbook}.yml as the deployment role", f"playbooks/{playbook}.yml", *OPTIONS, *options))


def test_the_report_may_look_at_everything(recorder):
    page = recorder.folder / "report-as-the-role.html"
    outcome = recorder.playbook("report.yml as the deployment role", "playbooks/report.yml", *OPTIONS, "-e", f"suite_report_path={page}")
    assert outcome.returncode == 0, outcome.tail()
    text = page.read_text("utf-8")
    assert all(f"<h2>{heading}</h2>" in text for heading in ("Health", "Instances", "Alarms", "Costs a month", "Outputs"))
    assert "not authorized" not in text


@pytest.mark.parametrize(
    ("playbook", "options"), [("restore_drill", ()), ("image", ("-e", "image_refresh=false"))], ids=["restore_drill", "image"]
)
def test_a_playbook_that_makes_and_removes(recorder, playbook, options):
    name = f"{playbook}.yml as the deployment role"
    succeeded(recorder.playbook(name, f"playbooks/{playbook}.yml", *OPTIONS, *options, seconds=1800))
    assert refusals(ROLE) == []


def test_the_doctor_may_look_at_everything(recorder):
    outcome = succeeded(recorder.playbook("doctor.yml as the deployment role", "playbooks/doctor.yml", *OPTIONS, "-e", "output=json"))
    told = json.loads(outcome.output[outcome.output.index("{") : outcome.output.rindex("}") + 1])
    assert told["unknown"] == {}
    assert [one for one in told["findings"] if one["check"] == "rights"] == []


def test_a_plan_may_look_at_everything(recorder):
    succeeded(recorder.playbook("plan as the deployment role", "site.yml", *OPTIONS, "--check"))


def test_a_change_and_a_rollback(recorder, project):
    succeeded(recorder.playbook("another release", "site.yml", *OPTIONS, "--tags", "app", *project(**{"NOTE": "another one\n"})))
    succeeded(recorder.playbook("rollback.yml", "playbooks/rollback.yml", *OPTIONS))


def test_changes_of_what_exists(recorder):
    """What a rerun changes in place needs other rights than what makes it."""
    changes = {
        "database_backup_retention_days": 8,
        "load_balancer_idle_timeout_seconds": 61,
        "load_balancer_deregistration_delay_seconds": 31,
        "autoscaling_max_size": 4,
        "autoscaling_cpu_target_percent": 60,
        "alarms_cpu_percent": 81,
        "alarms_log_retention_days": 60,
        "static_bucket_versioning": True,
        "static_bucket_lifecycle": True,
        "suite_tags": {"Project": "django", "Environment": "lab", "ManagedBy": "espalier", "Team": "shop"},
    }
    tags = "network,data,edge,compute"
    succeeded(recorder.playbook("site.yml, changed", "site.yml", *OPTIONS, "--tags", tags, "-e", json.dumps(changes)))
    # Versions that are kept cannot be unkept: that has to be said.
    back = {"static_bucket_suspend_versioning": True}
    succeeded(recorder.playbook("site.yml, changed back", "site.yml", *OPTIONS, "--tags", tags, "-e", json.dumps(back)))


def test_nothing_was_refused():
    assert refusals(ROLE) == []


@pytest.mark.parametrize("role", [f"{PREFIX}-instance-role", f"{PREFIX}-bastion-role"])
def test_the_machines_roles_are_enough(role):
    """An instance that was born under enforcement serves; what it asked for beyond its rights would be here."""
    assert refusals(role) == []


def test_the_instances_used_their_role():
    actions = {action for action, _resource in recorded()[f"{PREFIX}-instance-role"]}
    assert {"s3:GetObject", "secretsmanager:GetSecretValue", "ssm:GetParameter"} <= actions


# ---- a right less


@pytest.mark.parametrize(
    ("right", "tag"), [("sns:GetTopicAttributes", "compute"), ("rds:DescribeDBInstances", "data"), ("ec2:DescribeVpcs", "network")]
)
def test_a_missing_right_is_named(recorder, system, right, tag):
    iam = system.client("iam")
    (arn, document) = next((arn, document) for arn, document in documents(system, ROLE).items() if right in json.dumps(document))
    less = json.loads(json.dumps(document).replace(f'"{right}"', '"sts:GetCallerIdentity"'))
    made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(less), SetAsDefault=True)["PolicyVersion"]["VersionId"]
    before = next(one["VersionId"] for one in iam.list_policy_versions(PolicyArn=arn)["Versions"] if one["VersionId"] != made)
    try:
        outcome = recorder.playbook(f"without {right}", "site.yml", *OPTIONS, "--tags", tag)
        assert outcome.returncode != 0
        assert right in outcome.output and "not authorized" in outcome.output, outcome.tail(30)
        assert "Traceback" not in outcome.output
    finally:
        iam.set_default_policy_version(PolicyArn=arn, VersionId=before)
        iam.delete_policy_version(PolicyArn=arn, VersionId=made)
    forget()


def test_another_environment_is_out_of_reach(system):
    """A thing of somebody else's in the same account."""
    from botocore.exceptions import ClientError

    other = system.client("ec2").create_vpc(
        CidrBlock="10.77.0.0/16",
        TagSpecifications=[
            {"ResourceType": "vpc", "Tags": [{"Key": "Project", "Value": "django"}, {"Key": "Environment", "Value": "other"}]}
        ],
    )["Vpc"]["VpcId"]
    arn = f"arn:aws:iam::{system.account_id}:role/{ROLE}"
    given = system.client("sts").assume_role(RoleArn=arn, RoleSessionName="rehearsal")["Credentials"]
    import boto3

    keys = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }
    mine = boto3.session.Session(region_name=system.region, **keys).client("ec2", endpoint_url=system.endpoint_url)
    ours = [{"Key": "Environment", "Value": system.environment}, {"Key": "Project", "Value": system.project}]
    try:
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            mine.delete_vpc(VpcId=other)
        # Nor does it become ours.
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            mine.create_tags(Resources=[other], Tags=ours)
    finally:
        system.client("ec2").delete_vpc(VpcId=other)
    forget()


# ---- removal, and what nobody used


def interface_of_a_pod(system) -> str:
    """As vpc-cni leaves one behind when its node goes first: nothing but its own tag says whose it was."""
    tags = [{"Key": "cluster.k8s.amazonaws.com/name", "Value": system.expected("suite_cluster_name", "django-app")}]
    made = system.client("ec2").create_network_interface(
        SubnetId=system.subnets("private")[0]["SubnetId"], TagSpecifications=[{"ResourceType": "network-interface", "Tags": tags}]
    )
    return made["NetworkInterface"]["NetworkInterfaceId"]


@pytest.mark.build
def test_destroy(recorder, system):
    interface = interface_of_a_pod(system)
    succeeded(recorder.playbook("destroy as the deployment role", "playbooks/destroy.yml", *OPTIONS, "-e", "destroy_confirmation=django"))
    assert refusals(ROLE) == []
    removed = {resource.rpartition("/")[2] for action, resource in recorded()[ROLE] if action == "ec2:DeleteNetworkInterface"}
    assert interface in removed
    assert system.described("describe_vpcs", "Vpcs") == []


def test_every_right_that_was_not_needed_has_a_reason(recorder, system):
    """A right that nobody needs and nobody can explain is one too many."""
    (recorder.folder / "needs.json").write_text(json.dumps(call("rights")["needs"], indent=1), "utf-8")
    forget()
    assert len(USED) > 100
    rights = {
        action
        for document in documents(system, ROLE).values()
        for statement in document["Statement"]
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
    }
    unused = sorted(right for right in rights if changes(right) and not any(like(action, right) for action in USED))
    (recorder.folder / "unused-rights.txt").write_text("\n".join(unused), "utf-8")
    recorder.say(f"{len(unused)} of {len(rights)} rights change something and were not needed: {recorder.folder.name}/unused-rights.txt")
    reasons = [pattern for patterns in REASONS.values() for pattern in patterns]
    assert [right for right in unused if not any(like(right, pattern) for pattern in reasons)] == [], (
        "tests/rehearse/unused_rights.py has no reason"
    )
    assert [pattern for pattern in reasons if not any(like(right, pattern) for right in rights)] == [], (
        "reasons for rights that there are not"
    )


@pytest.mark.cleanup
def test_the_role_can_be_removed(recorder, system):
    call("rights", mode="off")
    succeeded(recorder.playbook("deployment_role.yml, absent", "playbooks/deployment_role.yml", "-e", "deployment_role_state=absent"))
    assert ROLE not in {role["RoleName"] for role in system.client("iam").list_roles()["Roles"]}
