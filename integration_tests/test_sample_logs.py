"""The sample logs are what AWS would deliver, and `truth.json` is right about them."""

import ipaddress
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sample_logs import Truth, generate
from sample_logs.__main__ import main

END_DATE = date(2026, 3, 15)
RECORDS = 12_000
NAME = re.compile(
    r"(?P<account>\d{12})_vpcflowlogs_(?P<region>[a-z0-9-]+)_(?P<flow_log>fl-[0-9a-f]{17})"
    r"_(?P<created>\d{8}T\d{4})Z_[0-9a-f]{8}\.log\.parquet"
)
TYPES = {
    **dict.fromkeys(("version", "srcport", "dstport", "protocol"), "int32"),
    **dict.fromkeys(("tcp_flags", "traffic_path"), "int32"),
    **dict.fromkeys(("packets", "bytes", "start", "end"), "int64"),
}
WITHOUT_TRAFFIC = {
    *("version", "account_id", "interface_id", "start", "end", "log_status")
}
PRIVATE = [
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
]
CGNAT = ipaddress.ip_network("100.64.0.0/10")

Record = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """A generated folder, read back."""

    out: Path
    truth: Truth
    files: dict[Path, list[Record]]

    @property
    def records(self) -> list[Record]:
        return [record for records in self.files.values() for record in records]


def write(out: Path, **arguments: Any) -> Sample:
    settings: dict[str, Any] = {
        "end_date": END_DATE,
        "records": RECORDS,
        "records_per_file": 150,
    }
    truth = generate(out, **(settings | arguments))
    files = {
        path.relative_to(out): pq.ParquetFile(path).read().to_pylist()
        for path in sorted(out.rglob("*.parquet"))
    }
    return Sample(out, truth, files)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return write(tmp_path_factory.mktemp("sample"))


def contents(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }


def as_text(records: list[Record]) -> list[str]:
    return [json.dumps(record) for record in records]


def name_of(path: Path) -> dict[str, str]:
    match = NAME.fullmatch(path.name)
    assert match, path
    return match.groupdict()


def created_at(path: Path) -> datetime:
    created = datetime.strptime(name_of(path)["created"], "%Y%m%dT%H%M")
    return created.replace(tzinfo=UTC)


def start_of(record: Record) -> datetime:
    return datetime.fromtimestamp(record["start"], UTC)


def talk(records: list[Record], *sides: tuple[str, int]) -> list[Record]:
    """The records between two addresses and ports, in either direction."""
    return [
        record
        for record in records
        if {
            (record["srcaddr"], record["srcport"]),
            (record["dstaddr"], record["dstport"]),
        }
        == set(sides)
    ]


# --- The same arguments, the same sample ---


def test_the_arguments_decide_the_bytes(tmp_path: Path) -> None:
    for name, seed in (("first", 7), ("second", 7), ("other", 8)):
        write(tmp_path / name, records=2_500, days=2, seed=seed)
    first = contents(tmp_path / "first")
    assert contents(tmp_path / "second") == first
    same = set(contents(tmp_path / "other").values()) & set(first.values())
    # What is known of public addresses is no choice.
    assert same == {first[name] for name in first if name.startswith("_enrichment/")}


@pytest.mark.parametrize("records_per_file", [60, 5_000])
def test_packing_changes_the_files_only(
    sample: Sample, tmp_path: Path, records_per_file: int
) -> None:
    other = write(tmp_path, records_per_file=records_per_file)
    assert sorted(as_text(other.records)) == sorted(as_text(sample.records))
    assert other.truth["files"] != sample.truth["files"]
    assert {**other.truth, "files": 0} == {**sample.truth, "files": 0}


@pytest.mark.parametrize("records", [1, 999, 2_000, 3_001])
@pytest.mark.parametrize("days", [1, 7])
def test_the_number_of_records_is_exact(
    tmp_path: Path, records: int, days: int
) -> None:
    small = write(tmp_path, records=records, days=days)
    assert len(small.records) == small.truth["records"] == records


