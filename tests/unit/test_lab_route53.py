"""The lab's Route 53 refuses what AWS refuses: a record beside a CNAME record of its name."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from moto.route53.models import Route53Backend

from lab.api import route53 as addition
from tests.unit.moto_patches import client, patched

WWW = {"Name": "www.example.com", "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "shop.example.net"}]}
ADDRESS = {"Name": "www.example.com", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.7"}]}


@pytest.fixture
def change():
    with patched(addition, Route53Backend):
        zone = client("route53").create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]

        def change(*changes):
            batch = [{"Action": action, "ResourceRecordSet": record} for action, record in changes]
            client("route53").change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": batch})

        yield change


@pytest.mark.parametrize(
    ("first", "second", "word"), [(WWW, ADDRESS, "type CNAME with the same"), (ADDRESS, WWW, "conflicts with other records")]
)
def test_nothing_stands_beside_a_cname(change, first, second, word):
    change(("CREATE", first))
    with pytest.raises(ClientError, match=f"InvalidChangeBatch.*{word}"):
        change(("UPSERT", second))
    change(("UPSERT", first))
    change(("DELETE", first), ("CREATE", second))


def test_names_are_their_own_matter(change):
    change(("CREATE", WWW), ("CREATE", {**ADDRESS, "Name": "example.com"}), ("CREATE", {**WWW, "Name": "shop.example.com"}))
