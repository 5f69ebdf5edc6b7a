"""IAM's rights, enforced: whoever acts with a role's credentials may do what the role's policies and its permissions boundary allow.

moto has an enforcement of its own, which judges actions and neither resources nor conditions. Here each request is asked which rights it
needs (`needs.py`), and each right is judged with its resource and its circumstances (`policies.py`).

- `rights` (control route): `{"mode": "enforce"}` refuses what is not allowed, `record` only writes it down, `off` does neither;
  `{"forget": true}` forgets what was written down
- it answers what was needed so far, by role: action, resource, circumstances, and why it was (or would have been) refused
- requests that are signed with a key of no role are the account's owner, and may do everything

IAM's SimulatePrincipalPolicy, which moto lacks, is answered by the same judge, for roles, in every mode.

Off when the lab starts. Not judged: resource-based policies (a bucket's), service control policies, session policies.
"""

from __future__ import annotations

import json
from typing import Any
from xml.sax.saxutils import escape

from moto.core.responses import ActionResult
from moto.iam.responses import IamResponse

from lab.api import needs, policies

MODES = ("off", "record", "enforce")
mode = "off"
# (role, action, resource): refusal, empty where it was allowed, and circumstances. A role of "" is the account's owner.
recorded: dict[tuple[str, str, str], tuple[str, dict]] = {}


def role_of(key: str) -> str:
    """Name of the role whose session has this access key; empty where it is nobody's."""
    from moto.sts.models import sts_backends

    sessions = sts_backends[needs.ACCOUNT]["aws"].assumed_roles
    return next((one.role_arn.rpartition("/")[2] for one in sessions if one.access_key_id == key), "")


def document(text: Any) -> dict:
    return json.loads(text) if isinstance(text, str) else text


def default_version(policy: Any) -> dict:
    """What a managed policy says now."""
    return document(next(version.document for version in policy.versions if version.version_id == policy.default_version_id))


def policies_of(role: str) -> tuple[list[dict], dict | None]:
    """The role's own and attached policies, and its permissions boundary."""
    from moto.iam.models import iam_backends

    backend = iam_backends[needs.ACCOUNT]["aws"]
    found = next((one for one in backend.roles.values() if one.name == role), None)
    if found is None:
        return [], None
    own = [document(text) for text in found.policies.values()]
    attached = [default_version(policy) for policy in found.managed_policies.values()]
    name = needs.boundary_of(role).get("iam:PermissionsBoundary")
    boundary = default_version(backend.managed_policies[name]) if name in backend.managed_policies else None
    return own + attached, boundary


def judge(environ: dict) -> tuple[needs.Call, str] | None:
    """None where the request may pass; else the call, and why not, in AWS's words."""
    if mode == "off":
        return None
    call = needs.call_of(environ)
    if call is None:
        return None
    role = role_of(needs.key_of(environ))
    own, boundary = policies_of(role) if role else ([], None)
    refused = []
    for need in needs.needs_of(call):
        reason = policies.refusal(own, boundary, need.action, need.resource, need.context) if role else ""
        recorded[role, need.action, need.resource] = (reason, need.context)
        if reason:
            who = f"arn:aws:sts::{needs.ACCOUNT}:assumed-role/{role}"
            refused.append(f"User: {who} is not authorized to perform: {need.action} on resource: {need.resource} {reason}")
    return (call, refused[0]) if refused and mode == "enforce" else None


EC2 = "<Response><Errors><Error><Code>UnauthorizedOperation</Code>{}</Error></Errors><RequestID>lab</RequestID></Response>"
S3 = "<Error><Code>AccessDenied</Code>{}<RequestId>lab</RequestId></Error>"
QUERY = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>{}</Error><RequestId>lab</RequestId></ErrorResponse>"


def answer(call: needs.Call, message: str) -> tuple[str, str, bytes]:
    """Status, content type and body of a refusal, as the service's protocol has it."""
    form = {"ec2": EC2, "s3": S3}.get(call.service) or (QUERY if "Action" in call.parameters else "")
    if form:
        return "403 Forbidden", "text/xml", form.format(f"<Message>{escape(message)}</Message>").encode()
    body = json.dumps({"__type": "AccessDeniedException", "message": message}).encode()
    return ("403 Forbidden" if call.path else "400 Bad Request"), "application/x-amz-json-1.1", body


def control(body: dict) -> dict:
    global mode
    wanted = body.get("mode", mode)
    if wanted not in MODES:
        raise ValueError(f"mode is {wanted!r}, and none of {', '.join(MODES)}")
    mode = wanted
    if body.get("forget"):
        recorded.clear()
    rows = [
        {"role": role, "action": action, "resource": resource, "context": context, "refused": reason}
        for (role, action, resource), (reason, context) in recorded.items()
    ]
    return {"mode": mode, "needs": rows}


ROUTES = {"rights": control}


def simulate_principal_policy(self: IamResponse) -> ActionResult:
    """Of roles only, and without circumstances: nobody here asks about more."""
    role = self._get_param("PolicySourceArn").partition(":role/")[2]
    self.backend.get_role(role)
    own, boundary = policies_of(role)
    results = []
    for action in self._get_param("ActionNames"):
        for resource in self._get_param("ResourceArns", ["*"]):
            reason = policies.refusal(own, boundary, action, resource, {})
            decision = "allowed" if not reason else "explicitDeny" if "explicit deny" in reason else "implicitDeny"
            results.append({"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": decision})
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def install() -> None:
    """Requests are judged by the server, before moto sees them."""
    IamResponse.simulate_principal_policy = simulate_principal_policy
