"""Access policies of EKS as bindings of the cluster roles that come nearest to what the policies allow."""

from __future__ import annotations

from lab.kubernetes.api_client import ApiClient, ApiError, place

LABEL = "espalier.lab/access-policy"
ADMIN_VIEW = "eks:admin-view"
# https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html
ROLES = {
    "AmazonEKSAdminPolicy": "admin",
    "AmazonEKSAdminViewPolicy": ADMIN_VIEW,
    "AmazonEKSClusterAdminPolicy": "cluster-admin",
    "AmazonEKSEditPolicy": "edit",
    "AmazonEKSViewPolicy": "view",
}
RBAC = "rbac.authorization.k8s.io/v1"


def converge(policies: list[dict], client: ApiClient) -> bool:
    """Bind what the account associates, unbind the rest. False while a namespace of one is still missing."""
    role = {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": ADMIN_VIEW}}
    client.apply({**role, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]})
    wanted = {place(entry): entry for entry in map(binding, policies)}
    selector = {"labelSelector": LABEL}
    known = [
        *((f"/apis/{RBAC}/clusterrolebindings", item) for item in client.items(f"/apis/{RBAC}/clusterrolebindings", **selector)),
        *(
            (f"/apis/{RBAC}/namespaces/{item['metadata']['namespace']}/rolebindings", item)
            for item in client.items(f"/apis/{RBAC}/rolebindings", **selector)
        ),
    ]
    for folder, item in known:
        path = f"{folder}/{item['metadata']['name']}"
        if path not in wanted:
            client.delete(path)
    complete = True
    for entry in wanted.values():
        try:
            client.apply(entry)
        except ApiError as error:
            # The namespace is not there yet.
            if error.status != 404:
                raise
            complete = False
    return complete


def binding(policy: dict) -> dict:
    """`policy` is an entry of `bound_policies` in lab.api.eks.access."""
    namespace = policy["namespace"]
    metadata = {"name": f"eks:{policy['policy']}", "labels": {LABEL: policy["policy"]}}
    return {
        "apiVersion": RBAC,
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {**metadata, "namespace": namespace} if namespace else metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ROLES[policy["policy"]]},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": policy["group"]}],
    }
