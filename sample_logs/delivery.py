"""From core columns to the columns that a flow log's format delivers."""

import numpy as np
from numpy.typing import NDArray

from .exchange import EGRESS, Words
from .formats import FIELDS_WITHOUT_TRAFFIC, FORMATS, Columns, is_number
from .network import aws_service
from .site import Site
from .vocabulary import NO_TEXT, Vocabulary


class Formatter:
    """Gives core records the fields of their flow logs' formats.

    Args:
        vocabulary: Holds every text of the run already, but for the few added here.
        words: Codes of the fixed words.
    """

    def __init__(self, vocabulary: Vocabulary, words: Words) -> None:
        texts = list(vocabulary.texts)
        self._ok = words.ok
        # Facts that an address alone decides, by the address's code.
        self._service = vocabulary.codes(aws_service(text) for text in texts)
        self._type = vocabulary.codes(
            "IPv6" if ":" in text else "IPv4" for text in texts
        )
        self._ingress = vocabulary.code("ingress")
        self._egress = vocabulary.code("egress")

    def columns(self, core: Columns, site: Site) -> Columns:
        """The columns of the site's format, in its order.

        Args:
            core: Records as `exchange.rows` describes them.
            site: The flow log that wrote them.
        """
        without_traffic = core["log_status"] != self._ok
        fields: Columns = {}
        for field in FORMATS[site.flow_log.version]:
            column = self._column(field, core, site)
            if field not in FIELDS_WITHOUT_TRAFFIC and not is_number(field):
                column = np.where(without_traffic, NO_TEXT, column)
            fields[field] = column
        return fields

    def _column(self, field: str, core: Columns, site: Site) -> NDArray[np.int64]:
        if field in site.interface_texts:
            return site.interface_texts[field][core["interface"]]
        if field in site.constants:
            return np.full(len(core["start"]), site.constants[field])
        if field == "version":
            return np.full(len(core["start"]), site.flow_log.version)
        if field == "type":
            return self._type[core["srcaddr"]]
        if field == "flow_direction":
            is_egress = core["direction"] == EGRESS
            return np.where(is_egress, self._egress, self._ingress)
        if field.endswith("_aws_service"):
            address = "pkt_srcaddr" if "_src_" in field else "pkt_dstaddr"
            return self._service[core[address]]
        return core[field]
