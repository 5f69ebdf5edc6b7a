"""What the lab's clusters take for a token of EKS, and what they refuse."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lab.kubernetes import tokens

SECRETS = {"AKIAKNOWN": tokens.Secret("secret", None), "ASIASESSION": tokens.Secret("secret", "session")}
QUERY = "Action=GetCallerIdentity&Version=2011-06-15"


def presigned(
    cluster="one", key="AKIAKNOWN", secret="secret", session=None, endpoint="https://sts.us-east-1.amazonaws.com", expires=60
) -> str:
    """An address as `aws eks get-token` has it signed, by botocore itself."""
    request = AWSRequest("GET", f"{endpoint}/?{QUERY}", headers={tokens.CLUSTER_HEADER: cluster} if cluster else {})
    SigV4QueryAuth(Credentials(key, secret, session), "sts", "us-east-1", expires=expires).add_auth(request)
    return request.url


def token(url: str) -> str:
    return tokens.PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def check(text: str, cluster: str = "one", now: datetime | None = None) -> str:
    return tokens.check(text, cluster, SECRETS.get, now or datetime.now(UTC))


@pytest.mark.parametrize(
    "endpoint", ["https://sts.us-east-1.amazonaws.com", "https://sts.amazonaws.com", "http://127.0.0.1:4566", "http://10.0.0.1:4566"]
)
def test_a_token_signed_by_botocore_passes(endpoint):
    assert check(token(presigned(endpoint=endpoint))) == "AKIAKNOWN"


def test_a_token_of_temporary_credentials_passes():
    assert check(token(presigned(key="ASIASESSION", session="session"))) == "ASIASESSION"


def test_a_key_that_is_nobodys_passes_as_it_does_everywhere_in_the_lab():
    assert check(token(presigned(key="AKIAOTHER", secret="any"))) == "AKIAOTHER"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (lambda: presigned(secret="wrong"), "signature"),
        (lambda: presigned(cluster="other"), "signature"),
        (lambda: presigned(key="ASIASESSION", session="stolen"), "security token"),
        (lambda: presigned(cluster=None), "did not sign"),
        (lambda: presigned(expires=3600), "X-Amz-Expires"),
        (lambda: presigned(endpoint="https://sts.us-east-1.amazonaws.com.evil.org"), "hostname"),
        (lambda: presigned(endpoint="http://sts.us-east-1.amazonaws.com"), "scheme"),
        (lambda: presigned().replace("GetCallerIdentity", "AssumeRole"), "action"),
        (lambda: presigned() + "&Foo=bar", "non-whitelisted"),
        (lambda: presigned() + "&Action=GetCallerIdentity", "more than once"),
        (lambda: presigned().replace(".com/?", ".com/path?"), "path"),
    ],
)
def test_what_is_refused(url, why):
    # Signed now: a token is old after 15 minutes, and the tests before this one may take as long.
    with pytest.raises(tokens.TokenError, match=why):
        check(token(url()))


def test_the_age_of_a_token():
    text = token(presigned())
    signed = datetime.now(UTC)
    assert check(text, now=signed + timedelta(minutes=14))
    with pytest.raises(tokens.TokenError, match="expired"):
        check(text, now=signed + timedelta(minutes=16))
    with pytest.raises(tokens.TokenError, match="future"):
        check(text, now=signed - timedelta(minutes=10))


@pytest.mark.parametrize(("text", "why"), [("Bearer x", "prefix"), ("k8s-aws-v1.!!!", "formatted"), ("k8s-aws-v1." + "a" * 20000, "large")])
def test_what_is_no_token_at_all(text, why):
    with pytest.raises(tokens.TokenError, match=why):
        check(text)
