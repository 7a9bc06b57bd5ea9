"""Plants the stories of `campaigns`, and lists the findings that must come of them."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np

from .campaigns import LOOK_ALIKES, STORIES
from .exchange import rows
from .formats import Columns, joined, midnight, utc_text, where
from .network import FlowLog, Interface, identifier
from .site import Site
from .stories import ACCOUNT, End, Found, Lane, Story
from .vocabulary import NODATA, SKIPDATA, Vocabulary

#: The flow logs with campaigns: one of the default format, two of version 5.
LANES = (
    Lane("default", "warehouse", "45.80.0.1"),
    Lane("rich", "payments", "89.240.0.1"),
    Lane("rich, IPv6", "retail", "2a0d:5600:17::1", is_ipv6=True),
)
#: The stories take as many days, and have about 65,000 records.
FEWEST_DAYS, FEWEST_RECORDS = 10, 80_000
#: Days that rules with a history need before a day.
_DAYS_OF_HISTORY = 7


class Attacks:
    """The stories in every lane, on hosts of their own."""

    def __init__(self) -> None:
        self._hosts = {lane: dict(_own_addresses(lane)) for lane in LANES}

    def interfaces(self, flow_log: FlowLog) -> list[Interface]:
        """The interfaces of the hosts in a flow log."""
        return [
            Interface(
                interface_id=_interface_id(lane, address),
                role="host",
                address="" if lane.is_ipv6 else address,
                address_v6=address if lane.is_ipv6 else "",
                subnet_id=identifier("subnet", flow_log.name, "hosts"),
                instance_id=identifier("i", flow_log.name, "host", address),
                az_id="use1-az1",
                ecs_service="",
                account_id=account,
            )
            for lane in _lanes_of(flow_log)
            for address, account in self._hosts[lane].items()
        ]

    def plant(
        self, site: Site, vocabulary: Vocabulary, end_date: date, end: int
    ) -> dict[date, Columns]:
        """The core records of a site that start before `end`, by UTC day."""
        groups: dict[date, list[Columns]] = {}
        for lane in _lanes_of(site.flow_log):
            first = len(site.flow_log.interfaces)
            numbers = {a: first + n for n, a in enumerate(self._hosts[lane])}
            for story, number in _stories(lane):
                for talk in story.talks:
                    for days_back in talk.days:
                        day = end_date - timedelta(days=days_back)
                        groups.setdefault(day, []).extend(
                            talk.records(
                                lane, number, vocabulary, numbers, _begins(day, number)
                            )
                        )
                if story.skipped:
                    day = end_date - timedelta(days=1)
                    start = _begins(day, number) + 60 * np.arange(story.skipped)
                    host = numbers[lane.own(number, 0)]
                    groups.setdefault(day, []).append(
                        _without_traffic(site, host, start, SKIPDATA)
                    )
            # No host is silent at the end.
            every = np.array(list(numbers.values()))
            start = np.full(len(every), end - 120)
            groups.setdefault(end_date, []).append(
                _without_traffic(site, every, start, NODATA)
            )
        planted = {day: joined(records) for day, records in groups.items()}
        return {
            day: where(group, group["start"] < end) for day, group in planted.items()
        }

    def skipped(self) -> list[dict[str, str]]:
        """The interfaces with SKIPDATA records, as the incidents list them."""
        return [
            {
                "flow_log_id": lane.described.flow_log_id,
                "interface_id": _interface_id(lane, lane.own(number, 0)),
            }
            for lane in LANES
            for story, number in _stories(lane)
            if story.skipped
        ]

    def truth(self, exposures: list[dict[str, Any]], first_day: date) -> dict[str, Any]:
        """The findings that must come with some variables, and those that must not.

        Args:
            exposures: The rows of admin_exposure in the truth.
            first_day: The first day of the sample.
        """
        expected, suppressed, suppressions, look_alikes = [], [], [], []
        variables: dict[str, dict[str, list[int]]] = {}
        for lane in LANES:
            for story, number in _stories(lane):
                findings = [_row(lane, story, number, found) for found in story.finds]
                host = lane.own(number, 0) + ("/128" if lane.is_ipv6 else "/32")
                if story.variable:
                    variables.setdefault(story.variable, {})[host] = [443]
                if story.suppressed:
                    suppressed += findings
                    suppressions.append(
                        {
                            "rule": "*",
                            "entity_range": host,
                            "reason": story.suppressed,
                        }
                    )
                else:
                    expected += findings
                if story in LOOK_ALIKES:
                    look_alikes.append(
                        {
                            "story": story.title,
                            "format": lane.format,
                            "rule_id": story.looks_like,
                            "addresses": sorted(set(_addresses(lane, story, number))),
                        }
                    )
        known = {tuple(row.values())[2:] for row in expected}
        expected += [
            row
            for row in _new_exposures(exposures, first_day)
            if tuple(row.values())[2:] not in known
        ]
        return {
            "expected": expected,
            "suppressed": suppressed,
            "suppressions": suppressions,
            "variables": variables,
            "look_alikes": look_alikes,
        }


def _lanes_of(flow_log: FlowLog) -> list[Lane]:
    return [lane for lane in LANES if lane.flow_log == flow_log.name]


def _stories(lane: Lane) -> Iterator[tuple[Story, int]]:
    """The stories of a lane and their numbers."""
    for number, story in enumerate(STORIES):
        if not story.formats or lane.format in story.formats:
            yield story, number


def _begins(day: date, number: int) -> int:
    """The epoch second at which a story begins, by its number."""
    hours = max(1, 17 - STORIES[number].hours)
    return midnight(day) + 3600 * (1 + number % hours) + 60 * (number % 30)


def _ends(story: Story) -> Iterator[End]:
    for talk in story.talks:
        yield from (talk.client, talk.server)
    if story.skipped:
        yield End(is_ours=True)


def _own_addresses(lane: Lane) -> Iterator[tuple[str, str]]:
    """Each address of ours, and its account if that is not the flow log's."""
    for story, number in _stories(lane):
        account = lane.account(number) if story.has_own_account else ""
        for end in _ends(story):
            if end.is_ours:
                yield from ((host, account) for host in end.addresses(lane, number))


