"""Seed: Kubernetes (EKS), as far as AWS knows of it. A system that was built without a cluster is skipped, and says so."""

from __future__ import annotations

import pytest

from tests.acceptance.system import System, only

ADDONS = {"vpc-cni", "kube-proxy", "coredns", "metrics-server", "eks-pod-identity-agent"}


def find(system: System) -> dict | None:
    """The environment's cluster, by its tags."""
    eks = system.client("eks")
    found = [eks.describe_cluster(name=name)["cluster"] for name in eks.list_clusters()["clusters"]]
    tags = {"Project": system.project, "Environment": system.environment}
    ours = [cluster for cluster in found if tags.items() <= cluster["tags"].items()]
    return only(ours, "cluster") if ours else None


def expected(system: System) -> dict:
    """The cluster; a system that was built without one says so."""
    cluster = find(system)
    if cluster is None:
        pytest.skip("this system was built without a cluster")
    return cluster


def group(system: System) -> str | None:
    """The security group that EKS made for the cluster's nodes and pods."""
    cluster = find(system)
    return cluster and cluster["resourcesVpcConfig"]["clusterSecurityGroupId"]


def check_control_plane(system: System) -> None:
    cluster = expected(system)
    assert cluster["name"] == system.expected("suite_cluster_name", "django-app")
    assert cluster["status"] == "ACTIVE"
    private = {subnet["SubnetId"] for subnet in system.subnets("private")}
    assert set(cluster["resourcesVpcConfig"]["subnetIds"]) == private
    assert cluster["accessConfig"]["authenticationMode"] == "API"


def check_nodes(system: System) -> None:
    cluster = expected(system)
    name = system.expected("eks_node_group_name", "django-workers")
    nodes = system.client("eks").describe_nodegroup(clusterName=cluster["name"], nodegroupName=name)["nodegroup"]
    assert nodes["status"] == "ACTIVE"
    assert nodes["instanceTypes"] == ["t3.medium"]
    sizes = {key: nodes["scalingConfig"][key] for key in ("minSize", "maxSize")}
    assert sizes == {"minSize": system.expected("eks_node_min_size", 1), "maxSize": system.expected("eks_node_max_size", 2)}
    private = {subnet["SubnetId"] for subnet in system.subnets("private")}
    machines = system.instances("node")
    assert len(machines) == nodes["scalingConfig"]["desiredSize"]
    for machine in machines:
        assert machine["SubnetId"] in private and "PublicIpAddress" not in machine
        assert group(system) in {entry["GroupId"] for entry in machine["SecurityGroups"]}


def check_addons(system: System) -> None:
    cluster = expected(system)
    eks = system.client("eks")
    found = {
        name: eks.describe_addon(clusterName=cluster["name"], addonName=name)["addon"]
        for name in eks.list_addons(clusterName=cluster["name"])["addons"]
    }
    assert set(found) >= ADDONS
    assert {name: addon["status"] for name, addon in found.items() if addon["status"] != "ACTIVE"} == {}


def check_pod_identities(system: System) -> None:
    cluster = expected(system)
    found = system.client("eks").list_pod_identity_associations(clusterName=cluster["name"])["associations"]
    whose = {(one["namespace"], one["serviceAccount"]) for one in found}
    assert {("django-app", "django-app"), ("monitoring", "prometheus"), ("kube-system", "aws-load-balancer-controller")} <= whose


def check_identity_provider(system: System) -> None:
    cluster = expected(system)
    issuer = cluster["identity"]["oidc"]["issuer"].removeprefix("https://")
    providers = system.client("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"]
    assert issuer in [provider["Arn"].partition(":oidc-provider/")[2] for provider in providers]


def check_subnet_tags(system: System) -> None:
    """Load balancers of ingresses find their subnets by them."""
    name = expected(system)["name"]
    for tier, tag in (("public", "kubernetes.io/role/elb"), ("private", "kubernetes.io/role/internal-elb")):
        for subnet in system.subnets(tier):
            tags = {entry["Key"]: entry["Value"] for entry in subnet["Tags"]}
            assert (tags.get(tag), tags.get(f"kubernetes.io/cluster/{name}")) == ("1", "shared"), subnet["SubnetId"]


def check_repository(system: System) -> None:
    expected(system)
    repository = only(system.client("ecr").describe_repositories(repositoryNames=[f"{system.prefix}-app"])["repositories"], "repository")
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert repository["imageScanningConfiguration"]["scanOnPush"]
