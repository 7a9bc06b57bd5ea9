"""``python -m integration_tests.snowflake_stand_in``: serve until the process ends.

Prints one line of JSON, ``{"port": ...}``, once it listens.
"""

from __future__ import annotations

import argparse
import json
import logging
import socket

import uvicorn

from integration_tests.snowflake_stand_in.account import Account
from integration_tests.snowflake_stand_in.server import Server


def main() -> None:
    """Serve on the loopback interface."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--s3-endpoint", required=True, help="an emulated AWS")
    # What sqlglot cannot parse is answered as an error; it need not be logged too.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    app = Server(Account(parser.parse_args().s3_endpoint)).app()
    # The protocol is named because asyncio sends at once (TCP_NODELAY) only then.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


main()
