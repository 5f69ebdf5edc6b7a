"""The HTTP API of a container registry, as far as the lab needs it.
https://github.com/opencontainers/distribution-spec/blob/main/spec.md"""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST_TYPES = ", ".join(
    (
        MANIFEST,
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
# Loopback needs no proxy, whatever the environment says.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Registry:
    """Raises OSError (urllib.error.HTTPError, URLError) when the registry refuses or does not answer."""

    def __init__(self, url: str, timeout_seconds: float = 30) -> None:
        self.url, self.timeout_seconds = url, timeout_seconds

    def request(self, method: str, path: str, data=None, **headers: str):
        request = urllib.request.Request(urljoin(self.url, path), data=data, method=method)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        return _opener.open(request, timeout=self.timeout_seconds)

    def tags(self, repository: str) -> list[str]:
        """Sorted; empty for a repository that nothing was pushed to."""
        try:
            with self.request("GET", f"/v2/{repository}/tags/list") as answer:
                return sorted(json.load(answer)["tags"] or [])
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise

    def digest(self, repository: str, tag: str) -> str | None:
        """Digest of the image behind a tag, None where there is none."""
        try:
            with self.request("HEAD", f"/v2/{repository}/manifests/{tag}", Accept=MANIFEST_TYPES) as answer:
                return answer.headers["Docker-Content-Digest"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def manifest(self, repository: str, reference: str) -> tuple[str, str]:
        """The manifest's own text, and its media type."""
        with self.request("GET", f"/v2/{repository}/manifests/{reference}", Accept=MANIFEST_TYPES) as answer:
            return answer.read().decode(), answer.headers["Content-Type"]

    def delete(self, repository: str, digest: str) -> None:
        """Without effect when it is gone."""
        try:
            self.request("DELETE", f"/v2/{repository}/manifests/{digest}").close()
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise

    # --- pushing

    def push(self, repository: str, tag: str, layers: list[Path], config: dict) -> str:
        """Push an image of uncompressed layers (tar files) and return its digest.

        `config` is what containers of it begin with (Entrypoint, User ...).
        """
        described = [self._push_layer(repository, layer) for layer in layers]
        body = {
            "architecture": "amd64",
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in described]},
        }
        data = json.dumps(body, sort_keys=True).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._push_blob(repository, digest, len(data), data)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest, "size": len(data)},
            "layers": described,
        }
        text = json.dumps(manifest, sort_keys=True).encode()
        with self.request("PUT", f"/v2/{repository}/manifests/{tag}", text, Content_Type=MANIFEST) as answer:
            return answer.headers["Docker-Content-Digest"]

    def _push_layer(self, repository: str, layer: Path) -> dict:
        size, digest = layer.stat().st_size, f"sha256:{file_digest(layer)}"
        self._push_blob(repository, digest, size, layer)
        return {"mediaType": LAYER, "digest": digest, "size": size}

    def _push_blob(self, repository: str, digest: str, size: int, data: bytes | Path) -> None:
        try:
            self.request("HEAD", f"/v2/{repository}/blobs/{digest}").close()
            return
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        with self.request("POST", f"/v2/{repository}/blobs/uploads/", b"") as answer:
            place = answer.headers["Location"]
        place += f"{'&' if '?' in place else '?'}digest={digest}"
        body = chunks(data) if isinstance(data, Path) else data
        self.request("PUT", place, body, Content_Type="application/octet-stream", Content_Length=str(size)).close()


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def chunks(path: Path, size: int = 1 << 20) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(size):
            yield block
