"""Who may take the deployment role from GitHub: jobs of one environment of one repository, by either form of GitHub's subjects."""

from __future__ import annotations

import json

import pytest

from lab.api.policies import as_list, like
from tests.unit.deployment_role import rendered

REPOSITORY = {"deployment_role_github_repository": "you/shop"}
NUMBERS = {"deployment_role_github_owner_id": "123", "deployment_role_github_repository_id": "456"}
SUBJECT = "token.actions.githubusercontent.com:sub"


def trusted(subject: str, **values: str | list[str]) -> bool:
    found = rendered("production", json.dumps(values, sort_keys=True))["trust"]["Statement"]
    (statement,) = [one for one in found if one["Sid"] == "GitHubActions"]
    return any(like(subject, pattern) for pattern in as_list(statement["Condition"]["StringLike"][SUBJECT]))


def test_without_a_repository_nobody_comes_from_github():
    assert [one["Sid"] for one in rendered("production")["trust"]["Statement"]] == ["Administrators"]


def test_a_job_of_the_environment_is_trusted():
    assert trusted("repo:you/shop:environment:production", **REPOSITORY)
    assert trusted("repo:you/shop:environment:production", **REPOSITORY, **NUMBERS)
    assert trusted("repo:you@123/shop@456:environment:production", **REPOSITORY, **NUMBERS)


@pytest.mark.parametrize(
    "subject",
    [
        "repo:you/other:environment:production", "repo:you/shop-2:environment:production", "repo:you-2/shop:environment:production",
        "repo:you/shop:environment:staging", "repo:you/shop:environment:production-2", "repo:you/shop:pull_request",
        "repo:you/shop:ref:refs/heads/main", "repo:you@124/shop@456:environment:production", "repo:you@123/shop@457:environment:production",
        "repo:you@123/shop@456:environment:staging", "repo:you@123/shop@456:pull_request", "repo:you@1234/shop@456:environment:production",
    ],
)  # fmt: skip
def test_nobody_else_is(subject):
    assert not trusted(subject, **REPOSITORY)
    assert not trusted(subject, **REPOSITORY, **NUMBERS)


def test_subjects_of_one_s_own_get_the_numbers_too():
    own = {**REPOSITORY, **NUMBERS, "deployment_role_github_subjects": ["repo:you/shop:ref:refs/heads/main"]}
    assert trusted("repo:you/shop:ref:refs/heads/main", **own) and trusted("repo:you@123/shop@456:ref:refs/heads/main", **own)
    assert not trusted("repo:you@123/shop@456:environment:production", **own)


def test_numbers_that_are_not_given_are_not_guessed():
    assert not trusted("repo:you@123/shop@456:environment:production", **REPOSITORY)
