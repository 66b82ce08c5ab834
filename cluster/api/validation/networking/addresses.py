"""Rules of IP addresses and CIDR blocks, in the strict reading of 1.36 (StrictIPCIDRValidation)."""

import ipaddress
import re
from collections.abc import Collection

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.memo import remembered
from kubeherd.cluster.api.validation.causes import invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_IP_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_CIDR_TEXT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_LEADING_ZEROS = re.compile(r"(?<![0-9a-fA-F:])0+(?=[0-9])")
_LINK_LOCAL_MULTICAST = (
    ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"),
)  # fmt: skip


@remembered(entries=1024, longest=64)
def parse(text: str) -> Address | None:
    """The address that Go's sloppy parser reads: leading zeros allowed, a zone not."""
    if "%" in text or not text.isascii():
        return None
    try:
        return ipaddress.ip_address(_LEADING_ZEROS.sub("", text) if "." in text else text)
    except ValueError:
        return None


def ip(text: str, path: str, existing: Collection[str] = ()) -> list[Cause]:
    """An IP address, unless it is one of the `existing` ones, which older rules may have let in."""
    if text in existing:
        return []
    return [invalid(path, text, problem) for problem in _problems(text)]


def canonical_problems(text: str) -> list[str]:
    """What is wrong with an address that must be written in the one usual way (IsValidIP)."""
    problems = _problems(text)
    if not problems and str(address := parse(text)) != text:
        problems.append(f'must be in canonical form ("{address}")')
    return problems


def _problems(text: str) -> list[str]:
    address = parse(text)
    if address is None:
        return [_IP_TEXT]
    problems = []
    if "." in text and _LEADING_ZEROS.search(text):
        problems.append("must not have leading 0s")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        problems.append("must not be an IPv4-mapped IPv6 address")
    return problems


def reads_as_block(text: str) -> bool:
    """Whether Go's sloppy parser reads `text` as a CIDR block."""
    base, slash, length = text.partition("/")
    address = parse(base)
    digits = length.isascii() and length.isdigit()
    return bool(slash) and address is not None and digits and int(length) <= address.max_prefixlen


def cidr(text: str, path: str, existing: Collection[str] = ()) -> list[Cause]:
    """A block such as ``10.9.8.0/24``; `existing` as for `ip`."""
    if text in existing:
        return []
    if not reads_as_block(text):
        return [invalid(path, text, _CIDR_TEXT)]
    base, _, length = text.partition("/")
    address = parse(base)
    if ("." in base and _LEADING_ZEROS.search(base)) or length != str(int(length)):
        return [invalid(path, text, "must not have leading 0s in IP or prefix length")]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return [invalid(path, text, "must not have an IPv4-mapped IPv6 address")]
    if address != ipaddress.ip_network(f"{address}/{length}", strict=False).network_address:
        return [invalid(path, text, "must not have bits set beyond the prefix length")]
    return []


def endpoint_ip(text: str, path: str) -> list[Cause]:
    """An address at which a client may look for something: none that means the client itself."""
    address = parse(text)
    if address is None:
        return [invalid(path, text, "must be a valid IP address")]
    details = []
    if address.is_unspecified:
        details.append(f"may not be unspecified ({text})")
    if address.is_loopback:
        details.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        details.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if any(address in network for network in _LINK_LOCAL_MULTICAST):
        detail = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        details.append(detail)
    return [invalid(path, text, detail) for detail in details]
