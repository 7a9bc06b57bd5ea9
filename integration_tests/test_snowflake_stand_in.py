"""The stand-in for Snowflake does what the documentation says Snowflake does.

Each test names the page of docs.snowflake.com/en that it follows (``sf:``). The last
test runs the real dbt-snowflake adapter against the stand-in, in a project of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest
import snowflake.connector.errors
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from moto.server import ThreadedMotoServer

from integration_tests.snowflake_stand_in import StandIn

Error = snowflake.connector.errors.Error
COPY = """
    copy into {table} from (
        select
            $1::variant as value,
            metadata$filename::varchar as metadata_filename,
            metadata$file_row_number::bigint as metadata_file_row_number,
            metadata$file_last_modified::timestamp as metadata_file_last_modified,
            metadata$start_scan_time::timestamp_ltz as _dbt_copied_at
        from @{stage}
    )
    file_format = ( type = parquet )
    pattern = '.*[.]parquet'
    on_error = skip_file
"""
LANDING = """
    create table {table} (
        value variant, metadata_filename varchar, metadata_file_row_number bigint,
        metadata_file_last_modified timestamp, _dbt_copied_at timestamp_ltz
    )
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """An emulated AWS: the endpoint's URL."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def stand_in(aws: str) -> Iterator[StandIn]:
    """One stand-in for all tests of the module."""
    with StandIn.start(s3_endpoint=aws) as running:
        yield running


@pytest.fixture
def run(stand_in: StandIn, request: pytest.FixtureRequest) -> Iterator[Callable]:
    """A session in a database of the test's own; returns the rows as tuples."""
    database = "DB_" + str(abs(hash(request.node.name)))[:10]
    with stand_in.connect() as connection:
        cursor = connection.cursor()

        def execute(sql: str) -> list[Any]:
            return cursor.execute(sql).fetchall()

        execute(f"create database {database}")
        execute("alter session set timezone = 'UTC'")
        execute.database = database
        yield execute
        execute(f"drop database {database}")


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """A folder that stands for a bucket, with one file of three rows."""
    write_parquet(tmp_path / "logs/2024/one.parquet", 3)
    return tmp_path / "logs"


