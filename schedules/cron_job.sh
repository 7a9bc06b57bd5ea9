#!/bin/sh
# The scheduled job, for cron: see docs/schedules.md. Options go to `vpcflow run`.
#
#   17 * * * *  /path/to/project/schedules/cron_job.sh
#
cd "$(dirname "$0")/.." || exit 1
python=.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" -m vpcflow run "$@"
