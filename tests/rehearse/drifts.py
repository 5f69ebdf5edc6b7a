"""What somebody does to a built system by hand, behind the suite's back, through AWS's API: each with what a plan has to say of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from tests.acceptance.system import System


@dataclass(frozen=True)
class Drift:
    """`act` makes it, and returns a function that is true when it is mended.

    `kind`, `resource` (its name) and `action` are those of the plan's row; `words` have to be among its details, and `silent` must not:
    what did not drift. `felt` is among what visitors or operators would notice when it is mended; without it, nothing is.
    """

    name: str
    kind: str
    resource: str
    act: Callable[[System], Callable[[], bool]]
    action: str = "change"
    words: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    felt: str = ""


OPEN = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def open_ssh(system: System) -> Callable[[], bool]:
    client, group = system.client("ec2"), system.security_group("app")["GroupId"]
    client.authorize_security_group_ingress(GroupId=group, IpPermissions=[OPEN])
    return lambda: 22 not in {rule.get("FromPort") for rule in system.security_group("app")["IpPermissions"]}


def close_the_database(system: System) -> Callable[[], bool]:
    group = system.security_group("database")
    system.client("ec2").revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
    count = len(group["IpPermissions"])
    return lambda: len(system.security_group("database")["IpPermissions"]) == count


def delete_an_alarm(system: System) -> Callable[[], bool]:
    name, client = f"{system.prefix}-cpu-high", system.client("cloudwatch")
    assert client.describe_alarms(AlarmNames=[name])["MetricAlarms"], f"no alarm {name}"
    client.delete_alarms(AlarmNames=[name])
    return lambda: bool(client.describe_alarms(AlarmNames=[name])["MetricAlarms"])


def silence_an_alarm(system: System) -> Callable[[], bool]:
    name, client = f"{system.prefix}-unhealthy-targets", system.client("cloudwatch")
    alarm = client.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
    keys = ("AlarmName", "Namespace", "MetricName", "Dimensions", "Statistic", "Period", "EvaluationPeriods", "ComparisonOperator")
    client.put_metric_alarm(**{key: alarm[key] for key in keys}, Threshold=99, AlarmActions=[])
    return lambda: client.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["Threshold"] == 0


def raise_the_maximum(system: System) -> Callable[[], bool]:
    client, group = system.client("autoscaling"), system.auto_scaling_group()
    client.update_auto_scaling_group(AutoScalingGroupName=group["AutoScalingGroupName"], MaxSize=9)
    return lambda: system.auto_scaling_group()["MaxSize"] == group["MaxSize"]


def scale_at_95_percent(system: System) -> Callable[[], bool]:
    client, name = system.client("autoscaling"), system.auto_scaling_group()["AutoScalingGroupName"]
    policy = client.describe_policies(AutoScalingGroupName=name)["ScalingPolicies"][0]
    tracking = {**policy["TargetTrackingConfiguration"], "TargetValue": 95.0}
    keys = ("AutoScalingGroupName", "PolicyName", "PolicyType", "EstimatedInstanceWarmup")
    client.put_scaling_policy(**{key: policy[key] for key in keys if key in policy}, TargetTrackingConfiguration=tracking)

    def mended() -> bool:
        found = client.describe_policies(AutoScalingGroupName=name)["ScalingPolicies"][0]
        return found["TargetTrackingConfiguration"]["TargetValue"] == 70

    return mended


def make_the_bucket_public(system: System) -> Callable[[], bool]:
    client, bucket = system.client("s3"), f"{system.prefix}-static-{system.account_id}"
    client.delete_public_access_block(Bucket=bucket)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    def mended() -> bool:
        try:
            policy = json.loads(client.get_bucket_policy(Bucket=bucket)["Policy"])
        except client.exceptions.ClientError:
            policy = {"Statement": []}
        try:
            blocks = client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        except client.exceptions.ClientError:
            return False
        return all(blocks.values()) and statement not in policy["Statement"]

    return mended


def forget_backups(system: System) -> Callable[[], bool]:
    client, database = system.client("rds"), system.database()
    client.modify_db_instance(DBInstanceIdentifier=database["DBInstanceIdentifier"], BackupRetentionPeriod=1, ApplyImmediately=True)
    return lambda: system.database()["BackupRetentionPeriod"] == 7


def check_too_seldom(system: System) -> Callable[[], bool]:
    """Not another path: while the database is closed, the group would replace all instances."""
    client, group = system.client("elbv2"), system.target_group()
    client.modify_target_group(TargetGroupArn=group["TargetGroupArn"], HealthCheckIntervalSeconds=60)
    return lambda: system.target_group()["HealthCheckIntervalSeconds"] == 30


def delete_an_endpoint(system: System) -> Callable[[], bool]:
    client = system.client("ec2")

    def ids() -> list[str]:
        filters = [{"Name": "vpc-id", "Values": [system.vpc_id()]}, {"Name": "service-name", "Values": ["com.amazonaws.us-east-1.ssm"]}]
        found = client.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
        return [endpoint["VpcEndpointId"] for endpoint in found if endpoint["State"].lower() not in ("deleting", "deleted")]

    client.delete_vpc_endpoints(VpcEndpointIds=ids())
    return lambda: len(ids()) == 1


def lose_a_route(system: System) -> Callable[[], bool]:
    client = system.client("ec2")

    def table() -> dict:
        filters = [{"Name": "vpc-id", "Values": [system.vpc_id()]}, {"Name": "tag:Tier", "Values": ["public"]}]
        return client.describe_route_tables(Filters=filters)["RouteTables"][0]

    client.delete_route(RouteTableId=table()["RouteTableId"], DestinationCidrBlock="0.0.0.0/0")
    return lambda: "0.0.0.0/0" in {route.get("DestinationCidrBlock") for route in table()["Routes"]}


def keep_logs_for_ever(system: System) -> Callable[[], bool]:
    client = system.client("logs")
    client.delete_retention_policy(logGroupName="/aws/ec2/django-app")
    return lambda: "retentionInDays" in client.describe_log_groups(logGroupNamePrefix="/aws/ec2/django-app")["logGroups"][0]


def give_more_rights(system: System) -> Callable[[], bool]:
    client, role = system.client("iam"), f"{system.prefix}-instance-role"
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    client.put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=json.dumps(document))
    return lambda: client.get_role_policy(RoleName=role, PolicyName=role)["PolicyDocument"] != document


def change_the_address(system: System) -> Callable[[], bool]:
    client = system.client("ssm")
    was = client.get_parameter(Name="/DjangoApp/rds_endpoint")["Parameter"]["Value"]
    client.put_parameter(Name="/DjangoApp/rds_endpoint", Value="elsewhere.example.com", Overwrite=True)
    return lambda: client.get_parameter(Name="/DjangoApp/rds_endpoint")["Parameter"]["Value"] == was


def forget_to_launch_well(system: System) -> Callable[[], bool]:
    client, name = system.client("autoscaling"), system.auto_scaling_group()["AutoScalingGroupName"]
    hook = client.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"][0]["LifecycleHookName"]
    client.delete_lifecycle_hook(AutoScalingGroupName=name, LifecycleHookName=hook)
    return lambda: bool(client.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"])


def tell_nobody(system: System) -> Callable[[], bool]:
    client, group = system.client("autoscaling"), {"AutoScalingGroupName": system.auto_scaling_group()["AutoScalingGroupName"]}
    names = {"AutoScalingGroupNames": list(group.values())}
    found = client.describe_notification_configurations(**names)["NotificationConfigurations"]
    client.delete_notification_configuration(**group, TopicARN=found[0]["TopicARN"])
    return lambda: len(client.describe_notification_configurations(**names)["NotificationConfigurations"]) == len(found)


OWN = System().prefix
DRIFTS = [
    Drift("SSH opened to the world", "security group", f"{OWN}-app", open_ssh),
    Drift("database closed to the application", "security group", f"{OWN}-database", close_the_database),
    Drift("alarm deleted", "alarm", f"{OWN}-cpu-high", delete_an_alarm, action="create"),
    Drift("alarm silenced", "alarm", f"{OWN}-unhealthy-targets", silence_an_alarm),
    Drift("maximum raised", "auto scaling group", f"{OWN}-asg", raise_the_maximum, words=("max_size: 9 -> 3",)),
    Drift("scaling too late", "scaling policy", f"{OWN}-cpu", scale_at_95_percent, words=("target: 95.0 -> 70.0",)),
    Drift(
        "bucket made public",
        "bucket",
        f"{OWN}-static-{System().account_id}",
        make_the_bucket_public,
        words=("private: False -> True",),
        silent=("versioning", "encryption", "object_ownership", "tags"),
    ),
    Drift("backups kept for a day", "database", f"{OWN}-postgres", forget_backups, words=("backup_retention_period: 1 -> 7",)),
    Drift("health checked too seldom", "target group", f"{OWN}-tg", check_too_seldom),
    Drift("endpoint deleted", "VPC endpoint", f"{OWN}-ssm", delete_an_endpoint, action="create"),
    Drift("route lost", "route table", f"{OWN}-public", lose_a_route, felt="routes that change"),
    Drift("logs kept for ever", "log group", "/aws/ec2/django-app", keep_logs_for_ever),
    Drift("instances may do anything", "policy of IAM role", f"{OWN}-instance-role", give_more_rights),
    Drift("address of another database", "SSM parameter", "/DjangoApp/rds_endpoint", change_the_address),
    Drift("launch hook deleted", "lifecycle hook", f"{OWN}-birth", forget_to_launch_well, action="create"),
    Drift("scaling told to nobody", "scaling events of group", f"{OWN}-asg", tell_nobody),
]
