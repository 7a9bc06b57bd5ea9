# An image for schedules: it runs `python -m vpcflow run` once and ends. See
# docs/schedules.md.
FROM python:3.12-slim

WORKDIR /project
COPY requirements.txt .
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.txt
COPY . .
RUN cp profiles.yml.example profiles.yml
RUN dbt deps

# The project is read-only at run time. All that a run writes is in /data.
ENV DBT_TARGET_PATH=/data/target
ENV DBT_LOG_PATH=/data/logs
ENV VPC_FLOW_DUCKDB_PATH=/data/vpc_flow_logs.duckdb
RUN useradd --create-home vpcflow && mkdir /data && chown vpcflow /data
USER vpcflow
VOLUME /data

ENTRYPOINT ["python", "-m", "vpcflow"]
CMD ["run"]
