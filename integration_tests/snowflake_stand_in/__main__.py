"""``python -m integration_tests.snowflake_stand_in``: serve until the process ends.

Prints one line of JSON, ``{"port": ...}``, once it listens.
"""

from __future__ import annotations

import argparse
import json
import logging
import socket
from pathlib import Path

import uvicorn

from integration_tests.snowflake_stand_in.account import Account
from integration_tests.snowflake_stand_in.server import Server


def main() -> None:
    """Serve on the loopback interface."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--state", type=Path, help="a folder that outlives the process")
    parser.add_argument("--s3-endpoint", help="where S3 and SQS are emulated")
    given = parser.parse_args()
    # What sqlglot cannot parse is answered as an error; it need not be logged too.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    if given.state:
        given.state.mkdir(parents=True, exist_ok=True)
    app = Server(Account(given.state, given.s3_endpoint)).app()
    # The protocol is named because asyncio sends at once (TCP_NODELAY) only then.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", given.port))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
