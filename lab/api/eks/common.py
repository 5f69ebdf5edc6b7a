"""What the parts of EKS share: operations that moto does not have, errors in EKS's words, pages, tags and updates."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.eks import urls
from moto.eks.exceptions import InvalidParameterException, InvalidRequestException, ResourceInUseException, ResourceNotFoundException
from moto.eks.models import Cluster, EKSBackend, Nodegroup, eks_backends
from moto.eks.responses import EKSResponse
from moto.moto_api._internal import mock_random

from lab.settings import SETTINGS

Parameters = dict[str, Any]
Operation = Callable[[EKSBackend, Parameters], dict]
# Named: moto's server makes a rule of Flask out of each, and leaves what has no name as it is.
PATHS = (r"{0}/clusters/(?P<rest>.+)$", r"{0}/addons/(?P<rest>.+)$", r"{0}/access-policies$", r"{0}/cluster-versions$")


def backend() -> EKSBackend:
    """EKS of the lab's one account and region."""
    return eks_backends[SETTINGS.account_id][SETTINGS.region]


def now() -> datetime:
    return datetime.now(UTC)


# --- operations


def add(name: str, operation: Operation) -> None:
    """Make `operation` the one that moto's EKS calls `name` (its API name in lower case with underscores).

    It is called with the account's records and the request's parameters by their names in the API, and answers the response's members.
    """

    def method(self: EKSResponse) -> ActionResult:
        # moto asks for it service by service, and not for EKS.
        self.parse_parameters(self.normalized_request)
        return ActionResult(operation(self.eks_backend, {**self.params, CALLER: self.access_key}))

    setattr(EKSResponse, name, method)


# Of an operation's parameters: the access key that signed the request.
CALLER = "lab:access_key"


def wrap(owner: type, name: str, replacement: Callable) -> None:
    """Call `replacement` with the original method in front of the original's own arguments."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapper(self: Any, *arguments: Any, **kwargs: Any) -> Any:
        return replacement(original, self, *arguments, **kwargs)

    setattr(owner, name, wrapper)


def page(found: list, parameters: Parameters, name: str) -> dict:
    """One page of a list, with the token of the next where there is one."""
    start, size = int(parameters.get("nextToken") or 0), int(parameters.get("maxResults") or 100)
    answer: dict = {name: found[start : start + size]}
    if start + size < len(found):
        answer["nextToken"] = str(start + size)
    return answer


# --- records


def cluster_of(eks: EKSBackend, parameters: Parameters) -> Cluster:
    """The cluster that the request names. Raises ResourceNotFoundException."""
    name = parameters.get("clusterName") or parameters.get("name")
    if name not in eks.clusters:
        raise not_found(f"No cluster found for name: {name}.", clusterName=name)
    return eks.clusters[name]


def require_active(cluster: Cluster) -> None:
    if cluster.status != "ACTIVE":
        raise InvalidRequestException(clusterName=cluster.name, message=f"Cluster '{cluster.name}' is not in ACTIVE status")


def not_found(message: str, **names: str) -> ResourceNotFoundException:
    return ResourceNotFoundException(message=message, **names)


def in_use(message: str, **names: str) -> ResourceInUseException:
    return ResourceInUseException(message=message, **names)


def invalid(message: str, **names: str) -> InvalidParameterException:
    return InvalidParameterException(message=message, **names)


def invalid_request(message: str, **names: str) -> InvalidRequestException:
    return InvalidRequestException(message=message, **names)


def arn(kind: str, *path: str) -> str:
    return f"arn:aws:eks:{SETTINGS.region}:{SETTINGS.account_id}:{kind}/{'/'.join(path)}"


def new_id(prefix: str) -> str:
    """An identifier as EKS makes them: the prefix and 17 letters and digits."""
    return f"{prefix}-{mock_random.get_random_string(17, lower_case=True)}"


# --- updates


def update(cluster: Cluster, kind: str, parameters: dict[str, Any], node_group: Nodegroup | None = None, addon: str | None = None) -> dict:
    """The record of a change that is already made. `parameters` by the names of UpdateParam."""
    made = {
        "id": str(mock_random.uuid4()),
        "status": "Successful",
        "type": kind,
        "params": [{"type": name, "value": value if isinstance(value, str) else repr(value)} for name, value in parameters.items()],
        "createdAt": now(),
        "errors": [],
    }
    cluster.lab_updates[made["id"]] = {**made, "of": (node_group.nodegroup_name if node_group else None, addon)}
    return {"update": made}


def describe_update(eks: EKSBackend, parameters: Parameters) -> dict:
    cluster = cluster_of(eks, parameters)
    found = cluster.lab_updates.get(parameters["updateId"])
    if found is None or found["of"] != (parameters.get("nodegroupName"), parameters.get("addonName")):
        raise not_found(f"No update found for ID: {parameters['updateId']}")
    return {"update": found}


def list_updates(eks: EKSBackend, parameters: Parameters) -> dict:
    of = (parameters.get("nodegroupName"), parameters.get("addonName"))
    found = [key for key, made in cluster_of(eks, parameters).lab_updates.items() if made["of"] == of]
    return page(found, parameters, "updateIds")


# --- tags


def tags_of(eks: EKSBackend, resource: str) -> dict[str, str]:
    """The tags of a cluster, node group, add-on, access entry or pod identity association, to be read and changed."""
    for cluster in eks.clusters.values():
        if cluster.arn == resource:
            return cluster.tags
        for group in cluster.nodegroups.values():
            if group.arn == resource:
                return group.tags
        for record in (*cluster.lab_addons.values(), *cluster.lab_entries.values(), *cluster.lab_associations.values()):
            if resource in (record.get("addonArn"), record.get("accessEntryArn"), record.get("associationArn")):
                return record["tags"]
    raise not_found(f"The resource {resource} was not found.")


def tag_resource(self: EKSBackend, resource_arn: str, tags: dict[str, str]) -> None:
    tags_of(self, resource_arn).update(tags)


def untag_resource(self: EKSBackend, resource_arn: str, tag_keys: list[str] | str) -> None:
    tags = tags_of(self, resource_arn)
    for key in [tag_keys] if isinstance(tag_keys, str) else tag_keys:
        tags.pop(key, None)


def list_tags_for_resource(self: EKSBackend, resource_arn: str) -> dict[str, str]:
    return tags_of(self, resource_arn)


def check_name(name: str) -> None:
    if not re.fullmatch(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}", name):
        raise invalid("The provided name must satisfy the regular expression ^[0-9A-Za-z][A-Za-z0-9\\-_]*", clusterName=name)


def untag(eks: EKSBackend, parameters: Parameters) -> dict:
    """moto takes one key of the query only."""
    untag_resource(eks, parameters["resourceArn"], parameters["tagKeys"])
    return {}


def install() -> None:
    for path in PATHS:
        # Behind moto's own, which are tried first.
        urls.url_paths.setdefault(path, EKSResponse.dispatch)
    EKSBackend.tag_resource = tag_resource
    EKSBackend.untag_resource = untag_resource
    EKSBackend.list_tags_for_resource = list_tags_for_resource
    add("untag_resource", untag)
    add("describe_update", describe_update)
    add("list_updates", list_updates)
