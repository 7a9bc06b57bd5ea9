"""The stand-in for Snowflake does what the documentation says Snowflake does.

Each test names the page of docs.snowflake.com/en that it follows (``sf:``). The other
Snowflake tests run what dbt emits. These test that the stand-in is as strict as the
service, and the state that a statement leaves.
"""

from __future__ import annotations

import ast
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
import snowflake.connector.errors

from .snowflake_project import KeyPair
from .snowflake_stand_in import StandIn

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
NUMBERS = count(1)


@pytest.fixture
def run(stand_in: StandIn) -> Iterator[Callable]:
    """A session in a database of the test's own; returns the rows as tuples."""
    database = f"TEST_{next(NUMBERS)}"
    with stand_in.connect() as connection:
        cursor = connection.cursor()

        def execute(sql: str) -> list[Any]:
            return cursor.execute(sql).fetchall()

        execute(f"create database {database}")
        execute(
            "alter session set timezone = 'UTC', date_input_format = 'AUTO',"
            " timestamp_input_format = 'AUTO', timestamp_type_mapping = 'TIMESTAMP_NTZ'"
        )
        execute.database = database
        yield execute
        execute(f"drop database {database}")


class Bucket:
    """A bucket of the test's own, with one file of three rows."""

    def __init__(self, s3: Any, folder: Path) -> None:
        self.s3, self.folder = s3, folder
        self.name = f"stand-in-{next(NUMBERS)}"
        self.url = f"s3://{self.name}/"
        s3.create_bucket(Bucket=self.name)
        self.put("2024/one.parquet", 3)

    def put(self, key: str, rows: int) -> str:
        """Upload a Parquet file in which every second row lacks ``bytes``."""
        file = str(self.folder / "file.parquet")
        duckdb.sql(
            "select '2' as version, 1700000000 + i as start,"
            " case when i % 2 = 0 then i end as bytes, '10.0.0.1' as \"srcAddr\""
            f" from range({rows}) as t(i)"
        ).write_parquet(file)
        self.s3.upload_file(file, self.name, key)
        return self.url + key


@pytest.fixture
def bucket(emulated_s3: Any, tmp_path: Path, stand_in: StandIn) -> Bucket:
    stand_in.account(first_row_number=1, row_numbers_restart=False)
    return Bucket(emulated_s3, tmp_path)


def stage_and_pipe(run: Callable, url: str) -> str:
    """A stage, a landing table and its pipe; returns the pipe's name."""
    run(f"create stage logs url = '{url}'")
    run(LANDING.format(table="land"))
    copy = COPY.format(table="land", stage="logs/")
    run(f"create pipe land auto_ingest = true as {copy}")
    return f"{run.database}.PUBLIC.LAND"


def refused(run: Callable, sql: str) -> str:
    """The message of the error that a statement must raise."""
    with pytest.raises(Error) as caught:
        run(sql)
    return str(caught.value)


def test_each_page_that_a_handler_follows_is_cited_here() -> None:
    """A module's docstring lists its handlers' pages; a test of them names each."""
    here = Path(__file__)
    tests = ast.parse(here.read_text()).body
    docstrings = [ast.get_docstring(t) for t in tests if isinstance(t, ast.FunctionDef)]
    cited = " ".join(" ".join(filter(None, docstrings)).split())
    for module in (here.parent / "snowflake_stand_in").glob("*.py"):
        followed = ast.get_docstring(ast.parse(module.read_text())) or ""
        for several, one in re.findall(
            r"sf:[\w/-]+/(?:\{(.*?)\}|([\w-]+))", followed, re.S
        ):
            for page in "".join((several or one).split()).split(","):
                assert re.search(rf"(/|, |And ){page}(?![\w-])", cited), page


# ----- sessions


def test_a_service_user_logs_in_with_either_of_its_keys(
    stand_in: StandIn, tmp_path: Path
) -> None:
    """sf:user-guide/key-pair-auth, sf:user-guide/security-mfa-rollout."""
    first, second, third = (KeyPair(tmp_path, name) for name in "abc")
    stand_in.rows(
        "create role svc_role; create user svc type = service default_role = svc_role"
        f" rsa_public_key = '{first.letters}' rsa_public_key_2 = '{second.letters}';"
        "grant role svc_role to user svc"
    )
    for key in (first, second):
        rows = stand_in.rows(
            "select current_role() as r",
            user="svc",
            private_key_file=key.file,
        )
        assert rows == [{"R": "SVC_ROLE"}]
    for arguments in (
        {"private_key_file": third.file},
        {"password": "anything"},
        {"private_key_file": first.file, "role": "accountadmin"},
    ):
        with pytest.raises(Error):
            stand_in.connect(user="svc", **arguments)
    stand_in.rows("drop user svc; drop role svc_role")


