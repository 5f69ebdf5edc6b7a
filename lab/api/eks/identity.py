"""Pod identities: the associations of service accounts with roles, and the credentials that come of one."""

from __future__ import annotations

import json

from moto.eks.models import Cluster, EKSBackend
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from lab.api.eks.common import Parameters, add, arn, backend, cluster_of, in_use, invalid, new_id, not_found, now, page
from lab.settings import SETTINGS

# Who assumes the role, on behalf of a pod.
SERVICE = "pods.eks.amazonaws.com"
AGENT = "eks-pod-identity-agent"
CREDENTIAL_SECONDS = 6 * 3600


def associate(cluster: Cluster, namespace: str, service_account: str, role_arn: str, *, owner: str | None = None, **rest) -> dict:
    """A new association. Raises EKS's errors."""
    if any((known["namespace"], known["serviceAccount"]) == (namespace, service_account) for known in cluster.lab_associations.values()):
        raise in_use(f"Association already exists: {cluster.name}/{namespace}/{service_account}", clusterName=cluster.name)
    check_role(role_arn)
    key = new_id("a")
    made = {
        "clusterName": cluster.name,
        "namespace": namespace,
        "serviceAccount": service_account,
        "roleArn": role_arn,
        "associationArn": arn("podidentityassociation", cluster.name, key),
        "associationId": key,
        "tags": dict(rest.get("tags") or {}),
        "createdAt": now(),
        "modifiedAt": now(),
        "disableSessionTags": bool(rest.get("disableSessionTags")),
    }
    if owner:
        made["ownerArn"] = owner
    cluster.lab_associations[key] = made
    return made


def check_role(role_arn: str) -> None:
    if not any(role.arn == role_arn for role in iam_backends[SETTINGS.account_id]["aws"].roles.values()):
        raise invalid(f"Role provided in the request does not exist: {role_arn}")


def dissociate(cluster: Cluster, association_arn: str) -> None:
    for key, known in list(cluster.lab_associations.items()):
        if known["associationArn"] == association_arn:
            del cluster.lab_associations[key]


def association_of(eks: EKSBackend, parameters: Parameters) -> tuple[Cluster, dict]:
    cluster, key = cluster_of(eks, parameters), parameters["associationId"]
    if key not in cluster.lab_associations:
        raise not_found(f"The pod identity association {key} was not found.", clusterName=cluster.name)
    return cluster, cluster.lab_associations[key]


def create(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster = cluster_of(eks, parameters)
    rest = {name: parameters.get(name) for name in ("tags", "disableSessionTags")}
    return {"association": associate(cluster, parameters["namespace"], parameters["serviceAccount"], parameters["roleArn"], **rest)}


def update_association(eks: EKSBackend, parameters: Parameters) -> dict:
    association = association_of(eks, parameters)[1]
    if parameters.get("roleArn"):
        check_role(parameters["roleArn"])
        association["roleArn"] = parameters["roleArn"]
    if parameters.get("disableSessionTags") is not None:
        association["disableSessionTags"] = parameters["disableSessionTags"]
    association["modifiedAt"] = now()
    return {"association": association}


def describe(eks: EKSBackend, parameters: Parameters) -> dict:
    return {"association": association_of(eks, parameters)[1]}


def list_associations(eks: EKSBackend, parameters: Parameters) -> dict:
    found = [
        association
        for association in cluster_of(eks, parameters).lab_associations.values()
        if parameters.get("namespace") in (None, association["namespace"])
        and parameters.get("serviceAccount") in (None, association["serviceAccount"])
    ]
    return page(found, parameters, "associations")


def delete(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster, association = association_of(eks, parameters)
    del cluster.lab_associations[association["associationId"]]
    return {"association": association}


def credentials(body: dict) -> dict:
    """What EKS Auth's AssumeRoleForPodIdentity gives a pod of `namespace` and `service_account` in the cluster `name`, with the pod's
    name `pod`: temporary credentials, or `refused` with the reason."""
    cluster = backend().clusters.get(body["name"])
    if cluster is None or AGENT not in cluster.lab_addons:
        return {"refused": f"the cluster has no add-on {AGENT}"}
    wanted = (body["namespace"], body["service_account"])
    found = [a for a in cluster.lab_associations.values() if (a["namespace"], a["serviceAccount"]) == wanted]
    if not found:
        return {"refused": f"no pod identity association for {'/'.join(wanted)}"}
    role_arn = found[0]["roleArn"]
    role = next((role for role in iam_backends[SETTINGS.account_id]["aws"].roles.values() if role.arn == role_arn), None)
    trust = json.dumps(role.assume_role_policy_document) if role else ""
    if SERVICE not in trust or "sts:TagSession" not in trust:
        return {"refused": f"{role_arn} does not trust {SERVICE} with sts:AssumeRole and sts:TagSession"}
    session = sts_backends[SETTINGS.account_id]["aws"].assume_role(
        region_name=SETTINGS.region,
        role_session_name=f"eks-{cluster.name}-{body['pod']}"[:64],
        role_arn=role_arn,
        policy="",
        duration=CREDENTIAL_SECONDS,
        external_id="",
    )
    return {
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "Token": session.session_token,
        "AccountId": SETTINGS.account_id,
        "Expiration": session.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def install() -> None:
    for name, operation in {
        "create_pod_identity_association": create,
        "update_pod_identity_association": update_association,
        "describe_pod_identity_association": describe,
        "list_pod_identity_associations": list_associations,
        "delete_pod_identity_association": delete,
    }.items():
        add(name, operation)
