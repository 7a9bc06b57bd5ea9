"""The page: `make app` serves it; docs/page.md describes it."""

from flow_page.page import run

run()