def test_an_unknown_statement_is_an_error_at_once(run: Callable) -> None:
    """The connector would retry an HTTP 500 for minutes."""
    run("create table t (a int)")
    for unknown in (
        "frobnicate the 'thing'",
        "create masking policy p as (v varchar) returns varchar -> '*'",
        "create or replace stage s url = 's3://x/'",
        "undrop table t",
        "alter table t rename to u",
        "merge into t using t as s on t.a = s.a when matched then delete",
        "create table u clone t",
        "create dynamic table u target_lag = '1 hour' warehouse = w as select 1 as a",
    ):
        assert unknown.split()[0] in refused(run, unknown).lower()
    assert "Unknown function" in refused(run, "select system$cancel_all_queries('1')")
    assert "does not exist or not authorized" in refused(run, "select * from nowhere")
    assert "no_such" in refused(run, "select no_such(1)").lower()


def test_several_statements_need_to_be_announced(stand_in: StandIn) -> None:
    """sf:developer-guide/sql-api/submitting-multiple-statements, handling-responses."""
    assert stand_in.rows("select 1 as a; select 2 as b") == [{"B": 2}]
    with stand_in.connect() as connection, pytest.raises(Error, match="count 2"):
        connection.cursor().execute("select 1; select 2")


def test_a_statement_that_takes_long_runs_once(stand_in: StandIn) -> None:
    """The connector sends a request again that has no answer after its timeout."""
    stand_in.account(patience=0.2)
    with (
        stand_in.connect(socket_timeout=1) as connection,
        ThreadPoolExecutor(1) as pool,
        stand_in.hold("takes_long") as is_held,
    ):
        cursor = pool.submit(connection.cursor().execute, "select 7 as takes_long")
        while not is_held():
            time.sleep(0.05)
        time.sleep(2)
    stand_in.account(patience=45)
    assert cursor.result().fetchall() == [(7,)]
    assert stand_in.statements().count("select 7 as takes_long") == 1


def test_an_ordered_failure_is_an_sql_error_once(
    stand_in: StandIn, run: Callable
) -> None:
    """Before the statement runs, or after it has run (a lost answer)."""
    run("create table t (a int)")
    stand_in.fail("insert into t", when="before")
    assert "Injected" in refused(run, "insert into t values (1)")
    stand_in.fail("insert into t", when="after")
    assert "Injected" in refused(run, "insert into t values (2)")
    run("insert into t values (3)")
    assert run("select a from t order by a") == [(2,), (3,)]
    logged = [entry for entry in stand_in.log() if "insert into t" in entry["text"]]
    assert [bool(entry["error"]) for entry in logged[-3:]] == [True, True, False]


def test_instants_follow_the_session_time_zone(run: Callable) -> None:
    """sf:sql-reference/functions/to_timestamp, convert_timezone; sql/alter-session."""
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
    assert "no_such" in refused(run, "alter session set no_such = 1").lower()
    assert "Nowhere" in refused(run, "alter session set timezone = 'Nowhere'")


# ----- SQL


def test_variants_are_read_as_documented(run: Callable) -> None:
    """sf:user-guide/semistructured-considerations, functions/typeof, try_cast."""
    run(
        "create table t as select parse_json("
        '\'{"start": 5, "a": "x", "n": null, "bad": "q"}\') as value'
    )
    (row,) = run(
        """
        select
            value['start']::int, value['a']::varchar, value['n'] is null,
            value['n']::varchar is null, value['none'] is null, typeof(value['start']),
            typeof(value['a']), typeof(value['n']),
            try_cast(value['start']::varchar as int), try_cast('bad' as timestamp_ntz)
        from t
        """
    )
    assert row[:5] == (5, "x", False, True, True)
    assert row[5:] == ("INTEGER", "VARCHAR", "NULL_VALUE", 5, None)
    assert "TRY_CAST" in refused(run, "select try_cast(value['a'] as int) from t")
    assert "Conversion" in refused(run, "select value['bad']::int from t")
    (row,) = run(
        "select try_cast('99999999999999999999' as bigint), try_cast('0x1F' as int),"
        " try_cast('1_0' as int), try_cast(' 1.5 ' as int), try_cast('-' as int)"
    )
    assert row == (99999999999999999999, None, None, 2, None)


