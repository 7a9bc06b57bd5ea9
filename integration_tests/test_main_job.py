"""The main job on DuckDB: from sample logs to the marts, to the last byte."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sample_logs.transfer import CHANGING

from .conftest import AS_OF, ROOT, Project
from .test_addresses import scope_of

MARTS = {
    "admin_exposure": "internal_addr, external_addr, port, protocol",
    "top_talkers_by_destination": "rank",
    "top_talkers_by_source": "rank",
    "top_talkers_by_interface": "rank",
    "top_conversations": "rank",
    "top_services": "rank",
}


def assert_marts_equal(project: Project, truth: dict[str, Any]) -> None:
    for mart, expected in truth["marts"].items():
        rows = project.rows(mart, MARTS[mart])
        assert [of_the_truth(row, expected) for row in rows] == expected, mart


def assert_each_days_bytes_count_once(
    rows: Callable[[str], list[tuple[Any, ...]]], truth: dict[str, Any]
) -> None:
    """Through NAT gateways and inside VPCs, as the generator sent them.

    Args:
        rows: Runs a query.
        truth: What `truth.json` holds.
    """
    expected = [(day["date"], day["deduplicated_bytes"]) for day in truth["days"]]
    days = rows(
        "select cast(started_date as varchar), sum(client_bytes + server_bytes)"
        " from int_traffic__daily_flows where action = 'ACCEPT'"
        " group by started_date order by 1"
    )
    assert [(day, int(size)) for day, size in days] == expected
    hours = rows(
        "select cast(cast(started_hour as date) as varchar), sum(bytes)"
        " from hourly_traffic where action = 'ACCEPT' group by 1 order by 1"
    )
    assert [(day, int(size)) for day, size in hours] == expected
    assert all(
        day["deduplicated_bytes"] < day["accepted_bytes"] for day in truth["days"]
    )


def assert_rollups_lie_day_after_day(
    rows: Callable[[str], list[tuple[Any, ...]]],
) -> None:
    rollups = list(ROOT.glob("models/intermediate/traffic/*.sql"))
    assert rollups
    for path in rollups:
        found = rows(f"""
            select count(distinct started_date) > 1, count_if(started_date < before)
            from (
                select
                    started_date,
                    lag(started_date) over (order by rowid) as before
                from {path.stem}
            )
        """)
        assert found == [(True, 0)], path.stem


def of_the_truth(row: dict[str, Any], truth: list[dict[str, Any]]) -> dict[str, Any]:
    """The columns of a row that the truth has as well."""
    return {name: row[name] for name in truth[0]}


def test_the_marts_equal_the_truth_file(built: Project, truth: dict[str, Any]) -> None:
    assert all(truth["marts"].values())
    assert_marts_equal(built, truth)


def test_every_record_arrives_and_keeps_its_status(
    built: Project, truth: dict[str, Any]
) -> None:
    statuses = dict(
        built.query("select log_status, count(*) from flow_records group by all")
    )
    assert statuses == truth["records_by_log_status"]
    for relation in ("landing.flow_logs", "stg_vpc_flow__flow_logs"):
        assert built.query(f"select count(*) from {relation}") == [(truth["records"],)]


def test_the_rollup_holds_the_accepted_bytes_of_each_day(
    built: Project, truth: dict[str, Any]
) -> None:
    days = built.query(
        "select cast(started_date as varchar), sum(records), sum(bytes)"
        " from int_traffic__daily_endpoint_bytes"
        " where talker_type = 'interface' group by all order by all"
    )
    assert days == [
        (day["date"], day["accepted_records"], day["accepted_bytes"])
        for day in truth["days"]
    ]


def test_deduplicated_bytes_are_those_of_each_day(
    built: Project, truth: dict[str, Any]
) -> None:
    assert_each_days_bytes_count_once(built.query, truth)


def test_conversations_and_services_are_sums_of_days(built: Project) -> None:
    """In Python, from the daily flows; the labelled cases are about those."""
    conversations: dict[tuple[Any, ...], list[Any]] = {}
    services: dict[tuple[int, int], list[Any]] = {}
    for row in built.query(
        "select client_addr, server_addr, protocol, server_port, client_bytes,"
        " server_bytes, client_packets + server_packets, first_seen_at,"
        " last_seen_at from int_traffic__daily_flows"
        " where action = 'ACCEPT' and records_with_bytes > 0"
    ):
        client, server, protocol, port, sent, received, packets, first, last = row
        key = (client, server, protocol, port)
        total = conversations.setdefault(key, [0, 0, 0, 0, first, last])
        for at, size in enumerate((sent + received, sent, received, packets)):
            total[at] += size
        total[4:] = min(first, total[4]), max(last, total[5])
        of_service = services.setdefault((protocol, port), [0, 0, set(), set()])
        of_service[0] += sent + received
        of_service[1] += packets
        of_service[2].add(client)
        of_service[3].add(server)
    for mart, sums, columns in (
        (
            "top_conversations",
            {key: tuple(total) for key, total in conversations.items()},
            "client_addr, server_addr, protocol, server_port, total_bytes_deduplicated,"
            " client_bytes, server_bytes, total_packets, first_seen_at, last_seen_at",
        ),
        (
            "top_services",
            {
                key: (size, packets, len(clients), len(servers))
                for key, (size, packets, clients, servers) in services.items()
            },
            "protocol, server_port, total_bytes_deduplicated, total_packets, clients,"
            " servers",
        ),
    ):
        ranked = sorted(sums.items(), key=lambda item: (-item[1][0], item[0]))
        assert built.query(f"select {columns} from {mart} order by rank") == [
            (*key, *total) for key, total in ranked[:10]
        ]


def test_each_rollup_lies_day_after_day(built: Project) -> None:
    assert_rollups_lie_day_after_day(built.query)


def test_a_rollup_of_several_statements_has_the_same_rows(copied: Project) -> None:
    """In a first build, and in a run that sums all days again."""
    rollups = [
        path.stem
        for path in ROOT.glob("models/intermediate/traffic/int_traffic__*.sql")
    ]
    before = {name: copied.rows(name, "all") for name in rollups}
    log = copied.target / "logs" / "dbt.log"
    for words in (["--full-refresh"], []):
        log.unlink(missing_ok=True)
        copied.dbt(
            *("run", *words, "--select", "path:models/intermediate/traffic"),
            **AS_OF,
            records_per_statement=5000,
            allow_destructive_refresh=True,
            # A run that adds to the days would count their records again.
            row_timestamps=False,
        )
        assert log.read_text().count("set variable part_start") >= 3 * len(rollups)
        assert_rollups_lie_day_after_day(copied.query)
        assert {name: copied.rows(name, "all") for name in rollups} == before
        with duckdb.connect(str(copied.database)) as connection:
            for name in rollups:
                connection.execute(
                    f"update {name} set loaded_through_at = '2020-01-01'"
                )


def test_rejected_requests_to_admin_ports_are_attempts(
    built: Project, sample: Path
) -> None:
    """Record by record, in Python."""
    attempts: dict[tuple[Any, ...], list[int]] = {}
    records = duckdb.sql(
        f"""
        select dstaddr, srcaddr, dstport, protocol, srcport, tcp_flags, bytes,
            flow_direction
        from read_parquet('{sample}/**/*.parquet', union_by_name = true,
            hive_partitioning = false)
        where action = 'REJECT' and dstport in (22, 3389)
        """
    ).fetchall()
    for dstaddr, srcaddr, port, protocol, srcport, flags, size, direction in records:
        ours, theirs = scope_of(dstaddr), scope_of(srcaddr)
        is_ours = ours == "internal" or (ours == "public" and direction == "ingress")
        speaks = (6,) if port == 22 else (6, 17)
        answers = port >= 1024 and (srcport < 1024 or (flags or 0) & 18 == 18)
        if theirs == "public" and is_ours and protocol in speaks and not answers:
            counts = attempts.setdefault((dstaddr, srcaddr, port, protocol), [0, 0])
            counts[0] += 1
            counts[1] += size
    found = built.query(
        "select internal_addr, external_addr, port, protocol, records, bytes"
        " from admin_attempts"
    )
    assert len(found) > 100
    assert sorted(found) == sorted((*key, *counts) for key, counts in attempts.items())


def test_staging_gives_the_files_columns_their_types(
    built: Project, sample: Path
) -> None:
    """Against the Parquet itself, read by plain SQL."""
    texts = ["account_id", "srcaddr", "action", "vpc_id"]
    numbers = ["dstport", "bytes", "tcp_flags"]
    without_dash = [f"nullif({name}, '-')" for name in texts]
    plain = duckdb.sql(
        f"""
        select
            {", ".join(without_dash + numbers)},
            make_timestamp("start" * 1000000),
            make_timestamp("end" * 1000000)
        from read_parquet('{sample}/**/*.parquet', union_by_name = true,
            hive_partitioning = false)
        order by all
        """
    ).fetchall()
    staged = built.query(
        f"select {', '.join(texts + numbers)}, started_at, ended_at"
        " from stg_vpc_flow__flow_logs order by all"
    )
    assert staged == plain


def test_a_field_that_is_not_known_is_kept(built: Project, sample: Path) -> None:
    plain = duckdb.sql(
        f"""
        select future_field, count(*)
        from read_parquet('{sample}/**/*.parquet', union_by_name = true,
            hive_partitioning = false)
        where future_field is not null group by all order by all
        """
    ).fetchall()
    kept = built.query(
        "select unknown_fields['future_field'], count(*) from landing.flow_logs"
        " where unknown_fields is not null group by all order by all"
    )
    assert plain
    assert kept == plain


def test_new_files_change_the_answers_as_a_full_build_would(
    new_project: Callable[..., Project],
    sample: Path,
    truth: dict[str, Any],
    tmp_path: Path,
) -> None:
    """Half of the files first, then the others, of the same days; then nothing."""
    files = sorted(sample.rglob("*.parquet"))
    project = new_project(tmp_path)
    for half in (files[::2], files[1::2], []):
        for file in half:
            target = tmp_path / file.relative_to(sample)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        printed = project.stage()
        project.dbt("run", **AS_OF, records_per_statement=5000)
    assert f"Nothing new in {len(files)} files" in printed
    assert_marts_equal(project, truth)


def test_the_window_is_whole_utc_days(copied: Project) -> None:
    """`as_of` at a month's end and one day of look-back: two days and no others."""
    copied.dbt(
        "run",
        "--select",
        "top_talkers_by_source",
        as_of="2026-03-29",
        lookback_days=1,
        top_n=1_000_000,
    )
    marts = copied.query("select srcaddr, total_bytes from top_talkers_by_source")
    plain = copied.query(
        "select srcaddr, sum(bytes) from flow_records"
        " where action = 'ACCEPT' and srcaddr is not null and bytes is not null"
        " and started_at >= timestamp '2026-03-28'"
        " and started_at < timestamp '2026-03-30' group by all"
    )
    assert len(plain) > 100
    assert sorted(marts) == sorted(plain)


