"""Clusters: the checks that EKS makes, what it puts into the VPC, statuses that follow the control plane, changes."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.ec2.exceptions import InvalidSubnetIdError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.eks.models import Cluster, EKSBackend
from moto.eks.responses import EKSResponse

from lab.api import interfaces
from lab.api.eks import access, addons, node_groups
from lab.api.eks.common import (
    CALLER,
    Parameters,
    add,
    backend,
    check_name,
    cluster_of,
    in_use,
    invalid,
    invalid_request,
    not_found,
    page,
    require_active,
    update,
    wrap,
)
from lab.settings import SETTINGS

# Versions of which AWS gives standard support, with the month in which it ends; the newest is the default.
# https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html
VERSIONS = {"1.33": (2026, 7, 29), "1.34": (2026, 12, 2), "1.35": (2027, 3, 27)}
DEFAULT_VERSION = "1.35"
LOG_TYPES = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
# Of UpdateClusterConfig: what a request may change, one at a time, and the type of the update that comes of it.
CHANGES = {
    "resourcesVpcConfig": "VpcConfigUpdate",
    "logging": "LoggingUpdate",
    "accessConfig": "AccessConfigUpdate",
    "upgradePolicy": "UpgradePolicyUpdate",
    "deletionProtection": "DeletionProtectionUpdate",
}


def ec2() -> EC2Backend:
    return ec2_backends[SETTINGS.account_id][SETTINGS.region]


# --- creation


def create(original: Callable, self: EKSResponse) -> Any:
    """moto makes the record; what it leaves out of the request is put in here."""
    self.parse_parameters(self.normalized_request)
    wanted = self.params
    check_name(wanted["name"])
    if wanted["name"] not in self.eks_backend.clusters:
        check_creation(wanted)
    answer = original(self)
    complete(self.eks_backend.clusters[wanted["name"]], {**wanted, CALLER: self.access_key})
    return answer


def check_creation(wanted: Parameters) -> None:
    version = wanted.get("version") or DEFAULT_VERSION
    if version not in VERSIONS:
        raise invalid(f"unsupported Kubernetes version {version}", clusterName=wanted["name"])
    check_subnets(wanted["resourcesVpcConfig"].get("subnetIds") or [], wanted["name"])
    for config in wanted.get("encryptionConfig") or []:
        check_encryption(config)


def check_subnets(subnet_ids: list[str], name: str) -> list:
    try:
        subnets = [ec2().get_subnet(subnet_id) for subnet_id in subnet_ids]
    except InvalidSubnetIdError as error:
        raise invalid(error.message, clusterName=name) from None
    if len({subnet.availability_zone for subnet in subnets}) < 2:
        raise invalid("Subnets specified must be in at least two different AZs", clusterName=name)
    if len({subnet.vpc_id for subnet in subnets}) > 1:
        raise invalid("Subnets must be in the same VPC", clusterName=name)
    return subnets


def check_encryption(config: dict) -> None:
    if config.get("resources") != ["secrets"]:
        raise invalid("The resource type in the encryption config must be: secrets")


def complete(cluster: Cluster, wanted: Parameters) -> None:
    """The members that moto does not know, the cluster's security group and network interfaces."""
    cluster.status, cluster.version, cluster.platformVersion = "CREATING", wanted.get("version") or DEFAULT_VERSION, "eks.9"
    cluster.endpoint = cluster.certificate_authority = None
    cluster.identity = {"oidc": {"issuer": f"https://oidc.eks.{SETTINGS.region}.amazonaws.com/id/{secrets.token_hex(16).upper()}"}}
    cluster.health = {"issues": []}
    network = wanted.get("kubernetesNetworkConfig") or {}
    cluster.kubernetes_network_config = {
        "serviceIpv4Cidr": network.get("serviceIpv4Cidr") or "172.20.0.0/16",
        "ipFamily": network.get("ipFamily") or "ipv4",
        "elasticLoadBalancing": {"enabled": False},
    }
    asked = wanted.get("accessConfig") or {}
    cluster.access_config = {
        "authenticationMode": asked.get("authenticationMode") or "CONFIG_MAP",
        "bootstrapClusterCreatorAdminPermissions": asked.get("bootstrapClusterCreatorAdminPermissions", True),
    }
    cluster.upgrade_policy = {"supportType": (wanted.get("upgradePolicy") or {}).get("supportType") or "EXTENDED"}
    cluster.deletion_protection = bool(wanted.get("deletionProtection"))
    cluster.logging = logging_of(wanted.get("logging") or {})
    cluster.lab_updates, cluster.lab_addons, cluster.lab_entries, cluster.lab_associations = {}, {}, {}, {}
    cluster.lab_ready_nodes = set()
    cluster.lab_addresses = []
    put_into_network(cluster, wanted["resourcesVpcConfig"])
    access.admit_creator(cluster, wanted[CALLER])
    if wanted.get("bootstrapSelfManagedAddons", True):
        cluster.lab_self_managed = ["vpc-cni", "kube-proxy", "coredns"]
    else:
        cluster.lab_self_managed = []


