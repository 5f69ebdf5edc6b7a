"""The Kubernetes API, as far as the lab's own parts need it: JSON over HTTPS with a client certificate or a token."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from urllib.parse import quote, urlencode

MANAGER = "espalier-lab"
CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding", "APIService", "IngressClass", "MutatingWebhookConfiguration", "Node"}
TIMEOUT_SECONDS = 10


class ApiError(RuntimeError):
    """The API server refused; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class ApiClient:
    """Raises ApiError when the API server refuses, OSError when it does not answer."""

    def __init__(
        self, address: str, authority: Path, certificate: Path | None = None, key: Path | None = None, *, port: int = 443, token: str = ""
    ) -> None:
        self.address, self.port = address, port
        self.context = ssl.create_default_context(cafile=str(authority))
        if certificate:
            self.context.load_cert_chain(certificate, key)
        self.credentials = {"Authorization": f"Bearer {token}"} if token else {}
        self.connection: http.client.HTTPSConnection | None = None

    def request(self, method: str, path: str, body: dict | None = None, content_type: str = "application/json", **query: str):
        """The answer as JSON, as text where it is none."""
        target = path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type, "Accept": "application/json", **self.credentials}
        status, text = self._exchange(method, target, data, headers)
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = text
        if status >= 400:
            raise ApiError(status, parsed.get("message", text) if isinstance(parsed, dict) else text)
        return parsed

    def _exchange(self, method: str, target: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, str]:
        """Over the connection of before, a new one where that was closed meanwhile: a handshake costs more than most questions."""
        known = self.connection is not None
        if self.connection is None:
            self.connection = http.client.HTTPSConnection(self.address, self.port, timeout=TIMEOUT_SECONDS, context=self.context)
        try:
            self.connection.request(method, target, data, headers)
            answer = self.connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            self.connection = None
            if known:
                return self._exchange(method, target, data, headers)
            raise ConnectionError(str(error)) from error

    def ready(self) -> bool:
        try:
            return self.request("GET", "/readyz") == "ok"
        except (ApiError, OSError):
            return False

    def get(self, path: str, **query: str) -> dict | None:
        """None when there is no such thing."""
        try:
            return self.request("GET", path, **query)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def items(self, path: str, **query: str) -> list[dict]:
        return (self.get(path, **query) or {}).get("items", [])

    def apply(self, wanted: dict) -> dict:
        """Server-side apply: what `wanted` says becomes so, what others say beside it stays."""
        return self.request("PATCH", place(wanted), wanted, "application/apply-patch+yaml", fieldManager=MANAGER, force="true")

    def delete(self, path: str) -> None:
        """Without effect when it is gone."""
        try:
            self.request("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"})
        except ApiError as error:
            if error.status != 404:
                raise


def place(wanted: dict) -> str:
    """Where the API has an object."""
    group, kind, metadata = wanted["apiVersion"], wanted["kind"], wanted["metadata"]
    plural = f"{kind.lower()}es" if kind.endswith("s") else f"{kind[:-1].lower()}ies" if kind.endswith("cy") else f"{kind.lower()}s"
    root = f"/api/{group}" if group == "v1" else f"/apis/{group}"
    namespace = "" if kind in CLUSTER_WIDE else f"/namespaces/{metadata['namespace']}"
    return f"{root}{namespace}/{plural}/{quote(metadata['name'], safe=':')}"