def test_the_original_questions_run_as_they_are(built: Project) -> None:
    built.dbt("compile", "--select", "path:analyses")
    compiled = built.target / "compiled/vpc_flow_logs/analyses"
    questions = sorted(path.name for path in (ROOT / "analyses").glob("*.sql"))
    assert sorted(path.name for path in compiled.glob("*.sql")) == questions
    for question in questions:
        assert built.query((compiled / question).read_text()), question


def test_a_wrong_mart_fails_the_comparison(
    copied: Project, truth: dict[str, Any]
) -> None:
    """The comparison itself can fail: one byte more, and it does."""
    with duckdb.connect(str(copied.database)) as connection:
        connection.execute(
            "update top_talkers_by_source set total_bytes = total_bytes + 1"
            " where rank = 10"
        )
    with pytest.raises(AssertionError, match="top_talkers_by_source"):
        assert_marts_equal(copied, truth)


def test_transfer_costs_what_the_truth_says(
    built: Project, truth: dict[str, Any]
) -> None:
    """By the generator's own network and sums. What has no path has no price."""
    found = {
        path: values
        for path, *values in built.query(
            "select path, sum(bytes), sum(cost_usd), sum(saving_usd)"
            " from transfer_cost where not regexp_matches("
            f"source || ' ' || destination, '{CHANGING.pattern}') group by path"
        )
    }
    expected = truth["transfer"]
    assert len(expected) > 5
    assert found.keys() == expected.keys()
    assert found.pop("unknown")[1] is None
    for path, (size, *dollars) in found.items():
        known = expected[path]
        assert size == known["bytes"], path
        prices = [known["cost_usd"], known["saving_usd"]]
        assert dollars == pytest.approx(prices, abs=1e-5), path
