"""Hosts whose addresses change hands: what they write, and who held which address.

All of it is on the day before the last one, in two VPCs: one whose records have neither
the VPC nor the direction, and one whose records have both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from .exchange import SAME_VPC, TCP, Exchange
from .formats import Columns, joined, midnight, where
from .network import FlowLog, Interface, identifier
from .site import Site
from .vocabulary import ACCEPT, OK, Vocabulary

#: The names of their flow logs.
SITES = ("prod", "payments")
#: Hours of the day at which there are snapshots. That at `INCOMPLETE` misses them all.
HOURS = (6, 9, 12, 18)
INCOMPLETE = 12
UNKNOWN = "unknown"
#: The role of these interfaces, which has no part in everyday traffic.
ROLE = "changing"
_PORT = 8080
_LONG_AGO, _FOR_GOOD = -720.0, 10_000.0


@dataclass(frozen=True)
class Held:
    """An address, its kind, and the hours of the day between which it is held."""

    address: str
    kind: str = "private"
    begins: float = _LONG_AGO
    ends: float = _FOR_GOOD


@dataclass(frozen=True)
class Holder:
    """A network interface.

    Args:
        name: The name in its tags.
        addresses: The addresses, without the two octets of the VPC. The first one is
            the primary address.
        instances: The instances, with the hours between which it is attached.
        talks: The hours at which it talks, and writes records.
    """

    name: str
    addresses: tuple[Held, ...]
    instances: tuple[tuple[str, float, float], ...]
    talks: tuple[float, ...] = ()

    @property
    def primary(self) -> str:
        """The primary address."""
        return self.addresses[0].address

    def attached(self, hour: float) -> tuple[str, float] | None:
        """The instance at an hour, and since when; None if it is detached."""
        for name, begins, ends in self.instances:
            if begins <= hour < ends:
                return name, begins
        return None

    def held(self, hour: float) -> list[Held]:
        """The addresses at an hour."""
        return [held for held in self.addresses if held.begins <= hour < held.ends]


def _host(name: str, address: str, begins: float, ends: float, *talks: float) -> Holder:
    held = Held(address, begins=begins, ends=ends)
    return Holder(name, (held,), ((name, begins, ends),), talks)


HOLDERS = (
    # Three instances get one address, one after the other.
    _host("worker-a", "18.10", 0, 7.5, 1, 6.5),
    _host("worker-b", "18.10", 8, 10.5, 8.5, 10),
    _host("worker-c", "18.10", 11, _FOR_GOOD, 11.5, 20),
    # No snapshot has the second one.
    _host("batch-a", "18.20", 0, 7.5, 1, 7),
    _host("batch-b", "18.20", 9.5, 11.5, 10, 11),
    _host("batch-c", "18.20", 14, _FOR_GOOD, 15, 20),
    # Detached from one instance, and attached to another one.
    Holder(
        "",
        (Held("18.30"),),
        (("old-home", _LONG_AGO, 6.5), ("new-home", 10, _FOR_GOOD)),
        (5, 11, 20),
    ),
    # A secondary address moves to another instance.
    Holder(
        "first-node",
        (Held("18.40"), Held("18.41", ends=14)),
        (("first-node", _LONG_AGO, _FOR_GOOD),),
        (5,),
    ),
    Holder(
        "second-node",
        (Held("18.42"), Held("18.41", begins=14)),
        (("second-node", _LONG_AGO, _FOR_GOOD),),
        (5,),
    ),
    # Its pods have the addresses of a prefix.
    Holder(
        "pod-node",
        (Held("18.50"), Held("18.64/28", "prefix")),
        (("pod-node", _LONG_AGO, _FOR_GOOD),),
        (5,),
    ),
)
#: What is seen at the other end alone: the address, the hour, and whose it is, as far
#: as anybody can know.
SEEN = (
    ("18.10", 7.75, UNKNOWN),
    ("18.20", 13, UNKNOWN),
    ("18.41", 5, "first-node"),
    ("18.41", 8, "first-node"),
    ("18.41", 13, UNKNOWN),
    ("18.41", 20, "second-node"),
    ("18.64", 5, "pod-node"),
    ("18.70", 13, "pod-node"),
    ("18.79", 20, "pod-node"),
    ("18.80", 20, UNKNOWN),
)
#: Holders that no snapshot shows: their interface is known, and not their name.
UNNAMED = ("batch-b",)


def interfaces_of(flow_log: FlowLog) -> list[Interface]:
    """The interfaces of a flow log, one for each instance they are attached to."""
    if flow_log.name not in SITES:
        return []
    return [
        Interface(
            interface_id=interface_id(flow_log, holder),
            role=ROLE,
            address=f"{flow_log.prefix}.{holder.primary}",
            address_v6="",
            subnet_id=identifier("subnet", flow_log.name, "private", 0),
            instance_id=identifier("i", flow_log.name, instance),
            az_id="use1-az1",
            ecs_service="",
        )
        for holder in HOLDERS
        for instance, _, _ in holder.instances
    ]


def interface_id(flow_log: FlowLog, holder: Holder) -> str:
    """The id of a holder's interface."""
    return identifier("eni", flow_log.name, holder.name, holder.primary)


