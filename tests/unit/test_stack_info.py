"""stack_info against moto: an empty account, a built one, a neighbour in the same account, and what AWS's answers become."""

from __future__ import annotations

import datetime
import json

import boto3
import pytest
from ansible_collections.espalier.aws.plugins.module_utils import stack
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.backends import get_backend

from tests.unit.run_module import run_module

ACCOUNT = "123456789012"  # moto's
REGION = "us-east-1"
TAGS = {"Project": "django", "Environment": "lab"}


def tags(**more):
    return [{"Key": key, "Value": value} for key, value in {**TAGS, **more}.items()]


def specify(kind, **more):
    return [{"ResourceType": kind, "Tags": tags(**more)}]


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """moto imports a service at its first call; stack_info's threads would import them all at once and lock each other out."""
    for service in ("sts", *stack.SERVICES):
        get_backend(service)


@pytest.fixture(autouse=True)
def account(monkeypatch):
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        yield


@pytest.fixture
def stack_info(capsys):
    return lambda environment="lab": run_module(capsys, "stack_info", project="django", environment=environment)


def build_network():
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=specify("vpc"))["Vpc"]["VpcId"]
    igw = ec2.create_internet_gateway(TagSpecifications=specify("internet-gateway"))["InternetGateway"]["InternetGatewayId"]
    made = {"vpc": vpc, "igw": igw}
    for name, tier, zone, cidr in (
        ("public_b", "public", "us-east-1b", "10.0.2.0/24"),
        ("public_a", "public", "us-east-1a", "10.0.1.0/24"),
        ("database_a", "database", "us-east-1a", "10.0.20.0/24"),
    ):
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone, TagSpecifications=specify("subnet", Tier=tier))
        made[name] = subnet["Subnet"]["SubnetId"]
    for name in ("nat", "nat_gone"):
        allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
        gateway = ec2.create_nat_gateway(
            SubnetId=made["public_a"], AllocationId=allocation, TagSpecifications=specify("natgateway", Name=name)
        )
        made[name] = gateway["NatGateway"]["NatGatewayId"]
    ec2.delete_nat_gateway(NatGatewayId=made["nat_gone"])
    table = ec2.create_route_table(VpcId=vpc, TagSpecifications=specify("route-table", Tier="private", AvailabilityZone="us-east-1a"))
    made["table"] = table["RouteTable"]["RouteTableId"]
    made["sg"] = ec2.create_security_group(
        GroupName="app", Description="app", VpcId=vpc, TagSpecifications=specify("security-group", Role="app")
    )["GroupId"]
    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=f"com.amazonaws.{REGION}.ssmmessages",
        VpcEndpointType="Interface",
        TagSpecifications=specify("vpc-endpoint"),
    )
    made["endpoint"] = endpoint["VpcEndpoint"]["VpcEndpointId"]
    return made


def refuse(*_):
    raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadBucket")


def test_one_reader_that_fails_is_the_end_or_is_named(capsys, monkeypatch):
    monkeypatch.setattr(refuse, "__name__", "read_buckets")
    monkeypatch.setattr(stack, "READERS", [refuse if reader is stack.read_buckets else reader for reader in stack.READERS])
    options = {"project": "django", "environment": "lab"}
    assert run_module(capsys, "stack_info", **options)["failed"]
    found = run_module(capsys, "stack_info", partial=True, **options)
    assert "Forbidden" in found["unknown"]["buckets"] and "buckets" not in found and found["secrets"] == {}


def test_an_empty_account_is_no_error(stack_info):
    found = stack_info()
    assert found["account_id"] == ACCOUNT
    assert found["region"] == REGION
    assert found["changed"] is False
    assert found["subnets"] == {"public": [], "private": [], "database": []}
    missing = ("vpc", "internet_gateway_id", "database", "load_balancer", "target_group", "autoscaling_group", "bastion", "topic_arn")
    for key in (*missing, "cluster", "node_group", "repository"):
        assert found[key] is None, key
    for key in ("nat_gateways", "route_tables", "listeners", "alarms", "log_groups"):
        assert found[key] == [], key
    assert found["secrets"] == found["parameters"] == {}


