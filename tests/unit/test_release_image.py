"""release_image: an image is built once, out of the release that instances run, by an engine that sees no password."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import boto3
import pytest
from ansible_collections.espalier.aws.plugins.module_utils import container_engine

from tests.unit.moto_patches import client
from tests.unit.releases import BUCKET, PREFIX, WHERE, manifest
from tests.unit.run_module import run_module

REPOSITORY, DIGEST = "lab-django-app", "sha256:" + "1" * 64
# Writes down how it was called, with what it had, and does not fail unless it is told to.
ENGINE = """#!/bin/sh
echo "$@" >> "$ESPALIER_TEST_FOLDER/calls"
[ "$1" = "$ESPALIER_TEST_FAILS" ] && { echo "no space left"; exit 125; }
if [ "$1" = build ]; then for last; do :; done; (cd "$last" && find . -type f | sort) > "$ESPALIER_TEST_FOLDER/context"; fi
if [ "$1" = push ]; then
  find "${DOCKER_CONFIG:-$(dirname "$3")}" -type f -exec stat -c "%a" {} + > "$ESPALIER_TEST_FOLDER/mode"
  cat "${DOCKER_CONFIG:+$DOCKER_CONFIG/config.json}" "$3" > "$ESPALIER_TEST_FOLDER/login" 2>/dev/null
fi
exit 0
"""


@pytest.fixture
def folder(tmp_path, store, monkeypatch):
    """A machine with an engine, a Dockerfile, and a release in the bucket."""
    monkeypatch.setenv("ESPALIER_TEST_FOLDER", str(tmp_path))
    monkeypatch.setenv("ESPALIER_TEST_FAILS", "nothing")
    programs = tmp_path / "bin"
    programs.mkdir()
    engine(programs, "podman")
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    put_release("1a2b")
    client("ecr").create_repository(repositoryName=REPOSITORY)
    return tmp_path


def engine(programs: Path, name: str) -> None:
    (programs / name).write_text(ENGINE)
    (programs / name).chmod(0o755)


def put_release(version: str, digest: str = "") -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name in ("source/manage.py", "wheels/django.whl"):
            info = tarfile.TarInfo(name)
            tar.addfile(info, io.BytesIO())
    content = archive.getvalue()
    digest = digest or hashlib.sha256(content).hexdigest()
    described = manifest(version, digest=digest, python="3.11", machine=os.uname().machine, commit="c0ffee")
    s3 = client("s3")
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{version}/release.tar.gz", Body=content)
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{version}/manifest.json", Body=json.dumps(described).encode())


@pytest.fixture
def image(folder, capsys, monkeypatch):
    """Run the module. What is pushed is in the repository afterwards."""
    push = container_engine.Engine.push

    def pushed(self, reference):
        push(self, reference)
        put_image(reference.rpartition(":")[2])

    monkeypatch.setattr(container_engine.Engine, "push", pushed)
    options = {"release": "1a2b", "repository": REPOSITORY, "dockerfile": str(folder / "Dockerfile"), **WHERE}
    return lambda **more: run_module(capsys, "release_image", **{**options, **more})


def put_image(tag: str) -> None:
    described = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {"digest": DIGEST}, "layers": []}
    boto3.client("ecr", "us-east-1").put_image(repositoryName=REPOSITORY, imageManifest=json.dumps(described), imageTag=tag)


def calls(folder: Path) -> list[str]:
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_an_image_is_built_and_pushed_once(image, folder):
    planned = image(check_mode=True)
    assert (planned["changed"], calls(folder)) == (True, [])
    made = image(build_args={"BASE": "python:3.11", "COLLECTSTATIC": True})
    assert made["changed"] is True, made
    assert made["image"]["tag"].startswith("1a2b-") and made["image"]["digest"].startswith("sha256:")
    assert made["image"]["reference"] == f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{REPOSITORY}:{made['image']['tag']}"
    build, _push, forget = calls(folder)
    for word in ("BASE=python:3.11", "COLLECTSTATIC=True", "PYTHON_VERSION=3.11", "RELEASE=1a2b"):
        assert f"--build-arg {word}" in build
    assert "--label org.opencontainers.image.version=1a2b" in build and "--label org.opencontainers.image.revision=c0ffee" in build
    assert (folder / "context").read_text().split() == ["./source/manage.py", "./wheels/django.whl"]
    assert forget.split()[0] == "rmi"
    again = image(build_args={"BASE": "python:3.11", "COLLECTSTATIC": True})
    assert (again["changed"], again["image"]) == (False, made["image"])
    assert len(calls(folder)) == 3


def test_the_tag_follows_what_shapes_the_image(image, folder):
    first = image()["image"]["tag"]
    assert image(build_args={"BASE": "other"}, check_mode=True)["image"]["tag"] != first
    (folder / "Dockerfile").write_text("FROM scratch\nUSER 1\n")
    assert image(check_mode=True)["image"]["tag"] != first
    put_release("1.0+local")
    assert "+" not in image(release="1.0+local", check_mode=True)["image"]["tag"]


def test_the_password_stands_in_no_argument(image, folder):
    image()
    token = client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    password = base64.b64decode(token).decode().partition(":")[2]
    assert not [call for call in calls(folder) if token in call or password in call]
    assert token in (folder / "login").read_text()
    assert set((folder / "mode").read_text().split()) == {"600"}
    assert not list(Path("/tmp").glob("espalier-image-*/login")), "the credentials are still there"


def test_docker_serves_too(image, folder):
    engine(folder / "bin", "docker")
    assert image(engine="docker")["changed"] is True
    _build, push, _forget = calls(folder)
    assert "--authfile" not in push
    assert "auths" in (folder / "login").read_text()


def test_a_registry_without_tls_is_a_local_one(image, folder, monkeypatch):
    before = container_engine.Engine.__init__

    def local(self, path, environment, registry, token, scratch):
        before(self, path, environment, "http://127.0.0.1:4570", token, scratch)

    monkeypatch.setattr(container_engine.Engine, "__init__", local)
    image()
    _build, push, _forget = calls(folder)
    assert "--tls-verify=false" in push and f"127.0.0.1:4570/{REPOSITORY}:" in push


def test_without_an_engine(image, folder, monkeypatch):
    (folder / "bin" / "podman").unlink()
    monkeypatch.setenv("PATH", str(folder / "bin"))
    answer = image()
    assert answer["failed"] and "neither podman nor docker was found" in answer["msg"]
    assert "docker was not found" in image(engine="docker")["msg"]
    put_image(image(check_mode=True)["image"]["tag"])
    assert image()["changed"] is False, "an image that somebody else has pushed needs none"


@pytest.mark.parametrize(("step", "words"), [("build", "cannot be built"), ("push", "cannot be pushed")])
def test_an_engine_that_fails_is_quoted(image, monkeypatch, step, words):
    monkeypatch.setenv("ESPALIER_TEST_FAILS", step)
    answer = image()
    assert answer["failed"] and words in answer["msg"] and "no space left" in answer["msg"]


def test_an_archive_that_is_not_the_release(image, folder):
    put_release("1a2b", digest="0" * 64)
    answer = image()
    assert answer["failed"] and "is not what its manifest says" in answer["msg"]
    assert calls(folder) == []


def test_no_release_and_no_repository(image):
    answer = image(release="none")
    assert answer["failed"] and "the tag app" in answer["msg"]
    assert image(release="none", check_mode=True)["changed"] is True
    client("ecr").delete_repository(repositoryName=REPOSITORY, force=True)
    answer = image()
    assert answer["failed"] and "the tag cluster" in answer["msg"]
    assert image(check_mode=True)["changed"] is True