def test_objects_and_arrays_of_a_text_logs_line(run: Callable) -> None:
    """sf:sql-reference/functions/get_ignore_case, arrays_to_object, object_keys,
    array_distinct, array_except, array_intersection, as_object, as_char-varchar.
    """
    run(
        "create table t as select arrays_to_object(split('Bytes start', ' '),"
        " split('7 8', ' ')) as v"
    )
    (row,) = run(
        "with lines as (select as_object(v) as line, split('start', ' ') as known"
        " from t) select as_varchar(get_ignore_case(line, 'bytes')),"
        " get_ignore_case(line, 'end'), array_size(object_keys(line)),"
        " array_size(array_intersection(object_keys(line), known)),"
        " array_size(array_except(object_keys(line), known)),"
        " array_size(array_distinct(split('a b a', ' '))) from lines"
    )
    assert row == ("7", None, 2, 1, 1, 2)


def test_asof_joins_compare_columns_of_numbers(run: Callable) -> None:
    """sf:sql-reference/constructs/asof-join."""
    run("create table l (n int, t varchar) as select 5, '5'")
    run("create table r (n int, t varchar) as select 3, '3' union all select 6, '6'")
    join = "select r.n from l asof join r match_condition"
    assert run(f"{join} (l.n >= r.n)") == [(3,)]
    assert "MATCH_CONDITION" in refused(run, f"{join} (l.n + 0 >= r.n)")
    assert refused(run, f"{join} (l.t >= r.t)")


def test_reserved_words_cannot_be_names(run: Callable) -> None:
    """sf:sql-reference/reserved-keywords, identifiers-syntax."""
    assert "start" in refused(run, "create table t (start int)")
    assert "start" in refused(run, "select 1 as start")
    run('create table t ("start" int)')
    assert run('select "start" from T') == run('select t."start" from "T"') == []
    assert "does not exist" in refused(run, 'select "start" from "t"')


def test_a_function_in_sql_can_be_called_by_any_name(run: Callable) -> None:
    """sf:developer-guide/udf/sql/udf-sql-scalar-functions."""
    create = (
        "function {} is_ten(ip varchar) returns boolean language sql immutable"
        " comment = 'ours' as $$ {} $$"
    )
    first = "coalesce(split_part(ip, '.', 1) = '10', false)"
    run("create " + create.format("", first))
    run("create " + create.format("if not exists", "true"))
    name = f"{run.database}.public.is_ten"
    sql = f"select is_ten('10.1.1.1'), {name}('11.1.1.1'), is_ten(null)"
    assert run(sql) == [(True, False, False)]
    run("create or replace " + create.format("", "true"))
    assert run(sql) == [(True, True, True)]
    (shown,) = run("show user functions like 'is_ten'")
    assert shown[4:6] == ("IS_TEN(VARCHAR) RETURN BOOLEAN", "ours")
    run("drop function is_ten(varchar)")
    assert refused(run, "select is_ten('x')")


def test_a_result_can_be_read_by_the_next_statement(
    run: Callable, bucket: Bucket
) -> None:
    """sf:sql-reference/functions/result_scan."""
    run(f"create stage logs url = '{bucket.url}'")
    run("list @logs")
    names = 'select "name", "size" > 0 from table(result_scan(last_query_id()))'
    assert run(names) == [(bucket.url + "2024/one.parquet", True)]


# ----- tables


def test_a_table_keeps_its_comments_and_properties(run: Callable) -> None:
    """sf:sql-reference/sql/create-table, create-view, alter-table, comment.

    And alter-table-column, desc-table, show-tables; sf:sql-reference/info-schema.
    """
    run(
        "create transient table t (a int not null comment 'the a', b varchar)"
        " data_retention_time_in_days = 0 comment = 'the table'"
    )
    run("alter table t cluster by (a)")
    run("create or replace view v (a comment 'of v') as select a from t")
    described = run("describe table t")
    assert [row[:4] for row in described] == [
        ("A", "NUMBER(38,0)", "COLUMN", "N"),
        ("B", "VARCHAR(16777216)", "COLUMN", "Y"),
    ]
    assert [row[4] for row in described] == ["the a", None]
    assert run("describe table v")[0][4] == "of v"
    (shown,) = run("show tables like 't'")
    assert shown[4:7] == ("TRANSIENT", "the table", "LINEAR(a)")
    assert shown[10] == "0"
    run("alter table t set data_retention_time_in_days = 1, comment = 'new'")
    run('alter table t alter "A" comment $$new a$$, "B" comment $$new b$$')
    run("comment on view v is $$the view$$")
    comments = f"select comment from {run.database}.information_schema"
    assert run(f"{comments}.tables order by table_name") == [("new",), ("the view",)]
    assert run(f"{comments}.columns where table_name = 'T' order by ordinal_position")
    assert "NOT NULL" in refused(run, "insert into t values (null, 'x')")
    assert "invalid identifier" in refused(run, "alter table t alter c comment 'x'")
    assert "already exists" in refused(run, "create or replace table v (a int)")
    for key in ("a int primary key", "a int, primary key (a)"):
        assert "PRIMARY KEY" in refused(run, f"create table k ({key})")
    assert "does not exist" in refused(run, f"{comments}.pipes")


