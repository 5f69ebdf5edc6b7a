"""The lab's auto scaling group with lifecycle hooks and instance refreshes, by the API's own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from botocore.exceptions import ClientError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, InstanceState
from moto.autoscaling.responses import AutoScalingResponse
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ssm.models import ParameterDict

from lab.api import autoscaling, ec2, hooks, refresh, scaling
from tests.unit.moto_patches import client, patched

GROUP, TEMPLATE = "lab-django-asg", "lab-django-lt"
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


class Account:
    """A group of two in a small VPC, and machines that start and end at once."""

    def __init__(self, desired: int = 2) -> None:
        ranges = {"us-east-1a": "10.0.10.0/24", "us-east-1b": "10.0.11.0/24"}
        vpc = client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        made = [client("ec2").create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone) for zone, cidr in ranges.items()]
        client("ec2").create_launch_template(LaunchTemplateName=TEMPLATE, LaunchTemplateData=self.template())
        client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=GROUP,
            LaunchTemplate={"LaunchTemplateName": TEMPLATE, "Version": "1"},
            MinSize=1,
            MaxSize=4,
            DesiredCapacity=desired,
            VPCZoneIdentifier=",".join(found["Subnet"]["SubnetId"] for found in made),
            HealthCheckType="EC2",
            HealthCheckGracePeriod=0,
        )
        self.most, self.least = 0, desired

    @staticmethod
    def template(kind: str = "t2.micro") -> dict:
        return {"ImageId": ec2.UBUNTU_IMAGES[0][0], "InstanceType": kind}

    def new_version(self, kind: str = "t3.micro") -> str:
        answer = client("ec2").create_launch_template_version(LaunchTemplateName=TEMPLATE, LaunchTemplateData=self.template(kind))
        return str(answer["LaunchTemplateVersion"]["VersionNumber"])

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            scaling.step({})
            for machine in ec2.list_machines({})["machines"]:
                became = {"pending": "running", "shutting-down": "terminated"}.get(machine["state"])
                if became:
                    ec2.machine_state({"id": machine["id"], "state": became})
            serving = self.states().count("InService")
            self.most, self.least = max(self.most, len(self.instances())), min(self.least, serving)

    def group(self) -> dict:
        found = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"]
        return found[0] if found else {"Instances": []}

    def instances(self) -> list[dict]:
        return self.group()["Instances"]

    def states(self) -> list[str]:
        return [found["LifecycleState"] for found in self.instances()]

    def versions(self) -> list[str]:
        return [found["LaunchTemplate"]["Version"] for found in self.instances()]

    def hook(self, transition: str = LAUNCHING, **options) -> None:
        client("autoscaling").put_lifecycle_hook(
            AutoScalingGroupName=GROUP, LifecycleHookName="birth", LifecycleTransition=transition, **options
        )

    def complete(self, instance_id: str, result: str) -> None:
        client("autoscaling").complete_lifecycle_action(
            AutoScalingGroupName=GROUP, LifecycleHookName="birth", InstanceId=instance_id, LifecycleActionResult=result
        )

    def start(self, version: str | None = None, **preferences) -> str:
        desired = {"DesiredConfiguration": {"LaunchTemplate": {"LaunchTemplateName": TEMPLATE, "Version": version}}} if version else {}
        wanted = {"InstanceWarmup": 0, **preferences}
        return client("autoscaling").start_instance_refresh(AutoScalingGroupName=GROUP, Preferences=wanted, **desired)["InstanceRefreshId"]

    def refresh(self) -> dict:
        return client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=GROUP)["InstanceRefreshes"][0]


@pytest.fixture
def account() -> Iterator[Account]:
    with ExitStack() as stack:
        stack.enter_context(patched(ec2, Instance, InstanceBackend, LaunchTemplate, ParameterDict))
        owners = (FakeAutoScalingGroup, InstanceState, AutoScalingBackend, AutoScalingResponse)
        stack.enter_context(patched(autoscaling, *owners))
        found = Account()
        found.step(3)
        assert found.states() == ["InService", "InService"]
        found.most, found.least = 0, 2
        yield found


# --- lifecycle hooks


def test_a_new_instance_waits_until_its_hook_is_completed(account):
    account.hook(HeartbeatTimeout=300)
    client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=3)
    account.step(5)
    assert sorted(account.states()) == ["InService", "InService", "Pending:Wait"]
    born = next(found["InstanceId"] for found in account.instances() if found["LifecycleState"] == "Pending:Wait")
    account.complete(born, "CONTINUE")
    account.step()
    assert "Pending:Proceed" in account.states()
    account.step()
    assert account.states() == ["InService"] * 3


def test_an_abandoned_birth_is_replaced_and_its_activity_says_why(account):
    account.hook()
    client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=3)
    account.step(3)
    born = next(found["InstanceId"] for found in account.instances() if found["LifecycleState"] == "Pending:Wait")
    account.complete(born, "ABANDON")
    account.step(5)
    assert born not in {found["InstanceId"] for found in account.instances()}
    assert sorted(account.states()) == ["InService", "InService", "Pending:Wait"]
    activities = client("autoscaling").describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
    failed = [activity for activity in activities if activity["StatusCode"] == "Failed"]
    assert len(failed) == 1
    assert born in failed[0]["StatusMessage"]
    assert "ABANDON" in failed[0]["StatusMessage"]


@pytest.mark.parametrize(("result", "states"), [("ABANDON", "Pending:Wait"), ("CONTINUE", "InService")])
def test_no_answer_in_time_is_the_default_result_unless_a_heartbeat_comes(account, monkeypatch, result, states):
    now = [1000.0]
    monkeypatch.setattr(hooks.time, "monotonic", lambda: now[0])
    account.hook(HeartbeatTimeout=60, DefaultResult=result)
    client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=3)
    account.step(3)
    born = next(found["InstanceId"] for found in account.instances() if found["LifecycleState"] == "Pending:Wait")
    now[0] += 50
    client("autoscaling").record_lifecycle_action_heartbeat(AutoScalingGroupName=GROUP, LifecycleHookName="birth", InstanceId=born)
    now[0] += 50
    account.step(2)
    assert born in {found["InstanceId"] for found in account.instances()}
    assert "Pending:Wait" in account.states()
    now[0] += 11
    account.step(4)
    assert (born in {found["InstanceId"] for found in account.instances()}) == (result == "CONTINUE")
    assert states in account.states()


def test_an_instance_that_leaves_waits_too(account):
    account.hook(TERMINATING)
    client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
    account.step(4)
    assert sorted(account.states()) == ["InService", "Terminating:Wait"]
    leaving = next(found["InstanceId"] for found in account.instances() if found["LifecycleState"] == "Terminating:Wait")
    account.complete(leaving, "ABANDON")
    account.step(3)
    assert account.states() == ["InService"]


def test_a_deleted_launch_hook_lets_its_instance_down(account):
    account.hook()
    client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=3)
    account.step(3)
    client("autoscaling").delete_lifecycle_hook(AutoScalingGroupName=GROUP, LifecycleHookName="birth")
    account.step(6)
    assert account.states() == ["InService"] * 3
    assert client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"] == []


def test_what_aws_refuses_of_hooks(account):
    with pytest.raises(ClientError, match="No active Lifecycle Action found"):
        account.hook()
        account.complete("i-0123456789abcdef0", "CONTINUE")
    with pytest.raises(ClientError, match="between 30 and 7200"):
        account.hook(HeartbeatTimeout=10)


def test_a_hook_is_described_as_aws_does_and_keeps_what_an_update_does_not_name(account):
    account.hook(HeartbeatTimeout=120)
    client("autoscaling").put_lifecycle_hook(AutoScalingGroupName=GROUP, LifecycleHookName="birth", DefaultResult="CONTINUE")
    assert client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"] == [
        {
            "LifecycleHookName": "birth",
            "AutoScalingGroupName": GROUP,
            "LifecycleTransition": LAUNCHING,
            "HeartbeatTimeout": 120,
            "GlobalTimeout": 12000,
            "DefaultResult": "CONTINUE",
        }
    ]


def test_a_group_that_is_deleted_by_force_waits_for_no_hook(account):
    account.hook(TERMINATING)
    client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
    account.step(4)
    assert client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []


# --- instance refresh


def test_a_refresh_at_100_percent_launches_first_and_the_group_takes_the_version_over(account):
    before = {found["InstanceId"] for found in account.instances()}
    account.start(account.new_version(), MinHealthyPercentage=100, MaxHealthyPercentage=150)
    assert account.refresh()["Status"] == "Pending"
    account.step()
    assert account.refresh()["Status"] == "InProgress"
    assert account.group()["LaunchTemplate"]["Version"] == "1"
    account.step(20)
    found = account.refresh()
    assert (found["Status"], found["PercentageComplete"], found["InstancesToUpdate"]) == ("Successful", 100, 0)
    assert account.versions() == ["2", "2"]
    assert account.group()["LaunchTemplate"]["Version"] == "2"
    assert not before & {found["InstanceId"] for found in account.instances()}
    assert account.least == 2


def test_a_refresh_below_100_percent_never_exceeds_the_desired_capacity(account):
    account.start(account.new_version(), MinHealthyPercentage=50)
    account.step(25)
    assert account.refresh()["Status"] == "Successful"
    assert account.least == 1


def test_new_instances_come_whole_from_the_desired_version(account):
    account.start(account.new_version("t3.large"), MinHealthyPercentage=100)
    account.step(20)
    assert {found["InstanceType"] for found in account.instances()} == {"t3.large"}


def test_skip_matching_has_nothing_to_do_where_everything_matches(account):
    before = account.instances()
    account.start("1", MinHealthyPercentage=100, SkipMatching=True)
    account.step(2)
    assert account.refresh()["Status"] == "Successful"
    assert account.instances() == before


def test_births_that_are_abandoned_keep_the_old_ones_and_a_rollback_leaves_them(account):
    before = {found["InstanceId"] for found in account.instances()}
    account.hook()
    account.start(account.new_version(), MinHealthyPercentage=100)
    for _ in range(4):
        account.step(2)
        for found in account.instances():
            if found["LifecycleState"] == "Pending:Wait":
                account.complete(found["InstanceId"], "ABANDON")
    assert account.refresh()["Status"] == "InProgress"
    assert account.refresh()["PercentageComplete"] == 0
    client("autoscaling").rollback_instance_refresh(AutoScalingGroupName=GROUP)
    assert account.refresh()["Status"] == "RollbackInProgress"
    account.step(6)
    found = account.refresh()
    assert found["Status"] == "RollbackSuccessful"
    assert "user request" in found["RollbackDetails"]["RollbackReason"]
    assert {found["InstanceId"] for found in account.instances()} == before
    assert account.least == 2


def test_a_rollback_half_way_replaces_what_was_replaced(account):
    account.start(account.new_version(), MinHealthyPercentage=100, CheckpointPercentages=[50, 100])
    account.step(8)
    assert sorted(account.versions()) == ["1", "2"]
    assert account.refresh()["PercentageComplete"] == 50
    client("autoscaling").rollback_instance_refresh(AutoScalingGroupName=GROUP)
    account.step(12)
    assert account.refresh()["Status"] == "RollbackSuccessful"
    assert account.refresh()["RollbackDetails"]["PercentageCompleteOnRollback"] == 50
    assert account.versions() == ["1", "1"]
    assert account.group()["LaunchTemplate"]["Version"] == "1"


def test_an_alarm_ends_it_with_automatic_rollback(account):
    client("cloudwatch").put_metric_alarm(
        AlarmName="errors", MetricName="m", Namespace="n", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    account.start(account.new_version(), MinHealthyPercentage=100, AutoRollback=True, AlarmSpecification={"Alarms": ["errors"]})
    account.step(3)
    client("cloudwatch").set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="test")
    account.step(12)
    found = account.refresh()
    assert found["Status"] == "RollbackSuccessful"
    assert "errors" in found["RollbackDetails"]["RollbackReason"]
    assert account.versions() == ["1", "1"]


def test_an_hour_without_progress_is_a_failure(account, monkeypatch):
    account.hook()
    account.start(account.new_version(), MinHealthyPercentage=100)
    account.step(3)
    now = refresh.time.monotonic()
    monkeypatch.setattr(refresh.time, "monotonic", lambda: now + refresh.SETTINGS.scaled(refresh.PATIENCE_SECONDS) + 1)
    account.step()
    assert account.refresh()["Status"] == "Failed"
    assert "3600 seconds" in account.refresh()["StatusReason"]


def test_cancelling_keeps_what_was_replaced_and_the_groups_own_version(account):
    account.start(account.new_version(), MinHealthyPercentage=100, CheckpointPercentages=[50, 100])
    account.step(8)
    client("autoscaling").cancel_instance_refresh(AutoScalingGroupName=GROUP)
    assert account.refresh()["Status"] == "Cancelling"
    account.step(4)
    assert account.refresh()["Status"] == "Cancelled"
    assert sorted(account.versions()) == ["1", "2"]
    assert account.group()["LaunchTemplate"]["Version"] == "1"


def test_what_aws_refuses_of_refreshes(account):
    api = client("autoscaling")
    with pytest.raises(ClientError, match="ActiveInstanceRefreshNotFound"):
        api.cancel_instance_refresh(AutoScalingGroupName=GROUP)
    with pytest.raises(ClientError, match="MinHealthyPercentage must be specified"):
        account.start(MaxHealthyPercentage=150)
    with pytest.raises(ClientError, match="AutoRollback needs"):
        account.start(AutoRollback=True)
    account.start()
    with pytest.raises(ClientError, match="InstanceRefreshInProgress"):
        account.start()
    with pytest.raises(ClientError, match="IrreversibleInstanceRefresh"):
        api.rollback_instance_refresh(AutoScalingGroupName=GROUP)
