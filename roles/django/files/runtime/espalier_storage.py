"""Uploads in S3, for projects that bring django-storages: every machine sees them, and they outlive it.

DJANGO_MEDIA_BUCKET   the bucket
DJANGO_MEDIA_PREFIX   folder in it
DJANGO_MEDIA_REGION   its region
DJANGO_MEDIA_DOMAIN   host name that serves the folder to everybody (a CDN). Without one, addresses are signed and good for an hour.
"""

import os

from botocore.exceptions import ClientError

try:
    from storages.backends.s3 import S3Storage
except ImportError:
    # django-storages before 1.14.
    from storages.backends.s3boto3 import S3Boto3Storage as S3Storage


class MediaStorage(S3Storage):
    def get_default_settings(self):
        domain = os.environ.get("DJANGO_MEDIA_DOMAIN") or None
        return {
            **super().get_default_settings(),
            "bucket_name": os.environ["DJANGO_MEDIA_BUCKET"],
            "location": os.environ["DJANGO_MEDIA_PREFIX"],
            "region_name": os.environ.get("DJANGO_MEDIA_REGION") or None,
            "signature_version": "s3v4",
            "custom_domain": domain,
            "querystring_auth": not domain,
            # Two visitors' picture.jpg are two pictures.
            "file_overwrite": False,
            # The bucket knows no access lists.
            "default_acl": None,
        }

    def exists(self, name):
        try:
            return super().exists(name)
        except ClientError as error:
            # What S3 says of a name that is free to those who may not list the whole bucket.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 403:
                return False
            raise
