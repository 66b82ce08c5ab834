"""Who may ask the dashboard for anything: whoever had the one-time token of a URL. Pure.

The token is exchanged for a cookie, and is worth nothing afterwards. A page of another origin has
neither the cookie (SameSite=Strict) nor the header that acting needs, and a name that was bound to
this machine for it (DNS rebinding) is not in the list of hosts.
"""

import hmac
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

CSRF_HEADER: Final = "X-Kubeherd-Csrf"
_MAX_TOKENS: Final = 8
_OWN_SITES: Final = ("", "same-origin", "none")


class Session:
    """The secrets of one dashboard, at one port; `draw` makes a secret that nobody can guess."""

    def __init__(self, port: int, draw: Callable[[], str]) -> None:
        self._draw = draw
        self._port = port
        self._hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))
        self._tokens: deque[str] = deque(maxlen=_MAX_TOKENS)
        self._cookie = draw()
        self.csrf = draw()
        """What the page sends with everything that acts."""

    @property
    def _name(self) -> str:
        """Cookies know no ports: the name has it, so that several dashboards get on."""
        return f"kubeherd-{self._port}"

    def url(self) -> str:
        """An address that lets one browser in, once. Of many that nobody used the oldest end."""
        token = self._draw()
        self._tokens.append(token)
        return f"http://127.0.0.1:{self._port}/?token={token}"

    def exchange(self, token: str) -> str:
        """The Set-Cookie header for a good token, which is used up by that; "" for another."""
        good = [one for one in self._tokens if _same(token, one)]
        if not good:
            return ""
        self._tokens.remove(good[0])
        return f"{self._name}={self._cookie}; Path=/; HttpOnly; SameSite=Strict"

    def stranger(self, headers: Mapping[str, str], *, enters: bool = False) -> str:
        """Why a request is refused whoever sends it; "" if it comes from this very place.

        `enters`: it brings a token, so it may have been followed from anywhere.
        """
        if headers.get("Host", "").lower() not in self._hosts:
            return "this is not the dashboard's host name"
        origin = headers.get("Origin")
        if origin is not None and origin.lower() not in {f"http://{one}" for one in self._hosts}:
            return "asked from another origin"
        if headers.get("Sec-Fetch-Site", "") not in _OWN_SITES and not enters:
            return "asked from another site"
        return ""

    def known(self, headers: Mapping[str, str]) -> bool:
        """Whether a request brings the cookie."""
        for pair in headers.get("Cookie", "").split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self._name and _same(value, self._cookie):
                return True
        return False

    def may_act(self, headers: Mapping[str, str]) -> bool:
        """Whether a request was made by the page itself."""
        return _same(headers.get(CSRF_HEADER, ""), self.csrf)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())
