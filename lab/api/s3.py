"""S3: a conditional write looks and writes in one step, as on AWS; moto lets another one in between."""

from __future__ import annotations

import threading
from typing import Any

from moto.s3.responses import S3Response

_writing = threading.RLock()


def install() -> None:
    original = S3Response.put_object

    def put_object(self: S3Response, *arguments: Any, **kwargs: Any) -> Any:
        with _writing:
            return original(self, *arguments, **kwargs)

    S3Response.put_object = put_object
