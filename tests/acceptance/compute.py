"""Seed: Compute, and Identity's instance role."""

from __future__ import annotations

import base64
import json

from tests.acceptance.secrets import secret_values
from tests.acceptance.system import System, only, tags_of


def launch_template_data(system: System) -> dict:
    group = system.auto_scaling_group()
    used = group.get("LaunchTemplate") or group["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
    versions = system.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=used["LaunchTemplateId"], Versions=[used.get("Version", "$Default")]
    )
    return only(versions["LaunchTemplateVersions"], "launch template version")["LaunchTemplateData"]


def security_groups_of_template(data: dict) -> list[str]:
    return data.get("SecurityGroupIds") or [group for interface in data.get("NetworkInterfaces", []) for group in interface["Groups"]]


def check_launch_template(system: System) -> None:
    data = launch_template_data(system)
    assert data["InstanceType"] == system.expected("autoscaling_instance_type", "t2.micro")
    assert "KeyName" not in data, "no key pair: instances are reached through Session Manager"
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert security_groups_of_template(data) == [system.security_group("app")["GroupId"]]
    assert f"{system.prefix}-instance-role" in json.dumps(data["IamInstanceProfile"])


def check_image_is_ubuntu_from_canonical(system: System) -> None:
    image = only(system.client("ec2").describe_images(ImageIds=[launch_template_data(system)["ImageId"]])["Images"], "image")
    assert image["OwnerId"] == "099720109477", "not Canonical's account"
    assert "ubuntu-jammy-22.04-amd64-server" in image["Name"]


def check_user_data_holds_no_secret(system: System) -> None:
    data = launch_template_data(system)
    assert data.get("UserData"), "no user data"
    text = base64.b64decode(data["UserData"]).decode()
    # Not inside the assert: pytest would print what it compares.
    leaking = [name for name, value in secret_values(system).items() if value in text]
    assert not leaking


def check_auto_scaling_group(system: System) -> None:
    group = system.auto_scaling_group()
    assert (group["MinSize"], group["MaxSize"]) == (1, 3)
    assert group["DesiredCapacity"] == 2
    assert set(group["VPCZoneIdentifier"].split(",")) == {subnet["SubnetId"] for subnet in system.subnets("private")}
    assert (group["HealthCheckType"], group["HealthCheckGracePeriod"]) == ("ELB", 300)
    assert group["TargetGroupARNs"] == [system.target_group()["TargetGroupArn"]]
    assert not group.get("SuspendedProcesses"), "a process was left suspended"
    assert {"Project": "django", "Environment": system.environment}.items() <= {tag["Key"]: tag["Value"] for tag in group["Tags"]}.items()
    # Once: the launch template tags instances and volumes, and a tag of both is an error of the next change.
    assert not any(tag["PropagateAtLaunch"] for tag in group["Tags"])


def check_instances_in_both_zones(system: System) -> None:
    group = system.auto_scaling_group()
    assert [entry["LifecycleState"] for entry in group["Instances"]] == ["InService"] * 2
    machines = system.instances("app")
    assert {machine["InstanceId"] for machine in machines} == {entry["InstanceId"] for entry in group["Instances"]}
    assert {machine["SubnetId"] for machine in machines} == {subnet["SubnetId"] for subnet in system.subnets("private")}
    assert not [machine for machine in machines if machine.get("PublicIpAddress")], "an instance has a public address"


def check_target_tracking(system: System) -> None:
    name = system.auto_scaling_group()["AutoScalingGroupName"]
    policy = only(system.client("autoscaling").describe_policies(AutoScalingGroupName=name)["ScalingPolicies"], "scaling policy")
    assert policy["PolicyType"] == "TargetTrackingScaling"
    tracking = policy["TargetTrackingConfiguration"]
    assert tracking["PredefinedMetricSpecification"]["PredefinedMetricType"] == "ASGAverageCPUUtilization"
    assert tracking["TargetValue"] == 70


