"""The object store that the settings name."""

from functools import lru_cache
from typing import TYPE_CHECKING

from pressroom.errors import BadInput
from pressroom.objects.store import FolderStore, ObjectStore
from pressroom.settings import Settings

if TYPE_CHECKING:
    from pressroom.objects.s3 import Place, S3Store


def open_objects(settings: Settings) -> ObjectStore:
    """The bucket or the folder of PRESSROOM_STORE_URL, else the folder under PRESSROOM_HOME. Nothing is asked yet.

    Raises BadInput when half a key is set.
    """
    if settings.objects_bucket is None:
        return FolderStore(settings.objects_folder)
    from pressroom.objects.s3 import Place  # boto3 takes a second to import

    if bool(settings.aws_access_key_id) != bool(settings.aws_secret_access_key):
        raise BadInput("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: set both, or neither")
    bucket, prefix = settings.objects_bucket
    return _bucket(
        Place(
            bucket=bucket,
            prefix=prefix,
            endpoint=settings.aws_endpoint_url_s3,
            region=settings.aws_region,
            key_id=settings.aws_access_key_id,
            secret=settings.aws_secret_access_key,
            token=settings.aws_session_token if settings.aws_access_key_id else None,
        )
    )


@lru_cache(maxsize=8)
def _bucket(place: "Place") -> "S3Store":
    """One for the process: its connections and signed URLs are worth keeping from tick to tick."""
    from pressroom.objects.s3 import S3Store

    return S3Store(place)
