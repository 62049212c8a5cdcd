"""Models of several kinds, logged and registered as people do it; printed: what each answers to a few rows."""

import json
import os
import sys
import warnings

import mlflow
import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

warnings.simplefilter("ignore")
random = np.random.default_rng(1)
numbers = pd.DataFrame({"a": random.normal(size=300), "b": random.normal(0, 10, 300)})
people = pd.DataFrame(
    {
        "age": random.normal(40, 10, 300),
        "children": random.integers(0, 5, 300),
        "city": random.choice(["rome", "oslo", "lima"], 300),
    }
)
says = np.where((people.age > 40) & (people.city != "oslo"), "yes", "no")
columns = [
    ("numbers", StandardScaler(), ["age", "children"]),
    ("texts", OneHotEncoder(handle_unknown="ignore"), ["city"]),
]
pipeline = make_pipeline(ColumnTransformer(columns), LogisticRegression(max_iter=500)).fit(people, says)


class Shop(mlflow.pyfunc.PythonModel):
    """Rules and numbers of its own; two outputs. It dies, hangs or raises for those who ask it to."""

    def predict(self, context, model_input, params=None):
        rows = model_input
        if (rows["city"] == "crash").any():
            os.kill(os.getpid(), 11)
            os.abort()
        if (rows["city"] == "hang").any():
            while True:
                pass
        if (rows["city"] == "raise").any():
            raise ValueError("no such city")
        return pd.DataFrame(
            {
                "price": rows["age"] * 2.0 * (1 - params["discount"]),
                "label": ["cheap" if age < 40 else "dear" for age in rows["age"]],
            }
        )


mlflow.set_experiment("kinds")
with mlflow.start_run():
    linear = LinearRegression().fit(numbers, 2 * numbers.a - numbers.b + 1)
    mlflow.sklearn.log_model(linear, name="linear", registered_model_name="linear", input_example=numbers.head(5))
    mlflow.sklearn.log_model(linear, name="unsigned", registered_model_name="unsigned")
    mlflow.sklearn.log_model(pipeline, name="labels", registered_model_name="labels", input_example=people.head(20))
    mlflow.sklearn.log_model(
        pipeline,
        name="chances",
        registered_model_name="chances",
        input_example=people.head(20),
        pyfunc_predict_fn="predict_proba",
    )
    mlflow.pyfunc.log_model(
        name="shop",
        python_model=Shop(),
        registered_model_name="shop",
        input_example=(people.drop(columns="children").head(5), {"discount": 0.1}),
    )


def answers(name, rows, params=None):
    answered = mlflow.pyfunc.load_model(f"models:/{name}/1").predict(rows, params=params)
    if isinstance(answered, pd.DataFrame):
        return {column: answered[column].tolist() for column in answered}
    return {"predictions": np.asarray(answered).tolist()}


found = {}
for name, rows in (
    ("linear", numbers),
    ("unsigned", numbers),
    ("labels", people),
    ("chances", people),
    ("shop", people.drop(columns="children")),
):
    asked = rows.head(20)
    found[name] = {"rows": asked.to_dict("list"), "outputs": answers(name, asked)}
found["shop"]["cheaper"] = answers("shop", asked, {"discount": 0.5})
sys.stdout.write(json.dumps(found) + "\n")
