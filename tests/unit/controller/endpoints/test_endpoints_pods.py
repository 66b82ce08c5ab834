"""What a pod is to a Service: upstream's utils_test.go and util/controller_utils_test.go."""

from typing import Any

import msgspec
import pytest
from endpointsworld import pod, service

from kubeherd.cluster.api.objects import Condition, Container, ContainerPort, Pod, PodIP
from kubeherd.cluster.client.cache import Cache, key_of
from kubeherd.controller.endpoints import pods
from kubeherd.controller.endpoints.matching import Matching
from kubeherd.controller.endpoints.objects import AddressType, Service, ServicePort
from kubeherd.controller.endpoints.triggertime import TriggerTimes


@pytest.mark.parametrize(
    ("what", "terminating_too", "belongs"),
    [
        ({"phase": "Failed", "ready": False}, False, False),
        ({"phase": "Succeeded", "ready": False}, False, False),
        ({"ips": []}, False, False),
        ({"deleting": True}, False, False),
        ({"deleting": True}, True, True),
        ({"phase": "Failed"}, True, False),
        ({"phase": "Pending"}, False, True),
        ({"phase": "Unknown"}, False, True),
        ({"ips": ["1.2.3.4", "5.6.7.8"]}, False, True),
    ],
)
def test_should_pod_be_in_endpoints(
    what: dict[str, Any], terminating_too: bool, belongs: bool
) -> None:
    found = pods.belongs(pod(**what), include_terminating=terminating_too)
    assert found == belongs


def ports(*several: tuple[str, int, str]) -> tuple[ContainerPort, ...]:
    return tuple(ContainerPort(name=n, container_port=p, protocol=proto) for n, p, proto in several)


@pytest.mark.parametrize(
    ("containers", "sidecars", "wanted", "found"),
    [
        ([[]], [], 93, 93),
        ([[("", 11, "UDP"), ("p", 22, "TCP")]], [], 93, 93),
        ([[]], [], "p", None),
        ([[("p", 93, "UDP")]], [], "p", None),
        ([[("q", 11, "TCP"), ("p", 93, "TCP")]], [], "p", 93),
        ([[("q", 11, "TCP")], [("p", 93, "TCP")]], [], "p", 93),
        ([[("p", 93, "TCP")], [("p", 22, "TCP")]], [], "p", 93),
        ([[]], [("Always", [("p", 93, "TCP")])], "p", 93),
        ([[]], [("", [("p", 93, "TCP")])], "p", None),
        ([[("p", 93, "TCP")]], [("Always", [("p", 22, "TCP")])], "p", 93),
    ],
)
def test_find_port(
    containers: list[list[tuple[str, int, str]]],
    sidecars: list[tuple[str, list[tuple[str, int, str]]]],
    wanted: int | str,
    found: int | None,
) -> None:
    subject = pod()
    spec = msgspec.structs.replace(
        subject.spec,
        containers=tuple(Container(ports=ports(*several)) for several in containers),
        init_containers=tuple(
            Container(restart_policy=policy, ports=ports(*several)) for policy, several in sidecars
        ),
    )
    subject = msgspec.structs.replace(subject, spec=spec)
    assert pods.find_port(subject, ServicePort(target_port=wanted, protocol="TCP")) == found


def test_a_host_name_needs_the_services_own_subdomain() -> None:
    named = pod(hostname="foo", subdomain="web")
    assert pods.hostname(named, service("web")) == "foo"
    assert pods.hostname(named, service("other")) == ""
    assert pods.hostname(pod(subdomain="web"), service("web")) == ""
    elsewhere = msgspec.structs.replace(
        named, metadata=msgspec.structs.replace(named.metadata, namespace="other")
    )
    assert pods.hostname(elsewhere, service("web")) == ""


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("10.0.0.1", (AddressType.IPV4, "10.0.0.1")),
        ("010.00.000.01", (AddressType.IPV4, "10.0.0.1")),
        ("2001:DB8::0:1", (AddressType.IPV6, "2001:db8::1")),
        ("::ffff:10.0.0.1", (AddressType.IPV4, "10.0.0.1")),
        ("fe80::1%eth0", None),
        ("this-is-not-an-ip", None),
        ("10.0.0", None),
        ("10..0.1", None),
        ("", None),
    ],
)
def test_addresses_are_parsed_as_go_does(text: str, parsed: tuple[AddressType, str] | None) -> None:
    assert pods.parse_ip(text) == parsed


def with_labels(subject: Pod, **labels: str) -> Pod:
    return msgspec.structs.replace(
        subject, metadata=msgspec.structs.replace(subject.metadata, labels=labels)
    )


