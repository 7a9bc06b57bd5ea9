"""A stand-in for the Snowflake service: test code, never production.

The real connector and the real dbt-snowflake adapter talk to it over HTTP. It is a
layer over fakesnow, which translates Snowflake's SQL for DuckDB; what fakesnow lacks
and this project emits is handled here, statement by statement, and each module says
which pages of docs.snowflake.com/en it follows (``sf:`` paths) and what it leaves out.

It is no emulator: a statement it does not know is an ordinary SQL error. Passing here
proves that the statements are well formed and that the project's logic holds under the
documented semantics that are modelled. It proves nothing about privileges (grants are
recorded and shown, not enforced), cost, latency or a live account.
"""

from integration_tests.snowflake_stand_in.client import StandIn

__all__ = ["StandIn"]
