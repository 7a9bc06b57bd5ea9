"""Enrichment files on both engines: what they are, and what they say of an address."""

from __future__ import annotations

import csv
import gzip
import ipaddress
import json
import os
import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from flow_log_loader.lines import LineSettings, stage_lines
from flow_log_loader.listing import ListingError

from .conftest import AS_OF, ROOT, Project, leads_to
from .snowflake_project import Bucket, SnowflakeProject
from .test_staging import write

MODELS = ("run", "--select", "stg_enrichment__ranges", "enrichment_files", "ip_ranges")
#: The columns of address_context for the addresses in `addresses`.
QUERY = """
with {{ vpc_flow_logs.parse_addresses('addresses', {'address': 'address'}) }},
numbered as (
    select
        address,
        {{ vpc_flow_logs.address_digits('address_hex', 'address_ipv4') }} as digits
    from parsed
),
{{ vpc_flow_logs.with_address_context('numbered') }}
select
    address, asn, as_organization, country, aws_service, aws_region, lists, list_kinds
from in_context
"""
FILES = (
    "select metadata_filename, format, kind, ip_version, list_name, ranges, is_used,"
    " fault from enrichment_files order by 1, 3, 4"
)
RANGES = (
    "select kind, range_start, range_end, name, attributes from ip_ranges order by 1, 2"
)
Network = IPv4Network | IPv6Network


def land_on_snowflake(snowflake: SnowflakeProject, folder: Path) -> Bucket:
    """Stage a folder of enrichment files from a bucket, and make the ranges."""
    bucket = Bucket(snowflake, folder)
    bucket.put(*(path for path in folder.rglob("*") if path.is_file()))
    for name, days in AGES.items():
        snowflake.stand_in.age(bucket.url + name, days)
    snowflake.stage_lines(bucket.url)
    snowflake.dbt(*MODELS, **AS_OF)
    return bucket


