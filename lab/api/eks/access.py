"""Who may enter a cluster: access entries and access policies, and what they make of a token.

An access policy is EKS's own authorizer on AWS. Here it is a group, which the controller binds to the cluster role that comes nearest.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime

from moto.eks.models import Cluster, EKSBackend
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from lab.api.eks.common import (
    Parameters,
    add,
    arn,
    backend,
    cluster_of,
    in_use,
    invalid,
    invalid_request,
    not_found,
    now,
    page,
    require_active,
)
from lab.kubernetes import tokens
from lab.settings import SETTINGS

POLICY_ARN = "arn:aws:eks::aws:cluster-access-policy/"
# https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html
POLICIES = (
    "AmazonEKSAdminPolicy",
    "AmazonEKSAdminViewPolicy",
    "AmazonEKSClusterAdminPolicy",
    "AmazonEKSEditPolicy",
    "AmazonEKSViewPolicy",
)
ADMIN = "AmazonEKSClusterAdminPolicy"
MODES = ("CONFIG_MAP", "API_AND_CONFIG_MAP", "API")
NODE_TYPES = ("EC2_LINUX", "EC2_WINDOWS", "EC2", "FARGATE_LINUX", "HYBRID_LINUX")
GROUP_PREFIX = "eks:access-policy:"
# The lab's own profile, lab/aws/credentials: no secret.
PROFILE = {"espalier-lab": "espalier-lab"}


def sts():
    return sts_backends[SETTINGS.account_id]["aws"]


def iam():
    return iam_backends[SETTINGS.account_id]["aws"]


# --- callers


def secret_of(access_key: str) -> tokens.Secret | None:
    """The secret behind an access key that this account has given out; None for any other, which the API lets pass as well."""
    session = sts().get_assumed_role_from_access_key(access_key)
    if session:
        return tokens.Secret(session.secret_access_key, session.session_token)
    if access_key in PROFILE:
        return tokens.Secret(PROFILE[access_key], None)
    for key in iam().get_all_access_keys_for_all_users():
        if key.access_key_id == access_key:
            return tokens.Secret(key.secret_access_key, None)
    return None


def principal(access_key: str) -> tuple[str, str, str]:
    """ARN of the user or role behind an access key, the session's name (empty for a user), and the unique id."""
    session = sts().get_assumed_role_from_access_key(access_key)
    if session:
        return session.role_arn, session.session_name, session.user_id
    user_id, user_arn, _ = sts().get_caller_identity(access_key, SETTINGS.region)
    return user_arn, "", user_id


def authenticate(body: dict) -> dict:
    """Who the bearer of `token` is in the cluster `name`: `username`, `groups` and `uid`, or `refused` with the reason."""
    cluster = backend().clusters.get(body["name"])
    if cluster is None:
        return {"refused": "no such cluster"}
    try:
        access_key = tokens.check(body["token"], cluster.name, secret_of, datetime.now(UTC))
    except tokens.TokenError as error:
        return {"refused": str(error)}
    principal_arn, session, uid = principal(access_key)
    entry = cluster.lab_entries.get(principal_arn)
    if entry is None:
        return {"refused": f"{principal_arn} has no access entry"}
    groups = [*entry["kubernetesGroups"], *policy_groups(entry)]
    return {"username": entry["username"].replace("{{SessionName}}", session), "groups": groups, "uid": f"aws-iam-authenticator:{uid}"}


def policy_groups(entry: dict) -> list[str]:
    return [name for policy, namespace in bindings(entry) for name in [group_name(policy, namespace)]]


def bindings(entry: dict) -> list[tuple[str, str]]:
    """Policies of an entry by name, each with the namespace that it is for; an empty one for the whole cluster."""
    found = []
    for policy_arn, associated in entry["policies"].items():
        scope, name = associated["accessScope"], policy_arn.removeprefix(POLICY_ARN)
        found += [(name, "")] if scope["type"] == "cluster" else [(name, namespace) for namespace in scope["namespaces"]]
    return found


def group_name(policy: str, namespace: str) -> str:
    return GROUP_PREFIX + policy + (f":{namespace}" if namespace else "")


