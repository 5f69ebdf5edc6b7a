"""Upload a release's static files to S3, with the instance's own role, beside those of the releases before: nothing is removed.

usage: espalier_static.py RELEASE BUCKET PREFIX

Done before any instance serves the release, so that its pages never name a file that is not there yet. Once for a release: a file beside
it says so.
"""

import mimetypes
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from espalier_aws import Aws, AwsError

SIDE_BY_SIDE = 8
# Django's hashed names: style.5d41402abc4b.css
HASHED = re.compile(r"\.[0-9a-f]{12}\.[^/]+$")
FOR_EVER, FOR_AN_HOUR = "public, max-age=31536000, immutable", "public, max-age=3600"


def headers(name):
    """What browsers and CloudFront are told of a file."""
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    text = kind.startswith("text/") or kind in ("application/javascript", "application/json", "image/svg+xml")
    return {"Content-Type": f"{kind}; charset=utf-8" if text else kind, "Cache-Control": FOR_EVER if HASHED.search(name) else FOR_AN_HOUR}


def main():
    release, bucket, prefix = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
    done = release / ".static-uploaded"
    place = f"{bucket}/{prefix}"
    if done.exists() and done.read_text() == place:
        print("uploaded already")
        return
    folder, started, aws = release / "static", time.monotonic(), Aws()
    # Once, before threads would all ask for them.
    aws.credentials()
    files = sorted(path for path in folder.rglob("*") if path.is_file())

    def upload(path):
        name = path.relative_to(folder).as_posix()
        aws.put_object(bucket, f"{prefix}/{name}", path.read_bytes(), headers(name))

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(upload, files))
    done.write_text(place)
    print(f"uploaded {len(files)} files to s3://{place} in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    try:
        main()
    except AwsError as error:
        sys.exit(f"static files could not be uploaded: {error}")