def test_a_relation_is_dropped_by_its_kind(run: Callable) -> None:
    """sf:sql-reference/sql/drop-table, create-schema, use-schema, show-schemas.

    And show-objects.
    """
    run("create schema other comment = 'mine'")
    run("create table t as select 1 as a")
    run("create temporary table like_t like t")
    assert run("select * from like_t") == []
    run("use schema public")
    assert "does not exist" in refused(run, "select * from t")
    in_other = f"show objects in schema {run.database}.other limit 5"
    assert [row[1] for row in run(in_other)] == ["LIKE_T", "T"]
    schemas = f"show terse schemas in database {run.database}"
    expected = ["INFORMATION_SCHEMA", "OTHER", "PUBLIC"]
    assert [row[1] for row in run(schemas)] == expected
    assert "of type 'TABLE'" in refused(run, "drop view other.t")
    assert "does not exist" in refused(run, "drop table nothing")
    assert "success" in run("drop table if exists nothing")[0][0]
    run("drop schema other")
    assert "does not exist" in refused(run, in_other)


def test_a_merge_inserts_what_is_not_matched(run: Callable) -> None:
    """sf:sql-reference/sql/merge, insert."""
    run("create table t as select 1 as id, 'old' as a")
    run("create temporary table s (id int, a varchar)")
    run("insert into s values (1, 'new'), (2, 'new')")
    merge = (
        "merge into t as d using s on d.id = s.id"
        ' when not matched then insert ("ID", "A") values (s."ID", s."A")'
    )
    assert run(merge) == [(1,)]
    assert run("select * from t order by id") == [(1, "old"), (2, "new")]
    assert run(merge) == [(0,)]


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
    """sf:sql-reference/transactions; sql/delete."""
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
    run("begin")
    run("delete from t")
    run("rollback")
    assert run("select a from t") == [(1,)]


def test_a_failure_leaves_the_transaction_open_and_ddl_commits_it(
    stand_in: StandIn, run: Callable
) -> None:
    """sf:sql-reference/transactions: what came before the failure is committed."""
    run("create table t (a int)")
    run("insert into t values (1)")
    run("begin transaction")
    run("delete from t")
    refused(run, "insert into t select 'no number'")
    run("insert into t values (6)")
    run("create table other (a int)")
    run("rollback")
    assert run("select a from t") == [(6,)]


def test_a_block_with_a_handler_is_done_as_a_whole_or_not_at_all(
    stand_in: StandIn, run: Callable
) -> None:
    """sf:developer-guide/snowflake-scripting/exceptions; sql/update."""
    run("create table t (a int)")
    run("insert into t values (1)")
    block = (
        "execute immediate $$ begin begin transaction; update t set a = a + 1;"
        " insert into t select {}; commit; exception when other then rollback; raise;"
        " end $$"
    )
    assert "Conversion" in refused(run, block.format("'no number'"))
    assert run("select a from t") == [(1,)]
    stand_in.fail("^insert into t", when="after")
    assert "Injected" in refused(run, block.format("7"))
    run("create table other (a int)")
    assert run("select a from t") == [(1,)]
    run(block.format("7"))
    assert run("select a from t order by a") == [(2,), (7,)]
    assert refused(run, "execute immediate $$ begin delete from t; end $$")


