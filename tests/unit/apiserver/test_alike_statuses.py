"""How many templates of statuses there are, and which go."""

import msgspec
import pytest

from kubeherd.cluster.apiserver.write.short.alike import statustexts
from kubeherd.cluster.apiserver.write.short.alike.statuses import (
    MAX_SEEN,
    MAX_TEMPLATES,
    MAX_TEMPLATES_BYTES,
    Template,
    Templates,
)
from kubeherd.cluster.apiserver.write.short.alike.statustexts import MAX_TEXTS, Cut, cut

UID = "12345678-1234-1234-1234-123456789abc"
TEMPLATE = Template(None, {}, {}, {}, (), (), size_bytes=1)


def patch(body: str, meta: str = "") -> Cut | None:
    head = f'"name":"p","namespace":"default","uid":"{UID}","resourceVersion":"7"{meta}'
    pod = f'{{"kind":"Pod","apiVersion":"v1","metadata":{{{head}}},"spec":{{}},"status":{{}}}}'
    return cut(pod.encode(), body.encode(), "")


def one(number: int) -> Cut:
    found = patch(f'{{"status":{{"message":"m{number}"}}}}')
    assert found is not None
    return found


def test_those_that_were_not_used_for_longest_go_first() -> None:
    templates = Templates()
    for number in range(MAX_TEMPLATES):
        templates.keep(one(number).key, TEMPLATE)
    assert templates.of(one(0)) is TEMPLATE
    templates.keep(one(MAX_TEMPLATES).key, TEMPLATE)
    assert templates.of(one(1)) is None
    assert templates.of(one(0)) is TEMPLATE


@pytest.mark.parametrize("size_bytes", [MAX_TEMPLATES_BYTES // 2, MAX_TEMPLATES_BYTES // 4])
def test_what_they_take_is_bounded_also_when_one_takes_the_place_of_another(
    size_bytes: int,
) -> None:
    templates = Templates()
    large = msgspec.structs.replace(TEMPLATE, size_bytes=size_bytes)
    for number in (0, *range(9), 8):
        templates.keep(one(number).key, large)
    kept = [number for number in range(9) if templates.of(one(number)) is not None]
    assert kept == list(range(9 - MAX_TEMPLATES_BYTES // size_bytes, 9))


def test_the_first_of_many_is_forgotten() -> None:
    templates = Templates()
    assert not templates.is_second(one(0))
    assert templates.is_second(one(0))
    for number in range(MAX_SEEN + 1):
        assert not templates.is_second(one(number))
    assert not templates.is_second(one(0))


def test_a_template_is_for_the_texts_that_follow_its_rules() -> None:
    templates = Templates()
    first, other = (patch(f'{{"status":{{"podIP":"{ip}"}}}}') for ip in ("10.0.0.1", "10.0.0.256"))
    assert first is not None
    assert other is not None
    assert first.key == other.key
    ruled = msgspec.structs.replace(TEMPLATE, rules=((1, statustexts.is_ip),))
    templates.keep(first.key, ruled)
    assert templates.of(first) is ruled
    assert templates.of(other) is None


@pytest.mark.parametrize(
    "found",
    [
        patch('{"\\u0073tatus":{}}'),
        patch("{}", meta=',"managedFields":[{"manager":"m"}]'),
        patch('[{"ip":"1"}]' * MAX_TEXTS),
        cut(b'{"kind":"Pod"}', b"{}", ""),
    ],
    ids=["an escaped name", "managed fields", "too many texts", "no pod"],
)
def test_there_is_no_template_for(found: Cut | None) -> None:
    assert found is None
