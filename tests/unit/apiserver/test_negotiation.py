"""The Accept header, pretty-printing and compression (spec api-machinery, 15 and 16)."""

import gzip

import pytest

from kubeherd.cluster.api.errors import NotAcceptable
from kubeherd.cluster.apiserver.edge.negotiation import (
    Media,
    Shape,
    compressed,
    negotiate,
    untransformed,
    wants_pretty,
)

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("accept", "media", "shape"),
    [
        ("", Media.JSON, Shape.OBJECT),
        ("*/*", Media.JSON, Shape.OBJECT),
        ("application/yaml", Media.YAML, Shape.OBJECT),
        ("application/vnd.kubernetes.protobuf,application/json", Media.PROTOBUF, Shape.OBJECT),
        ("application/msgpack, application/json", Media.MSGPACK, Shape.OBJECT),
        (f"{TABLE},application/json", Media.JSON, Shape.TABLE),
        ("application/json;q=0.5,application/yaml", Media.YAML, Shape.OBJECT),
        ("application/json;q=0.5,application/yaml;q=x", Media.JSON, Shape.OBJECT),
        ("*/*,application/yaml", Media.YAML, Shape.OBJECT),
        ("text/html," * 20 + "*/*;q=0.1,application/yaml;q=0.2", Media.YAML, Shape.OBJECT),
        ("application/yaml;stream=watch,application/json", Media.JSON, Shape.OBJECT),
        ("application/json;stream=watch", Media.JSON, Shape.OBJECT),
        ("application/json;stream=x,application/yaml", Media.YAML, Shape.OBJECT),
        ("application/json;sv=1,application/yaml", Media.YAML, Shape.OBJECT),
        ("application/json;g=meta.k8s.io,application/yaml", Media.YAML, Shape.OBJECT),
        (f"{TABLE.replace('json', 'vnd.kubernetes.protobuf')},{TABLE}", Media.JSON, Shape.TABLE),
        (
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            Media.PROTOBUF,
            Shape.PARTIAL,
        ),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Media.JSON, Shape.OBJECT),
        (
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            Media.JSON,
            Shape.PARTIAL,
        ),
    ],
)
def test_the_first_clause_that_can_be_answered_counts(
    accept: str, media: Media, shape: Shape
) -> None:
    found = negotiate(accept)
    assert (found.media, found.shape) == (media, shape)


def test_nothing_acceptable_is_406() -> None:
    with pytest.raises(NotAcceptable, match="only the following media types are accepted"):
        negotiate("text/html")


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", Media.JSON),
        ("application/vnd.kubernetes.protobuf,application/json", Media.PROTOBUF),
        ("application/yaml", Media.YAML),
        (TABLE, None),
        (f"{TABLE},application/yaml", Media.YAML),
        ("text/html", None),
    ],
)
def test_errors_and_discovery_come_in_one_shape(accept: str, media: Media | None) -> None:
    assert untransformed(accept) is media


@pytest.mark.parametrize(
    ("query", "agent", "pretty"),
    [
        ({}, "curl/8", True),
        ({}, "Mozilla/5.0 (X11)", True),
        ({}, "kubectl/v1.32", False),
        ({"pretty": "true"}, "", True),
        ({"pretty": "false"}, "curl/8", False),
        ({"pretty": "False"}, "", False),
        ({"pretty": "nonsense"}, "curl/8", False),
        ({"pretty": ""}, "curl/8", True),
    ],
)
def test_people_get_indented_json(query: dict[str, str], agent: str, pretty: bool) -> None:
    assert wants_pretty(query, {"user-agent": agent}) is pretty


def test_only_large_bodies_are_compressed() -> None:
    body = b"x" * 200_000
    small = compressed(body, {"accept-encoding": "gzip"})
    assert small is not None
    assert gzip.decompress(small) == body
    assert compressed(body, {}) is None
    assert compressed(b"x", {"accept-encoding": "gzip"}) is None
