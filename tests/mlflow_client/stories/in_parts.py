"""A client that sends a large file in parts and gets it back in ranges, because the server says that it can."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

MB = 1 << 20
os.environ.update(
    MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE=str(6 * MB),
    MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE=str(5 * MB),
    MLFLOW_MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE=str(6 * MB),
    MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE=str(5 * MB),
)

import mlflow  # noqa: E402

if mlflow.__version__.startswith("2."):
    os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "true"

data = os.urandom(12 * MB)
with tempfile.TemporaryDirectory() as folder:
    large = Path(folder, "large.bin")
    large.write_bytes(data)
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(large), "weights")
    back = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="weights/large.bin"))
    print(json.dumps({"same": back.read_bytes() == data, "digest": hashlib.sha256(data).hexdigest()}))
