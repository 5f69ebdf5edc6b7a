"""The pointer, its history, the log, pruning and the lock, on moto."""

from __future__ import annotations

import os
import subprocess
import threading

import boto3
import pytest
from ansible_collections.espalier.aws.plugins.module_utils import release_store, runs

from lab.api import s3
from tests.unit.moto_patches import client
from tests.unit.releases import BUCKET, PARAMETER, PREFIX, TAGS, WHERE, manifest
from tests.unit.run_module import run_module


@pytest.fixture
def shelf(store):
    """Put releases into the store; the n-th was made on the n-th of January."""
    mine = release_store.Store(client("s3"), BUCKET, PREFIX)

    def put(*versions: str) -> None:
        for number, version in enumerate(versions, 1):
            mine.write(manifest(version, f"2026-01-{number:02d}T00:00:00Z"), version, "manifest.json")
            mine.write({}, version, "release.tar.gz")

    return put


@pytest.fixture
def point(capsys):
    def run(version, **options):
        return run_module(capsys, "release_pointer", version=version, parameter=PARAMETER, tags=TAGS, **WHERE, **options)

    return run


@pytest.fixture
def info(capsys):
    return lambda: run_module(capsys, "release_info", parameter=PARAMETER, **WHERE)


@pytest.fixture
def lock(capsys):
    def run(state="present", run=None, **options):
        return run_module(capsys, "deploy_lock", state=state, run=run or runs.describe(os.getpid()), **WHERE, **options)

    return run


def test_the_pointer_moves_once(shelf, point, info):
    shelf("a", "b")
    assert info()["current"] == ""
    assert point("a", check_mode=True)["changed"] is True and info()["current"] == ""
    assert point("a")["changed"] is True
    assert point("a")["changed"] is False and len(info()["log"]) == 1
    assert point("b")["before"] == "a"
    found = info()
    assert (found["current"], found["previous"], found["last_good"]) == ("b", "a", "a")
    assert [(entry["what"], entry["from"], entry["to"], entry["result"]) for entry in found["log"]] == [
        ("deploy", "", "a", "succeeded"),
        ("deploy", "a", "b", "succeeded"),
    ]
    assert found["log"][0]["who"].startswith("arn:aws:")
    tags = client("ssm").list_tags_for_resource(ResourceType="Parameter", ResourceId=PARAMETER)["TagList"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == TAGS


def test_the_pointer_alone_is_read_without_the_store(shelf, point, capsys):
    shelf("a")
    point("a")
    found = run_module(capsys, "release_info", parameter=PARAMETER, details=False, **WHERE)
    assert found["current"] == "a" and "releases" not in found


def test_nothing_points_to_what_is_not_there(shelf, point, info):
    assert point("ghost")["failed"] is True
    assert info()["current"] == ""


def test_somebody_else_s_parameter_is_left_alone(shelf, point):
    shelf("a")
    client("ssm").put_parameter(Name=PARAMETER, Value="theirs", Type="String")
    assert "suite_release_parameter" in point("a")["msg"]


def test_a_failed_deploy_is_written_down_and_moves_nothing(shelf, point, info):
    shelf("a", "b")
    point("a")
    assert point("b", result="failed", reason="it answers 500")["current"] == "a"
    found = info()
    assert found["current"] == "a" and found["log"][-1]["reason"] == "it answers 500" and found["last_good"] == ""


def test_what_was_rolled_back_from_is_not_gone_back_to(shelf, point, info):
    shelf("a", "b", "c")
    for version in ("a", "b", "c"):
        point(version)
    point("b", what="rollback")
    assert (info()["current"], info()["last_good"]) == ("b", "a")
    point("a", what="rollback")
    assert (info()["current"], info()["last_good"]) == ("a", "")
    point("c")
    assert info()["last_good"] == "a"


def test_old_releases_go_by_number_and_never_those_that_may_serve(shelf, point, info):
    shelf("a", "b", "c", "d", "e")
    for version in ("a", "b", "a"):
        point(version)
    answer = point("b", keep=2)
    # a was before: it stays, though it is the oldest.
    assert answer["removed"] == ["c"]
    assert [entry["version"] for entry in info()["releases"]] == ["e", "d", "b", "a"]
    assert point("b", keep=2)["changed"] is False
    assert not [key for key in release_store.Store(client("s3"), BUCKET, PREFIX).keys("c")]


def test_keep_none_means_keep_all(shelf, point):
    shelf("a", "b", "c")
    assert point("c", keep=0)["removed"] == []


def test_rollback_to_a_release_that_is_gone_is_not_offered():
    log = [
        {"what": "deploy", "result": "succeeded", "from": "", "to": "a"},
        {"what": "deploy", "result": "succeeded", "from": "a", "to": "b"},
    ]
    assert release_store.standing("b", ["a", "b"], log, ["b"]) == {"current": "b", "previous": "", "last_good": ""}


# ---- the lock


def test_the_lock_is_taken_renewed_and_given_back(store, lock):
    first = lock(what="deploy")
    assert first["changed"] is False and first["lock"]["what"] == "deploy" and first["lock"]["owner"].startswith("arn:")
    again = lock()
    assert again["lock"]["since"] == first["lock"]["since"]
    assert lock("absent")["lock"] and lock("absent")["lock"] == {}
    assert "Contents" not in client("s3").list_objects_v2(Bucket=BUCKET)


def elsewhere() -> dict:
    return {"host": "elsewhere", "machine": "0" * 16, "process": 7, "started": "9"}


def test_somebody_else_s_lock_is_refused_and_kept(store, lock):
    lock(run=elsewhere())
    answer = lock()
    assert answer["failed"] is True and "elsewhere" in answer["msg"] and "unlock" in answer["msg"]
    assert lock("absent")["lock"] == {}
    assert lock()["failed"] is True


def test_unlock_removes_anybody_s(store, lock):
    lock(run=elsewhere())
    assert lock("forced", check_mode=True)["changed"] is True
    assert lock("forced")["lock"]["run"]["host"] == "elsewhere"
    assert lock("forced")["changed"] is False
    assert "failed" not in lock()


def test_a_lock_whose_time_is_over_is_taken_over(store, lock):
    lock(run=elsewhere(), ttl_seconds=-1)
    assert "time is over" in lock()["taken_over"]


def test_the_lock_of_a_dead_run_of_this_machine_is_taken_over(store, lock):
    process = subprocess.Popen(["sleep", "60"])
    run = runs.describe(process.pid)
    lock(run=run)
    assert lock()["failed"] is True
    process.kill()
    process.wait()
    assert "no more" in lock()["taken_over"]


def test_waiting_ends_when_the_lock_is_free(store, lock, monkeypatch):
    lock(run=elsewhere())
    threading.Timer(1.0, lambda: boto3.client("s3", "us-east-1").delete_object(Bucket=BUCKET, Key=f"{PREFIX}/lock.json")).start()
    assert "failed" not in lock(wait_seconds=20)


def test_of_many_who_try_at_once_one_gets_it(store, monkeypatch):
    # Taken back at the end: moto itself looks and writes in two steps.
    monkeypatch.setattr(s3.S3Response, "put_object", s3.S3Response.put_object)
    s3.install()
    mine = release_store.Store(client("s3"), BUCKET, PREFIX)
    got = []
    barrier = threading.Barrier(8)

    def attempt(number: int) -> None:
        barrier.wait()
        got.append(mine.write({"number": number}, "lock.json", IfNoneMatch="*"))

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got.count(True) == 1