def owner_of(name: str) -> str:
    """The owner of a host, by its name."""
    return name if name == UNKNOWN else f"team-{name.partition('-')[0]}"


def day_of(days: list[date]) -> date:
    """The day of all that, of the days of a sample."""
    return days[max(len(days) - 2, 0)]


def plant(site: Site, vocabulary: Vocabulary, day: date, end: int) -> Columns | None:
    """The core records of a site that start before `end`."""
    flow_log = site.flow_log
    groups: list[Columns] = []
    for talk in _talks(flow_log):
        address = vocabulary.code(talk.address)
        for peer in (1, 2):
            app = flow_log.interface("app", peer)
            client = vocabulary.code(site.interfaces[app].address)
            start = midnight(day) + int(talk.hour * 3600) + 7 * peer
            exchange = Exchange(
                1,
                both={
                    "protocol": TCP,
                    "start": start,
                    "end": start + 30,
                    "action": ACCEPT,
                    "log_status": OK,
                },
                request={"bytes": 900, "packets": 2, "tcp_flags": 2},
                reply={"bytes": 1800, "packets": 3, "tcp_flags": 18},
            )
            observers = [(app, True)]
            if talk.face:
                observers.append((site.interfaces.index(talk.face), False))
            for interface, opens in observers:
                groups += exchange.seen(
                    interface,
                    (client, 40_000 + peer),
                    (address, _PORT),
                    opens=opens,
                    path=SAME_VPC,
                    counts=(opens, not opens or not talk.face),
                )
    if not groups:
        return None
    found = joined(groups)
    return where(found, found["start"] < end)


def truth(flow_log: FlowLog, day: date, end: int) -> Iterator[dict[str, Any]]:
    """Whose the addresses are: one row for each minute at which one is in a record."""
    for talk in _talks(flow_log):
        at = datetime.combine(day, time(), UTC) + timedelta(hours=talk.hour)
        if at.timestamp() + 60 < end:
            yield {
                "vpc_id": flow_log.vpc_id,
                "address": talk.address,
                "seen_at": f"{at.replace(tzinfo=None)}",
                "interface_id": talk.face.interface_id if talk.face else None,
                "instance_id": talk.face.instance_id if talk.face else None,
                "name": talk.name,
                "owner": owner_of(talk.name),
            }


@dataclass(frozen=True)
class _Talk:
    """An address at an hour, the interface that writes records there, and its name."""

    hour: float
    address: str
    face: Interface | None
    name: str


def _talks(flow_log: FlowLog) -> Iterator[_Talk]:
    if flow_log.name not in SITES:
        return
    faces = {
        (face.interface_id, face.instance_id): face for face in interfaces_of(flow_log)
    }
    for holder in HOLDERS:
        for hour in holder.talks:
            attached = holder.attached(hour)
            assert attached
            instance = identifier("i", flow_log.name, attached[0])
            name = UNKNOWN if holder.name in UNNAMED else attached[0]
            face = faces[interface_id(flow_log, holder), instance]
            yield _Talk(hour, face.address, face, name)
    for address, hour, name in SEEN:
        yield _Talk(hour, f"{flow_log.prefix}.{address}", None, name)
