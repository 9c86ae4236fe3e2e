"""Imported by the server that test processes are forked from: what the first draft loads, they have."""

from pressroom.writer import drafts

drafts.warm_up()
