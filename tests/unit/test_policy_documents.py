"""Statements are spread over documents that AWS accepts, whole and in their order."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.espalier.aws.plugins.filter.policy_documents import length, policy_documents


def statement(number: int, actions: int = 20) -> dict:
    return {
        "Sid": f"S{number}",
        "Effect": "Allow",
        "Action": [f"service:DoSomething{index:04}" for index in range(actions)],
        "Resource": "*",
    }


def test_documents_are_short_whole_and_in_order():
    statements = [statement(number) for number in range(30)]
    documents = policy_documents(statements)
    assert len(documents) > 1
    assert all(length(document) <= 6144 for document in documents)
    assert [one for document in documents for one in document["Statement"]] == statements
    assert {document["Version"] for document in documents} == {"2012-10-17"}


def test_white_space_does_not_count():
    assert length({"a": [1, 2]}) == len('{"a":[1,2]}')


def test_one_document_where_it_fits():
    assert len(policy_documents([statement(1), statement(2)])) == 1
    assert policy_documents([]) == []


def test_a_statement_that_never_fits_is_refused():
    with pytest.raises(AnsibleFilterError, match="S1 alone"):
        policy_documents([statement(1, 400)])