def test_the_network_is_found_by_its_tags(stack_info):
    made = build_network()
    found = stack_info()
    assert found["vpc"] == {"id": made["vpc"], "cidr_block": "10.0.0.0/16"}
    assert found["internet_gateway_id"] == made["igw"]
    assert [subnet["id"] for subnet in found["subnets"]["public"]] == [made["public_a"], made["public_b"]], "sorted by zone"
    assert found["subnets"]["database"] == [{"id": made["database_a"], "cidr_block": "10.0.20.0/24", "availability_zone": "us-east-1a"}]
    assert [(nat["id"], nat["availability_zone"], nat["state"]) for nat in found["nat_gateways"]] == [
        (made["nat"], "us-east-1a", "available")
    ]
    assert found["nat_gateways"][0]["public_ip"]
    assert found["route_tables"] == [{"id": made["table"], "tier": "private", "availability_zone": "us-east-1a"}]
    assert found["security_groups"]["app"] == made["sg"]
    assert found["security_groups"]["database"] is None
    assert found["vpc_endpoints"] == {"ssm": None, "ssmmessages": made["endpoint"], "ec2messages": None}


def test_a_neighbour_in_the_same_account_is_not_seen(stack_info):
    build_network()
    boto3.client("secretsmanager").create_secret(Name="x", SecretString="x", Tags=tags())
    found = stack_info(environment="la")  # Secrets Manager's own filters match prefixes
    assert found["vpc"] is None
    assert found["nat_gateways"] == []
    assert found["secrets"] == {}


def test_two_vpcs_with_the_same_tags_are_refused(stack_info):
    build_network()
    build_network()
    answer = stack_info()
    assert answer["failed"]
    assert "2 VPCs carry this environment's tags" in answer["msg"]


def test_data_is_found_and_a_secret_in_its_recovery_window_says_so(stack_info):
    made = build_network()
    secretsmanager = boto3.client("secretsmanager")
    for name in ("django-db-credentials", "django-secret-key"):
        secretsmanager.create_secret(Name=name, SecretString="hush", Tags=tags())
    secretsmanager.delete_secret(SecretId="django-secret-key", RecoveryWindowInDays=7)
    boto3.client("s3").create_bucket(Bucket=f"lab-django-static-{ACCOUNT}")
    boto3.client("ssm").put_parameter(Name="/DjangoApp/rds_endpoint", Value="db", Type="String", Tags=tags())
    rds = boto3.client("rds")
    rds.create_db_subnet_group(
        DBSubnetGroupName="lab-django-postgres", DBSubnetGroupDescription="x", SubnetIds=[made["database_a"], made["public_b"]]
    )
    rds.create_db_instance(
        DBInstanceIdentifier="lab-django-postgres",
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        EngineVersion="16.4",
        DBName="postgresDB",
        MasterUsername="postgres",
        MasterUserPassword="hush-hush",
        AllocatedStorage=100,
        MultiAZ=True,
    )
    found = stack_info()
    assert found["secrets"]["django-db-credentials"]["deleted_date"] is None
    assert found["secrets"]["django-secret-key"]["deleted_date"]
    assert found["buckets"] == {"static": f"lab-django-static-{ACCOUNT}", "session": None}
    assert found["parameters"] == {"/DjangoApp/rds_endpoint": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/DjangoApp/rds_endpoint"}
    assert found["database"]["engine_version"] == "16.4"
    assert found["database"]["multi_az"] is True
    assert found["database"]["name"] == "postgresDB"
    assert found["database_subnet_group"] == "lab-django-postgres"
    assert "hush" not in str(found)


def test_a_machine_and_what_stands_before_it_are_found(stack_info):
    made = build_network()
    ec2, elbv2 = boto3.client("ec2"), boto3.client("elbv2")
    image = ec2.register_image(Name="ubuntu")["ImageId"]
    runs = [
        ec2.run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            SubnetId=made["public_a"],
            TagSpecifications=specify("instance", Role="bastion"),
        )["Instances"][0]["InstanceId"]
        for _ in range(2)
    ]
    served = [
        ec2.run_instances(
            ImageId=image, MinCount=1, MaxCount=1, SubnetId=made["public_a"], TagSpecifications=specify("instance", Role="app")
        )["Instances"][0]["InstanceId"]
        for _ in range(2)
    ]
    ec2.terminate_instances(InstanceIds=[runs[0], served[0]])
    template = ec2.create_launch_template(
        LaunchTemplateName="lab-django-lt",
        LaunchTemplateData={"ImageId": image, "InstanceType": "t2.micro"},
        TagSpecifications=specify("launch-template"),
    )["LaunchTemplate"]["LaunchTemplateId"]
    balancer = elbv2.create_load_balancer(Name="lab-django-alb", Subnets=[made["public_a"], made["public_b"]])["LoadBalancers"][0]
    group = elbv2.create_target_group(Name="lab-django-tg", Protocol="HTTP", Port=80, VpcId=made["vpc"])["TargetGroups"][0]
    elbv2.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": runs[1]}])
    elbv2.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
    )
    found = stack_info()
    assert found["bastion"]["instance_id"] == runs[1]
    assert found["running_app_ids"] == served[1:]
    assert found["launch_template"] == {"id": template, "name": "lab-django-lt", "latest_version": 1, "image_id": image}
    assert found["load_balancer"]["dns_name"] == balancer["DNSName"]
    assert found["load_balancer"]["drop_invalid_headers"] is False and found["load_balancer"]["access_logs"] is None
    (plain,) = found["listeners"]
    assert (plain["port"], plain["protocol"], plain["certificate_arn"]) == (80, "HTTP", None)
    assert [target["id"] for target in found["target_group"]["targets"]] == [runs[1]]


