"""From core columns to the columns that a flow log's format delivers."""

import numpy as np
from numpy.typing import NDArray

from .formats import FIELDS_WITHOUT_TRAFFIC, FORMATS, Columns, is_number
from .network import aws_service
from .site import Site
from .vocabulary import IPV4, IPV6, NO_TEXT, OK, Vocabulary


class Formatter:
    """Gives core records the fields of their flow log's format.

    Args:
        vocabulary: Holds every address of the run already.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        texts = list(vocabulary.texts)
        # By an address's code.
        self._service = vocabulary.codes(aws_service(text) for text in texts)
        self._type = np.array([IPV6 if ":" in text else IPV4 for text in texts])

    def columns(self, core: Columns, site: Site) -> Columns:
        """The columns of the site's format, in its order.

        Args:
            core: Records as `exchange.rows` describes them.
            site: The flow log that wrote them.
        """
        without_traffic = core["log_status"] != OK
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
        if field == "type":
            return self._type[core["srcaddr"]]
        if field.endswith("_aws_service"):
            address = "pkt_srcaddr" if "_src_" in field else "pkt_dstaddr"
            return self._service[core[address]]
        return core[field]
