"""A stand-in for the Snowflake service: test code, never production.

The real connector and the real dbt-snowflake adapter talk to it over HTTP. It stands
in front of fakesnow, which translates Snowflake's SQL for DuckDB, with one handler for
each statement that this project emits and fakesnow lacks:

    server.py     the connector's endpoints, and the tests' own
    session.py    finds a statement's handler; transactions, locks, names
    objects.py    handlers: roles, users, warehouses, integrations, schemas, grants …
    relations.py  handlers: tables, views, and changes of their rows
    loading.py    handlers: stages, COPY, pipes, load histories
    catalog.py    handlers: SHOW and DESCRIBE; the information schema
    dialect.py    expressions that fakesnow's translation lacks, or is lax about

Each says which pages of docs.snowflake.com/en it follows (``sf:`` paths) and what it
leaves out. It is no emulator: a statement that it does not know is an SQL error.
Passing here proves that the statements are well formed and that the project's logic
holds under the documented semantics that are modelled. It proves nothing about
privileges (grants are recorded and shown, not enforced), cost, latency or a live
account.
"""

from integration_tests.snowflake_stand_in.client import StandIn

__all__ = ["StandIn"]
