"""A day's life on Snowflake's stand-in: hourly runs, and what goes wrong meanwhile."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sample_logs

from .conftest import AS_OF, END_DATE
from .snowflake_project import Bucket, SnowflakeProject
from .test_snowflake_builds import (
    ADMIN_FLOWS,
    assert_each_record_counts_once,
    finish,
    login,
)

__all__ = ["login"]

HOURS = 24
#: When a run was made, not what it says.
OF_THE_RUN = {"LOADED_AT", "LOADED_THROUGH_AT", "FIRST_LOADED_AT", "FOUND_AT"}
COMPARED = (
    *("flow_records", "int_health__files", "int_traffic__daily_flows", ADMIN_FLOWS),
    *("int_traffic__daily_interfaces", "int_traffic__daily_endpoint_bytes"),
    *("admin_exposure", "admin_attempts", "top_talkers_by_destination"),
)


def contents(project: SnowflakeProject, relation: str) -> Counter[tuple[Any, ...]]:
    described = project.query(f"describe table {relation}")
    columns = [f'"{row[0]}"' for row in described if row[0] not in OF_THE_RUN]
    return Counter(project.query(f"select {', '.join(columns)} from {relation}"))


def kill_while_inserting(
    project: SnowflakeProject, login: dict[str, str], settings: dict[str, Any]
) -> None:
    project.stand_in.clear_log()
    run = project.command(login, "run", **settings)
    while not any(" into " in text for text in project.stand_in.statements()):
        assert run.poll() is None, run.communicate()
        time.sleep(0.02)
    run.kill()
    run.communicate()
    assert run.returncode == -signal.SIGKILL


@pytest.mark.long
@pytest.mark.parametrize("row_timestamps", [True, False])
def test_a_day_of_hourly_runs_gives_what_one_rebuild_gives(
    snowflake: SnowflakeProject,
    tmp_path: Path,
    login: dict[str, str],
    row_timestamps: bool,
) -> None:
    """Late and repeated files, a failed insert, a killed run, two runs at once."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    truth = dict(
        sample_logs.generate(
            tmp_path, end_date=END_DATE, records=3_000, records_per_file=60, seed=seed
        )
    )
    settings = AS_OF | {"row_timestamps": row_timestamps}
    bucket = Bucket(snowflake, tmp_path)
    files = list(bucket.files)
    chance.shuffle(files)
    batches = [files[hour::HOURS] for hour in range(HOURS)]
    snowflake.stage(row_timestamps=row_timestamps)

    def fails_at(statement: str) -> Callable[[], object]:
        def run() -> None:
            snowflake.stand_in.fail(rf"(?is)^\s*{statement}")
            snowflake.dbt("run", fails=True, **settings)

        return run

    def run_twice_at_once() -> None:
        for run in [
            snowflake.command(login, "run", folder=f"{n}", **settings) for n in (1, 2)
        ]:
            finish(run)

    trouble: dict[int, Callable[[], object]] = {
        5: fails_at("(insert|merge) into .*flow_records"),
        9: fails_at(f"insert into .*{ADMIN_FLOWS}"),
        13: lambda: kill_while_inserting(snowflake, login, settings),
        17: run_twice_at_once,
    }
    for hour, batch in enumerate(batches):
        # A load commits after it began, at most within the overlap.
        snowflake.stand_in.scan_time(chance.uniform(0, 300))
        bucket.announce(*batch)
        snowflake.stand_in.scan_time(None)
        if hour in (7, 20):
            snowflake.stand_in.lapse("flow.landing.flow_logs")
            bucket.announce(*chance.sample(batches[hour // 2], 2))
        trouble.get(hour, lambda: snowflake.dbt("run", **settings))()

    snowflake.dbt("run", **settings)
    assert_each_record_counts_once(snowflake, truth)
    lived = {relation: contents(snowflake, relation) for relation in COMPARED}
    snowflake.dbt("run", "--full-refresh", allow_destructive_refresh=True, **settings)
    for relation, rows in lived.items():
        rebuilt = contents(snowflake, relation)
        assert (rows - rebuilt, rebuilt - rows) == (Counter(), Counter()), relation
