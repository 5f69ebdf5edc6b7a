"""ECR where the images are: a registry that is pushed to and pulled from (lab.kubernetes.registry).

- The images of a repository are those that the registry has: their tags, digests, sizes and manifests. What is deleted is deleted there.
- GetAuthorizationToken names the registry's own address as its `proxyEndpoint`, which is where images are pushed; a repository's URI is
  AWS's, and the lab's nodes know where that leads.

Without a registry (`ecr_registry` was not called) moto's records are all there is.
"""

from __future__ import annotations

import contextlib
import functools
import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.ecr.models import ECRBackend, Image, Repository
from moto.ecr.responses import ECRResponse

from lab.kubernetes.registry_client import Registry

TOKEN_LIFE = timedelta(hours=12)
_registry: Registry | None = None


def images(self: Repository) -> list[Image]:
    """moto's own list, brought up to date. It is the same list every time: moto changes it in place."""
    known: list[Image] = self.__dict__.setdefault("lab_images", [])
    if _registry is not None:
        # While it starts or ends: what was known last.
        with contextlib.suppress(OSError):
            follow(self, known, _registry)
    return known


def follow(repository: Repository, known: list[Image], registry: Registry) -> None:
    hidden: dict[str, str] = repository.__dict__.setdefault("lab_hidden_tags", {})
    by_digest = {image.image_digest: image for image in known}
    tags: dict[str, list[str]] = {}
    for tag in registry.tags(repository.name):
        digest = registry.digest(repository.name, tag)
        if digest and hidden.get(tag) != digest:
            tags.setdefault(digest, []).append(tag)
            if digest not in by_digest:
                manifest, media_type = registry.manifest(repository.name, digest)
                image = Image(repository.account_id, tag, manifest, repository.name, media_type, digest, repository.registry_id)
                by_digest[digest] = image
                known.append(image)
    for digest, image in by_digest.items():
        image.image_tags = tags.get(digest, [])
        image.image_tag = image.image_tags[-1] if image.image_tags else None


def size(self: Image) -> int | None:
    """All layers and the configuration, compressed as they are."""
    manifest = json.loads(self.image_manifest)
    parts = [*manifest.get("layers", []), *filter(None, [manifest.get("config")])]
    return sum(part.get("size", 0) for part in parts) or None


def batch_delete_image(original: Callable, self: ECRBackend, repository_name: str, *arguments: Any, **kwargs: Any) -> dict:
    repository = self.repositories.get(repository_name)
    before = {image.image_digest: list(image.image_tags) for image in repository.images} if repository else {}
    answer = original(self, repository_name, *arguments, **kwargs)
    if _registry is not None and repository is not None:
        after = {image.image_digest: image.image_tags for image in repository.__dict__["lab_images"]}
        for digest, tags in before.items():
            if digest not in after:
                _registry.delete(repository_name, digest)
            # The registry can only delete the image with all of its tags.
            for tag in set(tags) - set(after.get(digest, tags)):
                repository.__dict__["lab_hidden_tags"][tag] = digest
    return answer


def delete_repository(original: Callable, self: ECRBackend, repository_name: str, *arguments: Any, **kwargs: Any) -> Repository:
    repository = original(self, repository_name, *arguments, **kwargs)
    if _registry is not None:
        for image in repository.images:
            _registry.delete(repository_name, image.image_digest)
    return repository


def get_authorization_token(self: ECRResponse) -> ActionResult:
    data = []
    for registry_id in self._get_param("registryIds") or [self.current_account]:
        token = b64encode(f"AWS:{registry_id}-auth-token".encode()).decode()
        endpoint = _registry.url if _registry else f"https://{registry_id}.dkr.ecr.{self.region}.amazonaws.com"
        data.append({"authorizationToken": token, "expiresAt": datetime.now(UTC) + TOKEN_LIFE, "proxyEndpoint": endpoint})
    return ActionResult({"authorizationData": data})


def set_registry(body: dict) -> dict:
    """The registry serves at `url`."""
    global _registry
    if _registry is None or _registry.url != body["url"]:
        _registry = Registry(body["url"])
    return {}


ROUTES: dict[str, Callable[[dict], dict]] = {"ecr_registry": set_registry}


def _wrap(owner: type, name: str, replacement: Callable) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapper(self: Any, *arguments: Any, **kwargs: Any) -> Any:
        return replacement(original, self, *arguments, **kwargs)

    setattr(owner, name, wrapper)


def install() -> None:
    """Patch moto's ECR."""
    Repository.images = property(images, lambda self, value: None)
    Image.image_size_in_bytes = property(size)
    ECRResponse.get_authorization_token = get_authorization_token
    _wrap(ECRBackend, "batch_delete_image", batch_delete_image)
    _wrap(ECRBackend, "delete_repository", delete_repository)