@pytest.fixture(scope="module")
def project(
    new_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A project whose location of enrichment files is a folder of its own."""
    logs, enrichment = (tmp_path_factory.mktemp(name) for name in ("logs", "enrich"))
    write(logs / "a.parquet", srcaddr=["10.0.0.1"], interface_id=["eni-1"])
    return new_project(logs, VPC_FLOW_ENRICHMENT_LOCATION=str(enrichment))


def folder_of(project: Project) -> Path:
    return Path(project.environment["VPC_FLOW_ENRICHMENT_LOCATION"])


def land(project: Project) -> str:
    printed = project.stage()
    project.dbt(*MODELS, **AS_OF)
    return printed


# ----- which file is what

AWS = {
    "syncToken": "1767225600",
    "createDate": "2026-01-01-00-00-00",
    "prefixes": [
        {"ip_prefix": "3.0.0.0/15", "region": "GLOBAL", "service": "AMAZON"},
        {"ip_prefix": "3.1.0.0/24", "region": "eu-west-1", "service": "AMAZON"},
        {"ip_prefix": "3.1.0.0/24", "region": "eu-west-1", "service": "EC2"},
        {"ip_prefix": "3.1.0.0/24", "region": "eu-west-1", "service": "S3"},
    ],
    "ipv6_prefixes": [
        {"ipv6_prefix": "2600:1f14::/35", "region": "us-west-2", "service": "EC2"}
    ],
}
TEXTS = {
    "aws/ip-ranges.json": json.dumps(AWS, indent=2),
    "asn.csv": (
        '1.0.0.0,1.0.0.255,13335,"Cloudflare, Inc."\n'
        '1.0.1.0,1.0.1.255,7018,"A ""T"" T"\n'
        "1.0.2.0,1.0.2.255,0,Not routed\r\n"
        "2606:4700::,2606:4700:ffff:ffff:ffff:ffff:ffff:ffff,13335,Cloudflare\n"
    ),
    "old/country.csv": "1.0.0.0,1.0.0.255,AU\n2a00::,2a00::ffff,SE\n",
    "GeoLite2-Country-Blocks-IPv4.csv": (
        "network,geoname_id,registered_country_geoname_id,is_anycast\n"
        "9.0.0.0/8,6252001,6252001,0\n9.9.9.0/24,1835841,1835841,1\n8.0.0.0/9,,,0\n"
    ),
    "GeoLite2-Country-Locations-en.csv": (
        "geoname_id,locale_code,continent_code,continent_name,country_iso_code,"
        'country_name\n6252001,en,NA,"North America",US,"United States"\n'
        '1835841,en,AS,Asia,KR,"Korea, Republic of"\n'
    ),
    "GeoLite2-ASN-Blocks-IPv6.csv": (
        "network,autonomous_system_number,autonomous_system_organization\n"
        '2001:db8::/32,64496,"Example, Inc."\n'
    ),
    "old/ip2asn-combined.tsv": (
        "1.0.0.0\t1.0.0.255\t13335\tUS\tCLOUDFLARENET\n"
        "1.0.1.0\t1.0.3.255\t0\tNone\tNot routed\n"
        "2a00::\t2a00::ffff\t64496\tDE\tEXAMPLE\n"
    ),
    "tor.txt": (
        "# name: tor_exits\n# kind: tor\n\n5.5.5.5\n5.5.6.0/31  # two\n"
        "5.5.7.1-5.5.7.9\n2001:db8::5\n"
    ),
    "drop_v4.json": (
        '{"cidr":"5.5.4.0/22","sblid":"SBL1","rir":"ripencc"}\n'
        '{"type":"metadata","timestamp":1767225600,"records":1}\n'
    ),
    "own, partners.list": "198.51.100.7/24 ; host bits are set\n",
    "empty.txt": "# no address today\n",
    "bad_line.txt": "5.5.5.5\n5.5.5.256\n",
    "bad_cidr.txt": "5.5.5.0/33\n",
    "upside_down.csv": "1.0.0.9,1.0.0.1,AU\n",
    "numbers.csv": "16777216,16777471,13335,Cloudflare\n",
    "other.json": '{"hello": 1}\n',
    "broken.json": '{"syncToken": "1", "prefixes": [\n',
    "page.html": "<p>Too many requests</p>\n",
    "_attribution.txt": "CC BY 4.0\n",
}
ROWS_OF_IPINFO = {
    "network": ["2.0.0.0/12", "2a01:c000::/19"],
    "country": ["France", "France"],
    "country_code": ["FR", "FR"],
    "asn": ["AS3215", None],
    "as_name": ["Orange S.A.", None],
}
#: Days before now at which files were last modified.
AGES = {"old/country.csv": 1, "GeoLite2-ASN-Blocks-IPv6.csv": 1, "old/lite.parquet": 2}
AGES["old/ip2asn-combined.tsv"] = 3
#: File, format, kind, IP version, name of a list, ranges, whether it is used, fault.
EXPECTED_FILES = """
GeoLite2-ASN-Blocks-IPv6.csv|geolite2_asn|asn|6||1|False|
GeoLite2-Country-Blocks-IPv4.csv|geolite2_blocks|country|4||2|True|
GeoLite2-Country-Locations-en.csv|geolite2_locations||||0|True|
asn.csv|asn_csv|asn|4||2|True|
asn.csv|asn_csv|asn|6||1|True|
aws/ip-ranges.json|aws|aws|4||4|True|
aws/ip-ranges.json|aws|aws|6||1|True|
bad_cidr.txt|list||||0|False|line 1 has no range: 5.5.5.0/33
bad_line.txt|list|list|4|bad_line|1|False|line 2 has no range: 5.5.5.256
broken.json|aws||||0|False|JSON, but not ip-ranges.json of AWS
drop_v4.json|drop|list|4|drop_v4|1|True|
empty.txt|list||||0|True|
numbers.csv|asn_csv||||0|False|line 1 has no range: 16777216,16777471,13335,Cloudflare
old/country.csv|country_csv|country|4||1|False|
old/country.csv|country_csv|country|6||1|True|
old/ip2asn-combined.tsv|iptoasn|asn|4||1|False|
old/ip2asn-combined.tsv|iptoasn|asn|6||1|False|
old/ip2asn-combined.tsv|iptoasn|country|4||1|False|
old/ip2asn-combined.tsv|iptoasn|country|6||1|False|
old/lite.parquet|ipinfo|asn|4||1|False|
old/lite.parquet|ipinfo|country|4||1|False|
old/lite.parquet|ipinfo|country|6||1|False|
other.json|aws||||0|False|JSON, but not ip-ranges.json of AWS
own, partners.list|list|list|4|own_ partners|1|True|
page.html|||||0|False|no enrichment file; its first line is: <p>Too many requests</p>
tor.txt|list|list|4|tor_exits|3|True|
tor.txt|list|list|6|tor_exits|1|True|
upside_down.csv|country_csv||||0|False|line 1 has no range: 1.0.0.9,1.0.0.1,AU
""".strip().splitlines()
#: Kind, first and last address, name, attributes.
EXPECTED_RANGES = """
asn|1.0.0.0|1.0.0.255|Cloudflare, Inc.|13335
asn|1.0.1.0|1.0.1.255|A "T" T|7018
asn|2606:4700::|2606:4700:ffff:ffff:ffff:ffff:ffff:ffff|Cloudflare|13335
aws|3.0.0.0|3.0.255.255|AMAZON|GLOBAL
aws|3.1.0.0|3.1.0.255|S3|eu-west-1
aws|3.1.1.0|3.1.255.255|AMAZON|GLOBAL
aws|2600:1f14::|2600:1f14:1fff:ffff:ffff:ffff:ffff:ffff|EC2|us-west-2
country|9.0.0.0|9.9.8.255|US|
country|9.9.9.0|9.9.9.255|KR|
country|9.9.10.0|9.255.255.255|US|
country|2a00::|2a00::ffff|SE|
list|5.5.4.0|5.5.5.4|drop_v4|threat
list|5.5.5.5|5.5.5.5|drop_v4,tor_exits|threat,tor
list|5.5.5.6|5.5.5.255|drop_v4|threat
list|5.5.6.0|5.5.6.1|drop_v4,tor_exits|threat,tor
list|5.5.6.2|5.5.7.0|drop_v4|threat
list|5.5.7.1|5.5.7.9|drop_v4,tor_exits|threat,tor
list|5.5.7.10|5.5.7.255|drop_v4|threat
list|198.51.100.0|198.51.100.255|own_ partners|own
list|2001:db8::5|2001:db8::5|tor_exits|tor
""".strip().splitlines()


def as_text(rows: list[tuple[Any, ...]]) -> list[str]:
    return ["|".join("" if c is None else str(c) for c in row) for row in rows]


def address_of(digits: str) -> str:
    """An address that a model writes as digits."""
    number = int(digits, 16)
    is_ipv4 = number >> 32 == 0xFFFF
    return str(IPv4Address(number & 0xFFFFFFFF) if is_ipv4 else IPv6Address(number))


def digits(address: str) -> str:
    """An address as the models write it."""
    number = int(ipaddress.ip_address(address))
    return f"{number + (0 if ':' in address else 0xFFFF << 32):032x}"


def write_files(folder: Path) -> None:
    for name, text in TEXTS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = text.encode()
        path.write_bytes(gzip.compress(data) if name == "asn.csv" else data)
    pq.write_table(pa.table(ROWS_OF_IPINFO), folder / "old/lite.parquet")
    (folder / "not.parquet").write_bytes(b"PAR1 no")
    (folder / "latin1.txt").write_bytes("5.5.5.5 # caf\u00e9\n".encode("latin-1"))
    for name, days in AGES.items():
        modified = (folder / name).stat().st_mtime - days * 86_400
        os.utime(folder / name, (modified, modified))


def assert_files_are_recognized(query: Callable[[str], list[tuple[Any, ...]]]) -> None:
    found = query(FILES)
    unreadable = {row[0]: row[-1] for row in found if row[0] in UNREADABLE}
    assert unreadable.keys() == UNREADABLE
    assert all(fault.startswith("cannot be read: ") for fault in unreadable.values())
    recognized = [row for row in found if row[0] not in UNREADABLE]
    assert as_text(recognized) == EXPECTED_FILES
    ranges = [
        (kind, address_of(first), address_of(last), *values)
        for kind, first, last, *values in query(RANGES)
    ]
    assert as_text(ranges) == EXPECTED_RANGES


UNREADABLE = {"not.parquet", "latin1.txt"}


def test_files_are_recognized_by_their_content(project: Project) -> None:
    """Compressed or not; one that cannot be read is named, with the reason."""
    folder = folder_of(project)
    write_files(folder)
    printed = land(project)
    assert "quarantined not.parquet: cannot be read: " in printed
    assert_files_are_recognized(project.query)
    landed = project.query("select distinct loaded_at from ip_ranges")
    assert len(landed) == 1

    assert "VPC_FLOW_ENRICHMENT_LOCATION: " in printed
    assert ": none is new" in land(project)
    assert project.query("select distinct loaded_at from ip_ranges") == landed

    (folder / "drop_v4.json").unlink()
    (folder / "new_tor.txt").write_text("# name: tor_exits\n5.5.5.6\n")
    land(project)
    assert project.query(
        "select name, count(*) from ip_ranges where kind = 'list'"
        " group by name order by name"
    ) == [("own_ partners", 1), ("tor_exits", 2)]
    assert ("tor.txt", False) in project.query(
        "select metadata_filename, is_used from enrichment_files where ip_version = 4"
    )


def test_files_are_recognized_on_snowflake(
    snowflake: SnowflakeProject, tmp_path: Path
) -> None:
    write_files(tmp_path)
    bucket = land_on_snowflake(snowflake, tmp_path)
    assert_files_are_recognized(snowflake.query)
    loads = "select count(*) from flow.landing.enrichment_lines"
    lines = snowflake.query(loads)
    assert " SKIP" in snowflake.stage_lines(bucket.url)
    (tmp_path / "more.txt").write_text("6.6.6.6\n")
    bucket.put(tmp_path / "more.txt")
    snowflake.stage_lines(bucket.url)
    assert snowflake.query(loads) == [(lines[0][0] + 1,)]


def test_set_up_creates_the_stage(
    snowflake: SnowflakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPC_FLOW_ENRICHMENT_LOCATION", "s3://a-bucket/lists")
    arguments = {"locations": ["s3://a-bucket/logs/"], "print_only": True}
    words = ("run-operation", "setup_stage", "--args", json.dumps(arguments))
    printed = snowflake.dbt(*words, setup_role="administrator")
    stage = "create stage if not exists flow.landing.enrichment_stage"
    assert f"{stage}\n    url = 's3://a-bucket/lists/'" in printed


# ----- what files say of an address


def ranges_at_random(chance: random.Random, version: int) -> list[Network]:
    """Networks of which some hold others."""
    kind, width = (IPv4Network, 32) if version == 4 else (IPv6Network, 128)
    networks: list[Network] = []
    while len(networks) < 60:
        outer = chance.choice(networks) if networks and chance.random() < 0.7 else None
        if outer is None or outer.prefixlen == width:
            number, length = chance.getrandbits(width), chance.randrange(5, width + 1)
            # Public addresses of IPv6 are in 2000::/3.
            number = number if version == 4 else number >> 3 | 1 << 125
        else:
            number = int(outer[0]) | chance.getrandbits(width - outer.prefixlen)
            length = chance.randrange(outer.prefixlen, width + 1)
        network = kind((number >> width - length << width - length, length))
        if network not in networks:
            networks.append(network)
    return networks


@dataclass
class Published:
    """Networks by kind, with what is published of each; lists have only a name."""

    networks: dict[str, dict[Network, tuple[Any, ...]]] = field(default_factory=dict)

    @classmethod
    def at_random(cls, chance: random.Random) -> Published:
        published = cls()
        for kind in ("asn", "country", "aws", "list one", "list two"):
            found = ranges_at_random(chance, 4) + ranges_at_random(chance, 6)
            published.networks[kind] = {
                network: {
                    "asn": (number + 1, f"Organisation {number}"),
                    "country": (chr(65 + number // 26) + chr(65 + number % 26),),
                    "aws": (f"SERVICE_{number}", f"region-{number}"),
                }.get(kind, ())
                for number, network in enumerate(found)
            }
        return published

    def write(self, folder: Path) -> None:
        """Each kind as its publishers do."""
        for kind in ("asn", "country"):
            lines = [
                ",".join(map(str, (network[0], network[-1], *values)))
                for network, values in self.networks[kind].items()
            ]
            (folder / f"{kind}.csv").write_text("\n".join(lines))
        aws: dict[str, list[dict[str, str]]] = {"prefixes": [], "ipv6_prefixes": []}
        for network, (service, region) in self.networks["aws"].items():
            version = "" if network.version == 4 else "v6"
            aws[f"ip{version}_prefixes".removeprefix("ip_")].append(
                {
                    f"ip{version}_prefix": str(network),
                    "service": service,
                    "region": region,
                }
            )
        document = {"syncToken": "1", **aws}
        (folder / "ip-ranges.json").write_text(json.dumps(document))
        for name in ("one", "two"):
            lines = [str(network) for network in self.networks[f"list {name}"]]
            (folder / f"{name}.txt").write_text("\n".join(lines))

    def addresses(self, chance: random.Random, count: int) -> list[str]:
        """The edges of each network and their neighbours, then random ones."""
        numbers: set[tuple[int, int]] = set()
        networks = [n for found in self.networks.values() for n in found]
        for network in networks:
            for end in (int(network[0]), int(network[-1])):
                numbers.update((network.version, end + step) for step in (-1, 0, 1))
        while len(numbers) < count:
            network = chance.choice(networks)
            inside = int(network[0]) + chance.randrange(network.num_addresses)
            numbers.add((network.version, inside))
            numbers.add((4, chance.getrandbits(32)))
        return [
            str(IPv4Address(number) if version == 4 else IPv6Address(number))
            for version, number in sorted(numbers)
            if 0 <= number < 2**32 or version == 6
        ]

    def of(self, address: str) -> tuple[Any, ...]:
        """What is known of an address: of each kind the longest prefix counts."""
        parsed = ipaddress.ip_address(address)
        width, number = parsed.max_prefixlen, int(parsed)
        found: dict[str, tuple[Any, ...]] = {}
        for kind, by_prefix in self._by_prefix.items():
            for version, length in self._lengths[kind]:
                if version != parsed.version:
                    continue
                key = (version, length, number >> width - length)
                if key in by_prefix:
                    found[kind] = by_prefix[key]
                    break
        names = [name for name in ("one", "two") if f"list {name}" in found]
        return (
            *found.get("asn", (None, None)),
            *found.get("country", (None,)),
            *found.get("aws", (None, None)),
            ",".join(names) or None,
            "own" if names else None,
        )

    @cached_property
    def _by_prefix(self) -> dict[str, dict[tuple[int, int, int], tuple[Any, ...]]]:
        return {
            kind: {
                (n.version, n.prefixlen, int(n[0]) >> n.max_prefixlen - n.prefixlen): v
                for n, v in found.items()
            }
            for kind, found in self.networks.items()
        }

    @cached_property
    def _lengths(self) -> dict[str, list[tuple[int, int]]]:
        return {
            kind: sorted({key[:2] for key in found}, reverse=True)
            for kind, found in self._by_prefix.items()
        }


def assert_python_agrees(
    published: Published, addresses: list[str], found: list[tuple[Any, ...]]
) -> None:
    assert {row[0] for row in found} == set(addresses)
    expected = [(row[0], *published.of(row[0])) for row in found]
    for got, wanted in zip(found, expected, strict=True):
        assert got == wanted
    for column in range(1, 8):
        assert len({row[column] for row in expected}) > 2 or column > 5


def test_addresses_agree_with_python(project: Project, tmp_path: Path) -> None:
    chance = random.Random(21)
    published = Published.at_random(chance)
    addresses = published.addresses(chance, 100_000)
    project = replace(
        project, environment={"VPC_FLOW_ENRICHMENT_LOCATION": str(tmp_path)}
    )
    published.write(tmp_path)
    land(project)
    rendered = project.dbt("--quiet", "compile", "--inline", QUERY)
    with duckdb.connect(str(project.database)) as connection:
        connection.register("addresses", pa.table({"address": addresses}))
        found = connection.execute(rendered).fetchall()
    assert_python_agrees(published, addresses, found)


def test_addresses_agree_with_python_on_snowflake(
    snowflake: SnowflakeProject, tmp_path: Path
) -> None:
    chance = random.Random(22)
    published = Published.at_random(chance)
    addresses = published.addresses(chance, 100_000)
    published.write(tmp_path)
    write(tmp_path / "logs.parquet", srcaddr=addresses)
    land_on_snowflake(snowflake, tmp_path)
    rendered = snowflake.dbt("--quiet", "compile", "--inline", QUERY)
    landed = "select cast(value['srcaddr'] as varchar) as address"
    found = snowflake.query(
        f"with addresses as ({landed} from flow.landing.flow_logs),"
        + rendered.strip().removeprefix("with")
    )
    assert_python_agrees(published, addresses, found)


def test_of_ranges_that_cross_the_last_start_counts(
    project: Project, tmp_path: Path
) -> None:
    """No address twice, and each has the range that starts last and holds it."""
    chance = random.Random(23)
    drawn = (sorted(chance.choices(range(256), k=2)) for _ in range(40))
    ranges = list(dict.fromkeys((first, last) for first, last in drawn))
    lines = [f"1.0.0.{a},1.0.0.{b},{n},{n}" for n, (a, b) in enumerate(ranges, 1)]
    # The last address of all has none after it.
    lines.append("ffff::,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,99,99")
    lines.append("ffff:f::,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,98,98")
    (tmp_path / "asn.csv").write_text("\n".join(lines))
    project = replace(
        project, environment={"VPC_FLOW_ENRICHMENT_LOCATION": str(tmp_path)}
    )
    land(project)
    found = project.query("select range_start, range_end, name from ip_ranges")
    for last_octet in range(256):
        address = digits(f"1.0.0.{last_octet}")
        holders = [name for first, last, name in found if first <= address <= last]
        wanted = [
            (first, -last, str(number))
            for number, (first, last) in enumerate(ranges, 1)
            if first <= last_octet <= last
        ]
        assert holders == [max(wanted)[2]] if wanted else not holders, last_octet
    assert [row[2] for row in sorted(found)[-2:]] == ["99", "98"]
    assert sorted(found)[-1][1] == "f" * 32


# ----- where files are


def settings_of(location: Path | str, source: str = "enrichment_lines") -> LineSettings:
    """What staging of a source gives the loader."""
    path = ROOT / "models/staging/_staging__sources.yml"
    (flow,) = yaml.safe_load(path.read_text())["sources"]
    (table,) = (table for table in flow["tables"] if table["name"] == source)
    return LineSettings(
        str(location),
        "landed",
        "THE_LOCATION",
        table["external"]["pattern"],
        table["config"]["meta"]["keeps_files"],
    )


def test_files_on_s3_are_mirrored(
    emulated_s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prefix of a bucket; names that begin with `_` or `.` are no data."""
    for name, value in leads_to(emulated_s3).items():
        monkeypatch.setenv(name, value)
    emulated_s3.create_bucket(Bucket="enrichment")
    for key in ("lists/a.txt", "lists/in/b.txt", "lists/_c.txt", "lists-of-others/d"):
        emulated_s3.put_object(Bucket="enrichment", Key=key, Body=b"5.5.5.5\n")
    settings = settings_of("s3://enrichment/lists")
    with duckdb.connect() as connection:
        said = stage_lines(connection, settings, print)
        assert said == (
            "THE_LOCATION: 2 files under s3://enrichment/lists: 4 lines landed"
        )
        rows = connection.execute(
            "select distinct metadata_filename from landed order by 1"
        ).fetchall()
        assert rows == [("a.txt",), ("in/b.txt",)]
        assert stage_lines(connection, settings, print).endswith(": none is new")


def test_a_location_without_files_is_an_error(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        for location, message in [
            (tmp_path, "0 files under "),
            (tmp_path / "no", "is no folder"),
        ]:
            with pytest.raises(ListingError, match=message):
                stage_lines(connection, settings_of(location), print)


# ----- the real data


def test_the_ranges_of_ip_location_db(project: Project, tmp_path: Path) -> None:
    """Of `npm install @ip-location-db/asn @ip-location-db/asn-country`."""
    packages = ROOT / "node_modules/@ip-location-db"
    if not packages.is_dir():
        pytest.skip("the packages of ip-location-db are not installed")
    files = {
        f"{package}-ipv{version}": packages / package / f"{package}-ipv{version}.csv"
        for package in ("asn", "asn-country")
        for version in (4, 6)
    }
    for path in files.values():
        (tmp_path / path.name).symlink_to(path)
    project = replace(
        project, environment={"VPC_FLOW_ENRICHMENT_LOCATION": str(tmp_path)}
    )
    land(project)
    rendered = project.dbt("--quiet", "compile", "--inline", QUERY)

    ranges = {name: ranges_of(path) for name, path in files.items()}
    chance, expected = random.Random(24), {}
    for name, found in ranges.items():
        kind, version = (IPv4Address if name[-1] == "4" else IPv6Address), name[-4:]
        for first, last, _ in chance.sample(found, 25_000):
            number = chance.choice([first, last, chance.randint(first, last), last + 1])
            expected[str(kind(number))] = tuple(
                value_at(ranges[f"{package}-{version}"], number)
                for package in ("asn", "asn-country")
            )
    with duckdb.connect(str(project.database)) as connection:
        # As the hook of address_context does.
        connection.execute("set asof_loop_join_threshold = 0")
        connection.register("addresses", pa.table({"address": list(expected)}))
        answers = connection.execute(rendered).fetchall()
    assert len(expected) > 90_000
    given = {
        address: (asn and str(asn), country) for address, asn, _, country, *_ in answers
    }
    assert [a for a in expected if given[a] != expected[a]] == []


def ranges_of(path: Path) -> list[tuple[int, int, str]]:
    with path.open(newline="") as file:
        return [
            (int(ipaddress.ip_address(first)), int(ipaddress.ip_address(last)), value)
            for first, last, value, *_ in csv.reader(file)
        ]


def value_at(ranges: list[tuple[int, int, str]], number: int) -> str | None:
    """The value of the last range that starts at a number or before, if it holds it."""
    at = bisect_right(ranges, number, key=lambda each: each[0]) - 1
    return ranges[at][2] if at >= 0 and number <= ranges[at][1] else None