def test_a_large_file_leaves_memory_in_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sample_logs.writer._ROW_GROUP", 500)
    write(tmp_path, records=6_000, days=2, records_per_file=1_000_000)
    files = [pq.ParquetFile(path).metadata for path in tmp_path.rglob("*.parquet")]
    assert sum(file.num_rows for file in files) == 6_000
    assert max(file.num_row_groups for file in files) >= 3


# --- Files as AWS writes them ---


def test_folders_and_names_agree(sample: Sample) -> None:
    layouts = Counter[str]()
    for path in sample.files:
        name, created = name_of(path), created_at(path)
        account, region = name["account"], name["region"]
        plain = f"AWSLogs/{account}/vpcflowlogs/{region}/{created:%Y/%m/%d}"
        hive = (
            f"AWSLogs/aws-account-id={account}/aws-service=vpcflowlogs"
            f"/aws-region={region}/{created:year=%Y/month=%m/day=%d/hour=%H}"
        )
        assert str(path.parent) in (plain, hive)
        layouts["hive" if str(path.parent) == hive else "plain"] += 1
    assert layouts["plain"] > layouts["hive"] > 0


def test_a_file_belongs_to_one_flow_log_of_one_format(sample: Sample) -> None:
    formats: dict[str, set[tuple[str, ...]]] = {}
    interfaces: dict[str, set[str]] = {}
    for path, records in sample.files.items():
        name = name_of(path)
        formats.setdefault(name["flow_log"], set()).add(tuple(records[0]))
        for record in records:
            assert record["account_id"] == name["account"]
            assert record.get("region", "-") in (name["region"], "-")
            interfaces.setdefault(record["interface_id"], set()).add(name["flow_log"])
    assert all(len(fields) == 1 for fields in formats.values())
    # With overlapping flow logs, the right sums would depend on the reader.
    assert all(len(flow_logs) == 1 for flow_logs in interfaces.values())


def test_there_are_several_of_everything(sample: Sample) -> None:
    names = [name_of(path) for path in sample.files]
    assert len({name["account"] for name in names}) >= 3
    assert len({name["region"] for name in names}) >= 2
    assert any(name["account"].startswith("0") for name in names)
    assert len({record["interface_id"] for record in sample.records}) > 50
    assert len(sample.truth["days"]) == 7
    in_one_folder = {
        record["version"]
        for path, records in sample.files.items()
        if str(path).startswith("AWSLogs/111122223333/vpcflowlogs/us-east-1/")
        for record in records
    }
    assert in_one_folder == {2, 5, 8}


def test_types_and_compression_are_aws_s(sample: Sample) -> None:
    for path in sample.files:
        file = pq.ParquetFile(sample.out / path)
        for field in file.schema_arrow:
            assert str(field.type) == TYPES.get(field.name, "string"), field
        assert file.metadata.row_group(0).column(0).compression == "GZIP"


def test_formats_differ_in_fields_and_order(sample: Sample) -> None:
    formats = {record["version"]: list(record) for record in sample.records}
    assert len(formats[2]) == 14
    assert len(formats[5]) == 29
    assert formats[5][:14] != formats[2]
    assert {"reject_reason", "ecs_cluster_name"} <= set(formats[8])
    assert len({record.get("ecs_task_id") for record in sample.records}) > 2


def test_one_format_holds_an_unknown_field(sample: Sample) -> None:
    values = {
        record["future_field"] for record in sample.records if "future_field" in record
    }
    assert "-" in values
    assert len(values) > 2


def test_files_are_created_minutes_after_their_records(sample: Sample) -> None:
    delays = []
    for path, records in sample.files.items():
        end = datetime.fromtimestamp(max(record["end"] for record in records), UTC)
        delays.append(created_at(path) - end)
    assert min(delays) >= timedelta(minutes=5)
    late = [delay for delay in delays if delay > timedelta(hours=2)]
    assert 0 < len(late) < len(delays) / 10
    on_time = [delay for delay in delays if delay not in late]
    assert max(on_time) <= timedelta(minutes=10)


