"""Whether an address is ours, the public internet's, or something else."""

import ipaddress
from functools import cache

_RANGES = {
    "internal": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
    "cgnat": "100.64.0.0/10",
    "loopback": "127.0.0.0/8 ::1/128",
    "link_local": "169.254.0.0/16 fe80::/10",
    "multicast": "224.0.0.0/4 ff00::/8",
    "documentation": (
        "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20"
    ),
    "reserved": (
        "0.0.0.0/8 192.0.0.0/24 192.88.99.0/24 198.18.0.0/15 240.0.0.0/4 2001::/23"
    ),
}
_NETWORKS = [
    (ipaddress.ip_network(text), scope)
    for scope, texts in _RANGES.items()
    for text in texts.split()
]
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")

# IPv6 ranges that hold an IPv4 address, and how many bits stand behind it.
_HOLD_IPV4 = {
    ipaddress.ip_network("::ffff:0:0/96"): 0,
    ipaddress.ip_network("64:ff9b::/96"): 0,
    ipaddress.ip_network("2002::/16"): 80,
}


@cache
def scope(text: str) -> str:
    """The scope of an address: `internal`, `public`, `cgnat`, ...

    Returns:
        `none` for `-` and the empty text, `invalid` for what is not an address.
    """
    if text in ("", "-"):
        return "none"
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "invalid"
    for network, bits_behind in _HOLD_IPV4.items():
        if address in network:
            inner = (int(address) >> bits_behind) & 0xFFFFFFFF
            return scope(str(ipaddress.IPv4Address(inner)))
    for network, name in _NETWORKS:
        if address in network:
            return name
    if address.version == 6 and address not in _GLOBAL_V6:
        return "reserved"
    return "public"
