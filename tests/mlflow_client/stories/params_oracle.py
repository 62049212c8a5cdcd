"""What MLflow itself makes of values for params: given [[spec, value], …] as JSON; printed: [taken, value] for each."""

import datetime as dt
import json
import sys
import warnings
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.models.utils import _enforce_params_schema
from mlflow.types import ParamSchema

warnings.simplefilter("ignore")


def told(value):
    if isinstance(value, dt.date):
        return value.isoformat()
    return [told(each) for each in value] if isinstance(value, list) else value


def verdict(spec, value):
    schema = ParamSchema.from_json(json.dumps([spec]))
    try:
        return [True, told(_enforce_params_schema({spec["name"]: value}, schema)[spec["name"]])]
    except (MlflowException, ValueError, TypeError):
        return [False, None]


cases = json.loads(Path(sys.argv[1]).read_text())
sys.stdout.write(json.dumps([verdict(spec, value) for spec, value in cases]) + "\n")