def write_parquet(path: Path, rows: int, first: int = 1_700_000_000) -> None:
    """Write a small Parquet file; every second row lacks ``bytes``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(
        f"select '2' as version, {first} + i as start,"
        " case when i % 2 = 0 then i end as bytes, '10.0.0.1' as \"srcAddr\""
        f" from range({rows}) as t(i)"
    ).write_parquet(str(path))


def stage_and_pipe(run: Callable, url: str, pipe: str = "land") -> None:
    """A stage, a landing table and its pipe."""
    run(f"create stage logs url = '{url}'")
    run(LANDING.format(table="land"))
    copy = COPY.format(table="land", stage="logs/")
    run(f"create pipe {pipe} auto_ingest = true as {copy}")


def refused(run: Callable, sql: str) -> str:
    """The message of the error that a statement must give."""
    with pytest.raises(Error) as caught:
        run(sql)
    return str(caught.value)


# ----- sessions


def test_a_service_user_logs_in_with_either_of_its_keys(
    stand_in: StandIn, tmp_path: Path
) -> None:
    """sf:user-guide/key-pair-auth, sf:user-guide/security-mfa-rollout."""
    files, publics = [], []
    for number in (1, 2, 3):
        key = rsa.generate_private_key(65537, 2048)
        file = tmp_path / f"key{number}.p8"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        pem = key.public_key().public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
        files.append(str(file))
        publics.append("".join(pem.decode().splitlines()[1:-1]))
    stand_in.rows(
        "create role svc_role; create user svc type = service default_role = svc_role"
        f" rsa_public_key = '{publics[0]}' rsa_public_key_2 = '{publics[1]}';"
        "grant role svc_role to user svc"
    )
    for file in files[:2]:
        rows = stand_in.rows(
            "select current_user() as u, current_role() as r",
            user="svc",
            private_key_file=file,
        )
        assert rows == [{"U": "SVC", "R": "SVC_ROLE"}]
    for arguments in (
        {"private_key_file": files[2]},
        {"password": "anything"},
        {"private_key_file": files[0], "role": "accountadmin"},
    ):
        with pytest.raises(Error):
            stand_in.connect(user="svc", **arguments)


def test_an_unknown_statement_is_an_error_at_once(run: Callable) -> None:
    """The connector would retry an HTTP 500 for minutes."""
    assert "frobnicate" in refused(run, "frobnicate the 'thing'")
    assert "create masking policy" in refused(
        run, "create masking policy p as (v varchar) returns varchar -> '*'"
    )
    assert "does not exist or not authorized" in refused(run, "select * from nowhere")


def test_several_statements_need_to_be_announced(stand_in: StandIn) -> None:
    """sf:developer-guide/sql-api/submitting-multiple-statements."""
    assert stand_in.rows("select 1 as a; select 2 as b") == [{"B": 2}]
    with stand_in.connect() as connection, pytest.raises(Error, match="count 2"):
        connection.cursor().execute("select 1; select 2")


def test_an_ordered_failure_is_an_sql_error_once(
    stand_in: StandIn, run: Callable
) -> None:
    """Before the statement runs, or after it ran (a lost answer)."""
    run("create table t (a int)")
    stand_in.fail("insert into t", when="before")
    assert "Injected" in refused(run, "insert into t values (1)")
    stand_in.fail("insert into t", when="after")
    assert "Injected" in refused(run, "insert into t values (2)")
    run("insert into t values (3)")
    assert run("select a from t order by a") == [(2,), (3,)]
    logged = [entry for entry in stand_in.log() if "insert into t" in entry["text"]]
    assert [bool(entry["error"]) for entry in logged] == [True, True, False]


def test_parameters_have_levels(stand_in: StandIn, run: Callable) -> None:
    """sf:sql-reference/sql/show-parameters, sf:sql-reference/parameters."""
    run("alter session set query_tag = 'tagged'")
    (row,) = run("show parameters like 'query_tag' in session")
    assert row[:2] == ("QUERY_TAG", "tagged")
    assert row[3] == "SESSION"
    run("alter session unset query_tag")
    assert run("show parameters like 'query_tag' in session")[0][1] == ""
    assert "invalid property" in refused(run, "alter session set no_such = 1")
    assert stand_in.rows("show parameters like 'timezone'")[0]["value"] == (
        "America/Los_Angeles"
    )
    run("create warehouse wh_p statement_timeout_in_seconds = 60")
    sql = "show parameters like 'statement_timeout%' in warehouse wh_p"
    assert run(sql)[0][1] == "60"


def test_instants_follow_the_session_time_zone(run: Callable) -> None:
    """sf:sql-reference/data-types-datetime, sf:sql-reference/functions/to_timestamp."""
    run('create table t as select parse_json(\'{"start": 0, "x": "y"}\') as v')
    run("create table i (at timestamp_ltz)")
    run("insert into i select '2024-01-01 00:00:00+00:00'::timestamp_ltz")
    midnight, evening = datetime(2024, 1, 1), datetime(2023, 12, 31, 16)
    for zone, wall in (("UTC", midnight), ("America/Los_Angeles", evening)):
        run(f"alter session set timezone = '{zone}'")
        assert run("select at::timestamp_ntz, at::date from i") == [(wall, wall.date())]
        (at,) = run("select at from i")[0]
        assert at.astimezone(UTC) == midnight.replace(tzinfo=UTC)
        assert run("select to_timestamp_ntz(v:start::int) from t") == [
            (datetime(1970, 1, 1),)
        ]
        shifted = run("select v:start::timestamp_ntz from t")[0][0]
        assert shifted == (wall - midnight) + datetime(1970, 1, 1)
        utc = "select convert_timezone('UTC', at)::timestamp_ntz from i"
        assert run(utc) == [(midnight,)]


# ----- SQL


def test_variants_are_read_as_documented(run: Callable) -> None:
    """sf:user-guide/querying-semistructured, semistructured-considerations."""
    run(
        "create table t as select parse_json("
        '\'{"start": 5, "a": "x", "n": null, "bad": "q", "e": ""}\') as value'
    )
    (row,) = run(
        """
        select
            value:"start"::int, value:start, value['a']::varchar, value:a = 'x',
            value:n is null, is_null_value(value:n), value:n::varchar is null,
            value:none is null, nullif(value:e, '') is null, typeof(value:start),
            typeof(value:a), typeof(value:n), try_to_number(value:bad::varchar),
            try_cast(value:start::varchar as int)
        from t
        """
    )
    assert row[:4] == (5, "5", "x", True)
    assert row[4:9] == (False, True, True, True, True)
    assert row[9:] == ("INTEGER", "VARCHAR", "NULL_VALUE", None, 5)
    keys = run("select f.key from t, lateral flatten(input => t.value) as f order by 1")
    assert [key for (key,) in keys] == ["a", "bad", "e", "n", "start"]
    (row,) = run(
        "select object_keys(object_delete(value, 'bad', 'e', 'n')),"
        " object_pick(value, 'a', 'none') from t"
    )
    assert [json.loads(each) for each in row] == [["start", "a"], {"a": "x"}]
    assert "TRY_CAST" in refused(run, "select try_cast(value:a as int) from t")
    assert "Conversion" in refused(run, "select value:bad::int from t")


def test_parse_ip_errs_unless_it_is_told_not_to(run: Callable) -> None:
    """sf:sql-reference/functions/parse_ip."""
    assert "Invalid IP address" in refused(run, "select parse_ip('-', 'INET')")
    (row,) = run(
        "select parse_ip('10.0.0.1/24', 'INET'):ipv4_range_start::number,"
        " parse_ip('-', 'INET', 1):ipv4::number,"
        " parse_ip('-', 'INET', 1):error is not null,"
        " parse_ip('::1', 'INET'):hex_ipv6::varchar,"
        " parse_ip(null, 'INET') is null"
    )
    assert row == (167772160, None, True, "0" * 31 + "1", True)


def test_texts_that_are_no_times_give_null_or_an_error(run: Callable) -> None:
    """sf:sql-reference/functions/try_to_timestamp; digits go by their magnitude."""
    (row,) = run(
        "select try_to_timestamp_ntz('bad'), try_cast('bad' as timestamp_ntz),"
        " to_timestamp_ntz('1700000000'), to_timestamp_ntz('1700000000000'),"
        " to_timestamp_ntz(1700000000, 0), to_timestamp_ntz('2024-01-02 03:04:05'),"
        " to_varchar(to_timestamp_ntz(0), 'YYYY-MM-DD HH24:MI'), 'x' from dual"
    )
    at = datetime(2023, 11, 14, 22, 13, 20)
    assert row[:5] == (None, None, at, at, at)
    assert row[5:] == (datetime(2024, 1, 2, 3, 4, 5), "1970-01-01 00:00", "x")
    assert refused(run, "select to_timestamp_ntz('bad')")
    (row,) = run(
        "select try_cast('99999999999999999999' as bigint), try_cast('0x1F' as int),"
        " try_to_number('1_0'), try_cast(' 1.5 ' as int), try_to_number('-')"
    )
    assert row == (99999999999999999999, None, None, 2, None)


def test_reserved_words_are_no_names(run: Callable) -> None:
    """sf:sql-reference/reserved-keywords."""
    assert "start" in refused(run, "create table t (start int)")
    assert "start" in refused(run, "select 1 as start")
    run('create table t ("start" int)')


def test_functions_in_sql_can_be_called_by_any_name(run: Callable) -> None:
    """sf:developer-guide/udf/sql/udf-sql-scalar-functions."""
    run(
        "create or replace function is_ten(ip varchar) returns boolean as"
        " $$ coalesce(try_to_number(split_part(ip, '.', 1)) = 10, false) $$"
    )
    run("create function if not exists is_ten(ip varchar) returns boolean as 'true'")
    name = f"{run.database}.public.is_ten"
    sql = f"select is_ten('10.1.1.1'), {name}('11.1.1.1'), {name}('-'), is_ten(null)"
    assert run(sql) == [(True, False, False, False)]
    assert run("show user functions like 'is_ten'")[0][1] == "IS_TEN"
    run("drop function is_ten(varchar)")
    assert refused(run, "select is_ten('x')")


# ----- tables


def test_a_table_keeps_its_comments_and_properties(run: Callable) -> None:
    """sf:sql-reference/sql/create-table, sf:sql-reference/sql/comment."""
    run(
        "create transient table t (a int not null comment 'the a', b varchar)"
        " data_retention_time_in_days = 0 cluster by (a) comment = 'the table'"
    )
    run("comment on column t.b is $$the b$$")
    run("create or replace view v (a comment 'of v') as select a from t")
    described = run("describe table t")
    assert [row[:4] for row in described] == [
        ("A", "NUMBER(38,0)", "COLUMN", "N"),
        ("B", "VARCHAR(16777216)", "COLUMN", "Y"),
    ]
    assert [row[9] for row in described] == ["the a", "the b"]
    assert run("describe view v")[0][9] == "of v"
    shown = run("show tables like 't'")[0]
    assert shown[4:7] == ("TRANSIENT", "the table", "LINEAR(a)")
    assert shown[10] == "0"
    run("alter table t set data_retention_time_in_days = 7, comment = 'new'")
    run('alter table t alter "A" comment $$new a$$, "B" comment $$new b$$')
    sql = "select comment, retention_time from information_schema.tables"
    assert run(f"{sql} where table_name = 'T'") == [("new", 7)]
    assert "NOT NULL" in refused(run, "insert into t values (null, 'x')")


def test_merge_counts_and_refuses_a_row_matched_twice(run: Callable) -> None:
    """sf:sql-reference/sql/merge."""
    run("create table t (id int, a varchar)")
    run("insert into t values (1, 'old')")
    run(
        "create temporary table s as select column1 as id, column2 as a"
        " from values (1, 'new'), (2, 'two')"
    )
    merge = (
        "merge into t as d using s on d.id = s.id"
        " when matched then update set a = s.a"
        ' when not matched then insert ("ID", "A") values ("ID", "A")'
    )
    assert run(merge) == [(1, 1)]
    assert run("select * from t order by id") == [(1, "new"), (2, "two")]
    run("insert into s values (1, 'newer')")
    assert "Duplicate row" in refused(run, merge)


def test_a_temporary_relation_is_its_sessions_own(
    stand_in: StandIn, run: Callable
) -> None:
    """sf:user-guide/tables-temp-transient: it hides a permanent one of its name."""
    run("create table t as select 1 as a")
    name = f"{run.database}.public.t"
    run(f"create temporary table {name} as select 2 as a")
    view = f"{run.database}.public.v"
    run(f"create or replace temporary view {view} as select * from {name}")
    assert run(f"select t.a from {name}") == [(2,)]
    assert run("select a from v") == [(2,)]
    assert stand_in.rows(f"select a from {name}") == [{"A": 1}]
    assert [row[0] for row in run(f"describe table {name}")] == ["A"]
    run(f"drop table if exists {name} cascade")
    assert run(f"select a from {name}") == [(1,)]


def test_ddl_commits_and_a_closed_session_rolls_back(
    stand_in: StandIn, run: Callable
) -> None:
    """sf:sql-reference/transactions."""
    run("create table t (a int)")
    name = f"{run.database}.public.t"
    with stand_in.connect() as other:
        cursor = other.cursor()
        for sql in (
            "begin",
            f"insert into {name} values (1)",
            f"create table {name}2 (a int)",
            "begin",
            f"insert into {name} values (2)",
        ):
            cursor.execute(sql)
    assert run("select a from t") == [(1,)]
    run("begin transaction")
    run("insert overwrite into t values (3), (4)")
    run("rollback")
    assert run("select a from t") == [(1,)]
    run("begin")
    run("insert into t values (5)")
    refused(run, "select no_such_column from t")
    run("commit")
    assert run("select max(a) from t") == [(5,)]
    run("begin")
    run("insert into t values (6)")
    refused(run, "insert into t select 'no number'")
    assert "rolled this transaction back" in refused(run, "insert into t values (7)")
    refused(run, "commit")
    assert run("select max(a) from t") == [(5,)]


def test_a_second_writer_waits_and_sees_the_firsts_rows(
    stand_in: StandIn, run: Callable
) -> None:
    """sf:sql-reference/transactions: DELETE locks the table until the commit."""
    run("create table t (a int)")
    name = f"{run.database}.public.t"
    run("begin")
    run("delete from t where a = 1")
    run("insert into t values (1)")

    def second() -> None:
        stand_in.rows(
            f"begin; delete from {name} where a = 1; insert into {name} values (1);"
            "commit"
        )

    thread = threading.Thread(target=second)
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    run("commit")
    thread.join(20)
    assert run("select a from t") == [(1,)]


# ----- account objects


def test_account_objects_are_made_altered_shown_and_dropped(run: Callable) -> None:
    """sf:sql-reference/sql/create-warehouse, create-resource-monitor, create-user."""
    run(
        "create resource monitor if not exists rm with credit_quota = 5"
        " frequency = monthly start_timestamp = immediately"
        " triggers on 80 percent do notify on 100 percent do suspend"
    )
    run("create warehouse if not exists wh warehouse_size = xsmall auto_suspend = 60")
    exists = run("create warehouse if not exists wh warehouse_size = large")
    assert exists == [("WH already exists, statement succeeded.",)]
    run("alter warehouse wh set resource_monitor = rm statement_timeout_in_seconds = 9")
    (row,) = run("show warehouses like 'wh'")
    assert (row[0], row[3], row[8], row[13]) == ("WH", "X-Small", 60, "RM")
    (row,) = run("show resource monitors like 'rm'")
    assert row[:2] == ("RM", "5")
    assert row[8:10] == ("80%", "100%")
    run("create network policy np allowed_ip_list = ('10.0.0.0/8', '192.0.2.1/32')")
    run("create user someone type = service network_policy = np comment = 'me'")
    run("alter user someone set rsa_public_key_2 = 'abc'")
    assert run("show users like 'someone'")[0][4] == "SERVICE"
    run("use warehouse wh")
    assert run("select current_warehouse()") == [("WH",)]
    for sql in (
        "create warehouse wh",
        "create warehouse other nonsense = 1",
        "alter warehouse wh set resource_monitor = nowhere",
        "create user u type = service password = 'x'",
        "alter warehouse nowhere set comment = 'x'",
        "drop role nowhere",
        "use role nowhere",
    ):
        refused(run, sql)
    for sql in ("warehouse wh", "resource monitor rm", "user someone"):
        run(f"drop {sql}")
        run(f"drop {sql.rpartition(' ')[0]} if exists nothing")
    run("drop network policy np")


def test_grants_survive_only_as_documented(run: Callable) -> None:
    """sf:sql-reference/sql/grant-privilege: future grants and COPY GRANTS."""
    run("create role reader")
    run("create role writer")
    run("create table t (a int)")
    run("grant select, insert on table t to role writer")
    run("grant select on t to reader")
    run("grant select on future tables in schema public to role reader")
    run("grant usage on all schemas in database " + run.database + " to role reader")
    run("grant role reader to role writer")

    def holders() -> set[tuple[str, str]]:
        return {(row[1], row[5]) for row in run("show grants on table t")}

    own = ("OWNERSHIP", "ACCOUNTADMIN")
    both = {("SELECT", "WRITER"), ("INSERT", "WRITER")}
    assert holders() == {own, ("SELECT", "READER"), *both}
    run("create or replace table t copy grants as select 1 as a")
    assert holders() == {own, ("SELECT", "READER"), *both}
    run("create or replace table t as select 1 as a")
    assert holders() == {own, ("SELECT", "READER")}
    run('revoke select on t from "READER"')
    assert holders() == {own}
    future = run("show future grants in schema public")
    assert future[0][1:5] == (
        "SELECT",
        "TABLE",
        f"{run.database}.PUBLIC.<TABLE>",
        "ROLE",
    )
    assert run("show grants of role reader")[0][1:4] == ("READER", "ROLE", "WRITER")
    for sql in (
        "grant select on table t to role nobody",
        "grant select on table nothing to role reader",
        "grant usage on schema nothing to role reader",
        "grant insert on view t2 to role reader",
        "grant operate on schema public to role reader",
    ):
        refused(run, sql)
    run("drop role writer")
    run("drop role reader")


def test_an_integration_keeps_its_external_id_until_it_is_replaced(
    run: Callable, bucket: Path
) -> None:
    """sf:sql-reference/sql/create-storage-integration, desc-integration."""
    options = (
        "type = external_stage storage_provider = 'S3' enabled = true"
        " storage_aws_role_arn = 'arn:aws:iam::111111111111:role/reader'"
        f" storage_allowed_locations = ('file://{bucket}/')"
    )

    def described() -> dict[str, str]:
        return {row[0]: row[2] for row in run("desc integration logs_int")}

    run(f"create storage integration logs_int {options}")
    first = described()
    run(f"create storage integration if not exists logs_int {options}")
    run(
        "alter storage integration logs_int set"
        " storage_aws_role_arn = 'arn:aws:iam::111111111111:role/other'"
    )
    second = described()
    key = "STORAGE_AWS_EXTERNAL_ID"
    assert first[key] == second[key] != ""
    assert second["STORAGE_AWS_ROLE_ARN"].endswith("other")
    assert second["STORAGE_AWS_IAM_USER_ARN"].startswith("arn:aws:iam::")
    run(f"create stage logs url = 'file://{bucket}/' storage_integration = logs_int")
    assert run("list @logs")
    path = f"'file://{bucket}/'"
    call = f"select system$validate_storage_integration('LOGS_INT', {path}, "
    file = "2024/one.parquet"
    assert json.loads(run(f"{call}'{file}', 'list')")[0][0])["status"] == "success"
    assert json.loads(run(f"{call}'{file}', 'read')")[0][0])["status"] == "success"
    assert json.loads(run(f"{call}'{file}', 'all')")[0][0])["status"] == "failure"
    assert refused(run, call.replace("LOGS_INT", "logs_int") + f"'{file}', 'list')")
    assert "not allowed" in refused(
        run, "create stage o url = 's3://other/' storage_integration = logs_int"
    )
    refused(run, "create stage o url = 's3://x/' storage_integration = nowhere")
    run(f"create or replace storage integration logs_int {options}")
    assert described()[key] != first[key]
    assert "replaced" in refused(run, "list @logs")
    run("alter stage logs set storage_integration = logs_int")
    assert run("list @logs")
    run("drop integration logs_int")


# ----- loading


def test_copy_loads_each_file_once(run: Callable, bucket: Path) -> None:
    """sf:sql-reference/sql/copy-into-table, sf:user-guide/querying-metadata."""
    run(f"create stage logs url = 'file://{bucket}/'")
    run(LANDING.format(table="land"))
    copy = COPY.format(table="land", stage="logs/2024/")
    (row,) = run(copy)
    assert row[1:6] == ("LOADED", 3, 3, 1, 0)
    rows = run("select value, metadata_filename, metadata_file_row_number from land")
    assert [json.loads(value) for value, *_ in rows[:2]] == [
        {"version": "2", "start": 1_700_000_000, "bytes": 0, "srcAddr": "10.0.0.1"},
        {"version": "2", "start": 1_700_000_001, "srcAddr": "10.0.0.1"},
    ]
    assert [row[1:] for row in rows] == [("2024/one.parquet", n) for n in (1, 2, 3)]
    assert run(copy) == [("Copy executed with 0 files processed.",)]
    assert run(f"{copy} force = true")[0][1] == "LOADED"
    run("truncate table land")
    assert run(copy)[0][1] == "LOADED"
    run("begin")
    run(f"{copy} force = true")
    run("rollback")
    assert run("select count(*) from land") == [(3,)]
    (row,) = run(
        "select $1:start::int, metadata$file_row_number from @logs/2024"
        " (file_format => (type = parquet), pattern => '.*one.*') limit 1"
    )
    assert row == (1_700_000_000, 1)
    (name, size, md5, modified) = run("list @logs pattern = '.*one[.]parquet'")[0]
    assert name == f"file://{bucket}/2024/one.parquet"
    assert size > 0
    assert len(md5) == 32
    assert modified.endswith("GMT")


def test_copy_skips_or_aborts_at_a_bad_file(run: Callable, bucket: Path) -> None:
    """sf:sql-reference/sql/copy-into-table: ON_ERROR."""
    (bucket / "2024/bad.parquet").write_bytes(b"PAR1 not a Parquet file PAR1")
    run(f"create stage logs url = 'file://{bucket}/'")
    run(LANDING.format(table="land"))
    copy = COPY.format(table="land", stage="logs")
    aborting = copy.replace("skip_file", "abort_statement")
    assert "bad.parquet" in refused(run, aborting)
    assert run("select count(*) from land") == [(0,)]
    found = {row[0].rpartition("/")[2]: row for row in run(copy)}
    assert found["one.parquet"][1] == "LOADED"
    assert found["bad.parquet"][1] == "LOAD_FAILED"
    assert found["bad.parquet"][5] == 1
    assert "bad.parquet" in found["bad.parquet"][6]
    history = run(
        "select file_name, status, row_count, pipe_name"
        f" from table({run.database}.information_schema.copy_history("
        "table_name => 'land', start_time => dateadd(hours, -1, current_timestamp())))"
        " order by file_name"
    )
    assert history == [
        ("2024/bad.parquet", "Load failed", 0, None),
        ("2024/one.parquet", "Loaded", 3, None),
    ]
    for option in ("match_by_column_name = case_insensitive", "validation_mode = x"):
        assert "copy transform" in refused(run, f"{copy} {option}")
    assert "unsupported" in refused(run, copy.replace("parquet )", "csv )"))


def test_a_pipe_loads_what_events_announce(
    stand_in: StandIn, run: Callable, bucket: Path
) -> None:
    """sf:user-guide/data-load-snowpipe-intro, data-load-snowpipe-ts."""
    stage_and_pipe(run, f"file://{bucket}/")
    url = f"file://{bucket}/2024/one.parquet"
    pipe = f"{run.database}.PUBLIC.LAND"
    assert stand_in.event(url) == [pipe]
    assert stand_in.event(f"file://{bucket}/2024/one.txt") == []
    stand_in.event(url)
    assert run("select count(*) from land") == [(3,)]
    assert stand_in.lapse(pipe) == 1
    stand_in.event(url)
    assert run("select count(*) from land") == [(6,)]
    run("alter pipe land set pipe_execution_paused = true")
    write_parquet(bucket / "2024/two.parquet", 1)
    stand_in.event(f"file://{bucket}/2024/two.parquet")

    def status() -> dict[str, Any]:
        return json.loads(run(f"select system$pipe_status('{pipe}')")[0][0])

    assert (status()["executionState"], status()["pendingFileCount"]) == ("PAUSED", 1)
    run("select system$pipe_force_resume('land')")
    assert run("select count(*) from land") == [(7,)]
    assert status()["lastIngestedFilePath"].endswith("two.parquet")
    (row,) = run(
        "select pipe_name, files_inserted, credits_used > 0 from"
        " table(information_schema.pipe_usage_history(pipe_name => 'land'))"
    )
    assert row == (pipe, 2, True)
    run(f"create or replace stage logs url = 'file://{bucket}/'")
    assert status()["executionState"] == "STOPPED_STAGE_DROPPED"


def test_a_refresh_takes_recent_files_nobody_loaded(
    stand_in: StandIn, run: Callable, bucket: Path
) -> None:
    """sf:sql-reference/sql/alter-pipe."""
    stage_and_pipe(run, f"file://{bucket}/")
    run(COPY.format(table="land", stage="logs"))
    write_parquet(bucket / "2024/new.parquet", 1)
    write_parquet(bucket / "2024/old.parquet", 1)
    stand_in.age(f"file://{bucket}/2024/old.parquet", 8)
    assert run("alter pipe land refresh prefix = '2023/'") == []
    assert run("alter pipe land refresh") == [("2024/new.parquet", "SENT")]
    assert run("alter pipe land refresh") == []
    assert run("select count(*) from land") == [(4,)]


def test_a_pipe_runs_in_a_time_zone_of_its_own(
    stand_in: StandIn, run: Callable, bucket: Path
) -> None:
    """Which zone a pipe uses is not documented; instants must not depend on it."""
    run(f"create stage logs url = 'file://{bucket}/'")
    run(
        LANDING.format(table="land").replace(
            "timestamp_ltz", "timestamp_ltz, w timestamp"
        )
    )
    copy = COPY.format(table="land", stage="logs/").replace(
        "as _dbt_copied_at",
        "as _dbt_copied_at, metadata$start_scan_time::timestamp as w",
    )
    run(f"create pipe land auto_ingest = true as {copy}")
    stand_in.pipe_timezone("Asia/Tokyo")
    stand_in.scan_time(90)
    try:
        stand_in.event(f"file://{bucket}/2024/one.parquet")
    finally:
        stand_in.pipe_timezone(None)
        stand_in.scan_time(None)
    sql = (
        "select datediff('minute', _dbt_copied_at, current_timestamp()),"
        " datediff('hour', _dbt_copied_at::timestamp_ntz, w) from land limit 1"
    )
    assert run(sql) == [(90, 9)]


def test_a_view_over_the_load_history_shows_the_rows_of_the_moment(
    stand_in: StandIn, run: Callable, bucket: Path
) -> None:
    """sf:sql-reference/functions/copy_history; also over files and the catalog."""
    stage_and_pipe(run, f"file://{bucket}/")
    here = f"{run.database}.information_schema"
    run(
        "create view loads (file, rows_in) as select file_name, row_count from"
        f" table({here}.copy_history(table_name => '{run.database}.public.land',"
        " start_time => dateadd('day', -1, current_timestamp())))"
    )
    run(f"create view names as (select table_name from {here}.tables)")
    run(f"create view files as select $1 as v from @{run.database}.public.logs")
    stand_in.event(f"file://{bucket}/2024/one.parquet")

    def rows(sql: str) -> list[dict[str, Any]]:
        return stand_in.rows(f"use {run.database}.public; {sql}")

    assert rows("select * from loads") == [{"FILE": "2024/one.parquet", "ROWS_IN": 3}]
    assert rows("select count(*) as n from names") == [{"N": 4}]
    assert rows("select sum(v:bytes::int) as n from files") == [{"N": 2}]
    assert run("describe view loads")[0][0] == "FILE"


def test_a_pipe_is_shown_and_refuses_what_it_must(run: Callable, bucket: Path) -> None:
    """sf:sql-reference/sql/create-pipe, show-pipes."""
    stage_and_pipe(run, f"file://{bucket}/")
    copy = COPY.format(table="land", stage="logs")
    with_if = f"create pipe if not exists land auto_ingest = true as {copy}"
    assert "already exists" in run(with_if)[0][0]
    refused(run, f"create pipe land auto_ingest = true as {copy}")
    for option in ("force = true", "purge = true", "size_limit = 1", "files = ('a')"):
        assert "not supported" in refused(run, f"create pipe p as {copy} {option}")
    aborting = copy.replace("skip_file", "abort_statement")
    assert "ABORT_STATEMENT" in refused(run, f"create pipe p as {aborting}")
    for wrong in (copy.replace("@logs", "@nothing"), copy.replace("land", "nothing")):
        assert "does not exist" in refused(run, f"create pipe p as {wrong}")
    refused(run, f"create pipe p error_integration = 'nothing' as {copy}")
    (row,) = run(f"show pipes like 'land' in schema {run.database}.public")
    assert row[1:4] == ("LAND", run.database, "PUBLIC")
    assert "copy into land" in row[4]
    assert row[6].startswith("arn:aws:sqs:")
    assert run("desc pipe land")[0][1] == "LAND"
    sql = "select pipe_name, is_autoingest_enabled from information_schema.pipes"
    assert run(sql) == [("LAND", "YES")]
    run("drop pipe land")
    assert run("show pipes") == []


def test_an_object_put_into_s3_arrives_through_the_queue(
    stand_in: StandIn, run: Callable, aws: str, tmp_path: Path
) -> None:
    """sf:user-guide/data-load-snowpipe-auto-s3: bucket, notification, queue, pipe."""
    login = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    s3 = boto3.client("s3", "us-east-1", endpoint_url=aws, **login)
    s3.create_bucket(Bucket="stand-in-flow-logs")
    stage_and_pipe(run, "s3://stand-in-flow-logs/AWSLogs/")
    (row,) = run("show pipes")
    s3.put_bucket_notification_configuration(
        Bucket="stand-in-flow-logs",
        NotificationConfiguration={
            "QueueConfigurations": [
                {"QueueArn": row[6], "Events": ["s3:ObjectCreated:*"]}
            ]
        },
    )
    write_parquet(tmp_path / "a.parquet", 2)
    key = "AWSLogs/year=2024/a b.parquet"
    s3.upload_file(str(tmp_path / "a.parquet"), "stand-in-flow-logs", key)
    assert f"s3://stand-in-flow-logs/{key}" in stand_in.poll()
    assert run("select metadata_filename, value:year is null from land") == [
        (key, True),
        (key, True),
    ]
    assert run("list @logs")[0][0] == f"s3://stand-in-flow-logs/{key}"
    assert stand_in.poll() == []
    sns = boto3.client("sns", "us-east-1", endpoint_url=aws, **login)
    topic = sns.create_topic(Name="new-logs")["TopicArn"]
    run(LANDING.format(table="second"))
    copy = COPY.format(table="second", stage="logs")
    run(f"create pipe second auto_ingest = true aws_sns_topic = '{topic}' as {copy}")
    bucket = {"name": "stand-in-flow-logs"}
    record = {"s3": {"bucket": bucket, "object": {"key": "AWSLogs/x"}}}
    sns.publish(TopicArn=topic, Message=json.dumps({"Records": [record]}))
    assert stand_in.poll() == ["s3://stand-in-flow-logs/AWSLogs/x"]
    refused(run, "list @nothing")


def test_a_state_folder_outlives_the_process(tmp_path: Path) -> None:
    """Databases, objects and load histories are there after a restart."""
    write_parquet(tmp_path / "logs/one.parquet", 2)
    copy = COPY.format(table="land", stage="logs")
    with StandIn.start(tmp_path / "state") as first:
        first.rows(
            f"create database d; create stage logs url = 'file://{tmp_path}/logs/';"
            f"{LANDING.format(table='land')}; {copy}; create role keeper;"
            "create function f(a int) returns int as 'a + 1'; create view v as"
            " select to_timestamp_ntz(value:start::int) as at, d.public.f(1) as two"
            " from land"
        )
    with StandIn.start(tmp_path / "state") as second:
        assert second.rows(f"use schema d.public; {copy}")[0]["status"].startswith(
            "Copy executed with 0 files"
        )
        sql = "select count(*) as n, max(two) as two, min(at) as at from d.public.v"
        at = datetime(2023, 11, 14, 22, 13, 20)
        assert second.rows(sql) == [{"N": 2, "TWO": 2, "AT": at}]
        assert second.rows("show roles like 'keeper'")


# ----- dbt

PROJECT = {
    "dbt_project.yml": """
        name: scratch
        profile: scratch
        flags: {send_anonymous_usage_stats: false}
        models:
          scratch: {+persist_docs: {relation: true, columns: true}, +query_tag: tagged}
    """,
    "seeds/people.csv": "id,name,born\n1,Ann,2001-02-03\n2,Bob,2002-03-04\n",
    "models/people_view.sql": "select id, name, born from {{ ref('people') }}",
    "models/merged.sql": """
        {{ config(materialized='incremental', unique_key='id',
                  grants={'select': ['analyst']}) }}
        select id, upper(name) as name, current_timestamp() as built_at
        from {{ ref('people_view') }}
        {% if is_incremental() %}
        where id >= (select max(id) from {{ this }})
        {% endif %}
    """,
    "models/replaced.sql": """
        {{ config(materialized='incremental', incremental_strategy='delete+insert',
                  unique_key=['id', 'name'], cluster_by=['id'], transient=false) }}
        select id, name from {{ ref('people_view') }}
    """,
    "models/appended.sql": """
        {{ config(materialized='incremental', incremental_strategy='append') }}
        select id, name from {{ ref('people_view') }}
    """,
    "models/contracted.sql": """
        {{ config(materialized='table', contract={'enforced': true}, copy_grants=true,
                  cluster_by=['born']) }}
        select id, name, born, cast(sum(id) over () as number(38, 0)) as total
        from {{ ref('people') }}
    """,
    "models/schema.yml": """
        sources:
          - name: raw
            database: analytics
            tables:
              - name: landing
                config:
                  loaded_at_field: loaded_at
                  freshness: {warn_after: {count: 1, period: hour}}
              - name: by_metadata
                config: {freshness: {warn_after: {count: 1, period: hour}}}
        models:
          - name: people_view
            description: "One row per person; it's here."
            columns:
              - {name: id, description: The key., data_tests: [not_null, unique]}
          - name: contracted
            columns:
              - {name: id, data_type: "number(38,0)", constraints: [{type: not_null}]}
              - {name: name, data_type: varchar, description: The name.}
              - {name: born, data_type: date}
              - {name: total, data_type: "number(38,0)"}
        snapshots:
          - name: people_history
            relation: ref('people')
            config: {unique_key: id, strategy: check, check_cols: [name]}
        unit_tests:
          - name: names_are_upper
            model: merged
            overrides: {macros: {is_incremental: false}}
            given:
              - input: ref('people_view')
                rows: [{id: 1, name: ann}]
            expect:
              rows: [{id: 1, name: ANN}]
    """,
}


def dbt(folder: Path, *arguments: str) -> None:
    """Run dbt as users do; a run that hangs is ended."""
    command = [str(Path(sys.executable).with_name("dbt")), "--no-use-colors"]
    done = subprocess.run(
        [*command, *arguments, "--profiles-dir", "."],
        cwd=folder,
        env=os.environ | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_real_dbt_adapter_runs_a_project(stand_in: StandIn, tmp_path: Path) -> None:
    """Everything of dbt-snowflake that this project uses, twice where it matters."""
    for name, content in PROJECT.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        indent = 8 if content.startswith("\n") else 0
        lines = [line[indent:] for line in content.strip("\n").splitlines()]
        file.write_text("\n".join(lines) + "\n")
    output = stand_in.profile(
        password="not-checked",
        warehouse="dbt_wh",
        database="analytics",
        schema="dbt",
        query_tag="from_profile",
    )
    profiles = {"scratch": {"target": "dev", "outputs": {"dev": output}}}
    (tmp_path / "profiles.yml").write_text(yaml.safe_dump(profiles))
    stand_in.rows(
        "create database analytics; create role analyst; create warehouse dbt_wh;"
        "create schema raw; create table by_metadata as select 1 as a;"
        "create table landing as select current_timestamp() as loaded_at"
    )
    stand_in.clear_log()
    dbt(tmp_path, "build")
    stand_in.rows("insert into analytics.dbt.people values (3, 'Cid', '2003-04-05')")
    dbt(tmp_path, "build", "--exclude", "resource_type:seed")
    dbt(tmp_path, "source", "freshness")
    dbt(tmp_path, "docs", "generate")

    def rows(sql: str) -> list[dict[str, Any]]:
        return stand_in.rows("use schema analytics.dbt; " + sql)

    expected = [{"ID": 1, "NAME": "ANN"}, {"ID": 2, "NAME": "BOB"}]
    expected.append({"ID": 3, "NAME": "CID"})
    assert rows("select id, name from merged order by id") == expected
    assert rows("select count(*) as n from replaced") == [{"N": 3}]
    assert rows("select count(*) as n from appended") == [{"N": 5}]
    assert rows("select count(*) as n from people_history") == [{"N": 3}]
    assert "ANALYST" in {r["grantee_name"] for r in rows("show grants on table merged")}
    assert rows("show tables like 'replaced'")[0]["kind"] == "TABLE"
    tags = {entry["query_tag"] for entry in stand_in.log()}
    assert {"tagged", "from_profile"} <= tags
    nodes = json.loads((tmp_path / "target/catalog.json").read_text())["nodes"]
    view = nodes["model.scratch.people_view"]
    assert view["metadata"]["comment"] == "One row per person; it's here."
    assert view["columns"]["ID"]["comment"] == "The key."
    contracted = nodes["model.scratch.contracted"]["columns"]
    assert contracted["NAME"]["comment"] == "The name."
    sources = json.loads((tmp_path / "target/sources.json").read_text())["results"]
    assert {result["status"] for result in sources} == {"pass"}
    assert [entry["error"] for entry in stand_in.log() if entry["error"]] == []
