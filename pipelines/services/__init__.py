"""The servers of a team on one machine: PostgreSQL, MLflow, Prefect and a worker, started, ended and backed up."""
