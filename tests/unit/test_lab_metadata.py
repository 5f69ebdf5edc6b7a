"""Instance metadata: session tokens, and what a path answers."""

from __future__ import annotations

import pytest

from lab.metadata import look_up, sign, verify

KEY = b"k" * 32
NOW = 1_000_000
TREE = {"meta-data": {"instance-id": "i-1", "iam": {"security-credentials": {"role": lambda: "credentials"}}}, "user-data": b"\x1f\x8b"}


def test_a_token_is_its_instances_until_it_expires():
    token = sign(KEY, "i-1", NOW + 60)
    assert verify(KEY, token, "i-1", NOW)
    assert not verify(KEY, token, "i-1", NOW + 60)
    assert not verify(KEY, token, "i-2", NOW)
    assert not verify(b"x" * 32, token, "i-1", NOW)


@pytest.mark.parametrize("token", ["", "nonsense", "ä", "AAAA", sign(KEY, "i-1", NOW + 60)[:-4]])
def test_what_is_no_token_is_refused(token):
    assert not verify(KEY, token, "i-1", NOW)


def test_a_folder_lists_what_is_in_it():
    assert look_up(TREE, "meta-data/") == b"iam/\ninstance-id"
    assert look_up(TREE, "meta-data/iam/security-credentials/") == b"role"


def test_leaves_answer_and_others_do_not():
    assert look_up(TREE, "meta-data/instance-id") == b"i-1"
    assert look_up(TREE, "meta-data/iam/security-credentials/role") == b"credentials"
    assert look_up(TREE, "user-data") == b"\x1f\x8b"
    assert look_up(TREE, "meta-data/public-ipv4") is None
    assert look_up(TREE, "meta-data/instance-id/more") is None