def test_numbers_and_times_are_as_strict_as_there(
    stand_in: StandIn, run: Callable
) -> None:
    """sf:sql-reference/operators-arithmetic, data-types-datetime.

    And date-time-input-output: a quotient of integers has six decimals, TIMESTAMP is
    what the account says, and ISO's form of a literal is read by AUTO alone.
    """
    boundary = 184549370  # of 10.255.255.250, by which 11 * 2 ** 24 is just missed
    (row,) = run(
        f"select floor({boundary} / 16777216),"
        f" bitand(bitshiftright({boundary}, 24), 15),"
        f" floor({boundary}::double / 16777216), 1 / 3"
    )
    assert row[:3] == (11, 10, 10)
    assert float(row[3]) == 0.333333
    run("create table t (a timestamp, b datetime)")
    run("alter session set timestamp_type_mapping = 'TIMESTAMP_LTZ'")
    run("create table u (a timestamp, b datetime)")
    types = [[row[1] for row in run(f"describe table {name}")] for name in "tu"]
    assert types[0] == ["TIMESTAMP_NTZ(9)", "TIMESTAMP_NTZ(9)"]
    assert types[1] == ["TIMESTAMP_LTZ(9)", "TIMESTAMP_NTZ(9)"]
    run("alter session set date_input_format = 'DD/MM/YYYY'")
    run("alter session set timestamp_input_format = 'DD/MM/YYYY HH24:MI:SS'")
    for literal in ("cast('2026-01-31' as date)", "'2026-01-31'::timestamp_ntz"):
        assert "INPUT_FORMAT" in refused(run, f"select {literal}")
    (row,) = run(
        "select to_date('2026-01-31', 'YYYY-MM-DD')::varchar,"
        " to_timestamp_ntz('2026-01-31 00:00:00', 'YYYY-MM-DD HH24:MI:SS')::varchar"
    )
    assert row[0] == "2026-01-31"
    assert row[1].startswith("2026-01-31 00:00:00")


def test_the_edition_bounds_time_travel(stand_in: StandIn, run: Callable) -> None:
    """sf:user-guide/data-time-travel: one day in Standard Edition, else ninety."""
    stand_in.account(edition="STANDARD")
    create = "create table {} (a int) data_retention_time_in_days = {}"
    assert "1 day" in refused(run, create.format("t", 7))
    run(create.format("t", 1))
    stand_in.account(edition="ENTERPRISE")
    run(create.format("u", 7))


def test_no_grant_covers_all_pipes_of_a_schema(run: Callable) -> None:
    """sf:sql-reference/sql/grant-privilege: future ones it may cover."""
    run("create role watcher")
    grant = "grant monitor on {} pipes in schema public to role watcher"
    assert "restricted" in refused(run, grant.format("all"))
    run(grant.format("future"))
    run("drop role watcher")


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


def test_an_idle_transaction_that_blocks_another_is_rolled_back(
    stand_in: StandIn, run: Callable
) -> None:
    """sf:sql-reference/transactions: such as the transaction of a killed client."""
    run("create table t (a int)")
    run("insert into t values (1), (2)")
    stand_in.idle_timeout(0.5)
    with stand_in.connect() as killed:
        cursor = killed.cursor()
        cursor.execute("begin")
        cursor.execute(f"delete from {run.database}.public.t where a = 1")
        run("delete from t where a = 2")
    stand_in.idle_timeout(None)
    assert run("select a from t") == [(1,)]


# ----- account objects


def test_account_objects_are_created_once_and_described(
    run: Callable,
) -> None:
    """sf:sql-reference/sql/create-warehouse, create-user, alter-user, create-role.

    And create-network-policy, create-resource-monitor, create-database, use-role,
    show-parameters. sf:sql-reference/sql/show-network-policies has no LIKE.
    """
    run("create warehouse if not exists wh warehouse_size = 'x-small'")
    shown = run("show parameters like 'statement_timeout%' in account")
    assert shown == [("STATEMENT_TIMEOUT_IN_SECONDS", "172800")]
    run("create network policy np allowed_ip_list = ('10.0.0.0/8', '192.0.2.1/32')")
    assert run("desc network policy np")[0] == (
        "ALLOWED_IP_LIST",
        "10.0.0.0/8,192.0.2.1/32",
    )
    run("create user someone type = service network_policy = np")
    assert ("NETWORK_POLICY", "NP") in run("desc user someone")
    run("alter user someone unset network_policy")
    assert "NETWORK_POLICY" not in dict(run("desc user someone"))
    run(
        "create resource monitor rm with credit_quota = 10 frequency = monthly"
        " triggers on 80 percent do notify on 100 percent do suspend"
    )
    run("alter warehouse wh set resource_monitor = rm")
    assert run("show warehouses like 'wh'")[0][-1] == "RM"
    assert run("show resource monitors like 'rm'")[0][1:4] == ("10", "80%", "100%")
    run("drop resource monitor rm")
    run("drop user someone")
    run("drop network policy np")
    exists = run("create warehouse if not exists wh warehouse_size = large")
    assert exists == [("WH already exists, statement succeeded.",)]
    for sql in (
        "create warehouse wh",
        "create warehouse other nonsense = 1",
        "create warehouse other warehouse_size = huge",
        "alter warehouse wh set resource_monitor = nowhere",
        "alter warehouse nowhere set comment = 'x'",
        "alter warehouse wh unset nonsense",
        "create resource monitor m triggers on 90 percent do suspend_immediate",
        "create user u type = service password = 'x'",
        "create user u network_policy = nowhere",
        "drop role nowhere",
        "use role nowhere",
        "create storage integration i type = external_stage enabled = true",
        "create schema nowhere.s",
        "show network policies like 'np'",
    ):
        refused(run, sql)
    run("drop warehouse wh")
    run("drop warehouse if exists wh")


