"""What boto3's calls look like to the lab's API server, and which rights they need."""

from __future__ import annotations

import io

from botocore.awsrequest import AWSRequest

from lab.api import needs


def environ(client, operation: str, **parameters) -> dict:
    """The request as the server gets it."""
    seen: list[AWSRequest] = []

    def keep(request, **_more):
        seen.append(request)
        raise StopIteration

    client.meta.events.register_first(f"before-send.{client.meta.service_model.service_id.hyphenize()}.*", keep)
    try:
        getattr(client, operation)(**parameters)
    except StopIteration:
        pass
    finally:
        client.meta.events.unregister(f"before-send.{client.meta.service_model.service_id.hyphenize()}.*", keep)
    (request,) = seen
    path, _, query = request.url.partition("://")[2].partition("/")[2].partition("?")
    body = request.body or b""
    headers = {name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()}
    return {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": f"/{path}",
        "QUERY_STRING": query,
        "CONTENT_TYPE": headers.get("Content-Type", ""),
        "HTTP_AUTHORIZATION": headers.get("Authorization", ""),
        "HTTP_X_AMZ_TARGET": headers.get("X-Amz-Target"),
        "wsgi.input": io.BytesIO(body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else b""),
    }


def needed(client, operation: str, **parameters) -> dict[str, dict]:
    """Resource and context by action; a list where there are several resources."""
    found: dict[str, list] = {}
    for need in needs.needs_of(needs.call_of(environ(client, operation, **parameters))):
        found.setdefault(need.action, []).append((need.resource, need.context))
    return found
