import shutil

import mlflow
import pytest
from mlflow.tracking import MlflowClient


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A tracking database without runs; making one takes seconds, copying it does not."""
    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def client(empty_store, tmp_path):
    """MLflow's client, tracking into a database of the test's own."""
    store = tmp_path / "mlflow.db"
    shutil.copy(empty_store, store)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    client = MlflowClient()
    location = (tmp_path / "artifacts").as_uri()
    mlflow.set_experiment(
        experiment_id=client.create_experiment("tests", artifact_location=location)
    )
    yield client
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(before)