def test_grants_survive_only_as_documented(run: Callable) -> None:
    """sf:sql-reference/sql/grant-privilege: future grants.

    And grant-role, revoke-privilege, revoke-role, show-grants.
    """
    run("create role reader")
    run("create role writer")
    run("create table t (a int)")
    run("grant select on table t to role writer")
    run("grant select on future tables in schema public to role reader")
    run("grant role reader to role writer")

    def tables(role: str) -> list[str]:
        return [row[2] for row in run(f"show grants to role {role}") if "T" in row[2]]

    table = f"{run.database}.PUBLIC.T"
    assert (tables("reader"), table in tables("writer")) == ([], True)
    run("create or replace table t as select 1 as a")
    assert (tables("reader"), table in tables("writer")) == ([table], False)
    run('revoke select on table t from role "READER"')
    assert tables("reader") == []
    run("grant select on all tables in schema public to role reader")
    assert tables("reader") == [table]
    (future,) = run("show future grants to role reader")
    assert future[1:4] == ("SELECT", f"{run.database}.PUBLIC.<TABLE>", "TABLE")
    held = ("USAGE", "READER", "ROLE", "WRITER")
    assert held in [row[1:] for row in run("show grants to role writer")]
    for sql in (
        "grant select on table t to role nobody",
        "grant select on table nothing to role reader",
        "grant usage on schema nothing to role reader",
        "grant operate on schema public to role reader",
    ):
        refused(run, sql)
    run("revoke role reader from role writer")
    assert held not in [row[1:] for row in run("show grants to role writer")]
    run("use role reader")
    assert run("select current_role()") == [("READER",)]
    run("use role accountadmin")
    run("drop role writer")
    run("drop role reader")


def test_a_stage_needs_an_integration_that_allows_its_place(
    run: Callable, bucket: Bucket
) -> None:
    """sf:sql-reference/sql/create-stage, create-storage-integration, desc-integration.

    And alter-storage-integration, list, functions/system_validate_storage_integration.
    """
    run(
        "create storage integration logs_int type = external_stage"
        " storage_provider = 'S3' enabled = true"
        " storage_aws_role_arn = 'arn:aws:iam::111111111111:role/reader'"
        f" storage_allowed_locations = ('{bucket.url}')"
    )
    described = dict(run("desc integration logs_int"))
    assert described["STORAGE_ALLOWED_LOCATIONS"] == bucket.url
    through = "storage_integration = logs_int"
    run(f"create stage logs url = '{bucket.url}' {through}")
    assert len(run("list @logs")) == 1
    assert "not allowed" in refused(
        run, f"create stage o url = 's3://other/' {through}"
    )
    nowhere = "create stage o url = 's3://x/' storage_integration = nowhere"
    for wrong in (nowhere, "list @nothing", "select $1 from @nothing"):
        assert "does not exist" in refused(run, wrong)
    call = f"select system$validate_storage_integration('LOGS_INT', '{bucket.url}', "
    for file, action, status in (
        ("none", "list", "success"),
        ("none", "read", "failure"),
        ("2024/one.parquet", "read", "success"),
    ):
        answer = json.loads(run(f"{call}'{file}', '{action}')")[0][0])
        assert answer["status"] == status
    # The name's case matters here.
    assert refused(run, call.replace("LOGS_INT", "logs_int") + "'x', 'list')")
    run("alter storage integration logs_int set enabled = false")
    external_id = "STORAGE_AWS_EXTERNAL_ID"
    assert dict(run("desc integration logs_int"))[external_id] == described[external_id]
    assert "not enabled" in refused(run, "list @logs")
    run("drop storage integration logs_int")
    assert "does not exist" in refused(run, "list @logs")


# ----- loading


