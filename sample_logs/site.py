"""One flow log: its interfaces, and the addresses that they exchange traffic with."""

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
    """Addresses with one part in traffic, and their interfaces (or `OUTSIDE`)."""

    addresses: NDArray[np.int64]
    interfaces: NDArray[np.int64]

    @property
    def is_inside(self) -> bool:
        """Whether these are interfaces of the VPC."""
        return bool(self.interfaces[0] != OUTSIDE)


def draw_clients(
    vocabulary: Vocabulary, rng: np.random.Generator, records: int
) -> dict[str, Pool]:
    """Random public addresses that all sites share: more of them for more records."""
    internet = network.client_addresses(rng, min(max(records // 20, 500), 100_000))
    scanners = network.client_addresses(rng, min(max(records // 50, 200), 50_000))
    return {
        "internet": _outside(vocabulary, internet),
        "scanners": _outside(vocabulary, scanners),
        "internet_v6": _outside(vocabulary, network.client_v6_addresses(rng, 300)),
    }


class Site:
    """A flow log's interfaces, pools and constants, as codes.

    Args:
        flow_log: The flow log.
        vocabulary: Gets the texts of its records.
        clients: Pools that all sites share.
        hosts: Further interfaces, which have no part in everyday traffic.

    Attributes:
        pools: The pools by name; a role of `network.ROLE_SIZES` names its interfaces.
        interface_texts: Per text field, the code for each interface number.
        constants: What the fields hold that are the same in all records.
    """

    def __init__(
        self,
        flow_log: FlowLog,
        vocabulary: Vocabulary,
        clients: dict[str, Pool],
        hosts: Sequence[Interface] = (),
    ) -> None:
        self.flow_log = flow_log
        self.interfaces = [*flow_log.interfaces, *hosts]
        self.pools = clients | self._pools(vocabulary)
        self.interface_texts = {
            field: vocabulary.codes(texts)
            for field, texts in self._interface_texts().items()
        }
        self.constants = {
            "version": flow_log.version,
            "region": vocabulary.code(flow_log.region),
            "vpc_id": vocabulary.code(flow_log.vpc_id),
            "sublocation_type": NO_TEXT,
            "sublocation_id": NO_TEXT,
        }

    def _pools(self, vocabulary: Vocabulary) -> dict[str, Pool]:
        vault = [network.backup_target(self.flow_log)]
        outside = network.OUTSIDE_ADDRESSES | {"vault": vault}
        pools = {name: _outside(vocabulary, texts) for name, texts in outside.items()}
        faces = self.flow_log.interfaces
        numbers = {"everyone": list(range(len(faces)))}
        for number, face in enumerate(faces):
            numbers.setdefault(face.role, []).append(number)
        for name, members in numbers.items():
            texts = [self.interfaces[i].address for i in members]
            pools[name] = Pool(vocabulary.codes(texts), np.array(members))
        texts = [self.interfaces[i].address_v6 for i in numbers["web"]]
        pools["web_v6"] = Pool(vocabulary.codes(texts), np.array(numbers["web"]))
        return pools

    def _interface_texts(self) -> dict[str, list[str]]:
        faces = self.interfaces
        texts = {
            "interface_id": [face.interface_id for face in faces],
            "subnet_id": [face.subnet_id for face in faces],
            "instance_id": [face.instance_id or "-" for face in faces],
            "az_id": [face.az_id for face in faces],
            "account_id": [
                face.account_id or self.flow_log.account_id for face in faces
            ],
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
