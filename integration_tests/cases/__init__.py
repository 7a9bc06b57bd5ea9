"""Labelled cases: small flow logs, and beside each the rows that it must give.

A case is a mapping in one of the YAML files of this folder: `case` names it, `reason`
gives the reason for the rows in one line, `records`, `fields` or `files` hold what is
logged, and `expect` holds the rows of models about it, with the columns that matter.
`findings` is short for an `expect` of that model alone.
`<n>` is the number of the case, at most 255. detections.yml has numbers of its own, and
other addresses and interfaces than the other files. Records are short for the fields of
the default format:

    eni-1 10.0.0.1 50000 > 10.0.0.2 22 tcp 100 tcp_flags=2 start=+5s

`key=value` overrides a field or adds one; `start` and `end` count from 2026-03-30 10:00
UTC, and a record lasts a minute. A range of numbers, such as `1..60`, makes a record
for each of them, and `0..600/60` for every sixtieth; several ranges of a line advance
together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

AS_OF = date(2026, 3, 31)
START = int(datetime(2026, 3, 30, 10, tzinfo=UTC).timestamp())
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
FILE_NAME = "111122223333_vpcflowlogs_us-east-1_{}_20260330T1005Z_0a.log.parquet"
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "icmpv6": 58}

#: The variables of a build of all cases. The ranges are those of cases about ports that
#: are not allowed. Floods have few records.
VARIABLES: dict[str, Any] = {
    "as_of": AS_OF.isoformat(),
    "top_n": 100_000,
    "allowed_inbound_ports": {"172.16.0.0/16": [443], "2600:1f14:a::/48": []},
    "allowed_outbound_ports": {"172.16.0.0/16": [80, 443]},
    "unexpected_countries": ["KP"],
    "detection_thresholds": {"syn_flood": 100, "connection_flood": 200},
}

#: AWS's types; every other field is text.
INT32 = {
    "version", "srcport", "dstport", "protocol", "tcp_flags", "traffic_path",
    "encryption_status",
}  # fmt: skip
INT64 = {
    "packets", "bytes", "start", "end", "packets_lost_no_route",
    "packets_lost_blackhole", "packets_lost_mtu_exceeded", "packets_lost_ttl_expired",
}  # fmt: skip

#: The columns by which a row of a model belongs to a case.
KEYS = (
    "metadata_filename", "internal_addr", "external_addr", "client_addr",
    "server_addr", "dstaddr", "srcaddr", "interface_id", "name", "entity", "peer",
)  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One case; `files` maps names to the records of each file."""

    name: str
    reason: str
    files: dict[str, list[Row]]
    expect: dict[str, list[Row]]

    def words(self) -> set[str]:
        """The texts by which rows belong to the case."""
        records = [record for file in self.files.values() for record in file]
        values = {str(value) for record in records for value in record.values()}
        return values | set(self.files) | {name for r in records for name in r}

    def write(self, folder: Path) -> None:
        """Write the case's files as AWS would."""
        for name, records in self.files.items():
            columns = list(dict.fromkeys(key for record in records for key in record))
            table = pa.table(
                {
                    column: pa.array([r.get(column) for r in records], _type(column))
                    for column in columns
                }
            )
            pq.write_table(table, folder / name, compression="gzip")

    def differences(self, rows_of: Callable[[str], list[Row]]) -> list[str]:
        """What is wrong, in a line each; `rows_of` gives the rows of a model."""
        found = []
        words = self.words()
        for model, expected in self.expect.items():
            rows = [
                row
                for row in rows_of(model)
                if any(_last_part(row[key]) in words for key in KEYS if key in row)
            ]
            left = list(rows)
            for wanted in expected:
                match = next((row for row in left if _fits(row, wanted)), None)
                if match is None:
                    found.append(f"{self.name}: {model} has no {wanted}, but {rows}")
                else:
                    left.remove(match)
            found += [f"{self.name}: {model} also has {row}" for row in left]
        return found


def cases() -> list[Case]:
    """All cases, in the order of the files."""
    return [_case(series, number, text) for series, number, text in texts_of_cases()]


