from __future__ import annotations

from ansible_collections.espalier.aws.plugins.filter.release_table import release_table

WHO = "arn:aws:iam::123456789012:user/ada"


def release(version: str, age: int, **leaves: list[str]) -> dict:
    return {"version": version, "age_seconds": age, "made_by": WHO, "leaves": leaves}


def found(**more) -> dict:
    releases = [release("v2", 90, shop=["0002_b"]), release("v1", 2 * 86400, shop=["0001_a"])]
    return {"releases": releases, "current": "v2", "previous": "v1", "last_good": "v1", "log": [], "lock": {}, **more}


def test_places_ages_and_schema():
    head, new, old = release_table(found())
    assert head.split() == ["version", "age", "who", "place", "schema"]
    assert new.split() == ["v2", "1", "min", "user/ada", "current", "as", "now"]
    assert old.split() == ["v1", "2", "d", "user/ada", "previous+rollback", "shop", "0001_a"]


def test_the_log_s_newest_entry_is_first():
    log = [
        {"at": "2026-01-01T00:00:00Z", "what": "deploy", "from": "", "to": "v1", "result": "succeeded", "who": WHO},
        {"at": "2026-01-02T00:00:00Z", "what": "deploy", "from": "v1", "to": "v2", "result": "failed", "who": WHO},
    ]
    lines = release_table(found(log=log))
    assert lines[3] == ""
    assert lines[5].split() == ["2026-01-02T00:00:00Z", "deploy", "v1", "v2", "failed", "user/ada"]
    assert lines[6].split()[2] == "-"


def test_somebody_s_lock():
    lock = {"owner": WHO, "since": "2026-01-01T00:00:00Z", "what": "deploy"}
    assert release_table(found(lock=lock))[-1] == f"locked by {WHO} since 2026-01-01T00:00:00Z (deploy)"