def test_what_protects_the_load_balancer_is_told(stack_info):
    made = build_network()
    elbv2, s3 = boto3.client("elbv2"), boto3.client("s3")
    certificate = boto3.client("acm").request_certificate(DomainName="www.example.com")["CertificateArn"]
    (balancer,) = elbv2.create_load_balancer(Name="lab-django-alb", Subnets=[made["public_a"], made["public_b"]])["LoadBalancers"]
    arn = balancer["LoadBalancerArn"]
    s3.create_bucket(Bucket="lab-django-static")
    # moto knows the account of this region's load balancers only.
    allowed = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::127311923021:root"}, "Action": "s3:PutObject"}
    allowed["Resource"] = f"arn:aws:s3:::lab-django-static/logs/AWSLogs/{ACCOUNT}/*"
    s3.put_bucket_policy(Bucket="lab-django-static", Policy=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    wanted = {"access_logs.s3.enabled": "true", "access_logs.s3.bucket": "lab-django-static", "access_logs.s3.prefix": "logs"}
    wanted["routing.http.drop_invalid_header_fields.enabled"] = "true"
    elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[{"Key": key, "Value": value} for key, value in wanted.items()])
    elbv2.create_listener(
        LoadBalancerArn=arn,
        Protocol="HTTPS",
        Port=443,
        Certificates=[{"CertificateArn": certificate}],
        SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
    )
    found = stack_info()
    assert found["load_balancer"]["drop_invalid_headers"] is True
    assert found["load_balancer"]["access_logs"] == {"bucket": "lab-django-static", "prefix": "logs"}
    (secure,) = found["listeners"]
    assert (secure["certificate_arn"], secure["ssl_policy"]) == (certificate, "ELBSecurityPolicy-TLS13-1-2-2021-06")


def test_scaling_identity_and_monitoring_are_found(stack_info):
    made = build_network()
    autoscaling = boto3.client("autoscaling")
    image = boto3.client("ec2").register_image(Name="ubuntu")["ImageId"]
    template = {"LaunchTemplateName": "lab-django-lt", "LaunchTemplateData": {"ImageId": image, "InstanceType": "t2.micro"}}
    boto3.client("ec2").create_launch_template(**template)
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="lab-django-asg",
        MinSize=1,
        MaxSize=3,
        DesiredCapacity=2,
        VPCZoneIdentifier=made["public_a"],
        LaunchTemplate={"LaunchTemplateName": "lab-django-lt", "Version": "$Latest"},
        Tags=[{**tag, "PropagateAtLaunch": True} for tag in tags(Role="app")],
    )
    autoscaling.suspend_processes(AutoScalingGroupName="lab-django-asg", ScalingProcesses=["HealthCheck"])
    boto3.client("iam").create_instance_profile(InstanceProfileName="lab-django-instance-role")
    topic = boto3.client("sns").create_topic(Name="lab-django-alarms")["TopicArn"]
    alarm = {"MetricName": "m", "Namespace": "n", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1, "Statistic": "Average"}
    for name in ("lab-django-cpu-high", "elsewhere"):
        boto3.client("cloudwatch").put_metric_alarm(AlarmName=name, ComparisonOperator="GreaterThanThreshold", **alarm)
    boto3.client("logs").create_log_group(logGroupName="/aws/ec2/django-app", tags=TAGS)
    boto3.client("logs").create_log_group(logGroupName="/aws/ec2/django-app-other", tags={**TAGS, "Environment": "prod"})
    found = stack_info()
    group = found["autoscaling_group"]
    assert (group["min_size"], group["desired_capacity"], group["max_size"]) == (1, 2, 3)
    assert len(group["instances"]) == 2
    assert group["suspended_processes"] == ["HealthCheck"]
    assert group["launch_template"]["name"] == "lab-django-lt"
    assert found["instance_profile"]["name"] == "lab-django-instance-role"
    assert found["topic_arn"] == topic
    assert found["alarms"] == ["lab-django-cpu-high"]
    assert found["log_groups"] == ["/aws/ec2/django-app"]