def _addresses(lane: Lane, story: Story, number: int) -> Iterator[str]:
    """The addresses of a story that no other story has."""
    for end in _ends(story):
        if not end.known:
            yield from end.addresses(lane, number)


def _interface_id(lane: Lane, address: str) -> str:
    return identifier("eni", lane.flow_log, "host", address)


def _without_traffic(
    site: Site, interface: int | np.ndarray, start: np.ndarray, status: int
) -> Columns:
    return rows(
        len(start),
        interface=interface,
        start=start,
        end=start + site.flow_log.interval - 1,
        log_status=status,
    )


def _row(lane: Lane, story: Story, number: int, found: Found) -> dict[str, Any]:
    peer = None
    if isinstance(found.entity, End):
        (entity,) = found.entity.addresses(lane, number)
    elif found.entity == ACCOUNT:
        entity = lane.account(number)
    else:
        entity = _interface_id(lane, lane.own(number, 0))
    if found.peer:
        (peer,) = found.peer.addresses(lane, number)
    if peer and found.rule in ("icmp_tunnel", "uncommon_protocol"):
        # Without ports nothing shows the client: the lower address takes its place.
        entity, peer = sorted((entity, peer))
    return {
        "story": story.title,
        "format": lane.format,
        "rule_id": found.rule,
        "entity": entity,
        "peer": peer,
        "port": found.port,
        "protocol": found.protocol and lane.protocol(found.protocol),
    }


def _new_exposures(
    exposures: list[dict[str, Any]], first_day: date
) -> Iterator[dict[str, Any]]:
    """What new_admin_exposure must find of all the rest of the sample."""
    first_seen: dict[tuple[str, int, int], str] = {}
    for row in exposures:
        if row["evidence"] == "request" and row["bytes"] < 60 * row["records"]:
            # A SYN that nobody answers reaches nothing.
            continue
        key = (row["internal_addr"], row["port"], row["protocol"])
        first_seen[key] = min(row["first_seen_at"], first_seen.get(key, "9"))
    first = utc_text(midnight(first_day + timedelta(days=_DAYS_OF_HISTORY)))
    for (entity, port, protocol), seen in first_seen.items():
        if seen >= first:
            yield {
                "story": "an exposure of the sample that is new",
                "format": "any",
                "rule_id": "new_admin_exposure",
                "entity": entity,
                "peer": None,
                "port": port,
                "protocol": protocol,
            }
