"""Route 53: no record of a name stands beside its CNAME record, which moto allows."""

from __future__ import annotations

from typing import Any

from moto.route53.exceptions import Route53ClientError
from moto.route53.models import Route53Backend


def key(record: dict[str, Any]) -> tuple[str, str]:
    return record["Name"].rstrip(".").lower(), record["Type"]


def refusal(words: str) -> Route53ClientError:
    return Route53ClientError("InvalidChangeBatch", f"[{words}]")


def refuse_beside_cname(there: set[tuple[str, str]], changes: list[dict[str, Any]], zone: str) -> None:
    """Raises InvalidChangeBatch, in AWS's words. Changes of a batch count in their order."""
    for change in changes:
        name, kind = key(change["ResourceRecordSet"])
        if change["Action"] == "DELETE":
            there.discard((name, kind))
            continue
        what = f"RRSet of type {kind} with DNS name {name}. is not permitted"
        others = {other for known, other in there if known == name} - {kind}
        if "CNAME" in others:
            raise refusal(f"{what} because a conflicting RRSet of type CNAME with the same DNS name already exists in zone {zone}")
        if others and kind == "CNAME":
            raise refusal(f"{what} as it conflicts with other records with the same DNS name in zone {zone}")
        there.add((name, kind))


def install() -> None:
    original = Route53Backend.change_resource_record_sets

    def change_resource_record_sets(self: Route53Backend, zoneid: str, change_list: list[dict[str, Any]]) -> None:
        zone = self.get_hosted_zone(zoneid)
        there = {key({"Name": one.name, "Type": one.type}) for one in zone.rrsets}
        refuse_beside_cname(there, change_list, zone.name)
        original(self, zoneid, change_list)

    Route53Backend.change_resource_record_sets = change_resource_record_sets
