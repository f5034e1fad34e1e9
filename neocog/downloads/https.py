"""One GET over https: no downgrade, few redirects, none into a private network.

Plain http is for this machine alone, where tests run a server. Certificates are always checked, with the
system's authorities; proxies are the environment's (HTTPS_PROXY).
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import ipaddress
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from neocog.errors import UsageError

REDIRECTS = 5


class Refused(Exception):
    """A redirect that is not followed; the message says where it led."""


def check_address(url: str) -> None:
    """`UsageError` unless `url` is https, or http to this machine (tests run a server there)."""
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" or (parts.scheme == "http" and _local(parts.hostname))
    except ValueError:
        good = False
    if not good or not parts.hostname:
        raise UsageError(f"'{url}' is not downloaded: an address must begin with https://")


@contextlib.contextmanager
def opened(url: str, headers: dict[str, str], *, timeout: float) -> Iterator[http.client.HTTPResponse]:
    """The response to GET `url`, redirects followed; `timeout` in seconds for each wait on the network.

    Raises what `urllib.request` raises, and `Refused`.
    """
    opener = urllib.request.OpenerDirector()  # build_opener would add handlers for file:, ftp: and data:
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_trust()),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    response = None
    for _ in range(REDIRECTS + 1):
        try:
            response = opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
            break
        except urllib.error.HTTPError as error:
            with error:
                location = error.headers.get("Location")
                if error.code not in (301, 302, 303, 307, 308) or location is None:
                    raise
                url = redirected(url, location)
    if response is None:
        raise Refused(f"redirects more than {REDIRECTS} times")
    with response:
        yield response


@functools.cache
def _trust() -> ssl.SSLContext:
    """The system's authorities, read once: that takes longer than a request."""
    return ssl.create_default_context()


def redirected(url: str, location: str) -> str:
    """Where `location` leads from `url`; `Refused` where it must not."""
    try:
        target = urljoin(url, location)
        old, new = urlsplit(url), urlsplit(target)
        if new.scheme != "https" and not (old.scheme == new.scheme == "http" and _local(new.hostname)):
            raise Refused(f"redirects to {target}, which is not https")
        inward = not _local(old.hostname) and _private(new.hostname or "", new.port or 443)
    except ValueError:
        raise Refused(f"redirects to '{location}', which is no address") from None
    if inward:
        raise Refused(f"redirects to {target}, an address of a private network")
    return target


def _local(host: str | None) -> bool:
    """Whether the name means this very machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _private(host: str, port: int) -> bool:
    """Whether any address of the host lies outside the public internet.

    A name that does not resolve here counts as public: behind a proxy only the proxy resolves names.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(not ipaddress.ip_address(str(entry[4][0]).split("%")[0]).is_global for entry in found)
