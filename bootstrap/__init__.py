"""The AWS side of the project: flow logs in S3, and events that start Snowpipe.

``python -m bootstrap plan | apply | verify | destroy | inventory | notify | permissions
| export``; see ``docs/bootstrap.md``.

``description`` lists the desired resources; ``bucket``, ``events``, ``flow_logs`` and
``snowflake`` compare them with what exists; ``steps`` has the order.
"""
