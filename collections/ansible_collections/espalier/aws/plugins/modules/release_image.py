#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_image
version_added: 0.3.0
short_description: Build a container image of a release and push it to ECR
description:
  - Fetches the archive that M(espalier.aws.release) keeps in S3, checks its digest, unpacks it, and builds an image with it as the context
    (C(source/), C(espalier/), C(wheels/)), so that the image has the very files that the instances run.
  - An image that is in the repository already is used as it is, and nothing is built. Its tag is the release's version and eight digits of
    what else shapes it, the Dockerfile and the build arguments.
  - The module runs where Podman or Docker is. Credentials of the registry are written into a folder that goes with the module.
author:
  - The Espalier authors
options:
  release:
    description:
      - Version of the release.
    type: str
    required: true
  bucket:
    description:
      - Bucket of the releases.
    type: str
    required: true
  prefix:
    description:
      - Folder of this application's releases in the bucket.
    type: str
    required: true
  repository:
    description:
      - Name of the repository in ECR.
    type: str
    required: true
  dockerfile:
    description:
      - Dockerfile on this machine. It gets the build arguments C(RELEASE) and C(PYTHON_VERSION) of the release besides.
    type: path
    required: true
  build_args:
    description:
      - Build arguments. No secrets, since an image keeps them.
    type: dict
    default: {}
  engine:
    description:
      - Which one builds. Empty for the first that there is.
    type: str
    choices: ["", podman, docker]
    default: ""
  engine_environment:
    description:
      - Environment variables of the engine.
    type: dict
    default: {}
  build_options:
    description:
      - More words for the engine's command C(build). They do not count for the tag.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Tells whether an image would be built.
"""

EXAMPLES = r"""
- name: Build the image of the release that serves
  espalier.aws.release_image:
    release: 4f2c9d1
    bucket: staging-django-static-123456789012
    prefix: releases/django-app
    repository: staging-django-app
    dockerfile: app/Dockerfile
"""

RETURN = r"""
image:
  description: The image. In a plan, the digest of one that is not built yet is empty.
  returned: success
  type: dict
  sample:
    repository: 123456789012.dkr.ecr.us-east-1.amazonaws.com/staging-django-app
    tag: 4f2c9d1-0a1b2c3d
    digest: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    reference: 123456789012.dkr.ecr.us-east-1.amazonaws.com/staging-django-app:4f2c9d1-0a1b2c3d
seconds:
  description: What each step took.
  returned: success
  type: dict
"""

import contextlib
import hashlib
import json
import tarfile
import tempfile
import time
from pathlib import Path

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.espalier.aws.plugins.module_utils.clients import make_clients
from ansible_collections.espalier.aws.plugins.module_utils.container_engine import Engine, EngineError, find_engine
from ansible_collections.espalier.aws.plugins.module_utils.release_store import ARCHIVE, MANIFEST, Store
from ansible_collections.espalier.aws.plugins.module_utils.stack import unless_missing


def build_args(params, manifest):
    given = {name: str(value) for name, value in params["build_args"].items()}
    return {"RELEASE": manifest["version"], "PYTHON_VERSION": manifest["python"], **given}


def tag_of(manifest, dockerfile, arguments):
    """A plus sign is none of a tag's letters, and 128 is its length."""
    recipe = hashlib.sha256(dockerfile + json.dumps(arguments, sort_keys=True).encode()).hexdigest()
    return f"{manifest['version'].replace('+', '_')}-{recipe[:8]}"


def find_repository(ecr, params, check_mode):
    found = unless_missing(["RepositoryNotFoundException"], ecr.describe_repositories, repositoryNames=[params["repository"]])
    if found:
        return found["repositories"][0]["repositoryUri"]
    if check_mode:
        return params["repository"]
    raise EngineError(f"ECR has no repository {params['repository']}. Make it first, with the tag cluster.")


