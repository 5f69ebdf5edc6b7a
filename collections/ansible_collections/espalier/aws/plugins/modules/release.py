#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release
version_added: 0.2.0
short_description: Build a release of a Django project once and keep it in S3
description:
  - A release is one archive with the project's source, the suite's own modules and a wheel of every package, and a manifest that says what
    is in it. Instances install from nothing else.
  - A release that is in the bucket already is used as it is, and nothing is built.
  - The wheels are fetched by pip of this Python for the instances' Python. A package that has only source code is built here,
    which serves when it is pure Python; any other is named by the error.
  - The same source with other packages, another Python or other modules of the suite is another release, whose version has six digits
    more. Another source under a version that is taken is refused.
author:
  - The Espalier authors
options:
  source:
    description:
      - What M(espalier.aws.application_source) answers.
    type: dict
    required: true
  packages:
    description:
      - Packages beside those that the project asks for.
    type: list
    elements: str
    default: []
  database:
    description:
      - Add Psycopg where the project brings no driver of PostgreSQL.
    type: bool
    default: false
  python:
    description:
      - Python of the instances, such as V(3.10).
    type: str
    required: true
  machine:
    description:
      - Their processors.
    type: str
    choices: [x86_64, aarch64]
    default: x86_64
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
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Tells whether a release would be built.
"""

EXAMPLES = r"""
- name: Build the release
  espalier.aws.release:
    source: "{{ source }}"
    python: "3.10"
    database: true
    bucket: staging-django-static-123456789012
    prefix: releases/django-app
"""

RETURN = r"""
release:
  description: The manifest. In a plan, of a release that is not built yet, as far as it is known.
  returned: success
  type: dict
  contains:
    version:
      description: Name of the release.
      type: str
    digest:
      description: SHA-256 of C(release.tar.gz).
      type: str
    size:
      description: Bytes of it.
      type: int
    python:
      description: The instances' Python.
      type: str
    python_minimum:
      description: Oldest Python that the project runs on.
      type: str
    python_reason:
      description: Who says so.
      type: str
    commit:
      description: Commit of the source, empty for a folder.
      type: str
    leaves:
      description: The newest migrations by app.
      type: dict
    wheels:
      description: File names of the wheels.
      type: list
      elements: str
    made_at:
      description: When, in UTC.
      type: str
    made_by:
      description: ARN of who built it.
      type: str
seconds:
  description: What each step took.
  returned: success
  type: dict
"""

import contextlib
import hashlib
import json
import platform
import re
import tarfile
import tempfile
import time
from pathlib import Path

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.espalier.aws.plugins.module_utils import migration_files
from ansible_collections.espalier.aws.plugins.module_utils.clients import make_clients
from ansible_collections.espalier.aws.plugins.module_utils.release_store import ARCHIVE, MANIFEST, RESERVED, VERSION, Store, now
from ansible_collections.espalier.aws.plugins.module_utils.source_archive import SourceError, files_of, pack
from ansible_collections.espalier.aws.plugins.module_utils.wheelhouse import Wheelhouse, fill


def newer(one, other):
    return tuple(map(int, re.findall(r"\d+", one))) > tuple(map(int, re.findall(r"\d+", other)))


def check(params):
    source, python = params["source"], params["python"]
    if not re.fullmatch(VERSION, source["version"]) or source["version"] in RESERVED:
        raise SourceError(
            f"app_version '{source['version']}' is no name for a release: letters, digits, dots, hyphens and underscores, up to 100"
        )
    if not re.fullmatch(r"3\.\d+", python):
        raise SourceError(f"app_python_version is '{python}', which is no version such as 3.10")
    if source["python_minimum"] and newer(source["python_minimum"], python):
        raise SourceError(
            f"the application needs Python {source['python_minimum']} or newer ({source['python_reason']}), but the instances have "
            f"{python} (app_python_version): choose a newer operating system or set app_python, app_python_packages and app_python_version"
        )


def inputs_of(params):
    """A digest of whatever shapes the release beside the project's own source."""
    source = params["source"]
    shape = [source["digest"], source["install"], sorted(params["packages"]), params["database"], params["python"], params["machine"]]
    return hashlib.sha256(json.dumps(shape).encode()).hexdigest()