def test_records_before_midnight_are_in_the_next_days_folder(sample: Sample) -> None:
    assert any(
        start_of(record).date() == END_DATE
        and created_at(path).date() == END_DATE + timedelta(days=1)
        and created_at(path).hour == 0
        for path, records in sample.files.items()
        for record in records
    )


@pytest.mark.parametrize("days", [1, 3, 15])
def test_records_start_within_the_days_asked_for(tmp_path: Path, days: int) -> None:
    small = write(tmp_path, records=3_000, days=days)
    starts = [start_of(record).date() for record in small.records]
    assert max(starts) == END_DATE
    assert min(starts) == END_DATE - timedelta(days=days - 1)


@pytest.mark.parametrize(
    "until",
    [
        datetime(2026, 3, 15, 10, 17, 5, tzinfo=UTC),
        datetime(2026, 3, 15, 0, 10, tzinfo=UTC),
        datetime(2026, 3, 16, 0, 10, tzinfo=UTC),
    ],
)
def test_nothing_is_later_than_until(tmp_path: Path, until: datetime) -> None:
    written = write(tmp_path, records=4_000, days=3, records_per_file=None, until=until)
    assert len(written.records) == written.truth["records"] == 4_000
    assert written.truth["as_of"] == END_DATE.isoformat()
    newest: dict[str, datetime] = {}
    for path, records in written.files.items():
        ended = datetime.fromtimestamp(max(record["end"] for record in records), UTC)
        assert ended < created_at(path) <= until
        flow_log = name_of(path)["flow_log"]
        newest[flow_log] = max(created_at(path), newest.get(flow_log, ended))
    # None of the flow logs looks late.
    assert len(newest) == 7
    assert min(newest.values()) > until - timedelta(minutes=30)


def test_incidents_end_with_the_sample(tmp_path: Path) -> None:
    until = datetime(2026, 3, 15, 2, 0, tzinfo=UTC)
    truth = generate(
        tmp_path, end_date=END_DATE, days=3, records=3_000, incidents=True, until=until
    )
    files = list(map(created_at, tmp_path.rglob("*.parquet")))
    assert until - timedelta(hours=1) < max(files) <= until
    # The last records start at 01:30, which is the end; the gap is 18 to 15 hours ago.
    assert truth["incidents"]["delivery_gaps"] == [
        {
            "flow_log_id": "fl-c68e4860891119d0d",
            "gap_started_at": "2026-03-14 07:45:00",
            "gap_ended_at": "2026-03-14 11:15:00",
            "gap_minutes": 210,
        }
    ]
    with pytest.raises(ValueError, match=r"2 days .* hold 25\.5 hours"):
        generate(
            tmp_path / "short",
            end_date=END_DATE,
            days=2,
            incidents=True,
            until=until,
        )


# --- Records as AWS writes them ---


def test_records_without_traffic_carry_only_six_fields(sample: Sample) -> None:
    seen = set()
    for record in sample.records:
        if record["log_status"] == "OK":
            assert record["bytes"] is not None
            assert record["srcaddr"] != "-"
            continue
        seen.add(record["log_status"])
        for field, value in record.items():
            if field in WITHOUT_TRAFFIC:
                assert value not in (None, "-")
            else:
                assert value == (None if field in TYPES else "-"), field
    assert seen == {"NODATA", "SKIPDATA"}


def test_records_span_no_more_than_the_interval(sample: Sample) -> None:
    spans = [record["end"] - record["start"] for record in sample.records]
    assert min(spans) >= 0
    assert 60 < max(spans) <= 600


def test_addresses_are_private_public_or_cgnat(sample: Sample) -> None:
    kinds = Counter[str]()
    addresses = {r[side] for r in sample.records for side in ("srcaddr", "dstaddr")}
    for text in addresses - {"-"}:
        address = ipaddress.ip_address(text)
        if address.version == 6:
            assert address.is_global
            kinds["own v6" if text.startswith("2600:1f14:") else "v6"] += 1
        elif any(address in network for network in PRIVATE):
            kinds["private"] += 1
        elif address in CGNAT:
            kinds["cgnat"] += 1
        else:
            assert address.is_global, text
            kinds["public"] += 1
    assert set(kinds) == {"private", "public", "cgnat", "v6", "own v6"}


