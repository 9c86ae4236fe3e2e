"""The object store as a Dagster resource."""

import dagster as dg

from pressroom.objects.opening import open_objects
from pressroom.objects.store import ObjectStore
from pressroom.settings import load_settings


class ObjectsResource(dg.ConfigurableResource):
    """Keyword files and videos in, reports out: the bucket or folder of PRESSROOM_STORE_URL, else a folder under PRESSROOM_HOME."""

    def open(self) -> ObjectStore:
        return open_objects(load_settings())
