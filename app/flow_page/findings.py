"""Findings: what the detections found, worst first, and one of them opened."""

from __future__ import annotations

from pathlib import Path

from . import charts
from .panels import Panel

#: The query for the records behind each finding, from the cookbook.
RECORDS = Path(__file__).parent / "finding_records.sql"
SEVERITIES = ["critical", "high", "medium", "low"]
WORST_FIRST = (
    "case severity when 'critical' then 1 when 'high' then 2 when 'medium' then 3"
    " else 4 end"
)
NONE = "No finding was seen in this period, or the filters leave none."
#: What a suppression covers is expected: it is in the list alone.
NOT_EXPECTED = "{filters} and not is_suppressed"
COLUMNS = (
    "severity, title, summary, entity, peer, port, protocol, first_seen_at,"
    " last_seen_at, first_detected_at, records, bytes,"
    " nullif(entity_name, 'unknown') as entity_name,"
    " nullif(entity_owner, 'unknown') as entity_owner,"
    " nullif(peer_name, 'unknown') as peer_name, internal_network,"
    " internal_owner, is_suppressed, suppressed_by, coverage_note, finding_id"
)

BY_DAY = Panel(
    question="How many findings began on each day, by severity?",
    table="findings",
    sql="select cast(first_seen_at as date) as first_day, severity,"
    " cast(count(*) as bigint) as findings"
    f" from findings where {NOT_EXPECTED} group by 1, 2 order by 1, 2",
    chart=charts.grid("first_day", "severity", "findings", SEVERITIES),
    drawn=None,
    caption="By the UTC day on which a finding was first seen. Without those that a"
    " suppression covers.",
    empty=NONE,
)
BY_TACTIC = Panel(
    question="What are they after?",
    table="findings",
    sql="select tactic, cast(count(*) as bigint) as findings"
    f" from findings where {NOT_EXPECTED} group by 1 order by 2 desc, 1",
    chart=charts.bars("tactic", "findings", "findings"),
    caption="By the tactic of MITRE ATT&CK.",
    empty=NONE,
)
NEW = Panel(
    question="What is new?",
    table="findings",
    sql=f"select {COLUMNS} from findings where {NOT_EXPECTED}"
    f" and first_detected_at >= cast(? as date) order by {WORST_FIRST},"
    " first_detected_at desc, finding_id",
    parameters=("new",),
    caption="Found by a build since the day that the filters name.",
    empty="No build has made a new finding since that day.",
)
ALL = Panel(
    question="Which findings are there?",
    table="findings",
    sql=f"select {COLUMNS} from findings where {{filters}} order by {WORST_FIRST},"
    " last_seen_at desc, finding_id",
    caption="The worst first, with those that a suppression covers.",
    empty=NONE,
)

PANELS = (BY_DAY, BY_TACTIC, NEW, ALL)


def records_query(finding: dict[str, str]) -> str:
    """Return a query for the records behind a finding, at most 100 of them.

    Args:
        finding: A row of the mart; of its values only the id is used.
    """
    finding_id = "".join(c for c in finding["finding_id"] if c.isalnum())
    return (
        f"select * from (\n{RECORDS.read_text()}) as behind\n"
        f"where finding_id = '{finding_id}'\nlimit 100"
    )


def suppression(finding: dict[str, str]) -> str:
    """Return the line of seeds/detection_suppressions.csv that expects a finding.

    Args:
        finding: A row of the mart, as text; empty for nulls.
    """
    fields = [finding["rule_id"]]
    for end in (finding["entity"], finding["peer"]):
        # An interface is no range of addresses: the entry covers all of them.
        bits = 128 if ":" in end else 32
        fields.append(f"{end}/{bits}" if set(end) & set(".:") else "")
    fields += [finding["port"], "", "why it is expected"]
    return ",".join('"' + f.replace('"', '""') + '"' if "," in f else f for f in fields)