def test_every_kind_of_traffic_is_there(sample: Sample) -> None:
    ok = [record for record in sample.records if record["log_status"] == "OK"]
    servers = {(record["protocol"], record["dstport"]) for record in ok}
    assert {(17, 53), (17, 123), (17, 443), (6, 443), (1, 0), (58, 0)} <= servers
    rejected = {r["dstport"] for r in ok if r["action"] == "REJECT"}
    assert {22, 3389, 23, 445} <= rejected
    flags = {record.get("tcp_flags") for record in ok}
    assert {2, 3, 18, 19, 0} <= flags
    assert {r["reject_reason"] for r in ok if "reject_reason" in r} == {"-", "BPA"}
    for field, values in {
        "type": {"IPv4", "IPv6"},
        "flow_direction": {"ingress", "egress"},
    }.items():
        assert {record[field] for record in ok if field in record} == values
    for record in ok:
        if "traffic_path" in record:
            is_ingress = record["flow_direction"] == "ingress"
            assert (record["traffic_path"] is None) == is_ingress


# --- The planted cases ---


@pytest.fixture(scope="module", params=[(2_000, 7), (2_000, 1)])
def any_sample(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sample]:
    records, days = request.param
    out = tmp_path_factory.mktemp("planted")
    yield write(out, records=records, days=days)
    shutil.rmtree(out)


@pytest.mark.parametrize(
    ("ours", "theirs", "port", "protocol", "evidence"),
    [
        ("10.0.16.27", "45.155.204.17", 22, 6, "both"),
        ("172.20.16.27", "80.94.95.112", 22, 6, "both"),
        ("172.31.16.47", "103.145.13.77", 22, 6, "both"),
        ("192.168.0.107", "193.32.162.40", 3389, 6, "both"),
        ("10.96.0.107", "141.98.10.60", 3389, 6, "both"),
        ("10.20.0.107", "179.43.128.9", 3389, 17, "both"),
        ("10.0.16.47", "194.26.29.5", 22, 6, "request"),
        ("10.0.16.27", "146.88.240.4", 3389, 6, "request"),
        ("10.48.16.27", "5.188.206.14", 22, 6, "reply"),
    ],
)
def test_planted_exposures_are_in_the_truth(
    any_sample: Sample, ours: str, theirs: str, port: int, protocol: int, evidence: str
) -> None:
    rows = [
        row
        for row in any_sample.truth["marts"]["admin_exposure"]
        if row["external_addr"] == theirs
    ]
    assert len(rows) == 1
    found = rows[0]
    assert (found["internal_addr"], found["port"]) == (ours, port)
    assert (found["protocol"], found["evidence"]) == (protocol, evidence)
    assert found["records"] == (2 if evidence == "both" else 1)


def test_a_request_and_its_reply_can_lie_on_different_days(sample: Sample) -> None:
    exposure = next(
        row
        for row in sample.truth["marts"]["admin_exposure"]
        if row["external_addr"] == "103.145.13.77"
    )
    assert exposure["first_seen_at"] == "2026-03-12 10:00:07"
    assert exposure["last_seen_at"] == "2026-03-13 10:00:07"