def test_copy_loads_each_file_once(run: Callable, bucket: Bucket) -> None:
    """sf:sql-reference/sql/copy-into-table, sf:user-guide/querying-metadata.

    And data-load-considerations-load, data-load-transform.
    """
    run(f"create stage logs url = '{bucket.url}'")
    run(LANDING.format(table="land"))
    copy = COPY.format(table="land", stage="logs/2024/")
    assert run(copy)[0][1:3] == ("LOADED", 3)
    rows = run("select value, metadata_filename, metadata_file_row_number from land")
    assert [json.loads(value) for value, *_ in rows[:2]] == [
        {"version": "2", "start": 1_700_000_000, "bytes": 0, "srcAddr": "10.0.0.1"},
        {"version": "2", "start": 1_700_000_001, "srcAddr": "10.0.0.1"},
    ]
    assert [row[1:] for row in rows] == [("2024/one.parquet", n) for n in (1, 2, 3)]
    assert run(copy) == [("Copy executed with 0 files processed.",)]
    assert run(
        "select $1:start::int, metadata$file_row_number from @logs/2024/ limit 1"
    ) == [(1_700_000_000, 1)]
    run("begin")
    bucket.put("2024/two.parquet", 1)
    assert run(copy)[0][1] == "LOADED"
    run("rollback")
    assert run("select count(*) from land") == [(3,)]
    named = copy.replace("pattern = '.*[.]parquet'", "files = ('two.parquet')")
    assert run(named)[0][1:3] == ("LOADED", 1)
    run("create or replace table land as select * from land")
    assert len(run(copy)) == 2
    for option in ("match_by_column_name = case_insensitive", "validation_mode = x"):
        assert "copy transform" in refused(run, f"{copy} {option}")
    assert "unsupported" in refused(run, f"{copy} force = true")
    assert "unsupported" in refused(run, copy.replace("parquet )", "csv )"))
    assert "simple SELECT" in refused(run, copy.replace("\n    )", " where true)"))
    assert "does not exist" in refused(run, copy.replace("@logs", "@nothing"))


def test_rows_have_the_time_of_their_commit(run: Callable, bucket: Bucket) -> None:
    """sf:user-guide/data-engineering/row-timestamps. `*` leaves the column out.

    sf:sql-reference/functions/system_last_change_commit_time.
    """
    run(f"create stage logs url = '{bucket.url}'")
    run(LANDING.format(table="land").rstrip(";") + " row_timestamp = true")
    copy = COPY.format(table="land", stage="logs")
    last_change = "select system$last_change_commit_time('land')"
    run(copy)
    first = run(last_change)
    assert run(last_change) == first
    bucket.put("2024/two.parquet", 1)
    run(copy)
    assert run(last_change) > first
    times = run(
        "select metadata_filename, count(*), count(distinct"
        " metadata$row_last_commit_time), min(metadata$row_last_commit_time)"
        " from land group by metadata_filename order by metadata_filename"
    )
    assert [row[:3] for row in times] == [
        ("2024/one.parquet", 3, 1),
        ("2024/two.parquet", 1, 1),
    ]
    assert times[0][3] < times[1][3]
    assert len(run("select * from land limit 1")[0]) == len(run("describe table land"))


def test_copy_skips_or_aborts_at_a_bad_file(run: Callable, bucket: Bucket) -> None:
    """sf:sql-reference/sql/copy-into-table: ON_ERROR; functions/copy_history."""
    bad = {"Bucket": bucket.name, "Key": "2024/bad.parquet"}
    bucket.s3.put_object(**bad, Body=b"PAR1 not a Parquet file PAR1")
    run(f"create stage logs url = '{bucket.url}'")
    run(LANDING.format(table="land"))
    copy = COPY.format(table="land", stage="logs")
    aborting = copy.replace("skip_file", "abort_statement")
    assert "bad.parquet" in refused(run, aborting)
    assert "ON_ERROR" in refused(run, copy.replace("skip_file", "continue"))
    assert run("select count(*) from land") == [(0,)]
    found = {row[0].rpartition("/")[2]: row for row in run(copy)}
    assert found["one.parquet"][1] == "LOADED"
    assert found["bad.parquet"][1] == "LOAD_FAILED"
    assert "bad.parquet" in found["bad.parquet"][3]
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


def test_a_pipe_loads_what_events_announce(
    stand_in: StandIn, run: Callable, bucket: Bucket
) -> None:
    """sf:user-guide/data-load-snowpipe-intro, data-load-snowpipe-ts.

    And data-load-snowpipe-manage, functions/system_pipe_status, pipe_usage_history.
    """
    pipe = stage_and_pipe(run, bucket.url)
    url = f"{bucket.url}2024/one.parquet"
    assert stand_in.event(url) == [pipe]
    assert stand_in.event(f"{bucket.url}2024/one.txt") == []
    stand_in.event(url)
    assert run("select count(*) from land") == [(3,)]
    assert stand_in.lapse(pipe) == 1
    stand_in.event(url)
    assert run("select count(*) from land") == [(6,)]
    run("alter pipe land set pipe_execution_paused = true")
    stand_in.event(bucket.put("2024/two.parquet", 1))

    def status() -> dict[str, Any]:
        return json.loads(run(f"select system$pipe_status('{pipe}')")[0][0])

    assert (status()["executionState"], status()["pendingFileCount"]) == ("PAUSED", 1)
    run("alter pipe land set pipe_execution_paused = false")
    assert (status()["executionState"], status()["pendingFileCount"]) == ("RUNNING", 0)
    assert run("select count(*) from land") == [(7,)]
    (row,) = run(
        "select sum(files_inserted), sum(credits_used) > 0 from"
        f" table({run.database}.information_schema.pipe_usage_history(pipe_name =>"
        " 'land', date_range_start => dateadd('day', -1, current_timestamp()),"
        " date_range_end => current_timestamp()))"
    )
    assert row == (2, True)