def logging_of(asked: dict) -> dict:
    """Every type of log in one of two lists, as EKS answers them."""
    enabled = [kind for setup in asked.get("clusterLogging") or [] if setup.get("enabled") for kind in setup.get("types") or []]
    lists = [(sorted(enabled), True), ([kind for kind in LOG_TYPES if kind not in enabled], False)]
    return {"clusterLogging": [{"types": types, "enabled": on} for types, on in lists if types]}


def put_into_network(cluster: Cluster, config: dict) -> None:
    subnets = [ec2().get_subnet(subnet_id) for subnet_id in config["subnetIds"]]
    group = ec2().create_security_group(
        f"eks-cluster-sg-{cluster.name}-{secrets.randbelow(10**9):010d}",
        "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as well as any managed workloads.",
        vpc_id=subnets[0].vpc_id,
        tags={f"kubernetes.io/cluster/{cluster.name}": "owned", "aws:eks:cluster-name": cluster.name},
    )
    ec2().authorize_security_group_ingress(group.id, "-1", "-1", "-1", [], source_groups=[{"GroupId": group.id}])
    cluster.resources_vpc_config = {
        "subnetIds": config["subnetIds"],
        "securityGroupIds": config.get("securityGroupIds") or [],
        "clusterSecurityGroupId": group.id,
        "vpcId": subnets[0].vpc_id,
        "endpointPublicAccess": config.get("endpointPublicAccess", True),
        "endpointPrivateAccess": config.get("endpointPrivateAccess", False),
        "publicAccessCidrs": config.get("publicAccessCidrs") or ["0.0.0.0/0"],
    }
    groups = [group.id, *cluster.resources_vpc_config["securityGroupIds"]]
    # One in each of two zones; the first is the address of the lab's API server.
    zones = {subnet.availability_zone: subnet for subnet in reversed(subnets)}
    chosen = sorted(zones.values(), key=lambda subnet: subnets.index(subnet))[:2]
    cluster.lab_interfaces = [interfaces.create(ec2(), subnet.id, groups, f"Amazon EKS {cluster.name}") for subnet in chosen]


# --- changes