def test_pod_changed() -> None:
    """Test_podChanged: what is of no interest to a Service is no change."""
    base = pod(1)
    versioned = msgspec.structs.replace(
        base, metadata=msgspec.structs.replace(base.metadata, resource_version="7")
    )
    assert not pods.endpoint_changed(base, versioned)
    assert not pods.membership_changed(base, versioned)
    assert pods.endpoint_changed(base, pod(1, ready=False))
    assert pods.endpoint_changed(base, pod(1, deleting=True))
    assert pods.endpoint_changed(base, pod(1, ips=["10.244.0.2", "2001:db8::1"]))
    assert pods.endpoint_changed(base, pod(1, phase="Failed")), "beyond upstream"
    assert not pods.membership_changed(base, pod(1, ready=False))
    assert pods.membership_changed(base, with_labels(base, app="web", tier="x"))
    assert pods.membership_changed(base, pod(1, hostname="h"))
    assert not pods.endpoint_changed(base, pod(1, hostname="h"))
    condition = Condition(type="Initialized", status="True")
    more = msgspec.structs.replace(base.status, conditions=[*base.status.conditions, condition])
    assert not pods.endpoint_changed(base, msgspec.structs.replace(base, status=more))


def world(*services: Service, selectable: tuple[Pod, ...] = ()) -> Matching:
    cache: Cache[Service] = Cache()
    of_pods: Cache[Pod] = Cache()
    matching = Matching(cache, of_pods)
    for one in services:
        cache.put(key_of(one), one)
    for each in selectable:
        of_pods.put(key_of(each), each)
    return matching


def test_get_pod_services_to_update() -> None:
    """TestGetPodServicesToUpdate and TestDetermineNeededServiceUpdates."""
    matching = world(
        service("a", selector={"app": "web"}),
        service("ab", selector={"app": "web", "tier": "x"}),
        service("b", selector={"tier": "x"}),
        service("all", selector={}),
        service("none", selector=None),
        service("alias", selector={"app": "web"}, type="ExternalName"),
    )

    def concerned(old: Pod | None, new: Pod | None) -> list[str]:
        return sorted(name for _, name in matching.concerned(old, new))

    web = pod(1)
    assert concerned(None, web) == concerned(web, None) == ["a", "all"]
    assert concerned(web, web) == []
    assert concerned(web, pod(1, ready=False)) == ["a", "all"]
    assert concerned(web, with_labels(web, app="web", tier="x")) == ["ab", "b"], "the difference"
    assert concerned(web, with_labels(pod(1, ready=False), tier="x")) == ["a", "all", "b"]
    assert concerned(None, with_labels(web)) == ["all"]


def test_selected_pods_are_those_with_all_labels() -> None:
    web, both, other = (
        pod(1),
        with_labels(pod(2), app="web", tier="x"),
        with_labels(pod(3), app="z"),
    )
    matching = world(selectable=(web, both, other))

    def selected(selector: dict[str, str]) -> list[str]:
        found = matching.selected_by(service("s", selector=selector))
        return sorted(one.metadata.name for one in found)

    assert selected({"app": "web"}) == ["p1", "p2"]
    assert selected({"app": "web", "tier": "x"}) == ["p2"]
    assert selected({}) == ["p1", "p2", "p3"]
    assert selected({"app": "nobody"}) == []


def test_the_trigger_time_is_that_of_the_earliest_change() -> None:
    """TestLastTriggerChangeTimeAnnotation and upstream's trigger_time_tracker_test.go."""
    times = TriggerTimes()
    web = service()
    assert (
        times.next(web, [pod(1, since="2026-01-01T00:00:05Z")]) == web.metadata.creation_timestamp
    )
    assert times.next(web, [pod(1, since="2026-01-01T00:00:05Z")]) == "", "nothing has changed"
    changed = [pod(1, since="2026-01-01T00:00:09Z"), pod(2, since="2026-01-01T00:00:07Z")]
    assert times.next(web, changed) == "2026-01-01T00:00:07Z"
    assert times.next(web, changed[:1]) == "", "a pod that goes has no time"
    again = msgspec.structs.replace(
        web,
        metadata=msgspec.structs.replace(web.metadata, creation_timestamp="2026-01-01T00:01:00Z"),
    )
    assert times.next(again, changed[:1]) == "2026-01-01T00:01:00Z"


def test_addresses_of_a_family() -> None:
    both = pod(1, ips=["10.0.0.1", "2001:db8::1", "not-one"])
    assert pods.addresses(both, AddressType.IPV4) == ["10.0.0.1"]
    assert pods.addresses(both, AddressType.IPV6) == ["2001:db8::1"]
    assert both.status.pod_ips[0] == PodIP(ip="10.0.0.1")
