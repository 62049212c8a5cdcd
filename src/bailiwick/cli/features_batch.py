"""`bailiwick features fit|transform`: features of any table, where it is, beside what pipelines do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bailiwick.cli.engines import only_here
from bailiwick.cli.output import JsonOption, answer, busy
from bailiwick.cli.sources import ReadOption, SourceArgument, source_of
from bailiwick.core.errors import InvalidInput, NotFound, Unavailable

if TYPE_CHECKING:
    from bailiwick.features.model import FittedFeatures

EngineOption = Annotated[
    str,
    typer.Option(
        help="Compute there, collecting no rows: spark://…, local[*], sc://…; the source is then a table, a SELECT, or files "
        "as Spark names them."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(fit)
    app.command()(transform)


def fit(
    source: SourceArgument,
    out: Annotated[Path, typer.Option(help="File for the graph, as in features.onnx.")],
    project: Annotated[Path, typer.Option(help="The project file that declares them.")] = Path("bailiwick.yaml"),
    engine: EngineOption = "",
    read: ReadOption = None,
    json: JsonOption = False,
) -> None:
    """Fit a project's features to all rows of a source, and write the graph that makes them."""
    from bailiwick.features.compilation import compile_features
    from bailiwick.lifecycle.training.declared import declared_features
    from bailiwick.pipelines.project import load_project

    declared = load_project(project)
    specs = declared_features(declared, file=project)
    for spec in specs:
        if spec.transform == "sklearn":
            raise InvalidInput(
                f"Feature {spec.column!r} is a scikit-learn pipeline, which is fitted by `bailiwick run` only."
            )
    label: dict[str, Any] = {"label": declared.data.label.column, "positive": declared.data.label.positive}
    fitted: FittedFeatures
    only_here(engine, read=read)
    with busy(f"Fitting to {source}"):
        if engine:
            from bailiwick.adapters.spark.batch import fit_there

            fitted = fit_there(engine, source, specs, **label)
        else:
            from bailiwick.lifecycle.feature_files import fit_source

            fitted = fit_source(source_of(source, read), specs, **label)
    graph = compile_features(fitted).SerializeToString()
    try:
        out.write_bytes(graph)
    except OSError as error:
        raise Unavailable(f"{out} could not be written: {error.strerror}.") from error
    told = {"file": str(out), "inputs": dict(fitted.inputs), "columns": list(fitted.names), "digest": fitted.digest}
    answer(f"{out} makes {len(fitted.names)} columns of {len(fitted.inputs)}.", told, as_json=json)


def transform(
    source: SourceArgument,
    to: Annotated[str, typer.Option(help="A .parquet file or delta:PATH; on an engine also a table.")],
    graph: Annotated[Path, typer.Option(help="File that `features fit` wrote.")] = Path("features.onnx"),
    keep: Annotated[list[str] | None, typer.Option(help="A column that is kept beside them; repeatable.")] = None,
    column: Annotated[str, typer.Option(help="Name of the column of lists that is made.")] = "features",
    existing: Annotated[str, typer.Option(help="What is there already: `new` refuses, `replace`, `append`.")] = "new",
    engine: EngineOption = "",
    read: ReadOption = None,
    json: JsonOption = False,
) -> None:
    """Make features of all rows of a source with a graph, and write them."""
    try:
        known = graph.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{graph} does not exist.", hint="`bailiwick features fit` writes one.") from None
    asked: dict[str, Any] = {"keep": keep or [], "column": column, "existing": existing}
    only_here(engine, read=read)
    with busy(f"Making features of {source}"):
        if engine:
            from bailiwick.adapters.spark.batch import transform_there

            rows = transform_there(engine, source, known, to, **asked)
        else:
            from bailiwick.lifecycle.feature_files import transform_source

            rows = transform_source(source_of(source, read), known, to, **asked)
    answer(f"{rows:,} rows are in {to}.", {"rows": rows, "target": to, "column": column}, as_json=json)
