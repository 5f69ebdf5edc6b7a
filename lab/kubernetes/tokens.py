"""EKS's tokens: `k8s-aws-v1.` and, in base64, a presigned address of STS GetCallerIdentity, in which the cluster's name is signed.

Checked as aws-iam-authenticator does it; instead of asking STS, the signature is made again, since the lab knows the secrets.
https://github.com/kubernetes-sigs/aws-iam-authenticator#api-authorization-from-outside-a-cluster
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

PREFIX = "k8s-aws-v1."
# STS lets a presigned GetCallerIdentity pass for this long, whatever it says itself.
LIFE = timedelta(minutes=15)
SKEW = timedelta(minutes=5)
MAXIMUM_LENGTH = 16 << 10
CLUSTER_HEADER = "x-k8s-aws-id"
ALLOWED = {
    "action", "version", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-security-token",
    "x-amz-signature", "x-amz-signedheaders",
}  # fmt: skip
# AWS's endpoints of STS, and the lab's own.
HOSTS = re.compile(r"sts(-fips)?(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?(:443)?|(127\.0\.0\.1|localhost|10(\.\d{1,3}){3}):\d+")


class TokenError(ValueError):
    """The token is refused; the message says why."""


@dataclass(frozen=True)
class Secret:
    """Behind an access key: the secret, and the session token that belongs to temporary credentials."""

    key: str
    session_token: str | None


def check(token: str, cluster: str, secret_of: Callable[[str], Secret | None], now: datetime) -> str:
    """The access key that signed the token for this cluster.

    `secret_of` answers None for keys that are nobody's, whose signature cannot be looked at. Raises TokenError.
    """
    url = decode(token)
    parts = urlsplit(url)
    if not HOSTS.fullmatch(parts.netloc):
        raise TokenError(f"unexpected hostname {parts.netloc!r} in pre-signed URL")
    if parts.scheme not in ("https", "http") or (parts.scheme == "http" and "amazonaws" in parts.netloc):
        raise TokenError(f"unexpected scheme {parts.scheme!r} in pre-signed URL")
    if parts.path not in ("", "/"):
        raise TokenError("unexpected path in pre-signed URL")
    query = parse_qsl(parts.query, keep_blank_values=True)
    values = {name.lower(): value for name, value in query}
    if len(values) != len(query):
        raise TokenError("input token was not properly formatted: a parameter is there more than once")
    check_parameters(values, now)
    access_key = values["x-amz-credential"].split("/")[0]
    secret = secret_of(access_key)
    if secret is not None:
        if secret.session_token and not hmac.compare_digest(secret.session_token, values.get("x-amz-security-token", "")):
            raise TokenError("the security token included in the request is invalid")
        expected = signature(query, parts.netloc, cluster, secret.key)
        if not hmac.compare_digest(expected, values.get("x-amz-signature", "")):
            raise TokenError("the request signature does not match: another secret, or another cluster's token")
    return access_key


def decode(token: str) -> str:
    if len(token) > MAXIMUM_LENGTH:
        raise TokenError("token is too large")
    if not token.startswith(PREFIX):
        raise TokenError(f"token is missing expected {PREFIX!r} prefix")
    text = token.removeprefix(PREFIX)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise TokenError(f"input token was not properly formatted: {error}") from None


def check_parameters(values: dict[str, str], now: datetime) -> None:
    unknown = set(values) - ALLOWED
    if unknown:
        raise TokenError(f"non-whitelisted query parameter {sorted(unknown)[0]!r}")
    if values.get("action") != "GetCallerIdentity":
        raise TokenError("unexpected action parameter in pre-signed URL")
    if values.get("x-amz-algorithm") != "AWS4-HMAC-SHA256" or len(values.get("x-amz-credential", "").split("/")) != 5:
        raise TokenError("the pre-signed URL is not signed with AWS's signature version 4")
    if CLUSTER_HEADER not in values.get("x-amz-signedheaders", "").split(";"):
        raise TokenError(f"client did not sign the {CLUSTER_HEADER} header in the pre-signed URL")
    expires = values.get("x-amz-expires", "")
    if not expires.isdigit() or int(expires) > LIFE.total_seconds():
        raise TokenError(f"invalid X-Amz-Expires parameter in pre-signed URL: {expires!r}")
    try:
        made = datetime.strptime(values.get("x-amz-date", ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise TokenError("error parsing X-Amz-Date parameter") from None
    if now > made + LIFE:
        raise TokenError(f"X-Amz-Date parameter is expired ({LIFE.seconds // 60} minute expiration) {values['x-amz-date']}")
    if made > now + SKEW:
        raise TokenError("X-Amz-Date parameter is in the future")


def signature(query: list[tuple[str, str]], host: str, cluster: str, secret: str) -> str:
    """What AWS's signature version 4 makes of the request that the presigned address and the cluster's header are."""
    values = dict(query)
    names = values["X-Amz-SignedHeaders"].split(";")
    headers = {"host": host, CLUSTER_HEADER: cluster}
    if not set(names) <= set(headers):
        raise TokenError("the pre-signed URL signs headers that it does not hold")
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query if name != "X-Amz-Signature")
    canonical = "\n".join(
        (
            "GET",
            "/",
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{headers[name]}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(b"").hexdigest(),
        )
    )
    scope = values["X-Amz-Credential"].split("/")[1:]
    text = "\n".join(("AWS4-HMAC-SHA256", values["X-Amz-Date"], "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
