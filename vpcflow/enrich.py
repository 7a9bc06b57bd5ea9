"""`vpcflow enrich`: download what is published about public addresses.

Only data that anyone may use without an account. The makers ask for few requests, so a
source is asked at most once in some hours, and only for what has changed.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

#: Names that begin with `_` are no data for staging.
STATE = "_sources.json"
ATTRIBUTION = "_attribution.txt"
TIMEOUT = 60
LARGEST = 200_000_000


class Source(NamedTuple):
    """What a maker publishes.

    `file` is its name in the folder. `begins` is a pattern of its first bytes, so that
    no error page takes the place of data. `hours` is how often to ask at most. A list
    has a `kind`, by which detections choose lists.
    """

    name: str
    url: str
    file: str
    begins: bytes
    licence: str
    hours: int
    kind: str | None = None


#: The addresses are the makers' own.
SOURCES = (
    Source(
        name="aws",
        url="https://ip-ranges.amazonaws.com/ip-ranges.json",
        file="ip-ranges.json",
        begins=rb'\s*\{\s*"syncToken"',
        licence="published by Amazon Web Services",
        hours=12,
    ),
    Source(
        name="iptoasn",
        url="https://iptoasn.com/data/ip2asn-combined.tsv.gz",
        file="ip2asn-combined.tsv.gz",
        begins=rb"\x1f\x8b",
        licence="IPtoASN, Open Data Commons PDDL 1.0",
        hours=24,
    ),
    Source(
        name="spamhaus_drop_v4",
        url="https://www.spamhaus.org/drop/drop_v4.json",
        file="spamhaus_drop_v4.json",
        begins=rb'\s*\{"(cidr|type)"',
        licence="(c) The Spamhaus Project SLU, free of charge under its DROP terms",
        hours=24,
    ),
    Source(
        name="spamhaus_drop_v6",
        url="https://www.spamhaus.org/drop/drop_v6.json",
        file="spamhaus_drop_v6.json",
        begins=rb'\s*\{"(cidr|type)"',
        licence="(c) The Spamhaus Project SLU, free of charge under its DROP terms",
        hours=24,
    ),
    Source(
        name="feodo",
        url="https://feodotracker.abuse.ch/downloads/ipblocklist.txt",
        file="feodo.txt",
        begins=rb"#|\d",
        licence="abuse.ch Feodo Tracker, CC0 1.0",
        hours=1,
        kind="threat",
    ),
    Source(
        name="tor_exits",
        url="https://check.torproject.org/torbulkexitlist",
        file="tor_exits.txt",
        begins=rb"[0-9a-fA-F]",
        licence="The Tor Project, Inc.",
        hours=1,
        kind="tor",
    ),
)


class DownloadError(Exception):
    """A source gives nothing usable; what was downloaded before stays."""


def download_all(
    folder: Path, sources: Iterable[Source], say: Callable[[str], None]
) -> int:
    """Download what is new of each source, and write who made it.

    Args:
        folder: Where to write; it is made if missing.
        sources: What to download.
        say: Prints a line for each source.

    Returns:
        How many sources failed.

    Raises:
        OSError: the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / STATE
    state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    failed = 0
    for source in sources:
        try:
            outcome = _download(folder, source, state.setdefault(source.name, {}))
        except DownloadError as failure:
            outcome = f"failed: {failure}"
            failed += 1
        say(f"{source.name}: {outcome}")
        _replace(path, json.dumps(state, indent=2).encode())
    lines = [
        f"{name}: {known['licence']}; {known['url']}, downloaded {known['at']}"
        for name, known in sorted(state.items())
        if known
    ]
    _replace(folder / ATTRIBUTION, "".join(f"{line}\n" for line in lines).encode())
    return failed


def _download(folder: Path, source: Source, known: dict[str, Any]) -> str:
    """Download a source if it is new, and return what was done.

    Raises:
        DownloadError: it can't be downloaded, or is not what it should be.
        OSError: the folder can't be written.
    """
    now = datetime.now(UTC)
    has_file = (folder / source.file).exists()
    if has_file and "asked" in known:
        due = datetime.fromisoformat(known["asked"]) + timedelta(hours=source.hours)
        if now < due:
            return f"not asked again before {due:%Y-%m-%d %H:%M} UTC"
    headers = {"User-Agent": "vpc-flow-logs"}
    if has_file:
        for header, name in {
            "If-None-Match": "etag",
            "If-Modified-Since": "last_modified",
        }.items():
            if known.get(name):
                headers[header] = known[name]
    try:
        request = urllib.request.Request(source.url, headers=headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            data = answer.read(LARGEST + 1)
            validators = {
                "etag": answer.headers.get("ETag"),
                "last_modified": answer.headers.get("Last-Modified"),
            }
    except urllib.error.HTTPError as failure:
        if failure.code == 304:
            known["asked"] = now.isoformat()
            return "has not changed"
        raise DownloadError(f"{source.url} answers {failure.code}") from failure
    except (OSError, ValueError) as failure:
        raise DownloadError(f"{source.url}: {failure}") from failure
    if len(data) > LARGEST or not re.match(source.begins, data):
        raise DownloadError(f"{source.url} gives something else: {data[:60]!r}")
    if source.kind:
        title = f"# name: {source.name}\n# kind: {source.kind}\n# {source.licence}\n"
        data = title.encode() + data
    _replace(folder / source.file, data)
    known |= validators
    known |= {"asked": now.isoformat(), "at": f"{now:%Y-%m-%d %H:%M} UTC"}
    known |= {"url": source.url, "licence": source.licence}
    return f"{len(data):,} bytes"


def _replace(path: Path, data: bytes) -> None:
    """Write a file as a whole or not at all."""
    partial = path.with_name(f"_{path.name.lstrip('_')}.partial")
    partial.write_bytes(data)
    os.replace(partial, path)
