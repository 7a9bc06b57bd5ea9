"""`vpcflow enrich`, with makers on a local HTTP server."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import duckdb
import pytest
from flow_log_loader.lines import LineSettings, stage_lines

from vpcflow import cli
from vpcflow.enrich import ATTRIBUTION, SOURCES, STATE, Source, download_all

CONTENT = {
    "/ip-ranges.json": b'{\n  "syncToken": "1", "prefixes": []}',
    "/data/ip2asn-combined.tsv.gz": gzip.compress(b"1.0.0.0\t1.0.0.255\t1\tAU\tOne\n"),
    "/drop/drop_v4.json": b'{"cidr":"5.5.4.0/22"}\n{"type":"metadata"}\n',
    "/drop/drop_v6.json": b'{"cidr":"2001:db8::/32"}\n',
    "/downloads/ipblocklist.txt": b"# Feodo Tracker\n5.5.5.5\n",
    "/torbulkexitlist": b"5.5.6.6\n",
}


class Makers(ThreadingHTTPServer):
    """Serves CONTENT, and knows what it was asked."""

    def __init__(self) -> None:
        self.content = dict(CONTENT)
        self.asked: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def sources(self, **changed: Any) -> list[Source]:
        """The real sources, on this server."""
        root = f"http://127.0.0.1:{self.server_port}"
        return [
            source._replace(url=root + urlparse(source.url).path, **changed)
            for source in SOURCES
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Makers

    def do_GET(self) -> None:
        given = self.headers.get("If-None-Match")
        self.server.asked.append((self.path, given))
        data = self.server.content.get(self.path)
        etag = f'"{hash(data)}"'
        self.send_response(404 if data is None else 304 if given == etag else 200)
        self.send_header("ETag", etag)
        self.end_headers()
        if data is not None and given != etag:
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def makers() -> Iterator[Makers]:
    with Makers() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_what_has_changed_is_downloaded(makers: Makers, tmp_path: Path) -> None:
    said: list[str] = []
    assert download_all(tmp_path, makers.sources(), said.append) == 0
    assert [path for path, _ in makers.asked] == list(CONTENT)
    assert (tmp_path / "ip-ranges.json").read_bytes() == CONTENT["/ip-ranges.json"]
    tor = (tmp_path / "tor_exits.txt").read_text()
    assert tor.startswith("# name: tor_exits\n# kind: tor\n")
    attribution = (tmp_path / ATTRIBUTION).read_text()
    assert all(source.licence in attribution for source in SOURCES)

    makers.asked.clear()
    assert download_all(tmp_path, makers.sources(), said.append) == 0
    assert not makers.asked
    assert "not asked again before" in said[-1]

    makers.content["/torbulkexitlist"] = b"5.5.7.7\n"
    assert download_all(tmp_path, makers.sources(hours=0), said.append) == 0
    assert all(etag for _, etag in makers.asked)
    assert said[-2:] == ["feodo: has not changed", f"tor_exits: {len(tor)} bytes"]
    assert "5.5.7.7" in (tmp_path / "tor_exits.txt").read_text()


def test_an_error_leaves_the_file_of_before(makers: Makers, tmp_path: Path) -> None:
    said: list[str] = []
    download_all(tmp_path, makers.sources(), said.append)
    makers.content["/torbulkexitlist"] = b"<html>Too many requests</html>"
    del makers.content["/ip-ranges.json"]
    assert download_all(tmp_path, makers.sources(hours=0), said.append) == 2
    assert said[-6].startswith("aws: failed: ")
    assert said[-6].endswith("answers 404")
    assert "gives something else" in said[-1]
    assert "5.5.6.6" in (tmp_path / "tor_exits.txt").read_text()
    assert (tmp_path / "ip-ranges.json").read_bytes() == CONTENT["/ip-ranges.json"]
    makers.shutdown()
    makers.server_close()
    assert download_all(tmp_path, makers.sources(hours=0), said.append) == 6


def test_staging_reads_what_was_downloaded(makers: Makers, tmp_path: Path) -> None:
    download_all(tmp_path, makers.sources(), print)
    assert json.loads((tmp_path / STATE).read_text()).keys() == {
        source.name for source in SOURCES
    }
    with duckdb.connect() as connection:
        settings = LineSettings(str(tmp_path), "lines", "LOCATION", "[^_.].*")
        assert ": 6 files under" in stage_lines(connection, settings, print)
        faults = connection.execute("select fault from lines where fault is not null")
        assert faults.fetchall() == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "s3://a/b"], "s3://a/b is a bucket"),
        (["--out", "x", "--only", "geo"], "There is no source geo"),
    ],
)
def test_wrong_options_are_explained(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.cli(["enrich", *words])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
