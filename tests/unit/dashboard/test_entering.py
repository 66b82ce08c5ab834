"""Who may ask a dashboard for anything."""

from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest

from kubeherd.dashboard.web.session import CSRF_HEADER, Session

HOST = {"Host": "127.0.0.1:8899"}


@pytest.fixture
def session() -> Session:
    numbers = count()
    return Session(8899, lambda: f"secret-{next(numbers)}")


def token(url: str) -> str:
    return parse_qs(urlsplit(url).query)["token"][0]


def test_a_token_is_good_once_and_buys_a_cookie(session: Session):
    url = session.url()
    assert session.exchange("") == session.exchange("wrong") == ""
    cookie = session.exchange(token(url))
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert session.exchange(token(url)) == ""
    pair = cookie.split("; ")[0]
    assert session.known({"Cookie": f"other=1; {pair}"})


def test_many_addresses_that_nobody_used_end(session: Session):
    urls = [session.url() for _ in range(9)]
    assert session.exchange(token(urls[0])) == ""
    assert all(session.exchange(token(url)) for url in urls[1:])
    assert not any(session.exchange(token(url)) for url in urls)


def test_nobody_is_known_by_an_empty_or_foreign_cookie(session: Session):
    pair = session.exchange(token(session.url())).split("; ")[0]
    value = pair.partition("=")[2]
    for cookie in ("", "kubeherd-8899=", "kubeherd-8899", f"kubeherd-8900={value}", pair + "x"):
        assert not session.known({"Cookie": cookie})
    assert not session.known({})


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8899", "127.0.0.1", "127.0.0.1:8900", "127.0.0.1.x"]
)
def test_another_host_is_refused(session: Session, host: str):
    assert session.stranger({"Host": host})


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8899", "localhost:8899", "LOCALHOST:8899", "[::1]:8899"]
)
def test_this_machine_is_not(session: Session, host: str):
    assert session.stranger({"Host": host}) == ""


@pytest.mark.parametrize(
    "origin", ["null", "", "https://127.0.0.1:8899", "http://127.0.0.1:80", "http://evil.example"]
)
def test_another_origin_is_refused(session: Session, origin: str):
    assert session.stranger({**HOST, "Origin": origin}, enters=True)
    assert session.stranger({**HOST, "Origin": "http://127.0.0.1:8899"}) == ""


def test_another_site_may_only_bring_a_token(session: Session):
    for site in ("cross-site", "same-site"):
        assert session.stranger({**HOST, "Sec-Fetch-Site": site})
        assert session.stranger({**HOST, "Sec-Fetch-Site": site}, enters=True) == ""


def test_acting_needs_what_only_the_page_is_told(session: Session):
    assert session.may_act({CSRF_HEADER: session.csrf})
    assert not session.may_act({})
    assert not session.may_act({CSRF_HEADER: "é"})
