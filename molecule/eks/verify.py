"""Asked over AWS's API: the control plane, its nodes and add-ons, who may enter; and a token that the kubeconfig's program makes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from botocore.exceptions import ClientError

from lab.kubernetes import tokens
from tests.tree import ROOT

NAMES = {"defaults": ("django-app", "django-workers"), "altered": ("shop", "workers")}
TAGS = {"Project": "django", "ManagedBy": "espalier"}
POLICY = "arn:aws:eks::aws:cluster-access-policy/"


def cluster(account) -> dict:
    return account.client("eks").describe_cluster(name=NAMES[account.environment][0])["cluster"]


def node_group(account) -> dict:
    name, group = NAMES[account.environment]
    return account.client("eks").describe_nodegroup(clusterName=name, nodegroupName=group)["nodegroup"]


def addons(account) -> dict[str, dict]:
    eks, name = account.client("eks"), NAMES[account.environment][0]
    return {addon: eks.describe_addon(clusterName=name, addonName=addon)["addon"] for addon in eks.list_addons(clusterName=name)["addons"]}


def private(account) -> list[str]:
    return sorted(subnet["SubnetId"] for subnet in account.subnets("private"))


def role(account, name: str) -> tuple[list, set[str]]:
    """Whom a role trusts, and its managed policies."""
    iam = account.client("iam")
    trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]["Statement"]
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    return [statement["Principal"]["Service"] for statement in trust], {policy["PolicyName"] for policy in attached}


def test_control_plane_of_the_defaults(defaults):
    found = cluster(defaults)
    assert (found["status"], found["version"]) == ("ACTIVE", "1.35")
    network = found["resourcesVpcConfig"]
    assert sorted(network["subnetIds"]) == private(defaults)
    assert network["endpointPublicAccess"] and network["endpointPrivateAccess"]
    assert network["publicAccessCidrs"] == ["0.0.0.0/0"]
    assert found["accessConfig"]["authenticationMode"] == "API"
    assert found["upgradePolicy"]["supportType"] == "STANDARD"
    assert not found.get("encryptionConfig") and not found["deletionProtection"]
    assert found["tags"] == {**TAGS, "Environment": "defaults"}


def test_control_plane(altered):
    found = cluster(altered)
    assert (found["status"], found["version"]) == ("ACTIVE", "1.34")
    assert sorted(found["resourcesVpcConfig"]["publicAccessCidrs"]) == ["192.0.2.0/24", "198.51.100.7/32"]
    assert found["upgradePolicy"]["supportType"] == "EXTENDED"
    assert found["kubernetesNetworkConfig"]["serviceIpv4Cidr"] == "172.30.0.0/16"
    assert found["roleArn"].endswith(":role/altered-django-control")
    assert found["tags"]["Team"] == "shop"
    logs = {log for entry in found["logging"]["clusterLogging"] if entry["enabled"] for log in entry["types"]}
    assert logs == {"api", "audit"}
    group = altered.client("logs").describe_log_groups(logGroupNamePrefix="/aws/eks/shop/cluster")["logGroups"]
    assert [one["retentionInDays"] for one in group] == [90]


def test_secrets_are_encrypted_with_a_key_of_the_environment(altered):
    (entry,) = cluster(altered)["encryptionConfig"]
    assert entry["resources"] == ["secrets"]
    key = altered.client("kms").describe_key(KeyId="alias/altered-django-eks")["KeyMetadata"]
    assert entry["provider"]["keyArn"] == key["Arn"]
    assert altered.client("kms").get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]


def test_roles(account):
    names = {
        "defaults": ("defaults-django-cluster-role", "defaults-django-node-role"),
        "altered": ("altered-django-control", "altered-django-nodes"),
    }
    control, nodes = names[account.environment]
    assert role(account, control) == (["eks.amazonaws.com"], {"AmazonEKSClusterPolicy"})
    trusts, policies = role(account, nodes)
    assert trusts == ["ec2.amazonaws.com"]
    assert policies == {
        "AmazonEC2ContainerRegistryPullOnly",
        "AmazonEKS_CNI_Policy",
        "AmazonEKSWorkerNodePolicy",
        "AmazonSSMManagedInstanceCore",
    }


def test_nodes_of_the_defaults(defaults):
    found = node_group(defaults)
    assert (found["status"], found["version"]) == ("ACTIVE", "1.35")
    assert found["scalingConfig"] == {"minSize": 1, "maxSize": 2, "desiredSize": 2}
    assert (found["instanceTypes"], found["capacityType"], found["amiType"]) == (["t3.medium"], "ON_DEMAND", "AL2023_x86_64_STANDARD")
    assert sorted(found["subnets"]) == private(defaults), "nodes belong into private subnets"
    machines = defaults.described("describe_instances", "Reservations", {"Name": "tag:Role", "Values": ["node"]})
    assert len(machines) == 2, "machines carry the environment's tags"


def test_nodes(altered):
    found = node_group(altered)
    assert found["version"] == "1.34"
    assert found["scalingConfig"] == {"minSize": 2, "maxSize": 4, "desiredSize": 3}
    assert (found["instanceTypes"], found["capacityType"]) == (["t3.large", "t3a.large"], "SPOT")
    assert found["updateConfig"]["maxUnavailable"] == 2
    assert found["labels"] == {"team": "shop"}
    assert found["tags"]["Team"] == "shop"


def test_machines_of_the_nodes_are_closed(account):
    template = node_group(account)["launchTemplate"]
    versions = account.client("ec2").describe_launch_template_versions(LaunchTemplateId=template["id"], Versions=[template["version"]])
    data = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1, "a pod would get its node's rights"
    (disk,) = data["BlockDeviceMappings"]
    assert disk["Ebs"]["Encrypted"] and disk["Ebs"]["VolumeSize"] == (40 if account.environment == "altered" else 20)
    assert not {"ImageId", "KeyName", "SecurityGroupIds"} & data.keys()


def test_addons_of_the_defaults(defaults):
    found = addons(defaults)
    assert set(found) == {"eks-pod-identity-agent", "vpc-cni", "kube-proxy", "coredns", "metrics-server"}
    assert {addon["status"] for addon in found.values()} == {"ACTIVE"}
    assert json.loads(found["vpc-cni"]["configurationValues"]) == {"enableNetworkPolicy": "true"}


def test_addons(altered):
    found = addons(altered)
    assert set(found) == {"vpc-cni", "coredns", "aws-ebs-csi-driver"}
    assert json.loads(found["coredns"]["configurationValues"]) == {"replicaCount": 3}
    assert json.loads(found["aws-ebs-csi-driver"]["configurationValues"])["controller"]["extraVolumeTags"]["Environment"] == "altered"
    associations = altered.client("eks").list_pod_identity_associations(clusterName="shop")["associations"]
    assert [(one["namespace"], one["serviceAccount"]) for one in associations] == [("kube-system", "ebs-csi-controller-sa")]
    assert role(altered, "altered-django-storage-role") == (["pods.eks.amazonaws.com"], {"AmazonEBSCSIDriverPolicyV2"})


def test_whoever_made_the_cluster_is_its_administrator(defaults):
    eks = defaults.client("eks")
    entries = eks.list_access_entries(clusterName="django-app")["accessEntries"]
    creator = defaults.client("sts").get_caller_identity()["Arn"]
    assert creator in entries
    assert all(not entry.endswith(("/deployment", "/developers")) for entry in entries)


def test_access_entries(altered):
    eks = altered.client("eks")
    entries = [
        entry for entry in eks.list_access_entries(clusterName="shop")["accessEntries"] if not entry.endswith("/altered-django-nodes")
    ]
    assert sorted(entry.rpartition("/")[2] for entry in entries) == ["deployment", "developers"], "the creator was not to be one"
    found = {}
    for entry in entries:
        policies = eks.list_associated_access_policies(clusterName="shop", principalArn=entry)["associatedAccessPolicies"]
        found[entry.rpartition("/")[2]] = {one["policyArn"].removeprefix(POLICY): one["accessScope"] for one in policies}
    assert found["deployment"]["AmazonEKSClusterAdminPolicy"]["type"] == "cluster"
    assert found["developers"]["AmazonEKSViewPolicy"] == {"type": "namespace", "namespaces": ["django-app"]}
    developers = eks.describe_access_entry(clusterName="shop", principalArn="arn:aws:iam::123456789012:role/developers")
    assert developers["accessEntry"]["kubernetesGroups"] == ["readers"]


def issuers(account) -> list[str]:
    found = account.client("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"]
    return [provider["Arn"].partition(":oidc-provider/")[2] for provider in found]


def test_iam_trusts_the_cluster_that_asked_for_it(account):
    issuer = cluster(account)["identity"]["oidc"]["issuer"].removeprefix("https://")
    assert (issuer in issuers(account)) is (account.environment == "defaults")


def kubeconfig(account) -> Path:
    return Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / f"{account.environment}.kubeconfig"


def test_kubeconfig_is_its_owner_s(account):
    assert stat.S_IMODE(kubeconfig(account).stat().st_mode) == 0o600


def test_kubeconfig_leads_to_the_cluster(defaults):
    path, found = kubeconfig(defaults), cluster(defaults)
    content = yaml.safe_load(path.read_text("utf-8"))
    assert content["clusters"][0]["cluster"] == {
        "server": found["endpoint"],
        "certificate-authority-data": found["certificateAuthority"]["data"],
    }
    assert content["current-context"] == found["name"]


def test_a_kubeconfig_that_was_given_is_the_one(altered):
    assert kubeconfig(altered).read_text("utf-8") == (ROOT / "molecule" / "eks" / "given.kubeconfig").read_text("utf-8")


def test_kubeconfig_makes_a_token_of_the_caller(defaults):
    """The judge is the one of the lab's API servers: who signed it, for which cluster, until when."""
    order = yaml.safe_load(kubeconfig(defaults).read_text("utf-8"))["users"][0]["user"]["exec"]
    variables = {entry["name"]: entry["value"] for entry in order["env"]}
    command = [order["command"], *order["args"]]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    credential = json.loads(done.stdout)
    assert (credential["kind"], credential["apiVersion"]) == ("ExecCredential", order["apiVersion"])
    secrets = {"espalier-lab": tokens.Secret("espalier-lab", None)}
    name, now = NAMES["defaults"][0], datetime.now(UTC)
    assert tokens.check(credential["status"]["token"], name, secrets.get, now) == "espalier-lab"
    until = datetime.fromisoformat(credential["status"]["expirationTimestamp"])
    assert timedelta(minutes=13) < until - now < timedelta(minutes=15), "EKS takes a token for a quarter of an hour"


