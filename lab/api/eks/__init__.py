"""EKS where moto answers at once and knows half of the calls. moto keeps the records of clusters and node groups; `lab.kubernetes` runs
them and reports here.

- A cluster is `CREATING` until its API server answers, and has neither endpoint nor certificate authority before; a node group is
  `CREATING` until its nodes are Ready; both are `DELETING` until nothing of them runs.
- A cluster makes its security group and network interfaces in its subnets, a node group a launch template, an instance profile and an
  auto scaling group, as EKS does: they hold on to what they use until the cluster is gone.
- Changes answer an update; they are made at once.
- Access entries and policies, add-ons, pod identity associations, tags of all of them, and the catalogues of versions, add-ons and
  access policies.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.api.eks import access, addons, clusters, common, identity, node_groups

ROUTES: dict[str, Callable[[dict], dict]] = {
    "eks_model": clusters.model,
    "eks_report": clusters.report,
    "eks_authenticate": access.authenticate,
    "eks_pod_credentials": identity.credentials,
}


def install() -> None:
    """Patch moto's EKS."""
    common.install()
    for part in (clusters, node_groups, access, addons, identity):
        part.install()
