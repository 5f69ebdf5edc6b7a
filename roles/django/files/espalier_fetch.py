"""Fetch a release from S3 with the instance's own role, check it, and unpack it.

usage: espalier_fetch.py BUCKET PREFIX VERSION DIGEST FOLDER

DIGEST is what the controller knows; empty where there is no controller, then the release's manifest is believed. FOLDER gets source/,
espalier/, wheels/ and manifest.json. Installs nothing.
"""

import hashlib
import json
import os
import shutil
import sys
import tarfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import espalier_aws

RETRY_SECONDS = 5


class Wrong(Exception):
    """The release cannot be used; asking again would not help."""


def patient(what, question, timeout):
    """Ask until AWS answers: a request may meet a network that is not there for some seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return question()
        except (espalier_aws.AwsError, OSError) as error:
            # A full disk does not get emptier.
            if isinstance(error, OSError) and error.errno == 28:
                raise
            if time.monotonic() > deadline:
                raise Wrong(f"cannot fetch {what} within {timeout:.0f} s: {error}") from None
            print(f"cannot fetch {what}: {error}; trying again in {RETRY_SECONDS} s", flush=True)
            time.sleep(RETRY_SECONDS)


def digest_of(path):
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


def check(manifest, digest, archive):
    if digest and manifest["digest"] != digest:
        raise Wrong(f"the manifest in S3 says {manifest['digest']}, the controller {digest}: one of them is not of this release")
    found = digest_of(archive)
    if found != manifest["digest"]:
        raise Wrong(
            f"the archive's SHA-256 is {found} and should be {manifest['digest']}: it was damaged or replaced in S3; nothing was installed"
        )
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if manifest["python"] != own:
        raise Wrong(f'the release was built for Python {manifest["python"]}, this machine has {own}: set app_python_version: "{own}"')


def unpack(archive, folder):
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder, filter="data")
        else:
            # Python before 3.10.12. The digest has said whose archive this is.
            tar.extractall(folder)


def fetch(bucket, prefix, version, digest, folder, timeout):
    aws, key = patient("the region", lambda: espalier_aws.Aws(tries=1), timeout), f"{prefix}/{version}"
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        patient("the manifest", lambda: aws.get_object(bucket, f"{key}/manifest.json", str(part)), timeout)
        manifest = json.loads(part.read_text())
        patient("the release", lambda: aws.get_object(bucket, f"{key}/release.tar.gz", str(part)), timeout)
        check(manifest, digest, part)
        folder.mkdir()
        unpack(part, folder)
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    finally:
        part.unlink(missing_ok=True)


def main():
    bucket, prefix, version, digest, folder = sys.argv[1:]
    os.umask(0o022)
    started = time.monotonic()
    try:
        fetch(bucket, prefix, version, digest, Path(folder), float(os.environ.get("ESPALIER_TIMEOUT_SECONDS", "120")))
    except Wrong as error:
        sys.exit(f"release {version}: {error}")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        sys.exit(f"release {version}: cannot write {folder}: {error}")
    print(f"fetch: {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
