"""Asked over AWS's API: the repository, what may be pushed to it, and how much of it stays."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

NAMES = {"defaults": "defaults-django-app", "altered": "shop/web"}


def repository(account) -> dict:
    return account.client("ecr").describe_repositories(repositoryNames=[NAMES[account.environment]])["repositories"][0]


def keeps(account) -> int:
    policy = account.client("ecr").get_lifecycle_policy(repositoryName=NAMES[account.environment])["lifecyclePolicyText"]
    (rule,) = json.loads(policy)["rules"]
    assert rule["action"] == {"type": "expire"}
    return rule["selection"]["countNumber"]


def test_defaults(defaults):
    found = repository(defaults)
    assert found["imageTagMutability"] == "IMMUTABLE"
    assert found["imageScanningConfiguration"]["scanOnPush"] is True
    assert found["encryptionConfiguration"]["encryptionType"] == "AES256"
    assert keeps(defaults) == 30


def test_altered(altered):
    found = repository(altered)
    assert found["imageTagMutability"] == "MUTABLE"
    assert found["imageScanningConfiguration"]["scanOnPush"] is False
    assert found["encryptionConfiguration"]["kmsKey"].endswith("000000000001")
    assert keeps(altered) == 5


def test_tags(account):
    tags = account.client("ecr").list_tags_for_resource(resourceArn=repository(account)["repositoryArn"])["tags"]
    found = {tag["Key"]: tag["Value"] for tag in tags}
    assert (found["Project"], found["Environment"]) == ("django", account.environment)
    assert found.get("Team") == ("shop" if account.environment == "altered" else None)


def test_gone(account):
    with pytest.raises(ClientError, match="RepositoryNotFound"):
        repository(account)
