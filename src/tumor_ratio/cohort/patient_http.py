"""HTTP requests with patience: bounded tries, waits that the server may set, errors with a remedy.

Only http and https; addresses are shown without their query, which may carry a token.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from pydantic import Field

from tumor_ratio.errors import DownloadError
from tumor_ratio.params import Params

PIECE_BYTES = 1 << 16
MAX_JSON_BYTES = 50_000_000
AGAIN_LATER = "check the network and run again: what is there is kept and continued"
WORTH_ANOTHER_TRY = (408, 425, 429)
"""Statuses beside 5xx that pass by themselves."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


class DownloadParams(Params):
    """How patient a download is."""

    attempts: int = Field(6, ge=1, le=100)
    """Tries in a row that bring nothing further before a file is given up."""
    backoff_s: float = Field(1.0, ge=0, le=600)
    """Seconds to wait after the first failed try; doubled with each further one."""
    longest_wait_s: float = Field(300.0, ge=0, le=86400)
    """No wait is longer; a server that asks for more ends the download."""
    timeout_s: float = Field(60.0, gt=0, le=3600)
    """A connection that brings nothing for so long counts as dropped."""

    def __fingerprint__(self) -> str:
        """Say that results do not depend on how patiently they were fetched."""
        return ""


class TryAgainError(Exception):
    """A request failed in a way that may pass.

    Parameters
    ----------
    reason : what happened.
    wait_s : how long the server asks to wait; None where it does not say.
    """

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Patience:
    """How often a request has failed in a row, and how long to wait before the next try.

    Parameters
    ----------
    params : the bounds.
    what : what is being fetched, for messages.
    """

    def __init__(self, params: DownloadParams, what: str) -> None:
        self._params, self._what, self._failed = params, what, 0

    def renew(self) -> None:
        """Start counting anew: something has been gained."""
        self._failed = 0

    def bear(self, trouble: TryAgainError) -> None:
        """Wait before another try.

        Raises
        ------
        DownloadError
            If there have been enough tries, or the server asks for too long a wait.
        """
        self._failed += 1
        if self._failed >= self._params.attempts:
            raise DownloadError(
                f"{self._what}: {trouble}, at the last of {self._failed} tries", AGAIN_LATER
            ) from trouble
        longest_s = self._params.longest_wait_s
        wait_s = trouble.wait_s
        if wait_s is None:
            wait_s = min(longest_s, self._params.backoff_s * 2 ** (self._failed - 1))
        if wait_s > longest_s:
            raise DownloadError(
                f"{self._what}: {trouble}; the server asks to wait {wait_s:.0f} s",
                "run again after that time, or raise cohort.zenodo.download.longest_wait_s",
            ) from trouble
        logger.info("%s: %s; trying again in %.0f s", self._what, trouble, wait_s)
        time.sleep(wait_s)


def get_json(url: str, params: DownloadParams) -> Any:
    """Fetch a JSON document.

    Raises
    ------
    DownloadError
        If it cannot be had, or is no JSON.
    """
    patience = Patience(params, shown(url))
    while True:
        try:
            with reply_to(url, {"Accept": "application/json"}, params) as reply:
                return _json_of(reply, url)
        except TryAgainError as trouble:
            patience.bear(trouble)


@contextmanager
def reply_to(
    url: str, headers: Mapping[str, str], params: DownloadParams
) -> Iterator[requests.Response]:
    """Send one GET request; the body is still to be read, with `pieces_of`.

    Yields
    ------
    requests.Response
        Of status 200, 206 or 416.

    Raises
    ------
    TryAgainError
        If the request fails in a way that may pass.
    DownloadError
        If it can never succeed: the remedy says why.
    """
    _require_web_address(url)
    reply = _calling(
        lambda: requests.get(
            url,
            headers={"Accept-Encoding": "identity", **headers},
            stream=True,
            timeout=(min(30.0, params.timeout_s), params.timeout_s),
        ),
        url,
        "no connection",
    )
    try:
        _judge(reply, url)
        yield reply
    finally:
        reply.close()


def pieces_of(reply: requests.Response) -> Iterator[bytes]:
    """The body as it arrives, so that nothing received is lost when the connection drops.

    Raises
    ------
    TryAgainError
        If the connection drops.
    """
    read, dropped = reply.raw.read1, "the connection dropped"
    while piece := _calling(lambda: read(PIECE_BYTES, decode_content=False), reply.url, dropped):
        yield piece


def shown(url: str) -> str:
    """Give the address for messages: without query, user name and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _calling(call: Callable[[], T], url: str, trouble: str) -> T:
    """Call the network; what may pass becomes a `TryAgainError` without the address's query."""
    try:
        return call()
    except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL) as error:
        raise DownloadError(
            f"{shown(url)} leads to no http or https address", "correct cohort.zenodo.base_url"
        ) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise TryAgainError(f"{trouble} ({type(error).__name__})") from error


def _require_web_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DownloadError(
            f"'{shown(url)}' is no http or https address", "correct cohort.zenodo.base_url"
        )


def _judge(reply: requests.Response, url: str) -> None:
    status = reply.status_code
    if status in (200, 206, 416):
        return
    if status in WORTH_ANOTHER_TRY or status >= 500:
        raise TryAgainError(f"HTTP {status}", _wait_asked_for(reply))
    remedy = {
        401: "the record is not open; ask its authors for access",
        403: "the record is not open, or this network is refused; try it in a browser",
        404: "check cohort.zenodo.record_id, and in a browser whether it is still there",
        410: "it has been withdrawn; look for a newer version of the record",
    }
    raise DownloadError(
        f"{shown(url)}: HTTP {status}", remedy.get(status, "try the address in a browser")
    )


def _wait_asked_for(reply: requests.Response) -> float | None:
    """Seconds in `Retry-After`, which holds a number or a date; None where it does not help."""
    text = reply.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=dt.UTC)
    return max(0.0, (until - dt.datetime.now(dt.UTC)).total_seconds())


def _json_of(reply: requests.Response, url: str) -> Any:
    body = bytearray()
    for piece in pieces_of(reply):
        body += piece
        if len(body) > MAX_JSON_BYTES:
            break
    try:
        return json.loads(body)
    except ValueError as error:
        raise DownloadError(
            f"{shown(url)}: the answer is no JSON", "check cohort.zenodo.base_url in a browser"
        ) from error
