"""HTTP without logins that nobody gave: what the environment may say to our clients, and what not.

Proxies and certificates from the environment are honoured. Logins are not: a ``default`` entry in ``~/.netrc`` is meant
for another server than the storage that a download is redirected to. A proxy is of no use on this machine itself.
"""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_auth_from_url

# Names of this machine, as the variable no_proxy takes them.
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
# Configuration options of GDAL, read from the environment, that hold a login or a part of one.
_GDAL_LOGINS = (
    "GDAL_HTTP_USERPWD",
    "GDAL_HTTP_BEARER",
    "GDAL_HTTP_HEADERS",
    "GDAL_HTTP_HEADER_FILE",
    "GDAL_HTTP_COOKIE",
    "GDAL_HTTP_COOKIEFILE",
    "GDAL_HTTP_AUTH",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
)
# What GDAL has to be told besides: it looks for logins in the user's files, and asks a cloud's own machines for some.
GDAL_WITHOUT_LOGINS = {
    "GDAL_HTTP_NETRC": "NO",
    "AWS_NO_SIGN_REQUEST": "YES",
    "AZURE_NO_SIGN_REQUEST": "YES",
    "GS_NO_SIGN_REQUEST": "YES",
}


class Session(requests.Session):
    """A session that takes proxies and certificates from the environment, but no login, and no proxy for loopback."""

    def __init__(self) -> None:
        super().__init__()
        # requests looks into ~/.netrc where neither the request nor the session has a login.
        self.auth = _LoginOfTheAddress()

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Take the login off a request that was redirected elsewhere; unlike the original, look for no other one."""
        if self.should_strip_auth(response.request.url, prepared_request.url):
            prepared_request.headers.pop("Authorization", None)

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """The settings of a request, without a proxy for loopback; see the original."""
        merged = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return {**merged, "proxies": {}} if is_loopback(url) else merged

    def rebuild_proxies(self, prepared_request: requests.PreparedRequest, proxies: dict | None) -> dict:
        """The proxies of a request that was redirected, none for loopback."""
        if is_loopback(prepared_request.url or ""):
            prepared_request.headers.pop("Proxy-Authorization", None)
            return {}
        return super().rebuild_proxies(prepared_request, proxies)


class _LoginOfTheAddress(AuthBase):
    """The login that stands in an address (``https://user:password@host/``), if any: the user wrote it there."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        login = get_auth_from_url(request.url or "")
        return HTTPBasicAuth(*login)(request) if any(login) else request


def is_loopback(url: str) -> bool:
    """Whether an address leads to this machine itself."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def host_of(url: str) -> str:
    """Host and port of an address, without the login that may stand before them."""
    return urlsplit(url).netloc.rpartition("@")[2]


def leave_gdal_without_logins() -> None:
    """Take logins out of this process's environment, where GDAL would find them, and spare loopback the proxy.

    Call it before GDAL's first request; ``GDAL_WITHOUT_LOGINS`` are the options that belong to it.
    """
    for name in _GDAL_LOGINS:
        os.environ.pop(name, None)
    spared = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [name.strip() for name in spared.split(",") if name.strip()]
    names += [name for name in _LOOPBACK_NAMES if name not in names]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(names)
