"""The filter bar: what it filters, how a link writes it, and the SQL of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, NamedTuple

#: Days that the page shows if the link names none.
DEFAULT_DAYS = 7


class Columns(NamedTuple):
    """The columns of a table that the filters apply to; empty: the filter does not."""

    #: A day or an hour, or the first and the last time of a row.
    period: tuple[str, ...] = ()
    address: tuple[str, ...] = ()
    port: str = ""
    account: str = ""
    vpc: str = ""
    network: tuple[str, ...] = ()


_SEEN = ("first_seen_at", "last_seen_at")
_NETWORK = ("internal_network", "internal_owner")
_CONTACT = Columns(
    _SEEN, ("internal_addr", "external_addr"), "port", "account_id", "vpc_id", _NETWORK
)
#: What each table can be filtered by.
TABLES = {
    "findings": Columns(_SEEN, ("entity", "peer"), "port", network=_NETWORK),
    "admin_exposure": _CONTACT,
    "admin_attempts": _CONTACT,
    "admin_exposure_rules": Columns(
        _SEEN, ("internal_addr",), "port", "account_id", "vpc_id"
    ),
    "hourly_traffic": Columns(("started_hour",)),
    "outside_traffic": Columns(("started_date",)),
    "transfer_cost": Columns(address=("source", "destination"), account="account_id"),
    "int_traffic__daily_flows": Columns(
        ("started_date",), ("client_addr", "server_addr"), "server_port"
    ),
    "int_traffic__interface_addresses": Columns(
        ("started_date",), ("address",), account="account_id"
    ),
    "address_owners": Columns(address=("address",), account="account_id"),
    "flow_log_health": Columns(account="account_id"),
    "eni_health": Columns(account="account_id"),
    "delivery_gaps": Columns(("gap_started_at", "gap_ended_at"), account="account_id"),
    "failed_files": Columns(account="account_id"),
    "admin_exposure_coverage": Columns(),
}


@dataclass(frozen=True)
class Filters:
    """What is shown. `first` and `last` are UTC days, both included.

    `network` is the name or the owner of a network. `address` may end with `*`. `new`
    is the UTC day from which on a finding is new.
    """

    first: date
    last: date
    account: str = ""
    vpc: str = ""
    network: str = ""
    address: str = ""
    port: int | None = None
    new: date | None = None

    @classmethod
    def of_the_window(cls, first: date, last: date) -> Filters:
        """Return the filters of a link without any: the last days of the window."""
        return cls(max(first, last - timedelta(days=DEFAULT_DAYS - 1)), last, new=last)

    def from_link(self, link: Mapping[str, str]) -> Filters:
        """Return these filters with what the parameters of a link say.

        What cannot be read is left as it is.
        """
        given: dict[str, Any] = {
            name: link[name].strip()[:200]
            for name in ("account", "vpc", "network", "address")
            if link.get(name)
        }
        for name in ("first", "last", "new"):
            try:
                given[name] = date.fromisoformat(link.get(name, ""))
            except ValueError:
                continue
        port = link.get("port", "")
        if re.fullmatch(r"[0-9]{1,5}", port):
            given["port"] = int(port)
        read = replace(self, **given)
        return self if read.first > read.last else read

    def link(self) -> dict[str, str]:
        """Return the parameters of a link to what is shown."""
        return {
            name: str(value)
            for name, value in vars(self).items()
            if value not in (None, "")
        }

    def sentence(self) -> str:
        """Return what is shown, in words."""
        words = [f"{self.first} to {self.last} (UTC)"]
        for name in ("account", "vpc", "network", "address", "port"):
            if value := getattr(self, name):
                words.append(f"{name} {value}")
        return " · ".join(words)


class Condition(NamedTuple):
    """A condition on the rows of a table.

    `ignored` names the filters that are set and don't apply to the table.
    """

    sql: str
    parameters: list[Any]
    ignored: list[str]


def condition(table: str, filters: Filters) -> Condition:
    """Return the condition of the filters on a table of `TABLES`."""
    columns = TABLES[table]
    parts: list[str] = []
    parameters: list[Any] = []
    ignored: list[str] = []
    if columns.period:
        # Bound as text; for_snowflake has the cast for that engine.
        parts.append(
            f"{columns.period[-1]} >= cast(? as date)"
            f" and {columns.period[0]} < cast(? as date)"
        )
        end = filters.last + timedelta(days=1)
        parameters += [filters.first.isoformat(), end.isoformat()]
    else:
        ignored.append("period")
    for name, value in (
        ("account", filters.account),
        ("vpc", filters.vpc),
        ("network", filters.network),
        ("address", filters.address),
        ("port", filters.port),
    ):
        if not value and value != 0:
            continue
        found = getattr(columns, name)
        if not found:
            ignored.append("VPC" if name == "vpc" else name)
            continue
        names = (found,) if isinstance(found, str) else found
        text = str(value)
        bound: Any = value
        if name == "address" and text.endswith("*"):
            test, bound = f"substr({{}}, 1, {len(text) - 1}) = ?", text[:-1]
        else:
            test = "{} = ?"
        parts.append("(" + " or ".join(test.format(column) for column in names) + ")")
        parameters += [bound] * len(names)
    return Condition(" and ".join(parts) or "true", parameters, ignored)
