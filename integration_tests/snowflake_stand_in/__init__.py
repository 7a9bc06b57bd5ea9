"""A stand-in for the Snowflake service: test code, never production.

The real connector and the real dbt-snowflake adapter connect to it over HTTP. DuckDB
runs the queries, which fakesnow's steps translate; each other statement that this
project emits has a handler:

    server.py     the connector's endpoints, and the tests' own
    session.py    finds a statement's handler; transactions, locks, names
    objects.py    handlers: roles, users, warehouses, integrations, schemas, grants …
    relations.py  handlers: tables, views, and changes of their rows
    loading.py    handlers: stages, COPY, pipes, load histories
    catalog.py    handlers: SHOW and DESCRIBE; the information schema
    dialect.py    expressions: the translation, and what fakesnow lacks or is lax about

Each module names the pages of docs.snowflake.com/en that it follows (``sf:`` paths) and
what is not modelled. The stand-in is no emulator: an unknown statement is an SQL error.
A test that passes proves that the statements are well formed and that the project's
logic holds under the documented semantics that are modelled. It proves nothing about
privileges (grants are recorded and shown, not enforced), cost, latency or a live
account.
"""

from integration_tests.snowflake_stand_in.client import StandIn

__all__ = ["StandIn"]
