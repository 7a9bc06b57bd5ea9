"""One flow log with everything in it as codes: who can talk, and what they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import network
from .formats import ECS_FIELDS
from .network import FlowLog, Interface
from .vocabulary import NO_TEXT, Vocabulary

#: The interface number of an address outside the VPC.
OUTSIDE = -1

_CLUSTER = "sample-cluster"


@dataclass(frozen=True)
class Pool:
    """Addresses that play one part, and their interfaces (or `OUTSIDE`)."""

    addresses: NDArray[np.int64]
    interfaces: NDArray[np.int64]

    @property
    def is_inside(self) -> bool:
        """Whether these are interfaces of the VPC."""
        return bool(self.interfaces[0] != OUTSIDE)


@dataclass(frozen=True)
class Clients:
    """Codes of the random public addresses that all sites share."""

    internet: Pool
    scanners: Pool
    internet_v6: Pool


def draw_clients(
    vocabulary: Vocabulary, rng: np.random.Generator, records: int
) -> Clients:
    """Public clients and scanners, more of them for more records."""
    internet = network.client_addresses(rng, min(max(records // 20, 500), 100_000))
    scanners = network.client_addresses(rng, min(max(records // 50, 200), 50_000))
    return Clients(
        internet=_outside(vocabulary, internet),
        scanners=_outside(vocabulary, scanners),
        internet_v6=_outside(vocabulary, network.client_v6_addresses(rng, 300)),
    )


class Site:
    """A flow log's interfaces, pools and constants, as codes.

    Attributes:
        pools: The parties of traffic by name.
        interface_texts: Per text field, the code for each interface number.
        constants: Codes of the fields that are the same in all records.
    """

    def __init__(
        self, flow_log: FlowLog, vocabulary: Vocabulary, clients: Clients
    ) -> None:
        self.flow_log = flow_log
        self.interfaces = flow_log.interfaces()
        self.pools = self._pools(vocabulary, clients)
        self.interface_texts = {
            field: vocabulary.codes(texts)
            for field, texts in self._interface_texts().items()
        }
        self.constants = {
            "account_id": vocabulary.code(flow_log.account_id),
            "region": vocabulary.code(flow_log.region),
            "vpc_id": vocabulary.code(flow_log.vpc_id),
            "sublocation_type": NO_TEXT,
            "sublocation_id": NO_TEXT,
        }

    def _pools(self, vocabulary: Vocabulary, clients: Clients) -> dict[str, Pool]:
        pools = {
            "internet": clients.internet,
            "scanners": clients.scanners,
            "internet_v6": clients.internet_v6,
        }
        outside = {
            "services": network.SERVICE_ADDRESSES,
            "services_v6": network.SERVICE_V6_ADDRESSES,
            "git": network.GIT_ADDRESSES,
            "ntp": network.NTP_ADDRESSES,
            "resolvers": network.RESOLVER_ADDRESSES,
            "admins": network.ADMIN_ADDRESSES,
            "on_premises": network.ON_PREMISES_ADDRESSES,
            "cgnat": network.CGNAT_ADDRESSES,
            "vault": [network.backup_target(self.flow_log)],
        }
        for name, addresses in outside.items():
            pools[name] = _outside(vocabulary, addresses)
        for role in {face.role for face in self.interfaces}:
            members = [i for i, f in enumerate(self.interfaces) if f.role == role]
            pools[role] = self._inside(vocabulary, members, "address")
            if role == "web":
                pools["web_v6"] = self._inside(vocabulary, members, "address_v6")
        everyone = list(range(len(self.interfaces)))
        pools["everyone"] = self._inside(vocabulary, everyone, "address")
        return pools

    def _inside(
        self, vocabulary: Vocabulary, members: Sequence[int], address: str
    ) -> Pool:
        texts = [getattr(self.interfaces[i], address) for i in members]
        return Pool(vocabulary.codes(texts), np.array(members, dtype=np.int64))

    def _interface_texts(self) -> dict[str, list[str]]:
        faces = self.interfaces
        texts = {
            "interface_id": [face.interface_id for face in faces],
            "subnet_id": [face.subnet_id for face in faces],
            "instance_id": [face.instance_id or "-" for face in faces],
            "az_id": [face.az_id for face in faces],
            "future_field": [f"{face.role}-{i % 3}" for i, face in enumerate(faces)],
        }
        for field in ECS_FIELDS:
            texts[field] = [self._ecs_text(field, face) for face in faces]
        return texts

    def _ecs_text(self, field: str, face: Interface) -> str:
        if not face.ecs_service:
            return "-"
        task = network.identifier("task", face.interface_id).removeprefix("task-")
        arn = f"arn:aws:ecs:{self.flow_log.region}:{self.flow_log.account_id}"
        return {
            "ecs_cluster_name": _CLUSTER,
            "ecs_cluster_arn": f"{arn}:cluster/{_CLUSTER}",
            "ecs_service_name": face.ecs_service,
            "ecs_task_id": task,
            "ecs_task_arn": f"{arn}:task/{_CLUSTER}/{task}",
            "ecs_container_id": f"{task}-0123456789",
        }[field]


def _outside(vocabulary: Vocabulary, addresses: Sequence[str]) -> Pool:
    codes = vocabulary.codes(addresses)
    return Pool(codes, np.full(len(codes), OUTSIDE, dtype=np.int64))