@pytest.mark.parametrize(
    ("sides", "count"),
    [
        pytest.param((("10.0.0.87", 50_022), ("10.0.16.27", 22)), 4, id="private SSH"),
        pytest.param((("192.168.16.67", 41_418), ("140.82.113.4", 22)), 2, id="git"),
        pytest.param(
            (("172.31.16.27", 3389), ("87.236.176.2", 50_100)), 1, id="lonely"
        ),
        pytest.param((("10.20.16.27", 22), ("20.55.48.1", 50_200)), 2, id="UDP 22"),
        pytest.param((("10.0.16.27", 22), ("100.127.0.9", 50_300)), 2, id="from CGNAT"),
        pytest.param((("100.64.7.7", 22), ("20.55.48.2", 50_400)), 2, id="to CGNAT"),
        pytest.param((("10.0.16.27", 22), ("20.55.48.3", 50_600)), 1, id="rejected"),
        pytest.param((("10.0.0.147", 3389), ("104.18.9.9", 443)), 2, id="NAT v2"),
        pytest.param((("10.20.0.147", 3389), ("104.18.9.10", 8443)), 2, id="NAT 18"),
        pytest.param((("10.96.0.147", 3389), ("104.18.9.11", 8443)), 2, id="NAT 19"),
    ],
)
def test_what_looks_like_exposure_is_there_and_not_in_the_truth(
    any_sample: Sample, sides: tuple[tuple[str, int], tuple[str, int]], count: int
) -> None:
    assert len(talk(any_sample.records, *sides)) == count
    addresses = {address for address, _ in sides}
    for row in any_sample.truth["marts"]["admin_exposure"]:
        assert {row["internal_addr"], row["external_addr"]} != addresses


@pytest.mark.parametrize(("peer", "answer"), [("104.18.9.10", 18), ("104.18.9.11", 19)])
def test_the_answer_to_a_nat_gateway_carries_syn_ack(
    any_sample: Sample, peer: str, answer: int
) -> None:
    flags = {r["tcp_flags"] for r in any_sample.records if r["srcaddr"] == peer}
    assert flags == {answer}


def test_ipv6_ssh_is_exposed_since_flow_direction_shows_our_end(
    any_sample: Sample,
) -> None:
    ssh = [r for r in any_sample.records if r["srcaddr"] == "2a02:8108:77::5"]
    assert [(r["dstaddr"][:10], r["dstport"]) for r in ssh] == [("2600:1f14:", 22)]
    exposed = any_sample.truth["marts"]["admin_exposure"]
    assert [
        (row["internal_addr"], row["external_addr"])
        for row in exposed
        if ":" in row["internal_addr"]
    ] == [(ssh[0]["dstaddr"], ssh[0]["srcaddr"])]


def test_traffic_through_a_nat_gateway_is_six_records(any_sample: Sample) -> None:
    server = "3.5.140.77"
    records = [
        record
        for record in any_sample.records
        if server in (record.get("pkt_srcaddr"), record.get("pkt_dstaddr"))
    ]
    assert len(records) == 6
    assert len({record["interface_id"] for record in records}) == 2
    hops = [r for r in records if server not in (r["srcaddr"], r["dstaddr"])]
    assert {(r["srcport"], r["dstport"]) for r in hops} == {
        (40_100, 443),
        (443, 40_100),
    }
    services = {r["pkt_src_aws_service"] for r in records if r["pkt_srcaddr"] == server}
    assert services == {"S3"}


# --- The truth, checked against what was read back ---


def in_window(record: Record, lookback_days: int) -> bool:
    day = start_of(record).date()
    return END_DATE - timedelta(days=lookback_days) <= day <= END_DATE


@pytest.mark.parametrize("lookback_days", [30, 2])
def test_top_talkers_are_true(tmp_path: Path, lookback_days: int) -> None:
    small = write(tmp_path, records=4_000, lookback_days=lookback_days, top_n=25)
    for mart, key in (
        ("top_talkers_by_destination", "dstaddr"),
        ("top_talkers_by_source", "srcaddr"),
        ("top_talkers_by_interface", "interface_id"),
    ):
        sums: dict[str, list[int]] = {}
        for record in small.records:
            if record["action"] == "ACCEPT" and in_window(record, lookback_days):
                total = sums.setdefault(record[key], [0, 0, 0])
                total[0] += record["bytes"]
                total[1] += record["packets"]
                total[2] += 1
        expected = sorted(sums.items(), key=lambda item: (-item[1][0], item[0]))[:25]
        assert [list(row.values())[:5] for row in small.truth["marts"][mart]] == [
            [rank, text, *total] for rank, (text, total) in enumerate(expected, start=1)
        ]