def find(store, params):
    """The name that the release has or should have, and its manifest, which may be None."""
    source, inputs = params["source"], inputs_of(params)
    for version in (source["version"], f"{source['version']}-{inputs[:6]}"):
        manifest, _ = store.read(version, MANIFEST)
        if manifest is None or manifest["inputs"] == inputs:
            return version, manifest
        if not (source["commit"] and source["commit"] == manifest["commit"]) and source["content_digest"] != manifest["content"]:
            break
    raise SourceError(
        f"release {version} is in the store with another source (made {manifest['made_at']} by {manifest['made_by']}"
        f"{', commit ' + manifest['commit'] if manifest['commit'] else ''}): a release is never changed. Choose another app_version"
    )


def build(params, scratch, seconds):
    """The archive, and what is known of it."""

    def lap(name, started):
        seconds[name] = round(time.monotonic() - started, 2)

    started = time.monotonic()
    with tarfile.open(params["source"]["archive"]) as archive:
        archive.extractall(scratch, filter="data")
    wheelhouse = Wheelhouse(scratch / "wheels", scratch / "source", params["python"], params["machine"])
    fill(wheelhouse, params["source"]["install"], params["packages"], params["database"])
    lap("wheels", started)
    started = time.monotonic()
    trees = {name: (scratch / name, files_of(scratch / name, [])) for name in ("source", "espalier", "wheels")}
    path, digest = pack(trees, scratch / "packed")
    own = migration_files.of_folder(*trees["source"])
    leaves = migration_files.leaves([*own, *migration_files.of_wheels(scratch / "wheels")])
    lap("pack", started)
    wheels = [str(file) for file in trees["wheels"][1]]
    return path, {"digest": digest, "size": path.stat().st_size, "leaves": leaves, "wheels": wheels}


def upload(store, manifest, path):
    """Store both. Returns the manifest that is in the store then: of two who build the same, the first wins."""
    version = manifest["version"]
    for attempt in range(2):
        with path.open("rb") as file:
            if store.write(file, version, ARCHIVE, IfNoneMatch="*"):
                break
        stored, _ = store.read(version, MANIFEST)
        if stored:
            return stored
        if attempt:
            raise SourceError(f"{store.url(version, ARCHIVE)} is being written by somebody else: run again")
        # Left by a run that was cut off before it wrote the manifest.
        store.delete(version, ARCHIVE)
    if not store.write(manifest, version, MANIFEST, IfNoneMatch="*"):
        return store.read(version, MANIFEST)[0]
    return manifest


def ensure(clients, module, seconds):
    params, source = module.params, module.params["source"]
    store = Store(clients["s3"], params["bucket"], params["prefix"])
    version, manifest = find(store, params)
    if manifest:
        return False, manifest
    described = {key: source[key] for key in ("commit", "python_minimum", "python_reason")}
    manifest = {**described, "version": version, "python": params["python"], "machine": params["machine"], "inputs": inputs_of(params)}
    manifest.update(content=source["content_digest"], made_at=now(), digest="")
    if module.check_mode:
        return True, manifest
    manifest["made_by"] = clients["sts"].get_caller_identity()["Arn"]
    manifest["made_on"] = platform.node()
    with tempfile.TemporaryDirectory(prefix="espalier-release-") as scratch:
        path, found = build(params, Path(scratch), seconds)
        started = time.monotonic()
        manifest = upload(store, {**manifest, **found}, path)
        seconds["upload"] = round(time.monotonic() - started, 2)
    return True, manifest


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "source": {"type": "dict", "required": True},
            "packages": {"type": "list", "elements": "str", "default": []},
            "database": {"type": "bool", "default": False},
            "python": {"type": "str", "required": True},
            "machine": {"type": "str", "choices": ["x86_64", "aarch64"], "default": "x86_64"},
            "bucket": {"type": "str", "required": True},
            "prefix": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    seconds = {}
    try:
        check(module.params)
        changed, manifest = ensure(make_clients(module, ["s3", "sts"]), module, seconds)
    except SourceError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"cannot build the release: {error}")
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to keep the release in s3://{module.params['bucket']}/{module.params['prefix']}")
    module.exit_json(changed=changed, release=manifest, seconds=seconds)


if __name__ == "__main__":
    main()
