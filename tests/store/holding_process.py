"""A process that the lock tests order about: `python holding_process.py URL-OR-HOME SITE_ID RUN`, one order a line, one answer a line.

take SECONDS    "held FENCE", or the name of the error
release         "released"
own             "own KEY": takes an owner lock
"""

import sys
import uuid
from contextlib import ExitStack
from pathlib import Path

from pydantic import SecretStr

from pressroom.errors import PressroomError
from pressroom.settings import Settings
from pressroom.store.engine import connect
from pressroom.store.locks import OwnerLock, hold_site

place, site_id, run = sys.argv[1:4]
is_url = place.startswith("postgresql")
store = connect(Settings(database_url=SecretStr(place)) if is_url else Settings(home=Path(place)))
held = ExitStack()
owner = None
print("ready", flush=True)
for line in sys.stdin:
    order, *words = line.split()
    try:
        if order == "take":
            site = held.enter_context(hold_site(store, uuid.UUID(site_id), run, wait_s=float(words[0]), on_wait=lambda line: None))
            print("held", site.fence, flush=True)
        elif order == "release":
            held.close()
            print("released", flush=True)
        elif order == "own":
            owner = OwnerLock(store)
            print("own", owner.key, flush=True)
    except PressroomError as error:
        print(type(error).__name__, flush=True)
