"""Add-ons: the records, with statuses that follow what runs in the cluster."""

from __future__ import annotations

import json
import uuid

import yaml
from moto.eks.models import Cluster, EKSBackend

from lab.api.eks.common import Parameters, add, arn, cluster_of, in_use, invalid, not_found, now, page, require_active, update
from lab.api.eks.identity import associate, dissociate

# Version that is proposed for the lab's Kubernetes; whether it needs rights in the account; namespace.
# coredns and metrics-server are what the lab builds (lab/kubernetes/go.mod).
CATALOGUE = {
    "vpc-cni": ("v1.21.1-eksbuild.1", True),
    "kube-proxy": ("v1.35.4-eksbuild.1", False),
    "coredns": ("v1.14.7-eksbuild.1", False),
    "metrics-server": ("v0.9.0-eksbuild.1", False),
    "eks-pod-identity-agent": ("v1.3.10-eksbuild.2", False),
    "aws-ebs-csi-driver": ("v1.54.0-eksbuild.1", True),
}
CLUSTER_VERSIONS = ("1.33", "1.34", "1.35")


def addon_of(eks: EKSBackend, parameters: Parameters) -> tuple[Cluster, dict]:
    cluster, name = cluster_of(eks, parameters), parameters["addonName"]
    if name not in cluster.lab_addons:
        raise not_found(f"No addon: {name} found in cluster: {cluster.name}", clusterName=cluster.name, addonName=name)
    return cluster, cluster.lab_addons[name]


def check(parameters: Parameters) -> None:
    name, version = parameters["addonName"], parameters.get("addonVersion")
    if name not in CATALOGUE:
        raise invalid(f"Addon {name} specified is not supported", addonName=name)
    if version and version != CATALOGUE[name][0]:
        raise invalid(f"Addon version specified is not supported: {version}", addonName=name)
    values = parameters.get("configurationValues")
    if values and not isinstance(parsed(values), dict):
        raise invalid("ConfigurationValue provided in request is not supported: it must be an object", addonName=name)


def parsed(values: str) -> object:
    """JSON or YAML, as EKS takes it."""
    try:
        return yaml.safe_load(values)
    except yaml.YAMLError as error:
        raise invalid(f"ConfigurationValue provided in request is not valid: {error}") from None


