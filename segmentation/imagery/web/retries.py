"""Trying a request again: which failures are worth it, how often, and how long to wait in between."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import requests
import tenacity
from urllib3 import Retry
from urllib3.exceptions import InvalidHeader

from segmentation.core.errors import PipelineError

_LONGEST_WAIT_S = 120.0
_LEAST_WAIT_S = 0.2

Result = TypeVar("Result")
log = logging.getLogger(__name__)
_exponential = tenacity.wait_random_exponential(multiplier=0.5, max=30)


class Transient(Exception):
    """A failure that is worth another try: rate limit, server fault, broken or corrupt transfer.

    Attributes:
        wait_s: seconds that the server asks to wait.
    """

    def __init__(self, message: str, wait_s: float = 0.0):
        super().__init__(message)
        self.wait_s = wait_s


def retrying(what: str, attempt: Callable[[], Result], tries: int) -> Result:
    """The result of an attempt that is made again after every ``Transient`` failure.

    Args:
        what: is attempted, for messages.
        attempt: the request and all that has to be right with its answer.
        tries: attempts at most.

    Raises:
        PipelineError: the last attempt failed as well.
    """

    def note(state: tenacity.RetryCallState) -> None:
        log.info("%s: %s; trying again in %.1f s", what, _failure(state), state.upcoming_sleep)

    policy = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Transient),
        stop=tenacity.stop_after_attempt(tries),
        wait=_backoff_s,
        before_sleep=note,
        reraise=True,
    )
    try:
        return policy(attempt)
    except Transient as error:
        raise PipelineError(f"{what}: gave up after {tries} tries, {error}") from None


def retry_after_s(response: requests.Response) -> float:
    """Seconds to wait as the server's Retry-After says (RFC 9110, 10.2.3: seconds or a date), capped; else 0."""
    said = response.headers.get("Retry-After", "")
    try:
        wait_s = Retry().parse_retry_after(said)
    except (InvalidHeader, ValueError, OverflowError):  # the latter two at dates that no calendar has
        return 0.0
    return min(wait_s, _LONGEST_WAIT_S)


def _backoff_s(state: tenacity.RetryCallState) -> float:
    """The longer of what the server asks for and our own, growing, jittered wait."""
    failure = _failure(state)
    asked_s = failure.wait_s if isinstance(failure, Transient) else 0.0
    return max(asked_s, _LEAST_WAIT_S + _exponential(state))


def _failure(state: tenacity.RetryCallState) -> BaseException | None:
    """What the last attempt has raised."""
    return None if state.outcome is None else state.outcome.exception()
