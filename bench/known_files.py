"""What a staging run costs that looks for new files among many old ones.

`python -m bench.known_files` writes empty files, records them as loaded, and prints the
seconds of three runs that find nothing new.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb

sys.path.append(str(Path(__file__).parent.parent / "plugins"))
from flow_log_loader.listing import SUFFIX, list_files
from flow_log_loader.loading import Loader, Settings

FILES_OF_A_DAY = 288


def main() -> None:
    """Print the seconds of three runs: on the clock, and of CPU."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.known_files", description=__doc__
    )
    parser.add_argument("--files", type=int, default=100_000, help="old files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for wall, cpu in measure(Path(scratch), options.files):
            print(f"{options.files:,} known files: {wall:.2f} s, {cpu:.2f} s of CPU")


def measure(scratch: Path, files: int) -> list[tuple[float, float]]:
    """Return wall and CPU seconds of each of three runs that find nothing new.

    Raises:
        AssertionError: a run found something else.
    """
    location = scratch / "logs"
    for number in range(files):
        day, of_day = divmod(number, FILES_OF_A_DAY)
        folder = location / f"AWSLogs/123456789012/vpcflowlogs/eu-west-3/{day:05}"
        if not of_day:
            folder.mkdir(parents=True)
        name = f"123456789012_vpcflowlogs_eu-west-3_fl-0a1b2c3d4e5f60718_{number:08}"
        (folder / f"{name}.log{SUFFIX}").touch()

    connection = duckdb.connect(str(scratch / "flow.duckdb"))
    settings = Settings(
        location=str(location),
        landing_schema="landing",
        landing_table="flow_logs",
        history_table="load_history",
        fields={"srcaddr": "varchar"},
        initial_fields=["srcaddr"],
    )

    def loader() -> Loader:
        return Loader(connection.cursor(), settings, lambda line: None)

    # The tables as loading would leave them, which would take minutes.
    loader()._create_tables()
    loader()._record_history(list_files(str(location)).files, datetime.now(UTC))

    runs = []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        summary = loader().run()
        runs.append((time.perf_counter() - wall, time.process_time() - cpu))
        assert f"{files:,} already loaded" in summary
    return runs


if __name__ == "__main__":
    main()
