"""The AWS side of the project: flow logs in S3, and events that start Snowpipe.

``python -m bootstrap plan | apply | verify | destroy | notify``; see
``docs/bootstrap.md``.
"""
