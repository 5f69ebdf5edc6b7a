"""AWS WAF: what moto lets pass. Nothing filters requests in the lab; what is configured can be looked at.

- a log goes to a log group that exists and whose name begins with aws-waf-logs-
- a resource has one web ACL, and one that is associated cannot be deleted
- a resource that WAF is asked to protect for the first time is not known to it yet
- ListResourcesForWebACL
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.core.common_types import TYPE_RESPONSE
from moto.core.exceptions import JsonRESTError
from moto.logs.models import logs_backends
from moto.wafv2.models import WAFV2Backend
from moto.wafv2.responses import WAFV2Response

PREFIX = "aws-waf-logs-"
# Of ListResourcesForWebACL; an application load balancer when nothing is said.
KINDS = {"APPLICATION_LOAD_BALANCER": ":loadbalancer/app/", "API_GATEWAY": ":/restapis/"}

# What AWS answers for a load balancer of the last minutes, one after the other.
NOT_YET = (
    ("WAFNonexistentItemException", "AWS WAF couldn't perform the operation because your resource doesn't exist."),
    ("WAFUnavailableEntityException", "AWS WAF couldn't retrieve the resource that you requested. Retry your request."),
)


def refusal(code: str, message: str) -> JsonRESTError:
    return JsonRESTError(code, message)


def check_destination(backend: WAFV2Backend, arn: str) -> None:
    """Refuse a place that AWS WAF cannot write to."""
    name = arn.partition(":log-group:")[2].removesuffix(":*")
    if not name.startswith(PREFIX):
        raise refusal(
            "WAFInvalidParameterException",
            f"Error reason: The ARN isn't valid., field: LOG_DESTINATION, parameter: {arn}",
        )
    if name not in logs_backends[backend.account_id][backend.region_name].groups:
        raise refusal("WAFLogDestinationPermissionIssueException", "Unable to deliver logs to the configured destination.")


def refuse_newcomer(backend: WAFV2Backend, arn: str) -> None:
    asked = backend.__dict__.setdefault("lab_asked", {})
    asked[arn] = asked.get(arn, 0) + 1
    if asked[arn] <= len(NOT_YET):
        raise refusal(*NOT_YET[asked[arn] - 1])


def list_resources_for_web_acl(self: WAFV2Response) -> TYPE_RESPONSE:
    body = json.loads(self.body)
    web_acl = self.wafv2_backend.wacls.get(body["WebACLArn"])
    if web_acl is None:
        raise refusal(*NOT_YET[0])
    mark = KINDS[body.get("ResourceType", "APPLICATION_LOAD_BALANCER")]
    return 200, {}, json.dumps({"ResourceArns": [arn for arn in web_acl.associated_resources if mark in arn]})


def install() -> None:
    put: Callable = WAFV2Backend.put_logging_configuration
    associate: Callable = WAFV2Backend.associate_web_acl
    delete: Callable = WAFV2Backend.delete_web_acl

    def put_logging_configuration(self: WAFV2Backend, arn: str, destinations: list[str], *more: Any) -> Any:
        for destination in destinations:
            check_destination(self, destination)
        return put(self, arn, destinations, *more)

    def associate_web_acl(self: WAFV2Backend, web_acl_arn: str, resource_arn: str) -> None:
        if web_acl_arn in self.wacls:
            refuse_newcomer(self, resource_arn)
            self.disassociate_web_acl(resource_arn)
        associate(self, web_acl_arn, resource_arn)

    def delete_web_acl(self: WAFV2Backend, name: str, scope: str, _id: str, lock_token: str) -> None:
        for arn, web_acl in self.wacls.items():
            if web_acl.id == _id and web_acl.associated_resources:
                raise refusal("WAFAssociatedItemException", "AWS WAF couldn't perform the operation because your resource is being used.")
            if web_acl.id == _id:
                self.logging_configurations.pop(arn, None)
        delete(self, name, scope, _id, lock_token)

    WAFV2Backend.put_logging_configuration = put_logging_configuration
    WAFV2Backend.associate_web_acl = associate_web_acl
    WAFV2Backend.delete_web_acl = delete_web_acl
    WAFV2Response.list_resources_for_web_acl = list_resources_for_web_acl
