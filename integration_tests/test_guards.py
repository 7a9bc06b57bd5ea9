"""What would lose rows, or mix answers, stops with a message."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from .conftest import AS_OF, Project
from .test_main_job import assert_marts_equal


@pytest.fixture
def copied(built: Project, tmp_path: Path) -> Project:
    """A built project that a test may change."""
    shutil.copy(built.database, tmp_path / "flow.duckdb")
    return Project(tmp_path / "flow.duckdb", built.location, built.target)


def test_a_full_refresh_is_refused_until_it_is_allowed(
    copied: Project, truth: dict[str, Any]
) -> None:
    printed = copied.dbt("build", "--full-refresh", exit_code=2, **AS_OF)
    assert "int_traffic__daily_endpoint_bytes" in printed
    assert "allow_destructive_refresh" in printed
    assert "docs/upgrading.md" in printed
    assert_marts_equal(copied, truth)
    copied.dbt("run", "--full-refresh", allow_destructive_refresh=True, **AS_OF)
    assert_marts_equal(copied, truth)


def test_a_mart_alone_may_be_refreshed(copied: Project) -> None:
    copied.dbt("run", "--full-refresh", "--select", "admin_exposure", **AS_OF)


def test_a_full_refresh_of_landing_is_refused_until_it_is_allowed(
    copied: Project, truth: dict[str, Any], sample: Path, tmp_path: Path
) -> None:
    count = "select count(*) from landing.flow_logs"
    file = next(sample.rglob("*.parquet"))
    copied.location = tmp_path
    nothing = {"ext_full_refresh": True, "allow_destructive_refresh": True}
    assert "0 Parquet files" in copied.stage(exit_code=1, **nothing)
    shutil.copy(file, tmp_path)
    printed = copied.stage(exit_code=1, ext_full_refresh=True)
    assert "would drop" in printed
    assert copied.query(count) == [(truth["records"],)]
    copied.stage(ext_full_refresh=True, allow_destructive_refresh=True)
    assert copied.query(count) == [(pq.read_metadata(file).num_rows,)]


@pytest.mark.parametrize(
    "settings",
    [{"admin_ports": [22]}, {"internal_cidrs": ["8.8.8.0/24"]}],
    ids=["admin_ports", "internal_cidrs"],
)
def test_other_settings_stop_a_build_and_name_the_command(
    copied: Project, truth: dict[str, Any], settings: dict[str, Any]
) -> None:
    printed = copied.dbt("build", exit_code=2, **settings, **AS_OF)
    assert "dbt build --full-refresh" in printed
    assert_marts_equal(copied, truth)


def test_the_named_command_rebuilds_under_the_new_settings(copied: Project) -> None:
    """Port 443 of ours: as the truth would be, by plain SQL over the records.

    The ranges have no names, so the marts' columns of names have nulls alone. The unit
    tests, which are part of the build, hold with any variables.
    """
    settings = {
        "admin_ports": [443],
        "internal_cidrs": ["100.64.0.0/10", "8.8.8.0/24", "2600::/16"],
        "lookback_days": 10,
        "top_n": 3,
        "silent_after_hours": 2,
        "gap_after_minutes": 20,
        "allow_destructive_refresh": True,
    }
    copied.dbt("build", "--full-refresh", **settings, **AS_OF)
    plain = copied.query(
        """
        select dstaddr, srcaddr, dstport, protocol
        from flow_records
        where action = 'ACCEPT' and dstport = 443 and protocol in (6, 17)
            and src_scope = 'public'
            and (
                dst_scope = 'internal'
                or dstaddr like '%:%' and flow_direction = 'ingress'
            )
        union
        select srcaddr, dstaddr, srcport, protocol
        from flow_records
        where action = 'ACCEPT' and srcport = 443 and protocol in (6, 17)
            and dst_scope = 'public'
            and (
                src_scope = 'internal'
                or srcaddr like '%:%' and flow_direction = 'egress'
            )
        order by all
        """
    )
    assert plain
    assert plain == copied.query(
        "select internal_addr, external_addr, port, protocol from admin_exposure"
        " order by all"
    )


def test_an_as_of_that_is_no_date_stops_with_a_message(copied: Project) -> None:
    printed = copied.dbt("run", "--no-partial-parse", exit_code=2, as_of="31.01.2026")
    assert "as_of is '31.01.2026', which is not a date" in printed


def test_a_build_before_staging_says_what_is_missing(
    new_project: Callable[..., Project], tmp_path: Path
) -> None:
    printed = new_project(tmp_path).dbt("build", exit_code=2)
    assert "dbt run-operation stage_external_sources" in printed
