"""Floor 3: MLflow. Runs, the registry, and the model of record; no other package imports mlflow."""
