"""Asked over the APIs of Auto Scaling and EC2: what is launched, how many, where, and when they are replaced."""

from __future__ import annotations

import base64

import pytest

from tests.acceptance import compute
from tests.acceptance.system import only, tags_of

CHECKS = (compute.check_launch_template, compute.check_image_is_ubuntu_from_canonical, compute.check_target_tracking)


def machines(account) -> list[dict]:
    return account.instances("app")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_defaults(defaults, check):
    check(defaults)


def test_sizes_and_health_checks(account):
    group = account.auto_scaling_group()
    expected = (2, 3, 6, 600, 60) if account.environment == "altered" else (1, 2, 3, 300, 300)
    keys = ("MinSize", "DesiredCapacity", "MaxSize", "HealthCheckGracePeriod", "DefaultCooldown")
    assert tuple(group[key] for key in keys) == expected
    assert group["HealthCheckType"] == "ELB"
    assert group["TargetGroupARNs"] == [account.target_group()["TargetGroupArn"]]
    assert set(group["VPCZoneIdentifier"].split(",")) == {subnet["SubnetId"] for subnet in account.subnets("private")}


def test_nothing_is_replaced_before_the_first_deploy(account):
    suspended = {entry["ProcessName"] for entry in account.auto_scaling_group()["SuspendedProcesses"]}
    assert suspended == (set() if account.environment == "altered" else {"HealthCheck", "ReplaceUnhealthy"})


def test_metadata_needs_a_token_and_stays_on_the_machine(account):
    options = compute.launch_template_data(account)["MetadataOptions"]
    assert options["HttpTokens"] == "required", "IMDSv1 answers without a token"
    assert (options["HttpEndpoint"], options["HttpPutResponseHopLimit"]) == ("enabled", 1)


def test_volume(account):
    mapping = only(compute.launch_template_data(account)["BlockDeviceMappings"], "volume")
    altered = account.environment == "altered"
    expected = ("/dev/xvda", 20, "gp2", False) if altered else ("/dev/sda1", 8, "gp3", True)
    volume = mapping["Ebs"]
    assert (mapping["DeviceName"], volume["VolumeSize"], volume["VolumeType"], volume["Encrypted"]) == expected
    assert volume["DeleteOnTermination"] is True


def test_altered_template(altered):
    data = compute.launch_template_data(altered)
    assert (data["ImageId"], data["InstanceType"]) == ("ami-0a1b2c3d4e5f60004", "t3.small")
    assert base64.b64decode(data["UserData"]).decode() == "#!/bin/sh\nexit 0\n"


def test_altered_target_tracking(altered):
    policy = only(altered.client("autoscaling").describe_policies(AutoScalingGroupName="altered-shop")["ScalingPolicies"], "policy")
    assert (policy["PolicyName"], policy["EstimatedInstanceWarmup"]) == ("altered-shop-cpu", 120)
    assert policy["TargetTrackingConfiguration"]["TargetValue"] == 50


def test_machines_run_in_both_zones_without_public_addresses(account):
    found = machines(account)
    assert len(found) == (3 if account.environment == "altered" else 2)
    assert {machine["SubnetId"] for machine in found} == {subnet["SubnetId"] for subnet in account.subnets("private")}
    assert not [machine for machine in found if machine.get("PublicIpAddress")]
    assert {group["GroupId"] for machine in found for group in machine["SecurityGroups"]} == {account.security_group("app")["GroupId"]}


def test_machines_are_found_by_their_tags(account):
    name = "altered-shop-web" if account.environment == "altered" else "defaults-django-app"
    for machine in machines(account):
        tags = tags_of(machine)
        assert (tags["Name"], tags["Role"], tags["ManagedBy"]) == (name, "app", "espalier")
        assert tags.get("Team") == ("shop" if account.environment == "altered" else None)


def test_new_machines_wait_until_they_are_configured(account):
    name = account.auto_scaling_group()["AutoScalingGroupName"]
    hook = only(account.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"], "hook")
    altered = account.environment == "altered"
    expected = ("altered-shop-birth", 600, "CONTINUE") if altered else ("defaults-django-birth", 1200, "ABANDON")
    assert (hook["LifecycleHookName"], hook["HeartbeatTimeout"], hook["DefaultResult"]) == expected
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_LAUNCHING"


def test_gone(account):
    assert not account.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert not account.described("describe_launch_templates", "LaunchTemplates")
    assert not account.instances("app")