def bound_policies(cluster: Cluster) -> list[dict]:
    """What the controller has to bind: group, policy and namespace."""
    found = sorted({binding for entry in cluster.lab_entries.values() for binding in bindings(entry)})
    return [{"group": group_name(policy, namespace), "policy": policy, "namespace": namespace} for policy, namespace in found]


# --- entries


def admit_creator(cluster: Cluster, access_key: str) -> None:
    """Whoever makes a cluster is its administrator, unless the request says no. In the mode CONFIG_MAP nobody sees the entry."""
    if cluster.access_config["bootstrapClusterCreatorAdminPermissions"]:
        entry = make_entry(cluster, principal(access_key)[0])
        associate(entry, ADMIN, {"type": "cluster", "namespaces": []})


def admit_nodes(cluster: Cluster, role_arn: str) -> None:
    """EKS's own entry for the role of a managed node group."""
    if role_arn not in cluster.lab_entries:
        make_entry(cluster, role_arn, kind="EC2_LINUX")


def make_entry(cluster: Cluster, principal_arn: str, kind: str = "STANDARD", groups=(), username: str = "", tags=None) -> dict:
    owner, name = principal_arn.split(":", 5)[4:]
    path = name.split("/")
    if kind != "STANDARD":
        groups, username = ["system:nodes"], "system:node:{{EC2PrivateDNSName}}"
    elif not username:
        username = f"arn:aws:sts::{owner}:assumed-role/{path[-1]}/{{{{SessionName}}}}" if path[0] == "role" else principal_arn
    entry = {
        "clusterName": cluster.name,
        "principalArn": principal_arn,
        "kubernetesGroups": list(groups),
        "accessEntryArn": arn("access-entry", cluster.name, path[0], owner, path[-1], str(uuid.uuid4())),
        "createdAt": now(),
        "modifiedAt": now(),
        "tags": dict(tags or {}),
        "username": username,
        "type": kind,
        "policies": {},
    }
    cluster.lab_entries[principal_arn] = entry
    return entry


def change_mode(cluster: Cluster, mode: str) -> None:
    before = cluster.access_config["authenticationMode"]
    if MODES.index(mode) < MODES.index(before):
        raise invalid(f"Unsupported authentication mode update from {before} to {mode}", clusterName=cluster.name)
    cluster.access_config["authenticationMode"] = mode


def listening(eks: EKSBackend, parameters: Parameters) -> Cluster:
    """The cluster, when it knows access entries at all."""
    cluster = cluster_of(eks, parameters)
    require_active(cluster)
    if cluster.access_config["authenticationMode"] == "CONFIG_MAP":
        raise invalid_request(
            "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation.",
            clusterName=cluster.name,
        )
    return cluster


