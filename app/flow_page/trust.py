"""Trust: what the answers can't see."""

from __future__ import annotations

import pandas as pd

from . import charts
from .data import Store
from .panels import Ask, Panel

#: What a column of admin_exposure_coverage counts.
HIDDEN = {
    "failed_files": "files that failed",
    "silent_interfaces": "silent interfaces",
    "skipdata_records": "SKIPDATA records",
    "records_without_time": "records without time",
    "records_with_implausible_time": "records with an implausible time",
    "records_between_public_addresses": "records between public addresses",
    "records_between_public_and_cgnat": "records between public and CGNAT addresses",
    "records_without_addresses": "records without addresses",
    "records_without_ports": "records without ports",
    "records_without_action": "records without action",
}
FLOW_LOG = "coalesce(flow_log_id, 'other file names')"
#: For the line on the other pages: a name, a mart, and what to count of it.
WARNINGS = (
    ("files that failed", "failed_files", "count(*)"),
    ("gaps between files", "delivery_gaps", "count(*)"),
    (
        "silent interfaces",
        "eni_health",
        "count(distinct case when is_silent then interface_id end)",
    ),
    ("SKIPDATA records", "flow_log_health", "coalesce(sum(skipdata_records), 0)"),
)

PANELS = (
    Panel(
        question="What can the answers not show?",
        table="admin_exposure_coverage",
        sql="select * from ("
        + " union all ".join(
            f"select '{text}' as cause, {column} as counted"
            " from admin_exposure_coverage where {filters}"
            for column, text in HIDDEN.items()
        )
        + ") as causes where counted > 0 order by counted desc, cause",
        chart=charts.bars("cause", "counted", "count"),
        caption="In the whole window of the marts.",
        empty="The logs of the window hide nothing that is known.",
    ),
    Panel(
        question="How late do the logs arrive?",
        table="flow_log_health",
        sql=f"select {FLOW_LOG} as flow_log, delivery_lag_p95_seconds,"
        " delivery_lag_p50_seconds, load_lag_p50_seconds, load_lag_p95_seconds,"
        " minutes_since_newest_file, newest_record_ended_at, newest_file_created_at,"
        " newest_file_loaded_at, account_id, region, files, records"
        " from flow_log_health where {filters}"
        " order by delivery_lag_p95_seconds desc nulls last, 1",
        chart=charts.bars("flow_log", "delivery_lag_p95_seconds", "seconds"),
        caption="From the end of a file's newest record to the file, at most so long"
        " for 95 % of the files.",
        empty="No flow log has a file in the window.",
    ),
    Panel(
        question="Where are files missing?",
        table="delivery_gaps",
        sql="select flow_log_id, gap_started_at, gap_ended_at, gap_minutes,"
        " usual_minutes, account_id, region from delivery_gaps where {filters}"
        " order by gap_started_at desc, 1",
        chart=charts.spans("flow_log_id", "gap_started_at", "gap_ended_at"),
        caption="Gaps between two files of a flow log that usually writes more often.",
        empty="No gap between files is in this period.",
    ),
    Panel(
        question="Which interfaces are silent?",
        table="eni_health",
        sql="select interface_id, flow_log_id, account_id, region,"
        " newest_record_ended_at, records from eni_health"
        " where {filters} and is_silent order by newest_record_ended_at desc, 1, 2",
        caption="Deleted, detached, or no longer logged.",
        empty="All interfaces of the window still have records.",
    ),
    Panel(
        question="Where did AWS skip records?",
        table="flow_log_health",
        sql=f"select {FLOW_LOG} as flow_log, skipdata_records, skipdata_share,"
        " records, account_id, region from flow_log_health"
        " where {filters} and skipdata_records > 0 order by 2 desc, 1",
        chart=charts.bars("flow_log", "skipdata_records", "SKIPDATA records"),
        empty="No flow log of the window has SKIPDATA records.",
    ),
    Panel(
        question="Which files count nowhere, and why?",
        table="failed_files",
        sql="select metadata_filename, reason, found_at, created_at, flow_log_id,"
        " account_id, region from failed_files where {filters}"
        " order by found_at desc, 1",
        empty="All files of the window were loaded.",
    ),
)


def warning(store: Store, ask: Ask) -> str:
    """Return in one line what the answers can't see; empty if that is nothing."""
    parts = [
        f"select '{name}' as name, cast({count} as bigint) as counted from {mart}"
        for name, mart, count in WARNINGS
        if mart in store.tables()
    ]
    if not parts:
        return ""
    rows: pd.DataFrame = ask(" union all ".join(parts), ())
    found = [f"{row.name}: {row.counted:,}" for row in rows.itertuples() if row.counted]
    return ", ".join(found)