def test_the_last_rank_is_one_of_several_equals(sample: Sample) -> None:
    for mart in ("destination", "source", "interface"):
        rows = sample.truth["marts"][f"top_talkers_by_{mart}"]
        last = rows[-1]
        key = list(rows[0])[1]
        equals = Counter[str]()
        for record in sample.records:
            if record["action"] == "ACCEPT":
                equals[record[key]] += record["bytes"]
        tied = sorted(k for k, v in equals.items() if v == last["total_bytes"])
        ranked = [row[key] for row in rows if row["total_bytes"] == last["total_bytes"]]
        assert 1 < len(ranked) < len(tied)
        assert ranked == tied[: len(ranked)]


def test_totals_are_true(sample: Sample) -> None:
    days: dict[str, list[int]] = {}
    for record in sample.records:
        total = days.setdefault(start_of(record).date().isoformat(), [0, 0, 0])
        total[0] += 1
        if record["action"] == "ACCEPT":
            total[1] += 1
            total[2] += record["bytes"]
    assert [list(day.values())[:4] for day in sample.truth["days"]] == [
        [day, *total] for day, total in sorted(days.items())
    ]
    statuses = Counter(record["log_status"] for record in sample.records)
    assert sample.truth["records_by_log_status"] == dict(statuses)
    assert sample.truth["files"] == len(sample.files)
    written = json.loads((sample.out / "truth.json").read_text())
    assert written == sample.truth


def test_admin_ports_may_be_any(tmp_path: Path) -> None:
    truth = write(tmp_path, records=3_000, admin_ports=[443]).truth
    exposed = truth["marts"]["admin_exposure"]
    assert {row["port"] for row in exposed} == {443}
    assert {row["protocol"] for row in exposed} == {6, 17}


# --- The command line ---


def run(out: Path, *words: str) -> int:
    return command("--out", str(out), "--end-date", "2026-03-15", *words)


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


def test_without_an_end_date_the_sample_ends_now(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    assert command("--out", str(tmp_path), "--records", "2500", "--days", "2") == 0
    created = list(map(created_at, tmp_path.rglob("*.parquet")))
    assert before - timedelta(hours=1) < max(created) <= datetime.now(UTC)


def test_the_command_says_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--records", "2500", "--days", "2") == 0
    printed = capsys.readouterr()
    assert "2,500 records in" in printed.out
    assert not printed.err


def test_a_full_folder_is_refused_unless_it_may_be_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--records", "2500") == 0
    assert run(tmp_path, "--records", "2500") == 1
    assert "--overwrite" in capsys.readouterr().err
    (tmp_path / "notes.txt").write_text("mine")
    assert run(tmp_path, "--records", "300", "--overwrite") == 0
    rows = [pq.ParquetFile(p).metadata.num_rows for p in tmp_path.rglob("*.parquet")]
    assert sum(rows) == 300
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_foreign_parquet_is_never_touched(tmp_path: Path) -> None:
    assert run(tmp_path, "--records", "300") == 0
    before = contents(tmp_path)
    foreign = tmp_path / "AWSLogs" / "foreign.parquet"
    foreign.write_bytes(b"mine")
    assert run(tmp_path, "--records", "300", "--overwrite") == 1
    assert foreign.read_bytes() == b"mine"
    foreign.unlink()
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "words",
    [
        ("--records", "0"),
        ("--days", "many"),
        ("--days", "99999"),
        ("--end-date", "15.03.2026"),
        ("--records-per-file", "0"),
        ("--admin-ports", "22,70000"),
        ("--seed", "-1"),
        ("--days", "1", "--incidents"),
        ("--admin-ports", "ssh"),
        ("--records", "1999", "--incidents"),
        ("--records", "79999", "--attacks"),
        ("--days", "9", "--records", "80000", "--attacks"),
        ("--benign", "--incidents"),
    ],
)
def test_bad_arguments_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run(tmp_path, *words) == 2
    assert words[0].removeprefix("--").split("-")[0] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