def test_a_refresh_takes_recent_files_nobody_loaded(
    stand_in: StandIn, run: Callable, bucket: Bucket
) -> None:
    """sf:sql-reference/sql/alter-pipe."""
    stage_and_pipe(run, bucket.url)
    run(COPY.format(table="land", stage="logs"))
    bucket.put("2024/new.parquet", 1)
    stand_in.age(bucket.put("2024/old.parquet", 1), 8)
    assert run("alter pipe land refresh prefix = '2023/'") == []
    assert run("alter pipe land refresh") == [("2024/new.parquet", "SENT")]
    assert run("alter pipe land refresh") == []
    assert run("select count(*) from land") == [(4,)]


def test_a_pipe_runs_in_a_time_zone_of_its_own(
    stand_in: StandIn, run: Callable, bucket: Bucket
) -> None:
    """Which zone a pipe uses is not documented; instants must not depend on it."""
    run(f"create stage logs url = '{bucket.url}'")
    landing = LANDING.replace("timestamp_ltz", "timestamp_ltz, w timestamp")
    run(landing.format(table="land"))
    copy = COPY.format(table="land", stage="logs/").replace(
        "as _dbt_copied_at",
        "as _dbt_copied_at, metadata$start_scan_time::timestamp as w",
    )
    run(f"create pipe land auto_ingest = true as {copy}")
    stand_in.pipe_timezone("Asia/Tokyo")
    stand_in.scan_time(90)
    try:
        stand_in.event(f"{bucket.url}2024/one.parquet")
    finally:
        stand_in.pipe_timezone(None)
        stand_in.scan_time(None)
    sql = (
        "select datediff('minute', _dbt_copied_at, current_timestamp()),"
        " datediff('hour', _dbt_copied_at::timestamp_ntz, w) from land limit 1"
    )
    assert run(sql) == [(90, 9)]


def test_a_pipe_refuses_what_snowflake_refuses(run: Callable, bucket: Bucket) -> None:
    """sf:sql-reference/sql/create-pipe."""
    stage_and_pipe(run, bucket.url)
    copy = COPY.format(table="land", stage="logs")
    with_if = f"create pipe if not exists land auto_ingest = true as {copy}"
    assert "already exists" in run(with_if)[0][0]
    again = f"create pipe land auto_ingest = true as {copy}"
    assert "already exists" in refused(run, again)
    for option in ("force = true", "purge = true", "size_limit = 1", "files = ('a')"):
        assert "not supported" in refused(run, f"create pipe p as {copy} {option}")
    aborting = copy.replace("skip_file", "abort_statement")
    assert "ABORT_STATEMENT" in refused(run, f"create pipe p as {aborting}")
    for wrong in (copy.replace("@logs", "@nothing"), copy.replace("land", "nothing")):
        assert "does not exist" in refused(run, f"create pipe p as {wrong}")
    unknown = f"create pipe p error_integration = nothing as {copy}"
    assert "does not exist" in refused(run, unknown)
    assert "AUTO_INGEST" in refused(run, "alter pipe land set auto_ingest = false")


def test_an_object_put_into_s3_arrives_through_the_queue(
    stand_in: StandIn, run: Callable, bucket: Bucket
) -> None:
    """sf:user-guide/data-load-snowpipe-auto-s3: bucket, notification, queue, pipe."""
    stage_and_pipe(run, f"{bucket.url}AWSLogs/")
    (channel,) = {row[6] for row in run("show pipes")}
    bucket.s3.put_bucket_notification_configuration(
        Bucket=bucket.name,
        NotificationConfiguration={
            "QueueConfigurations": [
                {"QueueArn": channel, "Events": ["s3:ObjectCreated:*"]}
            ]
        },
    )
    key = "AWSLogs/year=2024/a b.parquet"
    assert bucket.put(key, 2) in stand_in.poll()
    assert run("select metadata_filename, value['year'] is null from land") == [
        (key, True),
        (key, True),
    ]
    assert stand_in.poll() == []
