"""Who looks at videos, as a Dagster resource: the models on this machine, and hosted ones where there is a token."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import dagster as dg
from pydantic import PrivateAttr

from pressroom.compliance.desk import VideoDesk
from pressroom.inference.types import Runner
from pressroom.records import Detector, Tally
from pressroom.settings import load_settings


class DetectorsResource(dg.ConfigurableResource):
    """The detectors of PRESSROOM_INFERENCE: `local` reads and hears on this machine; `replicate` sees what this machine cannot."""

    _stack: ExitStack = PrivateAttr()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator["DetectorsResource", None, None]:
        with ExitStack() as stack:
            self._stack = stack
            yield self

    def runners(self, desk: VideoDesk, tally: Tally) -> dict[Detector, Runner]:
        """A runner for every detector that somebody can serve; calls and costs of hosted ones are counted on `tally`."""
        from pressroom.inference.opening import open_runners

        return self._stack.enter_context(open_runners(load_settings(), desk.store, desk.site, desk.run_id, tally))
