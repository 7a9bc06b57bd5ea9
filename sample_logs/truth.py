"""The exact answers, added up as the records are written.

The generator marks each record that it makes: whether a client sent it, and whether it
counts once each packet counts once. The models have to find out both.
"""

import ipaddress
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, NotRequired, TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .exchange import TCP, UDP
from .formats import Columns, midnight, utc_text, where
from .network import OWN_IPV6
from .vocabulary import ACCEPT, INGRESS, NO_TEXT

_DAY = 86_400
_SSH_PORT, _FIRST_EPHEMERAL_PORT = 22, 1024
_TALKER_KEYS = {
    "top_talkers_by_destination": "dstaddr",
    "top_talkers_by_source": "srcaddr",
    "top_talkers_by_interface": "interface_id",
}
# By whether some records are without the pkt_ addresses, and whether some have them.
_BASES = {
    (True, False): "addresses",
    (False, True): "packet_addresses",
    (True, True): "mixed",
}
_SUMS = {
    "first": "min",
    "last": "max",
    "records": "sum",
    "requests": "sum",
    "bytes": "sum",
}
_INTERFACE = ("interface_id", "instance_id", "vpc_id", "account_id")


class Truth(TypedDict):
    """What `truth.json` holds: counts of records, sizes in bytes, times in UTC.

    `marts` has the rows of four marts, without the columns that only models find.
    """

    as_of: str
    lookback_days: int
    top_n: int
    admin_ports: list[int]
    records: int
    files: int
    records_by_log_status: dict[str, int]
    days: list[dict[str, Any]]
    marts: dict[str, list[dict[str, Any]]]
    enrichment: NotRequired[dict[str, Any]]
    transfer: NotRequired[dict[str, dict[str, Any]]]
    inventory: NotRequired[dict[str, Any]]
    incidents: NotRequired[dict[str, Any]]
    findings: NotRequired[dict[str, list[dict[str, Any]]]]


