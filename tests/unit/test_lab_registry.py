"""The lab's ECR: what the API says of images is what the registry has."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from botocore.exceptions import ClientError
from moto.ecr.models import ECRBackend, Image, Repository
from moto.ecr.responses import ECRResponse

from lab.api import ecr
from lab.kubernetes.registry_client import MANIFEST, Registry
from tests.unit.moto_patches import client, patched


class Store(BaseHTTPRequestHandler):
    """A registry in memory, as far as the distribution specification goes for a push and a look."""

    blobs: ClassVar[dict[str, bytes]] = {}
    manifests: ClassVar[dict[tuple[str, str], tuple[bytes, str]]] = {}
    tags: ClassVar[dict[tuple[str, str], str]] = {}

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def parts(self) -> tuple[str, str, str]:
        repository, _, rest = self.path.removeprefix("/v2/").partition("/manifests/")
        if rest:
            return repository, "manifests", rest
        repository, _, rest = self.path.removeprefix("/v2/").partition("/blobs/")
        return (repository, "blobs", rest) if rest else (self.path.removeprefix("/v2/").removesuffix("/tags/list"), "tags", "")

    def do_GET(self) -> None:
        repository, kind, reference = self.parts()
        if kind == "tags":
            found = [tag for name, tag in self.tags if name == repository]
            return self.reply(200, json.dumps({"tags": found}).encode()) if found else self.reply(404)
        if kind == "blobs":
            return self.reply(200 if reference in self.blobs else 404)
        digest = self.tags.get((repository, reference), reference)
        if (repository, digest) not in self.manifests:
            return self.reply(404)
        body, media_type = self.manifests[(repository, digest)]
        return self.reply(200, body, Content_Type=media_type, Docker_Content_Digest=digest)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.reply(202, Location=f"{self.path}one?_state=x")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        repository, kind, reference = self.parts()
        if kind == "blobs":
            assert reference.endswith(f"digest={digest}")
            self.blobs[digest] = body
            return self.reply(201)
        manifest = json.loads(body)
        assert all(blob["digest"] in self.blobs for blob in [manifest["config"], *manifest["layers"]])
        self.manifests[(repository, digest)] = (body, self.headers["Content-Type"])
        self.tags[(repository, reference)] = digest
        return self.reply(201, Docker_Content_Digest=digest)

    def do_DELETE(self) -> None:
        repository, _, digest = self.parts()
        self.manifests.pop((repository, digest), None)
        for key in [key for key, value in self.tags.items() if value == digest]:
            del self.tags[key]
        self.reply(202)

    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[Registry]:
    Store.blobs, Store.manifests, Store.tags = {}, {}, {}
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Registry(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


@pytest.fixture
def account(registry, monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(ecr, "_registry", None)
    with patched(ecr, ECRBackend, Repository, Image, ECRResponse):
        client("ecr").create_repository(repositoryName="django-app")
        ecr.set_registry({"url": registry.url})
        yield


def push(registry, tmp_path, tag: str, text: str = "one") -> str:
    layer = tmp_path / f"{text}.tar"
    entry = tarfile.TarInfo("file")
    entry.size = len(text)
    with tarfile.open(layer, "w") as archive:
        archive.addfile(entry, io.BytesIO(text.encode()))
    return registry.push("django-app", tag, [layer], {"Entrypoint": ["/file"]})


def described(**options) -> list[dict]:
    return client("ecr").describe_images(repositoryName="django-app", **options)["imageDetails"]


def test_what_is_pushed_is_described(account, registry, tmp_path):
    assert described() == []
    digest = push(registry, tmp_path, "v1")
    (found,) = described()
    assert (found["imageDigest"], found["imageTags"]) == (digest, ["v1"])
    assert found["imageSizeInBytes"] > 1000
    assert described(imageIds=[{"imageTag": "v1"}])[0]["imageDigest"] == digest
    (image,) = client("ecr").batch_get_image(repositoryName="django-app", imageIds=[{"imageTag": "v1"}])["images"]
    assert json.loads(image["imageManifest"])["mediaType"] == MANIFEST


def test_a_tag_that_is_moved_leaves_an_untagged_image(account, registry, tmp_path):
    first = push(registry, tmp_path, "latest")
    described()
    second = push(registry, tmp_path, "latest", "two")
    assert {found["imageDigest"]: found.get("imageTags") for found in described()} == {first: None, second: ["latest"]}


def test_a_deleted_image_is_gone_from_the_registry(account, registry, tmp_path):
    digest = push(registry, tmp_path, "v1")
    client("ecr").batch_delete_image(repositoryName="django-app", imageIds=[{"imageDigest": digest}])
    assert described() == []
    assert registry.tags("django-app") == []


def test_one_of_two_tags_is_deleted(account, registry, tmp_path):
    push(registry, tmp_path, "v1")
    push(registry, tmp_path, "v2")
    assert described()[0]["imageTags"] == ["v1", "v2"]
    client("ecr").batch_delete_image(repositoryName="django-app", imageIds=[{"imageTag": "v1"}])
    assert described()[0]["imageTags"] == ["v2"]
    assert registry.digest("django-app", "v2")


def test_a_repository_with_images_needs_force(account, registry, tmp_path):
    push(registry, tmp_path, "v1")
    with pytest.raises(ClientError, match="RepositoryNotEmpty"):
        client("ecr").delete_repository(repositoryName="django-app")
    client("ecr").delete_repository(repositoryName="django-app", force=True)
    assert registry.tags("django-app") == []


def test_pushes_go_to_the_registry_and_the_name_is_awss(account, registry):
    (data,) = client("ecr").get_authorization_token()["authorizationData"]
    assert data["proxyEndpoint"] == registry.url
    (repository,) = client("ecr").describe_repositories()["repositories"]
    assert repository["repositoryUri"] == "123456789012.dkr.ecr.us-east-1.amazonaws.com/django-app"


def test_a_registry_that_is_away_leaves_what_was_known(account, registry, tmp_path):
    push(registry, tmp_path, "v1")
    described()
    ecr.set_registry({"url": "http://127.0.0.1:9"})
    assert [found["imageTags"] for found in described()] == [["v1"]]
