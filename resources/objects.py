"""The object store as a Dagster resource."""

import dagster as dg

from pressroom.objects.store import FolderStore, ObjectStore
from pressroom.settings import load_settings


class ObjectsResource(dg.ConfigurableResource):
    """Keyword files in, reports out: the folder of PRESSROOM_STORE_URL, else one under PRESSROOM_HOME."""

    def open(self) -> ObjectStore:
        return FolderStore(load_settings().objects_folder)