def build_cluster(subnets, environment="lab", name="django-app"):
    eks, role = boto3.client("eks"), "arn:aws:iam::123456789012:role/x"
    own = {**TAGS, "Environment": environment}
    eks.create_cluster(name=name, version="1.35", roleArn=role, resourcesVpcConfig={"subnetIds": subnets}, tags=own)
    sizes = {"minSize": 1, "maxSize": 3, "desiredSize": 2}
    options = {"clusterName": name, "nodeRole": role, "subnets": subnets}
    eks.create_nodegroup(**options, nodegroupName="workers", scalingConfig=sizes, tags=own)
    # Somebody else's, in the same cluster.
    eks.create_nodegroup(**options, nodegroupName="batch")


def test_a_cluster_is_found_by_its_tags(stack_info):
    made = build_network()
    subnets = [made["public_a"], made["public_b"]]
    build_cluster(subnets)
    build_cluster(subnets, environment="staging", name="staging")
    boto3.client("ecr").create_repository(repositoryName="lab-django-app", tags=tags())
    found = stack_info()
    cluster = found["cluster"]
    assert (cluster["name"], cluster["status"], cluster["version"]) == ("django-app", "ACTIVE", "1.35")
    assert cluster["endpoint"] and cluster["certificate_authority"] and cluster["oidc_issuer"].startswith("https://")
    assert cluster["encrypted"] is False
    group = found["node_group"]
    assert (group["name"], group["min_size"], group["max_size"], group["desired_size"]) == ("workers", 1, 3, 2)
    assert found["repository"]["uri"] == f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/lab-django-app"


def test_two_clusters_of_one_environment_are_refused(stack_info):
    made = build_network()
    for name in ("one", "other"):
        build_cluster([made["public_a"], made["public_b"]], name=name)
    assert "2 clusters carry this environment's tags (one, other)" in stack_info()["msg"]


def test_a_cluster_that_is_being_made():
    creating = {"name": "c", "arn": "arn", "status": "CREATING", "version": "1.35", "resourcesVpcConfig": {}, "roleArn": "arn"}
    found = stack.cluster(creating)
    assert (found["endpoint"], found["certificate_authority"], found["security_group_id"], found["oidc_issuer"]) == (None,) * 4


def test_the_template_of_the_nodes_is_not_that_of_the_instances(stack_info):
    data = {"LaunchTemplateData": {"InstanceType": "t2.micro"}}
    node = specify("launch-template", Role="node")
    boto3.client("ec2").create_launch_template(LaunchTemplateName="lab-django-node-lt", TagSpecifications=node, **data)
    assert stack_info()["launch_template"] is None
    boto3.client("ec2").create_launch_template(LaunchTemplateName="lab-django-lt", TagSpecifications=specify("launch-template"), **data)
    assert stack_info()["launch_template"]["name"] == "lab-django-lt"


def test_a_database_without_an_endpoint_yet():
    creating = {
        "DBInstanceIdentifier": "lab-django-postgres",
        "DBInstanceArn": "arn",
        "DBInstanceStatus": "creating",
        "EngineVersion": "16.4",
        "StorageEncrypted": False,
        "MultiAZ": True,
    }
    found = stack.database(creating)
    assert (found["status"], found["address"], found["port"]) == ("creating", None, None)


def test_a_deletion_date_is_text():
    when = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    assert stack.secrets([{"Name": "a", "ARN": "arn", "DeletedDate": when}])["a"]["deleted_date"] == "2026-01-02T00:00:00+00:00"


def test_no_credentials_is_one_clear_message(stack_info, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    answer = stack_info()
    assert answer["failed"]
    assert "Unable to locate credentials" in answer["msg"]