def create(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster, name = cluster_of(eks, parameters), parameters["addonName"]
    require_active(cluster)
    check(parameters)
    if name in cluster.lab_addons:
        raise in_use("Addon already exists.", clusterName=cluster.name, addonName=name)
    addon = {
        "addonName": name,
        "clusterName": cluster.name,
        "status": "CREATING",
        "addonVersion": parameters.get("addonVersion") or CATALOGUE[name][0],
        "health": {"issues": []},
        "addonArn": arn("addon", cluster.name, name, str(uuid.uuid4())),
        "createdAt": now(),
        "modifiedAt": now(),
        "tags": dict(parameters.get("tags") or {}),
        "podIdentityAssociations": [],
        "owner": "aws",
        "publisher": "eks",
    }
    for key in ("serviceAccountRoleArn", "configurationValues"):
        if parameters.get(key):
            addon[key] = parameters[key]
    cluster.lab_addons[name] = addon
    associate_identities(cluster, addon, parameters.get("podIdentityAssociations"))
    return {"addon": addon}


def associate_identities(cluster: Cluster, addon: dict, wanted: list[dict] | None) -> None:
    if wanted is None:
        return
    for association_arn in addon["podIdentityAssociations"]:
        dissociate(cluster, association_arn)
    namespace = "kube-system"
    made = [associate(cluster, namespace, entry["serviceAccount"], entry["roleArn"], owner=addon["addonArn"]) for entry in wanted]
    addon["podIdentityAssociations"] = [entry["associationArn"] for entry in made]


def update_addon(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster, addon = addon_of(eks, parameters)
    check(parameters)
    changed = {}
    for key in ("addonVersion", "serviceAccountRoleArn", "configurationValues"):
        if parameters.get(key) is not None:
            addon[key] = changed[key[0].upper() + key[1:]] = parameters[key]
    if parameters.get("podIdentityAssociations") is not None:
        associate_identities(cluster, addon, parameters["podIdentityAssociations"])
        changed["PodIdentityAssociations"] = parameters["podIdentityAssociations"]
    addon["modifiedAt"] = now()
    return update(cluster, "AddonUpdate", changed, addon=addon["addonName"])


def describe(eks: EKSBackend, parameters: Parameters) -> dict:
    return {"addon": addon_of(eks, parameters)[1]}


def list_addons(eks: EKSBackend, parameters: Parameters) -> dict:
    return page(list(cluster_of(eks, parameters).lab_addons), parameters, "addons")


def delete(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster, addon = addon_of(eks, parameters)
    if addon["status"] == "DELETING":
        raise in_use("Addon is already being deleted.", clusterName=cluster.name, addonName=addon["addonName"])
    addon["status"], addon["preserve"] = "DELETING", bool(parameters.get("preserve"))
    return {"addon": addon}


def versions(eks: EKSBackend, parameters: Parameters) -> dict:
    """DescribeAddonVersions."""
    wanted, kubernetes = parameters.get("addonName"), parameters.get("kubernetesVersion")
    if wanted and wanted not in CATALOGUE:
        raise not_found(f"Addon {wanted} specified is not supported", addonName=wanted)
    found = [
        {
            "addonName": name,
            "type": "networking" if name in ("vpc-cni", "kube-proxy", "coredns") else "observability",
            "owner": "aws",
            "publisher": "eks",
            "defaultNamespace": "kube-system",
            "addonVersions": [
                {
                    "addonVersion": version,
                    "architecture": ["amd64", "arm64"],
                    "computeTypes": ["ec2", "auto", "hybrid"],
                    "compatibilities": [
                        {"clusterVersion": cluster_version, "platformVersions": ["*"], "defaultVersion": True}
                        for cluster_version in CLUSTER_VERSIONS
                        if kubernetes in (None, cluster_version)
                    ],
                    "requiresConfiguration": False,
                    "requiresIamPermissions": needs_rights,
                }
            ],
        }
        for name, (version, needs_rights) in CATALOGUE.items()
        if wanted in (None, name)
    ]
    return page(found, parameters, "addons")


# --- for the controller


def wanted(cluster: Cluster) -> list[dict]:
    """What has to run: the account's add-ons and those that a cluster begins with."""
    found = [
        {"name": name, "status": addon["status"], "preserve": addon.get("preserve", False), "configuration": configuration(addon)}
        for name, addon in cluster.lab_addons.items()
    ]
    known = {addon["name"] for addon in found}
    return found + [
        {"name": name, "status": "ACTIVE", "preserve": False, "configuration": {}} for name in cluster.lab_self_managed if name not in known
    ]


def configuration(addon: dict) -> dict:
    return yaml.safe_load(addon.get("configurationValues") or "{}") or {}


def report(cluster: Cluster, found: dict[str, dict]) -> None:
    """`found`: by add-on its `status` ("ACTIVE", "DEGRADED", "CREATE_FAILED", "deleted") and `issues` as EKS words them."""
    for name, news in found.items():
        addon = cluster.lab_addons.get(name)
        if addon is None:
            continue
        if news["status"] == "deleted":
            if addon["status"] == "DELETING":
                for association_arn in addon["podIdentityAssociations"]:
                    dissociate(cluster, association_arn)
                del cluster.lab_addons[name]
        elif addon["status"] != "DELETING":
            addon["status"] = news["status"]
            addon["health"] = {"issues": json.loads(json.dumps(news.get("issues", [])))}


def install() -> None:
    for name, operation in {
        "create_addon": create,
        "update_addon": update_addon,
        "describe_addon": describe,
        "list_addons": list_addons,
        "delete_addon": delete,
        "describe_addon_versions": versions,
    }.items():
        add(name, operation)