def test_a_second_group_beside_the_first(defaults):
    """As docs/cluster.md has one take another's place. No inventory names it, and it goes with the cluster all the same."""
    eks, first = defaults.client("eks"), node_group(defaults)
    if "django-workers-2" not in eks.list_nodegroups(clusterName="django-app")["nodegroups"]:
        eks.create_nodegroup(
            clusterName="django-app", nodegroupName="django-workers-2", nodeRole=first["nodeRole"], subnets=first["subnets"],
            instanceTypes=["t3.large"], tags=first["tags"],
        )  # fmt: skip
    assert len(eks.list_nodegroups(clusterName="django-app")["nodegroups"]) == 2


def test_gone(account):
    for name, _group in NAMES.values():
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            account.client("eks").describe_cluster(name=name)
    assert not account.described("describe_launch_templates", "LaunchTemplates")
    assert not account.described("describe_instances", "Reservations", {"Name": "instance-state-name", "Values": ["running", "pending"]})
    groups = account.client("ec2").describe_security_groups()["SecurityGroups"]
    assert not [group["GroupName"] for group in groups if group["GroupName"].startswith("eks-cluster-sg-")]
    assert not account.client("logs").describe_log_groups(logGroupNamePrefix="/aws/eks/")["logGroups"]
    assert not [
        name for name in (found["RoleName"] for found in account.client("iam").list_roles()["Roles"]) if name.startswith(account.prefix)
    ]
    assert issuers(account) == []
    assert not kubeconfig(account).exists()
    assert account.vpc_id(), "the role removed what it did not make"


def test_key_is_gone_after_its_time(altered):
    key = altered.client("kms").describe_key(KeyId="alias/altered-django-eks")["KeyMetadata"]
    gone = not cluster_exists(altered)
    assert (key["KeyState"] == "PendingDeletion") is gone


def cluster_exists(account) -> bool:
    return NAMES[account.environment][0] in account.client("eks").list_clusters()["clusters"]