def entry_of(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster = listening(eks, parameters)
    if parameters["principalArn"] not in cluster.lab_entries:
        raise not_found(
            "The specified principalArn could not be found. You can view your available access entries with 'list-access-entries'."
        )
    return cluster.lab_entries[parameters["principalArn"]]


def create_entry(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster, principal_arn = listening(eks, parameters), parameters["principalArn"]
    # sts: what moto calls whoever signs with a key of his own.
    if not re.fullmatch(r"arn:aws:(iam|sts)::\d{12}:(role|user)/.+", principal_arn):
        raise invalid("The principalArn parameter format is not valid", clusterName=cluster.name)
    if principal_arn in cluster.lab_entries:
        raise in_use("The specified access entry resource is already in use on this cluster.", clusterName=cluster.name)
    kind = parameters.get("type") or "STANDARD"
    if kind != "STANDARD" and kind not in NODE_TYPES:
        raise invalid(f"The specified type {kind} is not valid", clusterName=cluster.name)
    if kind != "STANDARD" and (parameters.get("kubernetesGroups") or parameters.get("username")):
        raise invalid(f"An access entry of the type {kind} takes neither kubernetesGroups nor a username.", clusterName=cluster.name)
    check_names(parameters)
    entry = make_entry(
        cluster, principal_arn, kind, parameters.get("kubernetesGroups") or (), parameters.get("username") or "", parameters.get("tags")
    )
    return {"accessEntry": entry}


def check_names(parameters: Parameters) -> None:
    for group in parameters.get("kubernetesGroups") or []:
        if group.startswith(("system:", "eks:")):
            raise invalid(f"The kubernetes group name {group} is invalid, it cannot start with system:")
    if (parameters.get("username") or "").startswith(("system:", "eks:", "aws:", "amazon:", "iam:")):
        raise invalid("The username is invalid: it starts with a reserved word.")


def update_entry(eks: EKSBackend, parameters: Parameters) -> dict:
    entry = entry_of(eks, parameters)
    check_names(parameters)
    if parameters.get("kubernetesGroups") is not None:
        entry["kubernetesGroups"] = list(parameters["kubernetesGroups"])
    if parameters.get("username"):
        entry["username"] = parameters["username"]
    entry["modifiedAt"] = now()
    return {"accessEntry": entry}


def describe_entry(eks: EKSBackend, parameters: Parameters) -> dict:
    return {"accessEntry": entry_of(eks, parameters)}


def list_entries(eks: EKSBackend, parameters: Parameters) -> dict:
    policy = parameters.get("associatedPolicyArn")
    entries = listening(eks, parameters).lab_entries.values()
    return page([entry["principalArn"] for entry in entries if not policy or policy in entry["policies"]], parameters, "accessEntries")


def delete_entry(eks: EKSBackend, parameters: Parameters) -> dict:
    entry_of(eks, parameters)
    del cluster_of(eks, parameters).lab_entries[parameters["principalArn"]]
    return {}


# --- policies


def associate(entry: dict, policy: str, scope: dict) -> dict:
    known = entry["policies"].get(POLICY_ARN + policy, {})
    associated = {
        "policyArn": POLICY_ARN + policy,
        "accessScope": {"type": scope["type"], "namespaces": list(scope.get("namespaces") or [])},
        "associatedAt": known.get("associatedAt") or now(),
        "modifiedAt": now(),
    }
    entry["policies"][POLICY_ARN + policy] = associated
    return associated


def associate_policy(eks: EKSBackend, parameters: Parameters) -> dict:
    entry, scope = entry_of(eks, parameters), parameters["accessScope"]
    policy = parameters["policyArn"].removeprefix(POLICY_ARN)
    if policy not in POLICIES:
        raise invalid("The policyArn parameter format is not valid", clusterName=entry["clusterName"])
    if entry["type"] != "STANDARD":
        raise invalid(f"An access entry of the type {entry['type']} takes no access policy.", clusterName=entry["clusterName"])
    if (scope["type"] == "namespace") != bool(scope.get("namespaces")):
        raise invalid("Namespaces belong to an access scope of the type namespace, and to no other.", clusterName=entry["clusterName"])
    return {**names(entry), "associatedAccessPolicy": associate(entry, policy, scope)}


def names(entry: dict) -> dict:
    return {"clusterName": entry["clusterName"], "principalArn": entry["principalArn"]}


def disassociate_policy(eks: EKSBackend, parameters: Parameters) -> dict:
    entry = entry_of(eks, parameters)
    if parameters["policyArn"] not in entry["policies"]:
        raise not_found(f"{parameters['policyArn']} is not associated with this access entry.", clusterName=entry["clusterName"])
    del entry["policies"][parameters["policyArn"]]
    return {}


def list_associated(eks: EKSBackend, parameters: Parameters) -> dict:
    entry = entry_of(eks, parameters)
    return {**names(entry), **page(list(entry["policies"].values()), parameters, "associatedAccessPolicies")}


def list_policies(eks: EKSBackend, parameters: Parameters) -> dict:
    return page([{"name": name, "arn": POLICY_ARN + name} for name in POLICIES], parameters, "accessPolicies")


def install() -> None:
    for name, operation in {
        "create_access_entry": create_entry,
        "update_access_entry": update_entry,
        "describe_access_entry": describe_entry,
        "list_access_entries": list_entries,
        "delete_access_entry": delete_entry,
        "associate_access_policy": associate_policy,
        "disassociate_access_policy": disassociate_policy,
        "list_associated_access_policies": list_associated,
        "list_access_policies": list_policies,
    }.items():
        add(name, operation)