class TruthCounter:
    """Adds up records, a part at a time.

    Args:
        texts: The text of each code; complete from the start.
        as_of: The UTC date that counts as today.
        lookback_days: Days before `as_of` that the marts look at.
        top_n: Rows of each top-talkers mart.
        admin_ports: Ports whose exposure is reported.
    """

    def __init__(
        self,
        texts: Sequence[str],
        as_of: date,
        lookback_days: int,
        top_n: int,
        admin_ports: Sequence[int],
    ) -> None:
        self._texts = texts
        self._as_of = as_of
        self._lookback_days = lookback_days
        self._top_n = top_n
        self._admin_ports = sorted(set(admin_ports))
        today = midnight(as_of)
        self._window = (today - lookback_days * _DAY, today + _DAY)
        self._statuses: Counter[str] = Counter()
        self._days: dict[int, Counter[str]] = {}
        # Bytes, packets, records and deduplicated bytes by the code of the key.
        self._talkers = {
            mart: np.zeros((4, len(texts)), dtype=np.int64) for mart in _TALKER_KEYS
        }
        # Which keys have records without and with the pkt_ addresses.
        self._bases = {
            mart: np.zeros((2, len(texts)), dtype=np.bool_) for mart in _TALKER_KEYS
        }
        self._contacts: list[pa.Table] = []
        self._pairs: list[pa.Table] = []

    def add(self, columns: Columns, core: Columns) -> None:
        """Count records.

        Args:
            columns: The records as their format delivers them.
            core: The same records as they were made.
        """
        for code, count in _counts(columns["log_status"]):
            self._statuses[self._texts[code]] += count
        accepted = columns["action"] == ACCEPT
        self._add_days(columns["start"] // _DAY, accepted, columns, core)
        first, end = self._window
        counted = accepted & (columns["start"] >= first) & (columns["start"] < end)
        columns, core = where(columns, counted), where(core, counted)
        self._add_talkers(columns, core["counts"] == 1)
        self._add_pairs(columns, core["counts"] == 1)
        self._add_contacts(columns, core)

    def result(self, files: int) -> Truth:
        """The answers over all records added; `files` is reported as it is."""
        marts = {mart: self._top_talkers(mart) for mart in _TALKER_KEYS}
        marts["admin_exposure"] = self._exposures()
        return {
            "as_of": self._as_of.isoformat(),
            "lookback_days": self._lookback_days,
            "top_n": self._top_n,
            "admin_ports": self._admin_ports,
            "records": self._statuses.total(),
            "files": files,
            "records_by_log_status": dict(sorted(self._statuses.items())),
            "days": [
                {"date": (date(1970, 1, 1) + timedelta(days=day)).isoformat()} | counter
                for day, counter in sorted(self._days.items())
            ],
            "marts": marts,
        }

    def _add_days(
        self,
        days: NDArray[np.int64],
        accepted: NDArray[np.bool_],
        columns: Columns,
        core: Columns,
    ) -> None:
        once = accepted & (core["counts"] == 1)
        for day, count in _counts(days):
            of_day = days == day
            self._days.setdefault(day, Counter()).update(
                records=count,
                accepted_records=int((accepted & of_day).sum()),
                accepted_bytes=int(columns["bytes"][accepted & of_day].sum()),
                deduplicated_bytes=int(columns["bytes"][once & of_day].sum()),
            )

    def _add_talkers(self, columns: Columns, once: NDArray[np.bool_]) -> None:
        sizes = columns["bytes"]
        for mart, key in _TALKER_KEYS.items():
            bytes_, packets, records, deduplicated = self._talkers[mart]
            codes = columns[key]
            real = columns.get(f"pkt_{key}", codes)[once]
            np.add.at(bytes_, codes, sizes)
            np.add.at(packets, codes, columns["packets"])
            np.add.at(records, codes, 1)
            np.add.at(deduplicated, real, sizes[once])
            basis = self._bases[mart][int("pkt_srcaddr" in columns)]
            basis[codes] = basis[real] = True

    def _top_talkers(self, mart: str) -> list[dict[str, Any]]:
        sums = self._talkers[mart].T.tolist()
        talkers = sorted(
            (-total_bytes, self._texts[code], code)
            for code, (total_bytes, _, records, _) in enumerate(sums)
            if records
        )
        rows = []
        for rank, (_, text, code) in enumerate(talkers[: self._top_n], start=1):
            total_bytes, packets, records, deduplicated = sums[code]
            row = {
                "rank": rank,
                _TALKER_KEYS[mart]: text,
                "total_bytes": total_bytes,
                "total_packets": packets,
                "records": records,
            }
            if mart != "top_talkers_by_interface":
                row["total_bytes_deduplicated"] = deduplicated
                row["dedup_basis"] = _BASES[tuple(self._bases[mart][:, code].tolist())]
            rows.append(row)
        return rows

    def _add_pairs(self, columns: Columns, once: NDArray[np.bool_]) -> None:
        """Add up what an address sent to another, each byte counted once."""
        ends = {
            end: columns.get(f"pkt_{key}", columns[key])[once]
            for end, key in (("source", "srcaddr"), ("destination", "dstaddr"))
        }
        sent = pa.table(ends | {"bytes": columns["bytes"][once]})
        self._pairs.append(_sent(sent))

    def pairs(self) -> list[tuple[str, str, int]]:
        """Sender, receiver and the bytes that count, within the window."""
        if not self._pairs:
            return []
        sent = _sent(pa.concat_tables(self._pairs))
        return [
            (self._texts[source], self._texts[destination], size)
            for source, destination, size in zip(
                *sent.to_pydict().values(), strict=True
            )
            if size > 0
        ]

    def _add_contacts(self, columns: Columns, core: Columns) -> None:
        """Add up what clients exchanged over admin ports, whoever they are."""
        is_request = core["is_request"] == 1
        port = np.where(is_request, core["dstport"], core["srcport"])
        is_udp = (core["protocol"] == UDP) & (port != _SSH_PORT)
        chosen = np.isin(port, self._admin_ports) & (is_udp | (core["protocol"] == TCP))
        source, target = core["pkt_srcaddr"], core["pkt_dstaddr"]
        at_server = (core["flow_direction"] == INGRESS) == is_request
        values = {
            "server": np.where(is_request, target, source),
            "client": np.where(is_request, source, target),
            "port": port,
            "protocol": core["protocol"],
            "at_server": at_server & ("flow_direction" in columns),
            **{
                name: columns.get(name, np.full(len(port), NO_TEXT))
                for name in _INTERFACE
            },
            "first": core["start"],
            "last": core["start"],
            "records": np.ones_like(port),
            "requests": core["is_request"],
            "bytes": core["bytes"],
        }
        self._contacts.append(_summed(pa.table(where(values, chosen))))

    def _exposures(self) -> list[dict[str, Any]]:
        """One row per internal and external address, port and protocol."""
        rows: list[dict[str, Any]] = []
        contacts = _summed(pa.concat_tables(self._contacts))
        for contact in contacts.to_pylist():
            server, client, *interface = (
                self._texts[contact[name]] for name in ("server", "client", *_INTERFACE)
            )
            # A VPC's IPv6 addresses are public: only the direction shows the server.
            is_ours = ipaddress.ip_address(server).is_private or (
                ":" in server and contact["at_server"]
            )
            evidence = "both"
            if contact["requests"] in (0, contact["records"]):
                evidence = "request" if contact["requests"] else "reply"
            # From a high port, a reply alone may come from a client of ours.
            is_shown = evidence != "reply" or contact["port"] < _FIRST_EPHEMERAL_PORT
            address = ipaddress.ip_address(client)
            is_outside = address.is_global and address not in OWN_IPV6
            if is_ours and is_shown and is_outside:
                rows.append(
                    {
                        "internal_addr": server,
                        "external_addr": client,
                        "port": contact["port"],
                        "protocol": contact["protocol"],
                        "evidence": evidence,
                        "first_seen_at": utc_text(contact["first"]),
                        "last_seen_at": utc_text(contact["last"]),
                        "records": contact["records"],
                        "bytes": contact["bytes"],
                    }
                    | {
                        name: None if text == "-" else text
                        for name, text in zip(_INTERFACE, interface, strict=True)
                    }
                )
        return sorted(rows, key=lambda row: list(row.values())[:4])


def _sent(pairs: pa.Table) -> pa.Table:
    grouped = pairs.group_by(["source", "destination"]).aggregate([("bytes", "sum")])
    return grouped.rename_columns(["source", "destination", "bytes"])


def _summed(contacts: pa.Table) -> pa.Table:
    keys = contacts.column_names[: -len(_SUMS)]
    grouped = contacts.group_by(keys).aggregate(list(_SUMS.items()))
    names = [f"{name}_{function}" for name, function in _SUMS.items()]
    return grouped.select(keys + names).rename_columns(contacts.column_names)


def _counts(values: NDArray[np.int64]) -> list[tuple[int, int]]:
    distinct, counts = np.unique(values, return_counts=True)
    return list(zip(distinct.tolist(), counts.tolist(), strict=True))
