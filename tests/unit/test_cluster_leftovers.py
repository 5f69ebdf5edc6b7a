"""cluster_leftovers: everything that a cluster's controllers leave goes, in an order in which it can, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.espalier.aws.plugins.modules import cluster_leftovers
from moto.ec2.models import EC2Backend

from lab.api import vpc
from tests.unit.moto_patches import client, patched
from tests.unit.run_module import run_module

CLUSTER = "django-app"


@pytest.fixture
def account(monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with patched(vpc, EC2Backend):
        yield


@pytest.fixture
def clear(account, capsys, monkeypatch):
    clock = SimpleNamespace(now=0.0, sleeps=[])

    def sleep(seconds):
        clock.now += seconds
        while clock.sleeps:
            clock.sleeps.pop()()

    monkeypatch.setattr(cluster_leftovers, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))

    def run(*meanwhile, **options):
        clock.sleeps = list(meanwhile)
        return run_module(capsys, "cluster_leftovers", cluster=CLUSTER, **options)

    return run


def tags(cluster: str, controller: bool = False) -> list[dict]:
    own = {"elbv2.k8s.aws/cluster": cluster} if controller else {f"kubernetes.io/cluster/{cluster}": "owned"}
    return [{"Key": key, "Value": value} for key, value in own.items()]


def build(cluster: str) -> dict[str, str]:
    ec2, elbv2 = client("ec2"), client("elbv2")
    network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network)
    subnets = [
        ec2.create_subnet(VpcId=network, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]["SubnetId"]
        for number, zone in enumerate("ab")
    ]

    def group(name: str, **options) -> str:
        specified = [{"ResourceType": "security-group", "Tags": tags(cluster, **options)}]
        return ec2.create_security_group(GroupName=name, Description=name, VpcId=network, TagSpecifications=specified)["GroupId"]

    nodes, balancers = group(f"eks-cluster-sg-{cluster}"), group(f"k8s-traffic-{cluster}", controller=True)
    pair = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": balancers}]}]
    ec2.authorize_security_group_ingress(GroupId=nodes, IpPermissions=pair)
    balancer = elbv2.create_load_balancer(
        Name=f"k8s-{cluster}", Subnets=subnets, SecurityGroups=[balancers], Tags=tags(cluster, controller=True)
    )
    targets = elbv2.create_target_group(Name=f"k8s-{cluster}", Protocol="HTTP", Port=80, VpcId=network, Tags=tags(cluster, controller=True))
    elbv2.create_listener(
        LoadBalancerArn=balancer["LoadBalancers"][0]["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": targets["TargetGroups"][0]["TargetGroupArn"]}],
    )
    volume = [{"ResourceType": "volume", "Tags": tags(cluster)}]
    interface = [{"ResourceType": "network-interface", "Tags": [{"Key": "cluster.k8s.amazonaws.com/name", "Value": cluster}]}]
    return {
        "nodes": nodes,
        "balancers": balancers,
        "balancer": balancer["LoadBalancers"][0]["LoadBalancerArn"],
        "targets": targets["TargetGroups"][0]["TargetGroupArn"],
        "volume": ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, TagSpecifications=volume)["VolumeId"],
        "interface": ec2.create_network_interface(SubnetId=subnets[0], TagSpecifications=interface)["NetworkInterface"][
            "NetworkInterfaceId"
        ],
    }


def everything() -> set[str]:
    ec2, elbv2 = client("ec2"), client("elbv2")
    return {
        *(one["LoadBalancerArn"] for one in elbv2.describe_load_balancers()["LoadBalancers"]),
        *(one["TargetGroupArn"] for one in elbv2.describe_target_groups()["TargetGroups"]),
        *(one["VolumeId"] for one in ec2.describe_volumes()["Volumes"]),
        *(one["NetworkInterfaceId"] for one in ec2.describe_network_interfaces()["NetworkInterfaces"]),
        *(one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"]),
    }


def test_what_a_cluster_left_goes_and_its_neighbours_stay(clear):
    theirs = build("other")
    ours = build(CLUSTER)
    before = everything()
    assert set(clear(check_mode=True)["removed"]) == set(ours.values())
    assert everything() == before
    answer = clear()
    assert answer["changed"] is True and set(answer["removed"]) == set(ours.values())
    assert everything() == before - set(ours.values())
    assert set(theirs.values()) <= everything()
    again = clear()
    assert (again["changed"], again["removed"]) == (False, [])


def test_a_volume_that_is_in_use_stays(clear):
    made = build(CLUSTER)
    machine = client("ec2").run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    client("ec2").attach_volume(VolumeId=made["volume"], InstanceId=machine, Device="/dev/sdf")
    assert made["volume"] not in clear()["removed"]
    assert made["volume"] in everything()


def holder(made: dict) -> str:
    """Somebody else's group, whose rule names the cluster's."""
    ec2 = client("ec2")
    network = ec2.describe_security_groups(GroupIds=[made["nodes"]])["SecurityGroups"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="database", Description="x", VpcId=network)["GroupId"]
    pair = [{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": made["nodes"]}]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=pair)
    return group


def test_what_is_held_is_waited_for(clear):
    made = build(CLUSTER)
    group = holder(made)
    answer = clear(lambda: client("ec2").delete_security_group(GroupId=group))
    assert made["nodes"] in answer["removed"], answer


def test_what_is_held_for_ever_is_named(clear):
    made = build(CLUSTER)
    holder(made)
    answer = clear(wait_timeout_seconds=60)
    assert answer["failed"] and made["nodes"] in answer["msg"]
    assert made["balancer"] in answer["removed"], "what could go has gone"