def digest_of(ecr, repository, tag):
    """The digest of an image that is there; empty where it is not."""
    missing = ["ImageNotFoundException", "RepositoryNotFoundException"]
    found = unless_missing(missing, ecr.describe_images, repositoryName=repository, imageIds=[{"imageTag": tag}])
    return found["imageDetails"][0]["imageDigest"] if found and found["imageDetails"] else ""


def fetch(store, manifest, scratch):
    """The release's files, checked."""
    path, context = scratch / ARCHIVE, scratch / "context"
    with path.open("wb") as file:
        store.client.download_fileobj(store.bucket, store.key(manifest["version"], ARCHIVE), file)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != manifest["digest"]:
        raise EngineError(f"{store.url(manifest['version'], ARCHIVE)} is not what its manifest says: {digest}, not {manifest['digest']}")
    context.mkdir()
    with tarfile.open(path) as archive:
        archive.extractall(context, filter="data")
    return context


def make(clients, params, manifest, tag, arguments, seconds):
    """Build the image and push it."""

    def lap(name, started):
        seconds[name] = round(time.monotonic() - started, 2)
        return time.monotonic()

    path = find_engine(params["engine"], params["engine_environment"])
    access = clients["ecr"].get_authorization_token()["authorizationData"][0]
    store = Store(clients["s3"], params["bucket"], params["prefix"])
    with tempfile.TemporaryDirectory(prefix="espalier-image-") as folder:
        started = time.monotonic()
        context = fetch(store, manifest, Path(folder))
        engine = Engine(path, params["engine_environment"], access["proxyEndpoint"], access["authorizationToken"], Path(folder))
        reference = f"{engine.host}/{params['repository']}:{tag}"
        labels = {"org.opencontainers.image.version": manifest["version"], "org.opencontainers.image.revision": manifest["commit"]}
        started = lap("fetch", started)
        dockerfile = Path(params["dockerfile"]).absolute()
        engine.build(reference, dockerfile, context, manifest["machine"], arguments, labels, params["build_options"])
        started = lap("build", started)
        engine.push(reference)
        engine.forget(reference)
        lap("push", started)


def ensure(clients, module, seconds):
    params = module.params
    store = Store(clients["s3"], params["bucket"], params["prefix"])
    manifest, _ = store.read(params["release"], MANIFEST)
    if manifest is None:
        if module.check_mode:
            return True, {"repository": params["repository"], "tag": params["release"], "digest": "", "reference": ""}
        raise EngineError(f"There is no release {params['release']} in {store.url()}. Make it with the tag app.")
    arguments = build_args(params, manifest)
    tag = tag_of(manifest, Path(params["dockerfile"]).read_bytes(), arguments)
    uri = find_repository(clients["ecr"], params, module.check_mode)
    digest = digest_of(clients["ecr"], params["repository"], tag)
    built = not digest
    if built and not module.check_mode:
        make(clients, params, manifest, tag, arguments, seconds)
        digest = digest_of(clients["ecr"], params["repository"], tag)
        if not digest:
            raise EngineError(f"{uri}:{tag} was pushed, and ECR does not have it.")
    return built, {"repository": uri, "tag": tag, "digest": digest, "reference": f"{uri}:{tag}"}


SPEC = {
    "release": {"type": "str", "required": True},
    "bucket": {"type": "str", "required": True},
    "prefix": {"type": "str", "required": True},
    "repository": {"type": "str", "required": True},
    "dockerfile": {"type": "path", "required": True},
    "build_args": {"type": "dict", "default": {}},
    "engine": {"type": "str", "choices": ["", "podman", "docker"], "default": ""},
    "engine_environment": {"type": "dict", "default": {}},
    "build_options": {"type": "list", "elements": "str", "default": []},
}


def main():
    module = AnsibleAWSModule(argument_spec=SPEC, supports_check_mode=True)
    seconds = {}
    try:
        changed, image = ensure(make_clients(module, ["s3", "ecr"]), module, seconds)
    except EngineError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"cannot build the image of release {module.params['release']}: {error}")
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to make the image of release {module.params['release']}")
    module.exit_json(changed=changed, image=image, seconds=seconds)


if __name__ == "__main__":
    main()
