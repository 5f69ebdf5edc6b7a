"""What the lab makes of security groups: which addresses a rule means, and the table of nftables that says so."""

from __future__ import annotations

import shutil
import subprocess

import boto3
import pytest
from moto import mock_aws

from lab import security_groups
from lab.api import firewall
from lab.settings import SETTINGS

ANYWHERE = "0.0.0.0/0"


@pytest.fixture
def ec2():
    with mock_aws():
        yield boto3.client("ec2", region_name=SETTINGS.region)


def test_a_rule_that_names_a_group_means_its_members(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    groups = [ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"] for name in ("visitors", "app")]
    addresses = [
        ec2.create_network_interface(SubnetId=subnet, Groups=[group])["NetworkInterface"]["PrivateIpAddress"]
        for group in (*groups, groups[0])
    ]
    pair = {"UserIdGroupPairs": [{"GroupId": groups[0]}]}
    ec2.authorize_security_group_ingress(
        GroupId=groups[1],
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 81, **pair},
            {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
        ],
    )
    found = firewall.interfaces({})["interfaces"]
    members = sorted(f"{address}/32" for address in (addresses[0], addresses[2]))
    assert found[addresses[1]]["ingress"] == [["icmp", None, None, ["10.0.0.0/8"]], ["tcp", 80, 81, members]]
    assert found[addresses[1]]["egress"] == [["-1", None, None, [ANYWHERE]]]
    assert found[addresses[0]]["ingress"] == []


def test_pods_may_what_their_cluster_s_group_may_and_everybody_finds_its_endpoint(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    groups = [ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"] for name in ("cluster", "database")]
    ec2.create_tags(Resources=[groups[0]], Tags=[{"Key": "aws:eks:cluster-name", "Value": "shop"}])
    control_plane, database = (
        ec2.create_network_interface(SubnetId=subnet, Groups=[group], Description=description)["NetworkInterface"]["PrivateIpAddress"]
        for group, description in zip(groups, ("Amazon EKS shop", "RDSNetworkInterface"), strict=True)
    )
    rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": groups[0]}]}
    ec2.authorize_security_group_ingress(GroupId=groups[1], IpPermissions=[rule])
    found = firewall.interfaces({})["interfaces"]
    assert found[database]["ingress"] == [["tcp", 5432, 5432, sorted([SETTINGS.pod_cidr, f"{control_plane}/32"])]]
    assert found[control_plane]["ingress"] == [["tcp", 443, 443, [f"{SETTINGS.gateway}/32"]]]


def test_instances_wear_their_template_s_groups(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="app", Description="app", VpcId=vpc)["GroupId"]
    image = ec2.register_image(Name="any")["ImageId"]
    data = {"ImageId": image, "InstanceType": "t2.micro", "SecurityGroupIds": [group]}
    ec2.create_launch_template(LaunchTemplateName="app", LaunchTemplateData=data)
    template = {"LaunchTemplateName": "app"}
    (instance,) = ec2.run_instances(MinCount=1, MaxCount=1, LaunchTemplate=template, SubnetId=subnet)["Instances"]
    assert firewall.interfaces({})["interfaces"][instance["PrivateIpAddress"]]["ingress"] == []


def test_an_instance_that_may_not_go_out_is_offline(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="app", Description="app", VpcId=vpc)["GroupId"]
    image = ec2.register_image(Name="any")["ImageId"]
    (instance,) = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=subnet, SecurityGroupIds=[group])["Instances"]
    assert firewall.lets_https_out(instance["InstanceId"])
    everywhere = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": ANYWHERE}]}
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[everywhere])
    assert not firewall.lets_https_out(instance["InstanceId"])
    to_endpoints = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[to_endpoints])
    assert firewall.lets_https_out(instance["InstanceId"])


def text(ingress=(), egress=()) -> str:
    return security_groups.ruleset({"ingress": list(ingress), "egress": list(egress)}, SETTINGS)


def test_who_may_go_out_by_https_reaches_aws():
    door = f"ip daddr {SETTINGS.gateway} tcp dport {SETTINGS.api_port} accept"
    for rule in (["-1", None, None, [ANYWHERE]], ["tcp", 443, 443, [ANYWHERE]], ["tcp", 1, 1000, [ANYWHERE]]):
        assert door in text(egress=[rule])
    for rule in (["tcp", 80, 80, [ANYWHERE]], ["-1", None, None, ["10.1.0.0/16"]], ["udp", 443, 443, [ANYWHERE]]):
        assert door not in text(egress=[rule])


@pytest.mark.skipif(not (shutil.which("nft") and shutil.which("unshare")), reason="needs nftables")
@pytest.mark.parametrize(
    "rules",
    [
        [],
        [["-1", None, None, [ANYWHERE]]],
        [["tcp", 80, 80, ["10.0.1.5/32", "10.0.2.5/32"]], ["udp", 1, 65535, [ANYWHERE]]],
        [["icmp", None, None, [ANYWHERE]], ["47", None, None, ["10.0.0.0/8"]]],
    ],
)
def test_nftables_takes_the_table_again_and_again(rules):
    """In a network of its own."""
    script = "nft --file - <<TABLE\n{0}TABLE\nnft --file - <<TABLE\n{0}TABLE\nnft list table ip espalier_security_groups"
    command = ["unshare", "--net", "sh", "-euc", script.format(text(rules, rules).replace("$", r"\$"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("needs root")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("policy drop") == 2


def test_a_table_is_loaded_only_when_it_changes(monkeypatch):
    part, loaded = security_groups.SecurityGroups(), []
    rules = {"ingress": [], "egress": []}
    monkeypatch.setattr(security_groups.control, "call", lambda name, settings: {"interfaces": {"10.0.1.4": rules, "10.0.1.5": rules}})
    asked = []
    monkeypatch.setattr(security_groups, "containers", lambda settings: asked.append(1) or {"10.0.1.4": 1})
    done = subprocess.CompletedProcess([], 0, b"", b"")
    monkeypatch.setattr(security_groups, "apply", lambda pid, text: loaded.append(pid) or done)
    for _ in range(3):
        part.reconcile()
    assert loaded == [1] and len(asked) == 1, "10.0.1.5 has no container, and podman is asked once in a while"
    rules["ingress"] = [["tcp", 80, 80, [ANYWHERE]]]
    part.reconcile()
    assert loaded == [1, 1]
