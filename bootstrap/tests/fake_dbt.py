"""A stand-in for ``dbt``: it answers run-operations from a JSON file.

Run as ``python fake_dbt.py STATE …``; a wrapper script adds STATE.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

USER = "arn:aws:iam::999988887777:user/abc1-s-xyz"
EXTERNAL_ID = "ACME_SFCRole=2_h3k/9Zq="
QUEUE = "arn:aws:sqs:eu-west-1:999988887777:sf-snowpipe-AIDA-abc"


def main() -> int:
    """Answer one call."""
    state_path, *words = sys.argv[1:]
    state = json.loads(Path(state_path).read_text("utf-8"))
    state["calls"].append(words)
    operation = words[words.index("run-operation") + 1]
    given = {
        name: json.loads(words[words.index(name) + 1])
        for name in ("--args", "--vars")
        if name in words
    }
    code = 0
    if operation in state["fails"]:
        state["fails"][operation] -= 1
        if not state["fails"][operation]:
            del state["fails"][operation]
        print(f"Database Error: {state.get('error', 'no such thing')}")
        code = 1
    elif operation == "setup_snowflake":
        print("Running with dbt=1.11")
        state["integration"] = {
            "name": "VPC_FLOW_LOGS",
            "enabled": True,
            "storage_aws_role_arn": given["--args"]["role_arn"],
            "storage_aws_iam_user_arn": USER,
            "storage_aws_external_id": EXTERNAL_ID,
            "storage_allowed_locations": given["--args"]["locations"],
        }
    elif operation == "stage_external_sources":
        print("1 of 1 START external source")
        topic = given["--vars"].get("snowpipe_sns_topic")
        state["pipe"] = {
            "name": "DB.LANDING.FLOW_LOGS",
            "notification_channel": topic or QUEUE,
            "execution_state": "RUNNING",
            "definition": "copy into …",
        }
    elif operation == "teardown_snowflake":
        code = 0 if given["--args"]["confirm"] == "DB" else 1
        if code == 0:
            state["integration"] = state["pipe"] = None
            state["others"] = []
    elif operation == "describe_teardown":
        found = [f"drop {kind}" for kind in ("pipe", "integration") if state[kind]]
        print(json.dumps({"confirm": "DB", "drops": [*found, *state["others"]]}))
    elif operation in ("describe_integration", "describe_pipe"):
        kind = operation.removeprefix("describe_")
        name = "DB.LANDING.FLOW_LOGS" if kind == "pipe" else "VPC_FLOW_LOGS"
        # dbt may print warnings before the line of JSON.
        print("[WARNING]: something else {")
        print(json.dumps(state[kind] or {"name": name, "exists": False}))
    elif operation in state["answers"]:
        print(json.dumps(state["answers"][operation]))
    else:
        print(f"Compilation Error: dbt could not find a macro {operation}")
        code = 2
    Path(state_path).write_text(json.dumps(state), "utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
