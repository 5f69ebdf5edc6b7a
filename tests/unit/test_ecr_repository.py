"""ecr_repository: made once, changed once, gone once; planned without a trace."""

from __future__ import annotations

import json

import pytest
from moto import mock_aws

from tests.unit.moto_patches import client
from tests.unit.run_module import run_module

NAME = "lab-django-app"
TAGS = {"Project": "django", "Environment": "lab"}


@pytest.fixture
def repository(capsys, monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield lambda **options: run_module(capsys, "ecr_repository", **{"name": NAME, "tags": TAGS, **options})


def look() -> list[dict]:
    return client("ecr").describe_repositories()["repositories"]


def test_a_repository_is_made_once_and_removed_once(repository):
    for state, changes in (("present", True), ("present", False), ("absent", True), ("absent", False)):
        before = look()
        assert repository(state=state, check_mode=True)["changed"] is changes
        assert look() == before
        answer = repository(state=state)
        assert answer["changed"] is changes
        assert len(look()) == (state == "present")
    assert answer["repository"] is None


def test_what_a_new_one_is_like(repository):
    made = repository()["repository"]
    assert made["uri"] == f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{NAME}"
    (found,) = look()
    assert (found["imageTagMutability"], found["imageScanningConfiguration"]["scanOnPush"]) == ("IMMUTABLE", True)
    assert found["encryptionConfiguration"]["encryptionType"] == "AES256"
    policy = json.loads(client("ecr").get_lifecycle_policy(repositoryName=NAME)["lifecyclePolicyText"])
    assert policy["rules"][0]["selection"] == {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 30}
    tags = client("ecr").list_tags_for_resource(resourceArn=made["arn"])["tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == TAGS


@pytest.mark.parametrize(
    "change",
    [{"immutable_tags": False}, {"scan_on_push": False}, {"keep_images": 5}, {"keep_images": 0}, {"tags": {"Team": "shop"}}],
    ids=str,
)
def test_a_setting_is_changed_once_and_taken_back_once(repository, change):
    repository()
    for options in (change, {}):
        before = look()
        assert repository(check_mode=True, **options)["changed"] is True
        assert look() == before
        assert repository(**options)["changed"] is True
        assert repository(**options)["changed"] is False


def test_images_go_with_it_only_by_force(repository):
    repository()
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {}, "layers": []}
    client("ecr").put_image(repositoryName=NAME, imageManifest=json.dumps(manifest), imageTag="1")
    answer = repository(state="absent")
    assert answer["failed"] and len(look()) == 1
    assert repository(state="absent", force=True)["changed"] is True
    assert look() == []
