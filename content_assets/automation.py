"""Retries, owners and tags by name, in one table."""

import dagster as dg

# The gateway has tried a call three times, the store for 15 s, before a step fails: what is left is an outage of minutes. Two more tries
# after 20 and 40 s; every booked answer is replayed, so that they ask only for what is missing. A RetryPolicy would also repeat bugs.
OUTAGE_RETRIES = 2
OUTAGE_WAIT_S = 20.0
# The trigger of a run that a command executes itself: its person is told of an outage after the gateway's own tries, 8 s instead of 75.
BY_COMMAND = "command"

CONTENT_OWNERS = ["team:content"]
CONTENT_TAGS = {"line": "content"}
COMPLIANCE_OWNERS = ["team:compliance"]
COMPLIANCE_TAGS = {"line": "compliance"}


def after_outage(retry_number: int) -> dg.RetryRequested:
    """The request to run the step again, for a Transient error; `retry_number` counts from 0."""
    return dg.RetryRequested(max_retries=OUTAGE_RETRIES, seconds_to_wait=OUTAGE_WAIT_S * 2**retry_number)
