"""Realistic AWS VPC Flow Logs as Parquet files, with the exact answers beside them.

    python -m sample_logs --out sample_data

writes the objects that AWS would write to S3 (several accounts, regions, formats
and both folder layouts) and `truth.json`, the answers that the marts must give.
"""

from .generation import generate
from .truth import Truth

__all__ = ["Truth", "generate"]
