"""The lab's EKS by the API's own words: statuses, what it makes in the account, who may enter a cluster."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, InstanceState
from moto.autoscaling.responses import AutoScalingResponse
from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.eks.models import EKSBackend
from moto.eks.responses import EKSResponse
from moto.ssm.models import ParameterDict

from lab.api import autoscaling, ec2, eks, scaling, vpc
from tests.molecule.account import report_cluster
from tests.unit.moto_patches import LOCK, client, patched
from tests.unit.test_lab_tokens import presigned, token

NAME, GROUP = "django-app", "django-workers"
POLICY = "arn:aws:eks::aws:cluster-access-policy/"


class Account:
    """A VPC with two subnets, the roles, and machines that start and end at once."""

    def __init__(self) -> None:
        ranges = {"us-east-1a": "10.0.10.0/24", "us-east-1b": "10.0.11.0/24"}
        self.vpc = client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        made = [client("ec2").create_subnet(VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone=zone) for zone, cidr in ranges.items()]
        self.subnets = [found["Subnet"]["SubnetId"] for found in made]
        self.role = self.make_role("nodes", "ec2.amazonaws.com")

    @staticmethod
    def make_role(name: str, service: str, *more: str) -> str:
        statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": ["sts:AssumeRole", *more]}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        return client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]

    def create(self, **more) -> dict:
        wanted = {
            "name": NAME,
            "roleArn": "arn:aws:iam::123456789012:role/cluster",
            "resourcesVpcConfig": {"subnetIds": self.subnets},
            "accessConfig": {"authenticationMode": "API"},
        }
        return client("eks").create_cluster(**{**wanted, **more})["cluster"]

    def create_nodes(self, **more) -> dict:
        wanted = {
            "clusterName": NAME,
            "nodegroupName": GROUP,
            "nodeRole": self.role,
            "subnets": self.subnets,
            "scalingConfig": {"minSize": 1, "maxSize": 3, "desiredSize": 2},
            "instanceTypes": ["t3.medium"],
        }
        return client("eks").create_nodegroup(**{**wanted, **more})["nodegroup"]

    def step(self) -> None:
        """One second of the lab, of which everything that is on its way arrives."""
        with LOCK:
            scaling.step({})
            for machine in ec2.list_machines({})["machines"]:
                became = {"pending": "running", "shutting-down": "terminated"}.get(machine["state"])
                if became:
                    ec2.machine_state({"id": machine["id"], "state": became})
            for cluster in eks.clusters.model({})["clusters"]:
                report_cluster(cluster, eks.clusters.report)

    def active(self, **more) -> dict:
        self.create(**more)
        self.step()
        return self.cluster()

    @staticmethod
    def cluster() -> dict:
        return client("eks").describe_cluster(name=NAME)["cluster"]

    @staticmethod
    def nodes() -> dict:
        return client("eks").describe_nodegroup(clusterName=NAME, nodegroupName=GROUP)["nodegroup"]

    @staticmethod
    def instances() -> list[dict]:
        found = [i for r in client("ec2").describe_instances()["Reservations"] for i in r["Instances"]]
        return [instance for instance in found if instance["State"]["Name"] != "terminated"]


@pytest.fixture
def account() -> Iterator[Account]:
    with ExitStack() as stack:
        stack.enter_context(patched(vpc, EC2Backend))
        stack.enter_context(patched(ec2, ParameterDict, Instance, InstanceBackend, LaunchTemplate))
        stack.enter_context(patched(autoscaling, FakeAutoScalingGroup, InstanceState, AutoScalingBackend, AutoScalingResponse))
        stack.enter_context(patched(eks, EKSBackend, EKSResponse))
        yield Account()


def refused(call, *arguments, **options) -> str:
    with pytest.raises(ClientError) as caught:
        call(*arguments, **options)
    return (
        f"{caught.value.response['Error']['Code']}: {caught.value.response['Error'].get('Message') or caught.value.response.get('message')}"
    )


# --- clusters


def test_a_cluster_tells_no_endpoint_before_it_has_one(account):
    made = account.create()
    assert made["status"] == "CREATING"
    assert "endpoint" not in made
    assert not made.get("certificateAuthority", {}).get("data")
    account.step()
    cluster = account.cluster()
    assert cluster["status"] == "ACTIVE"
    assert cluster["endpoint"].startswith("https://10.0.10.")
    assert b"CERTIFICATE" in base64.b64decode(cluster["certificateAuthority"]["data"])
    assert cluster["identity"]["oidc"]["issuer"].startswith("https://oidc.eks.us-east-1.amazonaws.com/id/")
    assert cluster["accessConfig"]["authenticationMode"] == "API"
    assert cluster["upgradePolicy"] == {"supportType": "EXTENDED"}


def test_a_cluster_holds_on_to_the_network_until_it_is_gone(account):
    group = account.active()["resourcesVpcConfig"]["clusterSecurityGroupId"]
    found = client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    assert found["GroupName"].startswith(f"eks-cluster-sg-{NAME}-")
    assert "DependencyViolation" in refused(client("ec2").delete_subnet, SubnetId=account.subnets[0])
    client("eks").delete_cluster(name=NAME)
    assert account.cluster()["status"] == "DELETING"
    account.step()
    assert "ResourceNotFoundException" in refused(client("eks").describe_cluster, name=NAME)
    client("ec2").delete_subnet(SubnetId=account.subnets[0])
    assert "NotFound" in refused(client("ec2").describe_security_groups, GroupIds=[group])


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"version": "1.20"}, "unsupported Kubernetes version"),
        ({"name": "-no"}, "regular expression"),
        ({"encryptionConfig": [{"resources": ["pods"], "provider": {"keyArn": "arn:aws:kms:us-east-1:1:key/1"}}]}, "must be: secrets"),
    ],
)
def test_what_eks_refuses(account, wanted, why):
    answer = refused(account.create, **wanted)
    assert "InvalidParameterException" in answer
    assert why in answer


def test_subnets_of_one_zone_are_refused(account):
    assert "two different AZs" in refused(account.create, resourcesVpcConfig={"subnetIds": account.subnets[:1]})


def test_a_protected_cluster_stays(account):
    account.active(deletionProtection=True)
    assert "protection" in refused(client("eks").delete_cluster, name=NAME)
    client("eks").update_cluster_config(name=NAME, deletionProtection=False)
    client("eks").delete_cluster(name=NAME)


def test_changes_are_answered_with_an_update(account):
    account.active()
    wanted = {"endpointPrivateAccess": True, "endpointPublicAccess": False}
    made = client("eks").update_cluster_config(name=NAME, resourcesVpcConfig=wanted)["update"]
    assert made["type"] == "VpcConfigUpdate"
    found = client("eks").describe_update(name=NAME, updateId=made["id"])["update"]
    assert found["status"] == "Successful"
    assert client("eks").list_updates(name=NAME)["updateIds"] == [made["id"]]
    config = account.cluster()["resourcesVpcConfig"]
    assert (config["endpointPrivateAccess"], config["endpointPublicAccess"]) == (True, False)
    assert "already at the desired" in refused(client("eks").update_cluster_config, name=NAME, resourcesVpcConfig=wanted)
    assert "at a time" in refused(
        client("eks").update_cluster_config, name=NAME, deletionProtection=True, upgradePolicy={"supportType": "STANDARD"}
    )


def test_types_of_log_that_a_change_does_not_name_stay(account):
    account.active(logging={"clusterLogging": [{"types": ["api", "audit"], "enabled": True}]})
    client("eks").update_cluster_config(name=NAME, logging={"clusterLogging": [{"types": ["api"], "enabled": False}]})
    enabled = [setup["types"] for setup in account.cluster()["logging"]["clusterLogging"] if setup["enabled"]]
    assert enabled == [["audit"]]


def test_a_version_rises_by_one(account):
    account.active(version="1.33")
    assert "Unsupported" in refused(client("eks").update_cluster_version, name=NAME, version="1.35")
    client("eks").update_cluster_version(name=NAME, version="1.34")
    assert account.cluster()["version"] == "1.34"


def test_the_catalogue_of_versions(account):
    found = client("eks").describe_cluster_versions()["clusterVersions"]
    assert [version["clusterVersion"] for version in found if version["defaultVersion"]] == ["1.35"]


# --- node groups


def test_a_node_group_is_made_of_what_eks_makes(account):
    account.active()
    assert account.create_nodes()["status"] == "CREATING"
    for _ in range(3):
        account.step()
    found = account.nodes()
    assert found["status"] == "ACTIVE"
    (name,) = [group["name"] for group in found["resources"]["autoScalingGroups"]]
    (fleet,) = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    assert len(fleet["Instances"]) == 2
    for instance in account.instances():
        tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
        assert (tags["eks:cluster-name"], tags["eks:nodegroup-name"]) == (NAME, GROUP)
        assert tags[f"kubernetes.io/cluster/{NAME}"] == "owned"
        group = account.cluster()["resourcesVpcConfig"]["clusterSecurityGroupId"]
        assert [worn["GroupId"] for worn in instance["SecurityGroups"]] == [group]
        assert instance["InstanceType"] == "t3.medium"
        assert instance["IamInstanceProfile"]["Arn"].rpartition("/")[2].startswith("eks-")
    nodes = eks.clusters.model({})["clusters"][0]["nodes"]
    assert {node["zone"] for node in nodes} == {"us-east-1a", "us-east-1b"}
    assert all(machine["cluster"] == NAME for machine in ec2.list_machines({})["machines"])


def test_a_node_group_is_creating_until_its_nodes_are_ready(account):
    account.active()
    account.create_nodes()
    for _ in range(3):
        scaling.step({})
        for machine in ec2.list_machines({})["machines"]:
            if machine["state"] == "pending":
                ec2.machine_state({"id": machine["id"], "state": "running"})
    assert account.nodes()["status"] == "CREATING"
    first, second = [node["id"] for node in eks.clusters.model({})["clusters"][0]["nodes"]]
    eks.clusters.report({"name": NAME, "ready_nodes": [first]})
    assert account.nodes()["status"] == "CREATING"
    eks.clusters.report({"name": NAME, "ready_nodes": [first, second]})
    assert account.nodes()["status"] == "ACTIVE"


def test_a_launch_template_of_ours_gives_tags_and_metadata_options(account):
    account.active()
    template = client("ec2").create_launch_template(
        LaunchTemplateName="ours",
        LaunchTemplateData={
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Project", "Value": "django"}]}],
        },
    )["LaunchTemplate"]
    account.create_nodes(launchTemplate={"id": template["LaunchTemplateId"], "version": "1"})
    account.step()
    for instance in account.instances():
        assert {"Key": "Project", "Value": "django"} in instance["Tags"]
        assert instance["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
        assert instance["SecurityGroups"][0]["GroupName"].startswith("eks-cluster-sg")
    assert account.nodes()["launchTemplate"]["version"] == "1"


def test_a_change_of_size_reaches_the_machines(account):
    account.active()
    account.create_nodes()
    for _ in range(3):
        account.step()
    client("eks").update_nodegroup_config(clusterName=NAME, nodegroupName=GROUP, scalingConfig={"desiredSize": 3})
    for _ in range(3):
        account.step()
    assert len(account.instances()) == 3
    assert account.nodes()["scalingConfig"] == {"minSize": 1, "maxSize": 3, "desiredSize": 3}
    assert "can't be greater" in refused(
        client("eks").update_nodegroup_config, clusterName=NAME, nodegroupName=GROUP, scalingConfig={"desiredSize": 4}
    )


def test_a_node_that_the_group_takes_away_is_drained_first(account):
    account.active()
    account.create_nodes()
    for _ in range(3):
        account.step()
    client("eks").update_nodegroup_config(clusterName=NAME, nodegroupName=GROUP, scalingConfig={"desiredSize": 1})
    for _ in range(3):
        scaling.step({})
    (leaving,) = [node for node in eks.clusters.model({})["clusters"][0]["nodes"] if node["leaving"]]
    assert leaving["state"] == "running"
    eks.clusters.report({"name": NAME, "drained": [leaving["id"]]})
    for _ in range(2):
        scaling.step({})
    assert [i["InstanceId"] for i in account.instances() if i["State"]["Name"] == "shutting-down"] == [leaving["id"]]


def test_a_node_that_is_terminated_is_replaced(account):
    account.active()
    account.create_nodes()
    for _ in range(3):
        account.step()
    before = {instance["InstanceId"] for instance in account.instances()}
    client("ec2").terminate_instances(InstanceIds=[sorted(before)[0]])
    for _ in range(4):
        account.step()
    after = {instance["InstanceId"] for instance in account.instances()}
    assert len(after) == 2
    assert after != before


def test_a_node_group_leaves_nothing(account):
    account.active()
    account.create_nodes()
    for _ in range(3):
        account.step()
    assert "nodegroups attached" in refused(client("eks").delete_cluster, name=NAME)
    client("eks").delete_nodegroup(clusterName=NAME, nodegroupName=GROUP)
    assert account.nodes()["status"] == "DELETING"
    for _ in range(4):
        account.step()
    assert client("eks").list_nodegroups(clusterName=NAME)["nodegroups"] == []
    assert account.instances() == []
    assert client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert client("ec2").describe_launch_templates()["LaunchTemplates"] == []
    assert client("iam").list_instance_profiles()["InstanceProfiles"] == []
    client("eks").delete_cluster(name=NAME)


def test_a_node_group_needs_its_role(account):
    account.active()
    assert "does not exist" in refused(account.create_nodes, nodeRole="arn:aws:iam::123456789012:role/nobody")


def test_a_cluster_that_is_not_active_takes_no_nodes(account):
    account.create()
    assert "not in ACTIVE" in refused(account.create_nodes)


# --- access


def enter(text: str) -> dict:
    return eks.access.authenticate({"name": NAME, "token": text})


def session_of(role: str) -> dict:
    return client("sts").assume_role(RoleArn=role, RoleSessionName="jane")["Credentials"]


def token_of(credentials: dict, cluster: str = NAME) -> str:
    return token(presigned(cluster, credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]))


def test_the_creator_is_administrator_unless_the_request_says_no(account):
    account.active()
    mine = token(presigned(NAME, "x", "x"))
    assert enter(mine)["groups"] == ["eks:access-policy:AmazonEKSClusterAdminPolicy"]
    assert client("eks").list_access_entries(clusterName=NAME)["accessEntries"] == ["arn:aws:sts::123456789012:user/moto"]
    assert "signature" not in enter(mine)
    client("eks").delete_access_entry(clusterName=NAME, principalArn="arn:aws:sts::123456789012:user/moto")
    assert "no access entry" in enter(mine)["refused"]


def test_nobody_enters_a_cluster_that_was_made_without_its_creator(account):
    account.active(accessConfig={"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False})
    assert "no access entry" in enter(token(presigned(NAME, "x", "x")))["refused"]


def test_a_role_enters_by_its_entry_as_its_session(account):
    account.active()
    role = account.make_role("operator", "ec2.amazonaws.com")
    credentials = session_of(role)
    assert "no access entry" in enter(token_of(credentials))["refused"]
    client("eks").create_access_entry(clusterName=NAME, principalArn=role, kubernetesGroups=["watchers"])
    client("eks").associate_access_policy(
        clusterName=NAME,
        principalArn=role,
        policyArn=f"{POLICY}AmazonEKSEditPolicy",
        accessScope={"type": "namespace", "namespaces": ["django-app"]},
    )
    found = enter(token_of(credentials))
    assert found["username"] == "arn:aws:sts::123456789012:assumed-role/operator/jane"
    assert found["groups"] == ["watchers", "eks:access-policy:AmazonEKSEditPolicy:django-app"]
    assert "signature" in enter(token_of({**credentials, "SecretAccessKey": "guessed"}))["refused"]
    assert "signature" in enter(token_of(credentials, "another"))["refused"]
    policies = eks.clusters.model({})["clusters"][0]["policies"]
    assert {
        "group": "eks:access-policy:AmazonEKSEditPolicy:django-app",
        "policy": "AmazonEKSEditPolicy",
        "namespace": "django-app",
    } in policies
    associated = client("eks").list_associated_access_policies(clusterName=NAME, principalArn=role)["associatedAccessPolicies"]
    assert [found["accessScope"]["namespaces"] for found in associated] == [["django-app"]]
    client("eks").disassociate_access_policy(clusterName=NAME, principalArn=role, policyArn=f"{POLICY}AmazonEKSEditPolicy")
    assert enter(token_of(credentials))["groups"] == ["watchers"]


def test_an_entry_is_described_changed_tagged_and_deleted(account):
    account.active()
    role = account.make_role("operator", "ec2.amazonaws.com")
    made = client("eks").create_access_entry(clusterName=NAME, principalArn=role, tags={"a": "b"})["accessEntry"]
    client("eks").update_access_entry(clusterName=NAME, principalArn=role, kubernetesGroups=["g"], username="operator")
    client("eks").tag_resource(resourceArn=made["accessEntryArn"], tags={"c": "d"})
    client("eks").untag_resource(resourceArn=made["accessEntryArn"], tagKeys=["a"])
    found = client("eks").describe_access_entry(clusterName=NAME, principalArn=role)["accessEntry"]
    assert (found["kubernetesGroups"], found["username"], found["tags"]) == (["g"], "operator", {"c": "d"})
    assert "already in use" in refused(client("eks").create_access_entry, clusterName=NAME, principalArn=role)
    client("eks").delete_access_entry(clusterName=NAME, principalArn=role)
    assert "ResourceNotFoundException" in refused(client("eks").describe_access_entry, clusterName=NAME, principalArn=role)


@pytest.mark.parametrize("groups", [["system:masters"], ["eks:x"]])
def test_reserved_groups_are_refused(account, groups):
    account.active()
    role = "arn:aws:iam::123456789012:role/x"
    assert "invalid" in refused(client("eks").create_access_entry, clusterName=NAME, principalArn=role, kubernetesGroups=groups)


def test_entries_belong_to_clusters_that_know_them(account):
    account.active(accessConfig={"authenticationMode": "CONFIG_MAP"})
    assert "authentication mode" in refused(client("eks").list_access_entries, clusterName=NAME)
    client("eks").update_cluster_config(name=NAME, accessConfig={"authenticationMode": "API"})
    assert client("eks").list_access_entries(clusterName=NAME)["accessEntries"]


def test_a_node_group_enters_by_an_entry_of_eks(account):
    account.active()
    account.create_nodes()
    entry = client("eks").describe_access_entry(clusterName=NAME, principalArn=account.role)["accessEntry"]
    assert (entry["type"], entry["username"]) == ("EC2_LINUX", "system:node:{{EC2PrivateDNSName}}")


# --- add-ons and pod identities


def test_an_addon_follows_what_runs(account):
    account.active(bootstrapSelfManagedAddons=False)
    made = client("eks").create_addon(clusterName=NAME, addonName="coredns", configurationValues='{"replicaCount": 1}')["addon"]
    assert made["status"] == "CREATING"
    (wanted,) = eks.clusters.model({})["clusters"][0]["addons"]
    assert (wanted["name"], wanted["configuration"]) == ("coredns", {"replicaCount": 1})
    issue = {"code": "InsufficientNumberOfReplicas", "message": "no nodes", "resourceIds": []}
    eks.clusters.report({"name": NAME, "addons": {"coredns": {"status": "DEGRADED", "issues": [issue]}}})
    found = client("eks").describe_addon(clusterName=NAME, addonName="coredns")["addon"]
    assert (found["status"], found["health"]["issues"][0]["code"]) == ("DEGRADED", "InsufficientNumberOfReplicas")
    account.step()
    assert client("eks").describe_addon(clusterName=NAME, addonName="coredns")["addon"]["status"] == "ACTIVE"
    assert "already exists" in refused(client("eks").create_addon, clusterName=NAME, addonName="coredns")
    client("eks").update_addon(clusterName=NAME, addonName="coredns", configurationValues="replicaCount: 3")
    assert eks.clusters.model({})["clusters"][0]["addons"][0]["configuration"] == {"replicaCount": 3}
    client("eks").delete_addon(clusterName=NAME, addonName="coredns")
    account.step()
    assert client("eks").list_addons(clusterName=NAME)["addons"] == []


def test_a_cluster_begins_with_what_eks_installs_by_itself(account):
    account.active()
    assert [addon["name"] for addon in eks.clusters.model({})["clusters"][0]["addons"]] == ["vpc-cni", "kube-proxy", "coredns"]
    assert client("eks").list_addons(clusterName=NAME)["addons"] == []


@pytest.mark.parametrize(
    ("wanted", "why"),
    [({"addonName": "nothing"}, "not supported"), ({"addonVersion": "v0"}, "version"), ({"configurationValues": "]"}, "not valid")],
)
def test_addons_that_cannot_be(account, wanted, why):
    account.active()
    assert why in refused(client("eks").create_addon, **{"clusterName": NAME, "addonName": "coredns", **wanted})


def test_the_catalogue_of_addons(account):
    found = client("eks").describe_addon_versions(kubernetesVersion="1.35", addonName="coredns")["addons"]
    assert found[0]["addonVersions"][0]["compatibilities"][0]["defaultVersion"] is True


def test_a_pod_gets_the_credentials_of_its_role(account):
    account.active()
    role = account.make_role("pods", "pods.eks.amazonaws.com", "sts:TagSession")
    body = {"name": NAME, "namespace": "monitoring", "service_account": "prometheus", "pod": "prometheus-0"}
    assert "no add-on eks-pod-identity-agent" in eks.identity.credentials(body)["refused"]
    client("eks").create_addon(clusterName=NAME, addonName="eks-pod-identity-agent")
    assert "no pod identity association" in eks.identity.credentials(body)["refused"]
    made = client("eks").create_pod_identity_association(
        clusterName=NAME, namespace="monitoring", serviceAccount="prometheus", roleArn=role, tags={"a": "b"}
    )["association"]
    found = eks.identity.credentials(body)
    assert eks.access.principal(found["AccessKeyId"])[0] == role
    assert datetime.strptime(found["Expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp() > time.time() + 3600
    listed = client("eks").list_pod_identity_associations(clusterName=NAME, namespace="monitoring")["associations"]
    assert [entry["associationId"] for entry in listed] == [made["associationId"]]
    assert "already exists" in refused(
        client("eks").create_pod_identity_association, clusterName=NAME, namespace="monitoring", serviceAccount="prometheus", roleArn=role
    )
    untrusted = account.make_role("untrusted", "ec2.amazonaws.com")
    client("eks").update_pod_identity_association(clusterName=NAME, associationId=made["associationId"], roleArn=untrusted)
    assert "does not trust" in eks.identity.credentials(body)["refused"]
    client("eks").delete_pod_identity_association(clusterName=NAME, associationId=made["associationId"])
    assert "no pod identity association" in eks.identity.credentials(body)["refused"]


def test_an_addon_brings_its_own_pod_identity(account):
    account.active()
    role = account.make_role("csi", "pods.eks.amazonaws.com", "sts:TagSession")
    wanted = [{"serviceAccount": "ebs-csi-controller-sa", "roleArn": role}]
    client("eks").create_addon(clusterName=NAME, addonName="aws-ebs-csi-driver", podIdentityAssociations=wanted)
    assert len(client("eks").list_pod_identity_associations(clusterName=NAME)["associations"]) == 1
    client("eks").delete_addon(clusterName=NAME, addonName="aws-ebs-csi-driver")
    account.step()
    assert client("eks").list_pod_identity_associations(clusterName=NAME)["associations"] == []