def check_bastion(system: System) -> None:
    bastion = only(system.instances("bastion"), "bastion")
    assert bastion["InstanceType"] == "t2.micro"
    assert bastion["SubnetId"] in {subnet["SubnetId"] for subnet in system.subnets("public")}
    assert bastion.get("PublicIpAddress"), "the bastion needs a public address for its own egress"
    assert not bastion.get("KeyName")
    assert [group["GroupId"] for group in bastion["SecurityGroups"]] == [system.security_group("bastion")["GroupId"]]
    assert bastion["MetadataOptions"]["HttpTokens"] == "required"
    assert tags_of(bastion).get("ManagedBy") == "espalier"


def check_machines_are_reached_through_session_manager(system: System) -> None:
    """A machine that is not Online in Systems Manager cannot be reached at all."""
    online = {
        entry["InstanceId"]
        for entry in system.client("ssm").describe_instance_information()["InstanceInformationList"]
        if entry["PingStatus"] == "Online"
    }
    machines = {machine["InstanceId"] for role in ("app", "bastion") for machine in system.instances(role)}
    assert len(machines) == 3 and machines <= online, f"not online: {machines - online} of {machines}"


def statements(system: System) -> list[dict]:
    """All statements of the instance role's own policies, inline and customer-managed."""
    iam, name = system.client("iam"), f"{system.prefix}-instance-role"
    documents = [
        iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    ]
    for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        if ":aws:policy/" not in policy["PolicyArn"]:
            version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
            documents.append(iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"])
    return [statement for document in documents for statement in listed(document["Statement"])]


def listed(value) -> list:
    return value if isinstance(value, list) else [value]


def check_instance_role_trust(system: System) -> None:
    role = system.client("iam").get_role(RoleName=f"{system.prefix}-instance-role")["Role"]
    trusted = [statement["Principal"] for statement in role["AssumeRolePolicyDocument"]["Statement"]]
    assert trusted == [{"Service": "ec2.amazonaws.com"}]
    assert tags_of(role).get("Project") == system.project


def check_instance_role_is_least(system: System) -> None:
    """No wildcard action; a resource of `*` only where the action knows no resources."""
    resourceless = {
        "cloudwatch:PutMetricData",
        "ec2:DescribeTags",
        "ec2:DescribeInstances",
        "ec2:DescribeVolumes",
        "logs:DescribeLogGroups",
    }
    # What the SSM agent does for itself; AWS's AmazonSSMManagedInstanceCore has the same on `*`.
    agent = ("ssmmessages:", "ec2messages:", "ssm:UpdateInstance")
    for statement in statements(system):
        assert statement["Effect"] in ("Allow", "Deny")
        if statement["Effect"] == "Deny":
            continue
        actions = listed(statement["Action"])
        assert not [action for action in actions if action == "*" or action.endswith(":*")], actions
        if "*" in listed(statement["Resource"]):
            wide = [action for action in actions if action not in resourceless and not action.startswith(agent)]
            assert not wide, f"on every resource: {wide}"


def check_instance_role_rights(system: System) -> None:
    """SSM, S3, CloudWatch and secret access: what the seed's launch template row names."""
    iam, name = system.client("iam"), f"{system.prefix}-instance-role"
    attached = {policy["PolicyName"] for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]}
    allowed = {action for statement in statements(system) if statement["Effect"] == "Allow" for action in listed(statement["Action"])}
    assert "AmazonSSMManagedInstanceCore" in attached or "ssmmessages:OpenDataChannel" in allowed
    assert {"secretsmanager:GetSecretValue", "s3:GetObject"} <= allowed
    assert allowed & {"ssm:GetParameter", "ssm:GetParameters"}
    assert "CloudWatchAgentServerPolicy" in attached or {"logs:PutLogEvents", "cloudwatch:PutMetricData"} <= allowed
    profiles = iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"]
    assert len(profiles) == 1
