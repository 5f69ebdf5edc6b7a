"""IAM's decision: may these policies' owner do this, to this resource, with these circumstances.

A small part of AWS's evaluation, and the part that the suite's policies use: an explicit Deny wins, then one Allow is needed, in the
policies of the role and in its permissions boundary. Action, NotAction, Resource and NotResource with wildcards; the condition operators in
CONDITIONS, with IfExists, ForAllValues and ForAnyValue. Any other operator is an error, never silently true.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any


@cache
def pattern(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def like(value: str, wanted: str) -> bool:
    return pattern(wanted).fullmatch(value) is not None


def as_list(value: Any) -> list:
    return value if isinstance(value, list) else [value]


CONDITIONS = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringLike": like,
    "ArnEquals": like,
    "ArnLike": like,
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
}
NEGATED = {"StringNotEquals": "StringEquals", "StringNotLike": "StringLike", "ArnNotEquals": "ArnEquals", "ArnNotLike": "ArnLike"}


def holds(operator: str, key: str, wanted: Iterable[str], context: dict[str, Any]) -> bool:
    """One line of a condition. Keys are compared without case, as IAM does."""
    wanted = [str(value).lower() if isinstance(value, bool) else str(value) for value in wanted]
    found = {name.lower(): value for name, value in context.items()}.get(key.lower())
    quantifier, _, rest = operator.rpartition(":")
    optional, name = rest.endswith("IfExists"), rest.removesuffix("IfExists")
    if name == "Null":
        return (found is None) == (wanted[0] == "true")
    negated = name in NEGATED
    if found is None:
        return optional or quantifier == "ForAllValues" or (negated and not quantifier)
    test = CONDITIONS[NEGATED.get(name, name)]
    hits = [any(test(str(value), one) for one in wanted) != negated for value in as_list(found)]
    return all(hits) if quantifier == "ForAllValues" or (negated and not quantifier) else any(hits)


def matches(statement: dict, action: str, resource: str, context: dict[str, Any]) -> bool:
    if "Action" in statement:
        acts = any(like(action.lower(), one.lower()) for one in as_list(statement["Action"]))
    else:
        acts = not any(like(action.lower(), one.lower()) for one in as_list(statement["NotAction"]))
    if not acts:
        return False
    if "NotResource" in statement:
        reaches = not any(like(resource, one) for one in as_list(statement["NotResource"]))
    else:
        reaches = any(like(resource, one) for one in as_list(statement["Resource"]))
    lines = [(operator, key, wanted) for operator, keys in statement.get("Condition", {}).items() for key, wanted in keys.items()]
    return reaches and all(holds(operator, key, as_list(wanted), context) for operator, key, wanted in lines)


def verdict(statements: Iterable[dict], action: str, resource: str, context: dict[str, Any]) -> str:
    """`Allow`, `Deny` where a statement says so, or `nothing`."""
    effects = {one["Effect"] for one in statements if matches(one, action, resource, context)}
    return "Deny" if "Deny" in effects else "Allow" if "Allow" in effects else "nothing"


def refusal(policies: list[dict], boundary: dict | None, action: str, resource: str, context: dict[str, Any]) -> str:
    """Why it is refused, in AWS's words; empty where it is allowed."""
    sets = [("identity-based policy", [one for policy in policies for one in as_list(policy["Statement"])])]
    if boundary is not None:
        sets.append(("permissions boundary", as_list(boundary["Statement"])))
    said = [(name, verdict(statements, action, resource, context)) for name, statements in sets]
    for name, effect in said:
        if effect == "Deny":
            return f"with an explicit deny in {'an' if name.startswith('i') else 'a'} {name}"
    for name, effect in said:
        if effect == "nothing":
            return f"because no {name} allows the {action} action"
    return ""