def texts_of_cases() -> Iterator[tuple[str, int, str]]:
    """The series, the number and the text of each case, as it is in its file."""
    paths = sorted(Path(__file__).parent.glob("*.yml"))
    for series in ("detections", "records"):
        number = 0
        for path in paths:
            if (path.stem == "detections") == (series == "detections"):
                for text in re.split(r"^(?=- case:)", path.read_text(), flags=re.M)[1:]:
                    number += 1
                    yield series, number, text


def _case(series: str, number: int, text: str) -> Case:
    assert number <= 255
    (raw,) = yaml.safe_load(text.replace("<n>", str(number)))
    if "files" in raw:
        files = {
            FILE_NAME.format(flow_log): _records(lines)
            for flow_log, lines in raw["files"].items()
        }
    else:
        records = raw.get("fields") or _records(raw["records"])
        files = {f"case_{series}_{number}.parquet": records}
    omitted = raw.get("omit", [])
    files = {
        name: [
            {key: value for key, value in record.items() if key not in omitted}
            for record in records
        ]
        for name, records in files.items()
    }
    expect = raw.get("expect") or {"findings": raw["findings"]}
    return Case(raw["case"], raw["reason"], files, expect)


def _records(lines: list[str]) -> list[Row]:
    """The records of short lines."""
    return [_record(one) for line in lines for one in _without_ranges(line)]


def _without_ranges(line: str) -> Iterator[str]:
    """Return a line for each number of a range; one without ranges, unchanged."""
    pattern = r"(\d+)[.]{2}(\d+)(?:/(\d+))?"
    ranges = [
        range(int(first), int(last) + 1, int(step or 1))
        for first, last, step in re.findall(pattern, line)
    ]
    parts = re.split(r"\d+[.]{2}\d+(?:/\d+)?", line)
    for numbers in zip(*ranges, strict=True) if ranges else [()]:
        filled = (
            part + str(number) for part, number in zip(parts, numbers, strict=False)
        )
        yield "".join(filled) + parts[-1]


def _record(line: str) -> Row:
    """The fields of a short record."""
    interface, *words = line.split()
    record: Row = {
        "version": 2,
        "account_id": "111122223333",
        "interface_id": interface,
        "start": START,
        "end": START + 60,
    }
    if words[0] in ("NODATA", "SKIPDATA"):
        log_status, *others = words
        record |= {"srcaddr": "-", "dstaddr": "-", "action": "-"}
        record["log_status"] = log_status
    else:
        srcaddr, srcport, _, dstaddr, dstport, protocol, size, *others = words
        record |= {
            "srcaddr": srcaddr,
            "dstaddr": dstaddr,
            "srcport": int(srcport),
            "dstport": int(dstport),
            "protocol": PROTOCOLS[protocol],
            "packets": 1,
            "bytes": int(size),
            "action": "ACCEPT",
            "log_status": "OK",
        }
    for other in others:
        name, _, value = other.partition("=")
        if name in ("start", "end"):
            moment = START + int(value[:-1]) * SECONDS[value[-1]]
            record |= {name: moment} | ({"end": moment + 60} if name == "start" else {})
        else:
            record[name] = int(value) if name in INT32 | INT64 else value
    return record


def _type(column: str) -> pa.DataType:
    if column in INT32:
        return pa.int32()
    return pa.int64() if column in INT64 else pa.string()


def _fits(row: Row, wanted: Row) -> bool:
    return all(_plain(row[name]) == value for name, value in wanted.items())


def _last_part(value: Any) -> str:
    return str(value).rsplit("/", 1)[-1]


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, datetime) else value


#: The enrichment files of cases of findings: text by file name.
LISTS = {
    "case_threats.txt": "# kind: threat\n45.90.0.0/16\n2a02:90::/32\n",
    "case_tor.txt": "# kind: tor\n45.91.0.0/16\n",
    "country.csv": "45.92.0.0,45.92.255.255,KP\n45.93.0.0,45.93.255.255,CH\n",
}


def write_lists(folder: Path) -> None:
    """Write the enrichment files that the cases are about."""
    folder.mkdir(exist_ok=True)
    for name, text in LISTS.items():
        (folder / name).write_text(text)


def readable(names: list[str]) -> str:
    """The columns as SQL, but for times that Python cannot hold."""
    return ", ".join(
        f"case when extract(year from {name}) < 10000 then {name} end as {name}"
        if name in ("started_at", "ended_at", "first_seen_at", "last_seen_at")
        else name
        for name in names
    )
