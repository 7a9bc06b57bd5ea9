"""The AWS side of the project: from VPC Flow Logs in S3 to a pipe that is told.

``python -m bootstrap plan | apply | verify | destroy | notify``; see
``docs/bootstrap.md``.
"""