def update_config(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster = cluster_of(eks, parameters)
    require_active(cluster)
    asked = [name for name in CHANGES if parameters.get(name) is not None]
    if len(asked) != 1:
        raise invalid("Exactly one of the cluster's settings must be updated at a time.", clusterName=cluster.name)
    name = asked[0]
    before = copy.deepcopy(settings_of(cluster))
    apply_change(cluster, name, parameters[name])
    if settings_of(cluster) == before:
        raise invalid("The cluster is already at the desired configuration.", clusterName=cluster.name)
    return update(cluster, CHANGES[name], {name[0].upper() + name[1:]: parameters[name]})


def settings_of(cluster: Cluster) -> tuple:
    return (
        cluster.resources_vpc_config,
        cluster.logging,
        cluster.access_config,
        cluster.upgrade_policy,
        cluster.deletion_protection,
    )


def apply_change(cluster: Cluster, name: str, value: Any) -> None:
    if name == "resourcesVpcConfig":
        if value.get("subnetIds"):
            check_subnets(value["subnetIds"], cluster.name)
        merged = {**cluster.resources_vpc_config, **value}
        if not merged["endpointPublicAccess"] and not merged["endpointPrivateAccess"]:
            raise invalid("Private and public endpoint access cannot be false", clusterName=cluster.name)
        cluster.resources_vpc_config = merged
    elif name == "logging":
        cluster.logging = merge_logging(cluster.logging, value)
    elif name == "accessConfig":
        access.change_mode(cluster, value["authenticationMode"])
    elif name == "upgradePolicy":
        cluster.upgrade_policy = dict(value)
    else:
        cluster.deletion_protection = value


def merge_logging(known: dict, asked: dict) -> dict:
    """Types that the request does not name stay as they are."""
    enabled = {kind for setup in known["clusterLogging"] if setup["enabled"] for kind in setup["types"]}
    for setup in asked.get("clusterLogging") or []:
        enabled = enabled | set(setup["types"]) if setup.get("enabled") else enabled - set(setup["types"])
    return logging_of({"clusterLogging": [{"types": sorted(enabled), "enabled": True}]})


def update_version(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster = cluster_of(eks, parameters)
    require_active(cluster)
    known, order = parameters["version"], list(VERSIONS)
    if known not in VERSIONS or order.index(known) != order.index(cluster.version) + 1:
        raise invalid(f"Unsupported Kubernetes minor version update from {cluster.version} to {known}", clusterName=cluster.name)
    cluster.version = known
    return update(cluster, "VersionUpdate", {"Version": known, "PlatformVersion": cluster.platformVersion})


def associate_encryption(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster = cluster_of(eks, parameters)
    require_active(cluster)
    if cluster.encryption_config:
        raise invalid_request("Encryption is already enabled for the cluster.", clusterName=cluster.name)
    for config in parameters["encryptionConfig"]:
        check_encryption(config)
    cluster.encryption_config = parameters["encryptionConfig"]
    return update(cluster, "AssociateEncryptionConfig", {"EncryptionConfig": parameters["encryptionConfig"]})


def versions(eks: EKSBackend, parameters: Parameters) -> dict:
    """DescribeClusterVersions."""
    wanted = parameters.get("clusterVersions") or list(VERSIONS)
    unknown = [version for version in wanted if version not in VERSIONS]
    if unknown:
        raise invalid(f"unsupported Kubernetes version {unknown[0]}")
    found = [
        {
            "clusterVersion": version,
            "clusterType": "eks",
            "defaultVersion": version == DEFAULT_VERSION,
            "defaultPlatformVersion": "eks.9",
            "endOfStandardSupportDate": datetime(*VERSIONS[version], tzinfo=UTC),
            "status": "STANDARD_SUPPORT",
            "versionStatus": "STANDARD_SUPPORT",
            "kubernetesPatchVersion": f"{version}.4",
        }
        for version in sorted(wanted, reverse=True)
        if version == DEFAULT_VERSION or not parameters.get("defaultOnly")
    ]
    return page(found, parameters, "clusterVersions")


# --- removal


def delete(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster = cluster_of(eks, parameters)
    if cluster.nodegroups:
        raise in_use("Cluster has nodegroups attached", clusterName=cluster.name, nodegroupName=",".join(cluster.nodegroups))
    if cluster.deletion_protection:
        raise invalid_request(
            "Cluster has deletion protection enabled, disable it before you delete the cluster.", clusterName=cluster.name
        )
    cluster.status = "DELETING"
    return {"cluster": cluster}


def forget(eks: EKSBackend, cluster: Cluster) -> None:
    for interface in cluster.lab_interfaces:
        interfaces.delete(ec2(), interface)
    group = ec2().get_security_group_from_id(cluster.resources_vpc_config["clusterSecurityGroupId"])
    if group is not None:
        # EKS leaves it behind where something else still wears it; so does the lab, since EC2 then refuses.
        try:
            ec2().delete_security_group(group_id=group.id)
        except Exception as error:
            if getattr(error, "error_type", None) != "DependencyViolation":
                raise
    del eks.clusters[cluster.name]


# --- for the controller


def model(body: dict) -> dict:
    """Everything that clusters are made of, one step of their node groups taken."""
    eks = backend()
    for cluster in eks.clusters.values():
        node_groups.step(cluster)
    return {
        "clusters": [
            {
                "name": cluster.name,
                "arn": cluster.arn,
                "status": cluster.status,
                "version": cluster.version,
                "vpc_id": cluster.resources_vpc_config["vpcId"],
                "address": cluster.lab_interfaces[0].private_ip_address,
                "service_cidr": cluster.kubernetes_network_config["serviceIpv4Cidr"],
                "issuer": cluster.identity["oidc"]["issuer"],
                "nodes": node_groups.nodes(cluster),
                "ready_nodes": sorted(cluster.lab_ready_nodes),
                "addons": addons.wanted(cluster),
                "policies": access.bound_policies(cluster),
                "pod_identities": sorted({(a["namespace"], a["serviceAccount"]) for a in cluster.lab_associations.values()}),
            }
            for cluster in eks.clusters.values()
        ]
    }


def report(body: dict) -> dict:
    """The controller's word on the cluster `name`.

    `was` and `status` ("ACTIVE", "FAILED" or "deleted") with `endpoint` and `certificate_authority`; ignored when the status is no longer
    the one that the controller acted on. `ready_nodes`: instance ids of its Ready nodes. `drained`: ids of those that may go.
    `addons`: statuses and issues by add-on. `addresses`: where its pods' connections come from, if not from pod_cidr.
    """
    eks = backend()
    cluster = eks.clusters.get(body["name"])
    if cluster is None:
        return {"accepted": False}
    if "status" in body:
        if cluster.status != body["was"]:
            return {"accepted": False}
        if body["status"] == "deleted":
            forget(eks, cluster)
            return {"accepted": True}
        cluster.status = body["status"]
        cluster.endpoint = body.get("endpoint", cluster.endpoint)
        if "certificate_authority" in body:
            cluster.certificate_authority = {"data": body["certificate_authority"]}
    if "ready_nodes" in body:
        cluster.lab_ready_nodes = set(body["ready_nodes"])
        node_groups.step(cluster)
    cluster.lab_addresses = body.get("addresses", cluster.lab_addresses)
    node_groups.report_drained(cluster, body.get("drained", []))
    addons.report(cluster, body.get("addons", {}))
    return {"accepted": True}


def describe(eks: EKSBackend, parameters: Parameters) -> dict:
    if parameters["name"] not in eks.clusters:
        raise not_found(f"No cluster found for name: {parameters['name']}.")
    return {"cluster": eks.clusters[parameters["name"]]}


def install() -> None:
    wrap(EKSResponse, "create_cluster", create)
    for name, operation in {
        "describe_cluster": describe,
        "update_cluster_config": update_config,
        "update_cluster_version": update_version,
        "associate_encryption_config": associate_encryption,
        "describe_cluster_versions": versions,
        "delete_cluster": delete,
    }.items():
        add(name, operation)
