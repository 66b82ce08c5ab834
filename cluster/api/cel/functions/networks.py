"""``ip()``, ``cidr()`` and what can be asked of addresses and networks.

Source: k8s.io/apiserver/pkg/cel/library (ip.go, cidr.go), Go's net/netip for what is an address.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from kubeherd.cluster.api.cel.checker.declarations import Functions, function, member
from kubeherd.cluster.api.cel.checker.types import BOOL, CIDR, INT, IP, STRING
from kubeherd.cluster.api.cel.interpreter.datatypes import Failure, Opaque
from kubeherd.cluster.api.goformat import quoted

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_HEX = re.compile("[0-9a-fA-F]*")
_Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


def _address(text: str) -> _Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        detail = f"ParseAddr({quoted(text)}): {_why(text)}"
        raise Failure(
            f"IP Address {quoted(text)} parse error during conversion from string: {detail}"
        ) from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise Failure(f"IP address {quoted(text)} with zone value is not allowed")
        if address.ipv4_mapped is not None:
            raise Failure(f"IPv4-mapped IPv6 address {quoted(text)} is not allowed")
    return address


def _why(text: str) -> str:
    """What Go finds wrong with an address, for the usual mistakes."""
    if not any(char in text for char in ".:%"):
        return "unable to parse IP"
    if ":" in text.partition(".")[0] or ("." not in text and ":" in text):
        return _why_six(text)
    fields = text.split(".")
    for index, field in enumerate(fields[:4]):
        if not field:
            rest = ".".join(fields[index:])
            return f"IPv4 field must have at least one digit (at {quoted(rest)})"
        if not (field.isascii() and field.isdigit()):
            rest = text[len(".".join(fields[:index])) + bool(index) :].lstrip("0123456789")
            return f"unexpected character (at {quoted(rest)})"
        if len(field) > 1 and field[0] == "0":
            return "IPv4 field has octet with leading zero"
        if int(field) > 255:
            return "IPv4 field has value >255"
    return "IPv4 address too long" if len(fields) > 4 else "IPv4 address too short"


def _why_six(text: str) -> str:
    """The same for addresses of version 6."""
    if "%" in text:
        return "zone must be a non-empty string"
    rest, groups = text.removeprefix("::"), 0
    shortened = rest != text
    while rest and groups < 8:
        digits = _HEX.match(rest)
        field = digits[0] if digits else ""
        if not field:
            return f"each colon-separated field must have at least one digit (at {quoted(rest)})"
        if len(field) > 4:
            return f"each group must have 4 or fewer digits (at {quoted(rest)})"
        groups, rest = groups + 1, rest[len(field) :]
        if not rest:
            break
        if rest[0] != ":":
            return f"unexpected character, want colon (at {quoted(rest)})"
        if rest == ":":
            return f"colon must be followed by more characters (at {quoted(rest)})"
        rest = rest[1:]
        if rest.startswith(":"):
            if shortened:
                return f"multiple :: in address (at {quoted(rest)})"
            shortened, rest = True, rest[1:]
    if rest:
        return f"trailing garbage after address (at {quoted(rest)})"
    return "address string too short" if groups < 8 else "unable to parse IP"


def _network(text: str) -> _Interface:
    base, slash, bits = text.rpartition("/")
    prefix = "network address parse error during conversion from string: "
    if not slash:
        raise Failure(f"{prefix}netip.ParsePrefix({quoted(text)}): no '/'")
    plain = bits.isascii() and bits.isdigit() and (bits == "0" or bits[0] != "0")
    try:
        address = ipaddress.ip_address(base)
        if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
            raise ValueError("IPv6 zones cannot be present in a prefix")
    except ValueError as error:
        known = "zones" in str(error)
        why = str(error) if known else f"ParseAddr({quoted(base)}): {_why(base)}"
        raise Failure(f"{prefix}netip.ParsePrefix({quoted(text)}): {why}") from None
    if not plain:
        why = f"bad bits after slash: {quoted(bits)}"
        raise Failure(f"{prefix}netip.ParsePrefix({quoted(text)}): {why}")
    if len(bits) > 3 or int(bits) > address.max_prefixlen:
        raise Failure(f"{prefix}netip.ParsePrefix({quoted(text)}): prefix length out of range")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise Failure(f"IPv4-mapped IPv6 address {quoted(text)} is not allowed")
    return ipaddress.ip_interface(text)


def _cidr(text: str) -> Opaque:
    try:
        return Opaque(CIDR, _network(text))
    except Failure as failure:
        prefix = "network address parse error during conversion from string: "
        raise Failure(prefix + str(failure)) from None


def _ip(text: str) -> Opaque:
    return Opaque(IP, _address(text))


def _parses(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except Failure:
            return False
        return True

    return check


def _contains_ip(network: Opaque, other: Opaque | str) -> bool:
    address = _address(other) if isinstance(other, str) else other.value
    inside = network.value.network
    return address.version == inside.version and address in inside


def _contains_cidr(network: Opaque, other: Opaque | str) -> bool:
    outer = network.value.network
    inner = (_cidr(other) if isinstance(other, str) else other).value.network
    return inner.version == outer.version and bool(inner.subnet_of(outer))


def _masked(network: Opaque) -> Opaque:
    return Opaque(CIDR, ipaddress.ip_interface(network.value.network))


def _asks(read: Callable[[Any], bool]) -> Callable[[Opaque], bool]:
    return lambda ip: read(ip.value)


_LINK_LOCAL = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))
_BROADCAST = ipaddress.ip_address("255.255.255.255")


def _is_link_local_multicast(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        octets = address.packed
        return octets[0] == 0xFF and octets[1] & 0x0F == 0x02
    return address in _LINK_LOCAL[0]


def _is_link_local_unicast(address: _Address) -> bool:
    return address.is_link_local


def _is_global_unicast(address: _Address) -> bool:
    return not (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_link_local
        or address == _BROADCAST
    )


def _text(address: _Address) -> str:
    return str(address)


LIBRARY: Functions = {
    "ip": (
        function("string_to_ip", IP, _ip, STRING),
        member("cidr_ip", IP, lambda one: Opaque(IP, one.value.ip), CIDR),
    ),
    "isIP": (function("is_ip", BOOL, _parses(_address), STRING),),
    "ip.isCanonical": (
        function("ip_is_canonical", BOOL, lambda text: _text(_address(text)) == text, STRING),
    ),
    "family": (member("ip_family", INT, lambda ip: ip.value.version, IP),),
    "isUnspecified": (
        member("ip_is_unspecified", BOOL, _asks(lambda ip: bool(ip.is_unspecified)), IP),
    ),
    "isLoopback": (member("ip_is_loopback", BOOL, _asks(lambda ip: bool(ip.is_loopback)), IP),),
    "isLinkLocalMulticast": (
        member("ip_is_link_local_multicast", BOOL, _asks(_is_link_local_multicast), IP),
    ),
    "isLinkLocalUnicast": (
        member("ip_is_link_local_unicast", BOOL, _asks(_is_link_local_unicast), IP),
    ),
    "isGlobalUnicast": (member("ip_is_global_unicast", BOOL, _asks(_is_global_unicast), IP),),
    "cidr": (function("string_to_cidr", CIDR, _cidr, STRING),),
    "isCIDR": (function("is_cidr", BOOL, _parses(_network), STRING),),
    "containsIP": (
        member("cidr_contains_ip_string", BOOL, _contains_ip, CIDR, STRING),
        member("cidr_contains_ip_ip", BOOL, _contains_ip, CIDR, IP),
    ),
    "containsCIDR": (
        member("cidr_contains_cidr_string", BOOL, _contains_cidr, CIDR, STRING),
        member("cidr_contains_cidr", BOOL, _contains_cidr, CIDR, CIDR),
    ),
    "prefixLength": (
        member("cidr_prefix_length", INT, lambda one: one.value.network.prefixlen, CIDR),
    ),
    "masked": (member("cidr_masked", CIDR, _masked, CIDR),),
    "string": (
        function("ip_to_string", STRING, lambda ip: str(ip.value), IP),
        function("cidr_to_string", STRING, lambda one: str(one.value), CIDR),
    ),
}
