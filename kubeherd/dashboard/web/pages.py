"""The files of the page, and the few words for who may not see it."""

from hashlib import sha256
from importlib import resources
from typing import Final

from kubeherd.dashboard.web.answers import HTML, Answer, Refused

_TYPES: Final = {
    "html": HTML,
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
}
_WORDS: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<link rel="icon" href="data:,"><title>kubeherd</title>{head}'
    "<body><h1>{title}</h1><p>{text}</p></body></html>"
)
_STRANGER: Final = (
    "The address that a dashboard prints lets one browser in, once. For a new one: "
    "<code>kubeherd dashboard --url</code>, or start the dashboard again."
)


def static(name: str, known: str) -> Answer:
    """A file of the page; `known` is the If-None-Match of the request. Refused: there is none."""
    folder = resources.files("kubeherd.dashboard") / "static"
    kind = _TYPES.get(name.rpartition(".")[2])
    if kind is None or name not in {one.name for one in folder.iterdir()}:
        raise Refused(404, f"there is no {name}")
    data = (folder / name).read_bytes()
    tag = f'"{sha256(data).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if known == tag:
        return Answer(304, b"", kind, headers)
    return Answer(200, data, kind, headers)


def stranger() -> Answer:
    """For a browser without the cookie."""
    return _page(401, "This dashboard does not know you", _STRANGER)


def let_in(cookie: str, *, from_elsewhere: bool) -> Answer:
    """For a browser with a good token.

    One that follows a link of another place gets a page that leads on: of a redirect it would say
    that the other place asked for it, and keep the cookie back (SameSite=Strict).
    """
    headers = {"Set-Cookie": cookie}
    if not from_elsewhere:
        return Answer(303, b"", HTML, {**headers, "Location": "/"})
    lead = '<meta http-equiv="refresh" content="0; url=/">'
    page = _page(200, "kubeherd", '<a href="/">The dashboard</a>', lead)
    return Answer(200, page.body, HTML, headers)


def _page(status: int, title: str, text: str, head: str = "") -> Answer:
    return Answer(status, _WORDS.format(title=title, text=text, head=head).encode(), HTML)
