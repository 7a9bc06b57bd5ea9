#!/bin/sh
# The scheduled job: load what is new, say how fresh it is, build and test the models.
#
#   17 * * * *  /path/to/project/schedules/cron_job.sh
#
# Options go to every dbt command, such as: cron_job.sh --target snowflake
# Prints one line. Ends with 0; with the worst exit code of the three commands; or with
# 75 if another run is still at work. Environment, besides what the profile reads:
#
#   VPC_FLOW_JOB_LOGS         folder of the logs; default logs/job in the project
#   VPC_FLOW_JOB_LOG_DAYS     days that a run's log and its line are kept; default 30
#   VPC_FLOW_JOB_LOADER_ROLE  on Snowflake, the role that stages; default the profile's
set -u

cd "$(dirname "$0")/.." || exit 1
logs=${VPC_FLOW_JOB_LOGS:-logs/job}
dbt=.venv/bin/dbt
[ -x "$dbt" ] || dbt=dbt
mkdir -p "$logs" || exit 1

# The lock is released when this script and every command that it started have ended,
# however they end: dbt inherits the open file.
exec 9> "$logs/lock" || exit 1
if ! flock -n 9; then
    echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) skipped: another run is still at work"
    exit 75
fi

started=$(date +%s)
log=$logs/$(date -u +%Y-%m-%dT%H%M%SZ).$$.log
worst=0
steps=

# Runs one command into the log; a failure does not keep the next from running.
step() {
    name=$1
    shift
    echo "\$ dbt $*" >> "$log"
    "$dbt" --no-use-colors "$@" >> "$log" 2>&1
    code=$?
    steps="$steps $name=$code"
    [ "$code" -le "$worst" ] || worst=$code
}

role=${SNOWFLAKE_ROLE:-}
export SNOWFLAKE_ROLE="${VPC_FLOW_JOB_LOADER_ROLE:-$role}"
step stage run-operation stage_external_sources "$@"
export SNOWFLAKE_ROLE="$role"
step freshness source freshness "$@"
step build build "$@"

outcome=ok
[ "$worst" -eq 0 ] || outcome=failed
tests=$(sed -n 's/.*Done\. \(PASS=.*\)/\1/p' "$log" | tail -n 1)
line="$(date -u +%Y-%m-%dT%H:%M:%SZ) $outcome in $(($(date +%s) - started)) s:$steps"
echo "$line; ${tests:-no result}; $log" | tee -a "$logs/summary.txt"

days=${VPC_FLOW_JOB_LOG_DAYS:-30}
# A line begins with its time, so those before the first kept one sort before it.
first=$(date -u -d "$days days ago" +%Y-%m-%dT%H:%M:%SZ)
awk -v first="$first" '$1 >= first' "$logs/summary.txt" > "$logs/summary.new" &&
    mv "$logs/summary.new" "$logs/summary.txt"
find "$logs" -name '*.log' -type f -mtime "+$days" \
    -exec rm -f {} +
exit "$worst"
