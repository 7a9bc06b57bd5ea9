"""Names in place of numbers, and the community id, against other implementations."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import communityid
import duckdb
import pyarrow as pa
import pytest

from .conftest import Project

ENDS = ("srcaddr", "srcport", "dstaddr", "dstport", "protocol")
NUMBERS = ("srcport", "dstport", "protocol", "tcp_flags")
CONNECTIONS = [
    ("128.232.110.120", 34855, "66.35.250.204", 80, 6),
    ("192.168.1.52", 54585, "8.8.8.8", 53, 17),
    ("192.168.170.8", 7, "192.168.170.56", 80, 132),
    ("10.0.0.9", 5, "10.0.0.10", 5, 6),
    ("10.0.0.1", 80, "10.0.0.1", 443, 6),
    ("10.0.0.1", 443, "10.0.0.1", 443, 17),
    ("255.255.255.255", 65535, "0.0.0.0", 0, 17),
    ("2600::1", 443, "2A02:10:1::1", 50000, 6),
    ("2600::1", 53, "2600:0:0:0:0:0:0:1", 52, 17),
    ("::ffff:10.0.0.1", 1, "::ffff:10.0.0.2", 2, 6),
    ("10.0.0.1", 0, "10.0.0.2", 0, 47),
    ("2600::2", 0, "2600::1", 0, 50),
]
QUERY = """
with {{ with_community_id('records') }}
select
    community_id,
    {{ protocol_name('protocol') }},
    {{ tcp_flag_names('tcp_flags') }}
from with_community_ids
order by place
"""


def reference(
    srcaddr: str, srcport: int, dstaddr: str, dstport: int, protocol: int
) -> str:
    """The id by the Python package of the specification's authors."""
    ports = (srcport, dstport) if protocol in (6, 17, 132) else (None, None)
    connection = communityid.FlowTuple(protocol, srcaddr, dstaddr, *ports)
    return str(communityid.CommunityID().calc(connection))


@pytest.fixture(scope="module")
def query(
    new_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> str:
    project = new_project(tmp_path_factory.mktemp("nothing"))
    return project.dbt("--quiet", "compile", "--inline", QUERY)


def answers(query: str, **columns: list[Any]) -> list[tuple[Any, ...]]:
    """What QUERY gives for columns of records; the others are null."""
    length = len(next(iter(columns.values())))
    types = {"srcaddr": pa.string(), "dstaddr": pa.string()}
    table = {
        name: pa.array(columns.get(name, [None] * length), types.get(name, pa.int64()))
        for name in ("place", *NUMBERS, *types)
    }
    with duckdb.connect() as connection:
        connection.register("records", pa.table(table | {"place": range(length)}))
        return connection.execute(query).fetchall()


def test_community_ids_are_those_of_the_reference(query: str) -> None:
    ends = CONNECTIONS + [(d, dp, s, sp, n) for s, sp, d, dp, n in CONNECTIONS]
    columns = dict(zip(ENDS, map(list, zip(*ends, strict=True)), strict=True))
    found = [community_id for community_id, *_ in answers(query, **columns)]
    assert found == [reference(*connection) for connection in ends]
    assert found[:2] == [  # as the specification's repository has them
        "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
        "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
    ]


def test_what_has_no_community_id(query: str) -> None:
    """ICMP, no address, no port."""
    columns = {
        "srcaddr": ["10.0.0.1", "2600::1", None, "10.0.0.1", "-"],
        "dstaddr": ["10.0.0.2", "2600::2", "10.0.0.2", "10.0.0.2", "10.0.0.2"],
        "srcport": [0, 0, 1, None, 1],
        "dstport": [0, 0, 2, 2, 2],
        "protocol": [1, 58, 6, 6, 6],
    }
    assert {row[0] for row in answers(query, **columns)} == {None}


def test_every_record_has_the_reference_s_community_id(built: Project) -> None:
    found = built.query(
        f"select distinct {', '.join(ENDS)}, community_id from named_flow_records"
        " where srcaddr is not null and protocol not in (1, 58) limit 2000"
    )
    assert len({row[4] for row in found}) > 1
    assert [row[-1] for row in found] == [reference(*row[:-1]) for row in found]


def test_protocols_have_the_names_of_iana(query: str) -> None:
    """Those that Python's socket module has, and the end of the list."""
    expected = {
        socket.IPPROTO_HOPOPTS: "hopopt",
        socket.IPPROTO_ICMP: "icmp",
        socket.IPPROTO_IGMP: "igmp",
        socket.IPPROTO_IPIP: "ipv4",
        socket.IPPROTO_TCP: "tcp",
        socket.IPPROTO_EGP: "egp",
        socket.IPPROTO_PUP: "pup",
        socket.IPPROTO_UDP: "udp",
        socket.IPPROTO_IDP: "xns-idp",
        socket.IPPROTO_TP: "iso-tp4",
        socket.IPPROTO_IPV6: "ipv6",
        socket.IPPROTO_ROUTING: "ipv6-route",
        socket.IPPROTO_FRAGMENT: "ipv6-frag",
        socket.IPPROTO_RSVP: "rsvp",
        socket.IPPROTO_GRE: "gre",
        socket.IPPROTO_ESP: "esp",
        socket.IPPROTO_AH: "ah",
        socket.IPPROTO_ICMPV6: "ipv6-icmp",
        socket.IPPROTO_NONE: "ipv6-nonxt",
        socket.IPPROTO_DSTOPTS: "ipv6-opts",
        socket.IPPROTO_PIM: "pim",
        socket.IPPROTO_SCTP: "sctp",
        61: "protocol 61",
        136: "udplite",
        147: "bit-emu",
        148: "protocol 148",
        None: None,
    }
    found = [name for _, name, _ in answers(query, protocol=list(expected))]
    assert found == list(expected.values())


def test_flags_have_names(query: str) -> None:
    names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"]
    expected = [
        ",".join(name for bit, name in enumerate(names) if flags >> bit & 1) or None
        for flags in range(64)
    ]
    assert [row[2] for row in answers(query, tcp_flags=list(range(64)))] == expected
    assert answers(query, tcp_flags=[18])[0][2] == "SYN,ACK"


def test_the_file_s_name_has_the_region_that_a_format_lacks(built: Project) -> None:
    (wrong, lacking) = built.query(
        "select count(*) filter (flow_records.region is distinct from coalesce("
        " staged.region, split_part(flow_records.metadata_filename, '/', 4))),"
        " count(*) filter (staged.region is null)"
        " from flow_records join stg_vpc_flow__flow_logs as staged"
        " using (metadata_filename, metadata_file_row_number)"
        " where metadata_filename not like '%aws-account-id=%'"
    )[0]
    assert wrong == 0
    assert lacking > 0
