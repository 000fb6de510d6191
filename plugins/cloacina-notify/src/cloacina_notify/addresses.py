"""Which addresses notifications may be sent to.

A destination names a host, and whoever answers for that name decides which address it has. So a
name that is harmless in the file can lead to the engine's own network, where services believe
whoever reaches them: a cloud's metadata at 169.254.169.254, a database, the engine's host.

1. A name is resolved once for each try, and what was looked at is what is connected to: it can't
   have another address a moment later (DNS rebinding).
2. One address among several that isn't public refuses them all.
3. Public is what `ipaddress` calls global and no multicast, and in IPv6 global unicast. One that
   means an IPv4 address (mapped, NAT64) is judged by that; tunnels (6to4, Teredo) are refused.
4. Only `allow-private = true` at the destination lifts this.
"""

import socket
import threading
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, TypeAlias

from cloacina_notify.sending import SendError

Address: TypeAlias = IPv4Address | IPv6Address

_UNICAST = IPv6Network("2000::/3")
"""RFC 4291, 2.4: all that was ever given to anybody is in it."""
_TUNNELS = (IPv6Network("2002::/16"), IPv6Network("2001::/32"))
"""6to4 and Teredo: relays bring it to an IPv4 address within."""
_NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are an IPv4 address."""


def is_public(address: Address) -> bool:
    """Whether an address is one that anybody in the world may have."""
    if isinstance(address, IPv6Address):
        if (inner := _inner(address)) is not None:
            return is_public(inner)
        if address not in _UNICAST or any(address in tunnel for tunnel in _TUNNELS):
            return False
    return address.is_global and not address.is_multicast


def _inner(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that is meant by an IPv6 address."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped


def addresses_of(host: str, port: int, seconds: float, *, allow_private: bool) -> list[Address]:
    """Return the addresses of a host, in the order in which to try them.

    Args:
        host: a name or an address.
        port: where to connect to.
        seconds: how long it may take.
        allow_private: whether they need not be public.

    Raises:
        SendError: it has none, or one that isn't public.
        TimeoutError: nobody knows in time.
    """
    found = _resolve(host, port, seconds)
    addresses = [ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
    if not allow_private:
        for address in addresses:
            if not is_public(address):
                raise SendError(
                    f"its host has the address {address}, which isn't public; "
                    "if that is right, say allow-private = true"
                )
    return list(dict.fromkeys(addresses))


def _resolve(host: str, port: int, seconds: float) -> list[tuple[Any, ...]]:
    """Ask the system's resolver, which knows no time limit, in a thread that is left behind."""
    answers: list[list[tuple[Any, ...]] | Exception] = []

    def ask() -> None:
        try:
            answers.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.append(error)

    thread = threading.Thread(target=ask, name="cloacina-notify-resolver", daemon=True)
    thread.start()
    thread.join(seconds)
    if not answers:
        raise TimeoutError
    if isinstance(answers[0], Exception):
        raise SendError(f"its host can't be found: {answers[0]}") from answers[0]
    return answers[0]
