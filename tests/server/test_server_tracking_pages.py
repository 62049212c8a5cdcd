"""Pages of tracking: tables of runs that can be searched and sorted, curves, comparisons, files that are never run."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import quote

import pytest
from sqlalchemy import event
from tests.server.conftest import ClientOf

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.ui import links
from bailiwick.tracking.lineage.model import Dataset, DatasetInput
from bailiwick.tracking.model import MetricPoint, Run
from tests_support.control import TestClient
from tests_support.html import OURS, Page
from tests_support.populated import EXPERIMENT, FILES, HOSTILE, PNG, Story


def make_runs(platform: Platform, actor: Actor, amount: int, experiment: str = "many") -> list[Run]:
    """Runs with metrics, params, tags and data, the n-th with `auc` of n and `lr` of n % 3."""
    runs = []
    for place in range(amount):
        run = platform.tracking.start_run(actor, experiment, name=f"run-{place:03d}", tags={"team": "core"})
        platform.tracking.log(
            actor, run.id, metrics={"auc": float(place), "loss": 1.0}, params={"lr": str(place % 3), "same": "1"}
        )
        read = DatasetInput(Dataset("flights", "d1", "local", "here"), {"mlflow.data.context": "training"})
        platform.run_lineage.log_inputs(actor, run.id, datasets=[read])
        runs.append(run)
    return runs


def names_in(text: str) -> list[str]:
    return re.findall(r'title="(run-\d+)"', text)


class TestTable:
    """The table of an experiment's runs."""

    def test_metrics_and_differing_params_are_columns_by_themselves(
        self, platform: Platform, client: TestClient, admin: Actor
    ) -> None:
        runs = make_runs(platform, admin, 4)
        text = client.get(f"/experiments/{runs[0].experiment_id}").text
        heads = re.findall(r'<a class="sort"[^>]*title="([^"]*)"', text)
        assert heads == ["Run", "Status", "auc", "loss", "lr", "Started", "User"]
        assert "flights" in text

    def test_a_filter_in_mlflows_grammar_chooses_runs(
        self, platform: Platform, client: TestClient, admin: Actor
    ) -> None:
        runs = make_runs(platform, admin, 9)
        asked = {"filter": "metrics.auc > 3 AND params.lr = '1'"}
        text = client.get(f"/experiments/{runs[0].experiment_id}", params=asked).text
        assert sorted(set(names_in(text))) == ["run-004", "run-007"]
        assert 'value="metrics.auc &gt; 3 AND params.lr = &#39;1&#39;"' in text

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ({"filter": "metrics.auc >"}, "needs a number, or a text in quotes where the end stands"),
            ({"filter": "params.lr > 3"}, "choose one of: !=, =, ILIKE, IS NOT NULL, IS NULL, LIKE"),
            ({"filter": "speed.auc = 1"}, "choose one of"),
            ({"order": "attributes.speed DESC"}, "speed"),
            ({"token": "nonsense"}, "page_token"),
            ({"view": "SOME"}, "ACTIVE_ONLY"),
        ],
    )
    def test_what_cannot_be_understood_is_said_beside_the_filter(
        self, platform: Platform, client: TestClient, admin: Actor, asked: dict[str, str], said: str
    ) -> None:
        runs = make_runs(platform, admin, 1)
        answer = client.get(f"/experiments/{runs[0].experiment_id}", params=asked)
        assert answer.status_code == 200
        problem = re.search(r'role="alert" id="filter-problem">(.*?)</p>', answer.text)
        assert problem is not None
        assert said in unescape(problem[1])

    def test_choosing_a_head_sorts_by_it_and_again_the_other_way(
        self, platform: Platform, client: TestClient, admin: Actor
    ) -> None:
        runs = make_runs(platform, admin, 3)
        page = client.get(f"/experiments/{runs[0].experiment_id}")
        best = next(link for link in Page(page.text).links if "order=metric.auc+DESC" in link)
        sorted_page = client.get(best).text
        assert names_in(sorted_page) == ["run-002", "run-001", "run-000"]
        assert sorted_page.count('aria-sort="descending"') == 1
        worst = next(link for link in Page(sorted_page).links if "order=metric.auc+ASC" in link)
        assert names_in(client.get(worst).text) == ["run-000", "run-001", "run-002"]

    def test_pages_follow_each_other_and_keep_filter_order_and_columns(
        self, platform: Platform, client: TestClient, admin: Actor
    ) -> None:
        runs = make_runs(platform, admin, 120)
        path = f"/experiments/{runs[0].experiment_id}?order=metric.auc+ASC&columns=chosen&column=tag.team&filter=auc"
        path = path.replace("filter=auc", "filter=metrics.auc+%3E+4")
        seen: list[str] = []
        for _ in range(3):
            page = client.get(path)
            seen += names_in(page.text)
            onward = [link for link in Page(page.text).links if "token=" in link and "order=metric.auc+ASC" in link]
            path = onward[0] if onward else ""
        assert seen == [f"run-{place:03d}" for place in range(5, 120)]
        assert path == ""

    def test_chosen_columns_are_shown_and_no_others(self, platform: Platform, client: TestClient, admin: Actor) -> None:
        runs = make_runs(platform, admin, 2)
        asked = (
            f"/experiments/{runs[0].experiment_id}?columns=chosen&column=tag.team&column=metric.loss&column=nonsense"
        )
        heads = re.findall(r'<a class="sort"[^>]*title="([^"]*)"', client.get(asked).text)
        assert heads == ["Run", "Status", "team", "loss", "Started", "User"]

    def test_parts_are_below_their_run_once_it_is_opened(self, story: Story, populated: TestClient) -> None:
        path = f"/experiments/{story.ids['experiment']}"
        closed = populated.get(path).text
        assert "sweep" in closed
        assert "trial 0" not in closed
        toggle = next(link for link in Page(closed).links if "open=" in link)
        opened = populated.get(toggle.partition("#")[0]).text
        assert opened.count('class="part"') == 3
        assert 'aria-expanded="true"' in opened
        assert "trial 0" in populated.get(f"{path}?parts=all").text

    def test_deleted_runs_are_shown_when_they_are_asked_for(
        self, platform: Platform, client: TestClient, admin: Actor
    ) -> None:
        runs = make_runs(platform, admin, 2)
        path = f"/experiments/{runs[0].experiment_id}"
        done = client.post(f"/runs/{runs[0].id}/delete", data={"form": "1"}, headers=OURS)
        assert done.headers["Location"] == f"/runs/{runs[0].id}?done=deleted"
        assert names_in(client.get(path).text) == ["run-001"]
        assert names_in(client.get(f"{path}?view=DELETED_ONLY").text) == ["run-000"]
        assert "Restore this run" in client.get(f"/runs/{runs[0].id}").text
        client.post(f"/runs/{runs[0].id}/restore", data={"form": "1"}, headers=OURS)
        assert len(names_in(client.get(path).text)) == 2

    def test_a_page_costs_as_many_queries_for_fifty_runs_as_for_five(
        self, platform: Platform, client: TestClient, admin: Actor
    ) -> None:
        few, many = make_runs(platform, admin, 5, "few"), make_runs(platform, admin, 50, "many")
        statements: list[str] = []
        event.listen(platform.database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        counts = []
        for runs in (few, many):
            statements.clear()
            assert client.get(f"/experiments/{runs[0].experiment_id}").status_code == 200
            counts.append(len(statements))
        assert counts[0] == counts[1]
        assert counts[0] <= 30


class TestExperiments:
    """The list of experiments."""

    def test_words_are_part_of_a_name_and_comparisons_are_a_filter(self, story: Story, populated: TestClient) -> None:
        def listed(asked: str) -> list[str]:
            text = populated.get("/experiments", params={"q": asked}).text
            return [unescape(name) for name in re.findall(r'<a href="/experiments/\d+">(.*?)</a>', text)]

        assert EXPERIMENT in listed("")
        assert listed("PRÉVISION") in ([EXPERIMENT], [])  # SQLite folds ASCII only
        assert listed("vision") == [EXPERIMENT]
        assert listed(f"name = '{EXPERIMENT}'") == [EXPERIMENT]
        assert listed("no such") == []
        assert story.ids["experiment"]

    @pytest.mark.parametrize("name", [EXPERIMENT, HOSTILE, "it's", "a = b", "100%"])
    def test_the_journal_leads_to_an_experiment_by_its_name(
        self, platform: Platform, client: TestClient, admin: Actor, name: str
    ) -> None:
        made = platform.tracking.create_experiment(admin, name)
        assert f'href="/experiments/{made.id}"' in client.get(links.resource(f"experiment/{name}")).text

    def test_a_wrong_filter_is_explained(self, populated: TestClient) -> None:
        text = populated.get("/experiments", params={"q": "speed = 3"}).text
        assert 'role="alert" id="search-problem"' in text
        assert "speed" in text

    def test_an_experiment_is_deleted_and_restored_from_its_page(
        self, platform: Platform, client: TestClient, admin: Actor
    ) -> None:
        run = make_runs(platform, admin, 1)[0]
        path = f"/experiments/{run.experiment_id}"
        assert client.post(f"{path}/delete", data={"form": "1"}, headers=OURS).status_code == 303
        assert "many" not in client.get("/experiments").text
        assert "many" in client.get("/experiments?view=DELETED_ONLY").text
        assert client.post(f"{path}/restore", data={"form": "1"}, headers=OURS).status_code == 303
        assert "many" in client.get("/experiments").text


class TestRun:
    """The page of a run."""

    def test_it_shows_note_curves_machine_data_models_and_files(self, story: Story, populated: TestClient) -> None:
        text = populated.get(f"/runs/{story.ids['tracked_run']}").text
        assert "<h3>Why</h3>" in text
        assert "<strong>whether</strong>" in text
        assert 'href="https://example.com"' in text
        assert "[bad](javascript:alert(1))" in text
        assert "CPU utilization percentage" in text
        assert "By hours since the run began." in text
        assert "flights 2013" in text
        assert f"/logged-models/{story.ids['logged_model']}" in text
        assert "/models/tracked/versions/1" in text
        assert "donn" in text
        assert "trial 2" in text
        assert 'data-refresh="5"' in text

    def test_a_run_that_has_ended_is_not_asked_for_again(self, story: Story, populated: TestClient) -> None:
        assert "data-refresh" not in populated.get(f"/runs/{story.ids['part_0']}").text

    def test_curves_are_thinned_out_on_the_server(self, story: Story, populated: TestClient) -> None:
        small = populated.get(f"/runs/{story.ids['tracked_run']}").text
        large = populated.get(f"/runs/{story.ids['tracked_run']}?metric=loss").text
        assert small.count('class="hit"') == 3 * 80
        assert large.count('class="hit"') == 320 + 80  # the machine's is small

    def test_hundreds_of_metrics_are_found_by_name_and_drawn_a_few_at_a_time(
        self, platform: Platform, client: TestClient, admin: Actor
    ) -> None:
        run = platform.tracking.start_run(admin, "wide", name="wide")
        points = [MetricPoint(f"slice/{key:03d}", float(step), step, step) for key in range(300) for step in range(3)]
        platform.tracking.log(admin, run.id, metrics=points)
        text = client.get(f"/runs/{run.id}").text
        assert text.count("<figure") == 8
        assert "1 of 38" in text
        assert client.get(f"/runs/{run.id}?charts=37").text.count("<figure") == 4
        found = client.get(f"/runs/{run.id}?find=123").text
        assert found.count("<figure") == 1
        assert "1 metric with" in found
        assert len(text) < 400_000

    def test_values_that_are_no_numbers_are_gaps_and_are_said(
        self, platform: Platform, client: TestClient, admin: Actor
    ) -> None:
        run = platform.tracking.start_run(admin, "odd")
        values = [1.0, float("nan"), float("inf"), float("-inf"), 2.0, float("nan")]
        points = [MetricPoint("loss", value, step, step) for step, value in enumerate(values)]
        platform.tracking.log(admin, run.id, metrics=[*points, MetricPoint("top", float("inf"), 0, 0)])
        text = client.get(f"/runs/{run.id}").text
        assert "Gaps are values that are no number." in text
        assert "NaN" in text
        assert "∞" in text


class TestFiles:
    """Files are shown as text, tables and raster images, and downloaded; nothing in them is ever run."""

    @pytest.mark.parametrize("path", ["report.html", "plots/figure.svg", "plots/not-an-image.png"])
    def test_markup_is_shown_as_text(self, story: Story, populated: TestClient, path: str) -> None:
        text = populated.get(f"/runs/{story.ids['tracked_run']}/files?path={quote(path)}").text
        assert "&lt;script&gt;alert" in text
        assert "<script>alert" not in text
        assert "<img" not in text
        assert populated.get(f"/runs/{story.ids['tracked_run']}/image?path={quote(path)}").status_code == 404

    def test_an_image_is_one_by_its_bytes_and_served_as_nothing_else(self, story: Story, populated: TestClient) -> None:
        run = story.ids["tracked_run"]
        assert "<img src=" in populated.get(f"/runs/{run}/files?path=plots/roc%20curve.png").text
        answer = populated.get(f"/runs/{run}/image?path=plots/roc%20curve.png")
        assert answer.content == PNG
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]

    def test_tables_json_and_long_files_are_previewed_within_bounds(self, story: Story, populated: TestClient) -> None:
        base = f"/runs/{story.ids['tracked_run']}/files?path="
        rows = populated.get(f"{base}data/rows.csv").text
        assert '<th scope="col">a</th>' in rows
        assert "&lt;script&gt;" in rows
        assert "&#34;a&#34;: [" in populated.get(base + quote("données/réglages.json")).text
        huge = populated.get(f"{base}logs/huge.log")
        assert "only its beginning" in huge.text
        assert len(huge.content) < 400_000
        assert "It is not text." in populated.get(f"{base}model.bin").text
        assert "The file is empty." in populated.get(f"{base}empty.txt").text

    def test_a_download_is_an_attachment_whatever_it_is(self, story: Story, populated: TestClient) -> None:
        for path, content in FILES.items():
            answer = populated.get(f"/api/v1/runs/{story.ids['tracked_run']}/files/content", params={"path": path})
            assert answer.content == content
            assert answer.headers["Content-Disposition"].startswith("attachment")

    @pytest.mark.parametrize("path", ["../../etc/passwd", "a/../../b", "%2e%2e/x", "/etc/passwd", "a\\b", "x" * 2000])
    def test_no_path_leads_out_of_the_run(self, story: Story, populated: TestClient, path: str) -> None:
        run = story.ids["tracked_run"]
        for address in (f"/runs/{run}/files", f"/runs/{run}/image", f"/api/v1/runs/{run}/files/content"):
            answer = populated.get(address, params={"path": path})
            assert answer.status_code in {200, 400, 404, 413}, (address, path)
            assert "root:" not in answer.text
            assert answer.status_code != 200 or "There is nothing here" in answer.text or "cannot" in answer.text

    def test_who_may_not_read_sees_no_file(self, story: Story, populated: TestClient) -> None:
        elsewhere = {"Bailiwick-Workspace": "elsewhere"}
        run = story.ids["tracked_run"]
        for path in (f"/runs/{run}/files", f"/runs/{run}/image?path=plots/roc%20curve.png", f"/runs/{run}"):
            assert populated.get(path, headers=elsewhere).status_code == 404, path

    def test_an_image_needs_a_token_from_elsewhere(self, as_remote: ClientOf) -> None:
        assert as_remote().get("/runs/x/image?path=a.png").status_code in {303, 401}


class TestComparison:
    """Runs side by side."""

    def test_it_marks_what_differs_and_draws_curves_and_dots(self, story: Story, populated: TestClient) -> None:
        asked = "&".join(f"run={story.ids[f'part_{place}']}" for place in range(3))
        some = populated.get(f"/compare?{asked}").text
        assert "3 runs side by side" in some
        assert "chart-scatter" in some
        assert "chart-parallel" in some
        everything = populated.get(f"/compare?{asked}&all=1").text
        assert 'class="differs"' in everything

    def test_curves_of_several_runs_share_a_chart(self, platform: Platform, client: TestClient, admin: Actor) -> None:
        runs = make_runs(platform, admin, 2)
        for run in runs:
            platform.tracking.log(admin, run.id, metrics=[MetricPoint("loss", 1 / n, n, n) for n in range(1, 9)])
        text = client.get(f"/compare?run={runs[0].id}&run={runs[1].id}&metric=loss").text
        assert text.count('class="line s') == 2
        assert "run-000" in text

    def test_odd_numbers_are_left_out_of_pictures(self, platform: Platform, client: TestClient, admin: Actor) -> None:
        runs = make_runs(platform, admin, 4)
        for run, value in zip(runs, (float("inf"), float("nan"), 5e-324, -1e300), strict=True):
            points = [MetricPoint("odd", value, step, step) for step in range(1, 4)]
            platform.tracking.log(admin, run.id, metrics=points, params={"p": str(value)})
        asked = "&".join(f"run={run.id}" for run in runs)
        for chosen in ("&metric=odd&log=1&y=odd&x=param.p", "&x=metric.odd&y=auc", "&x=metric.none&y=none", "&x=bad"):
            assert client.get(f"/compare?{asked}{chosen}").status_code == 200, chosen
        for run in runs:
            assert client.get(f"/runs/{run.id}?log=1&metric=odd").status_code == 200

    def test_fewer_than_two_runs_or_an_unknown_one_say_what_to_do(self, story: Story, populated: TestClient) -> None:
        assert "Choose two runs or more" in populated.get("/compare").text
        assert "Choose two runs or more" in populated.get(f"/compare?run={story.ids['run']}").text
        assert "does not exist" in populated.get(f"/compare?run={story.ids['run']}&run=nope").text

    def test_runs_of_one_name_are_told_apart(self, platform: Platform, client: TestClient, admin: Actor) -> None:
        runs = [platform.tracking.start_run(admin, "twins", name="twin") for _ in range(2)]
        text = client.get(f"/compare?run={runs[0].id}&run={runs[1].id}").text
        assert all(f"twin · {run.id[-4:]}" in text for run in runs)


class TestLoggedModels:
    """Models that runs saved."""

    def test_the_page_leads_to_run_versions_and_files(self, story: Story, populated: TestClient) -> None:
        text = populated.get(f"/logged-models/{story.ids['logged_model']}").text
        for part in (f"/runs/{story.ids['tracked_run']}", "/models/tracked/versions/1", "MLmodel", "accuracy"):
            assert part in text
        assert "&lt;script&gt;alert" in text

    def test_a_filter_chooses_models(self, story: Story, populated: TestClient) -> None:
        path = f"/experiments/{story.ids['experiment']}/models"
        assert "classifier" in populated.get(path, params={"filter": "metrics.accuracy > 0.8"}).text
        assert "none meets the filter" in populated.get(path, params={"filter": "metrics.accuracy > 0.95"}).text
        assert 'role="alert"' in populated.get(path, params={"filter": "metrics.accuracy >"}).text

    def test_a_model_is_deleted_from_its_page(self, platform: Platform, client: TestClient, admin: Actor) -> None:
        run = make_runs(platform, admin, 1)[0]
        made = platform.logged_models.create(admin, run.experiment_id, name="m")
        done = client.post(f"/logged-models/{made.id}/delete", data={"form": "1"}, headers=OURS)
        assert done.headers["Location"] == f"/logged-models/{made.id}?done=hidden"
        assert "Deleted" in client.get(f"/logged-models/{made.id}").text


def test_a_viewer_is_offered_nothing_that_changes_something(
    platform: Platform, as_remote: ClientOf, tokens: dict[str, str], admin: Actor
) -> None:
    run = make_runs(platform, admin, 1)[0]
    viewer = as_remote(tokens["viewer"])
    for path in (f"/runs/{run.id}", f"/experiments/{run.experiment_id}", "/workspaces"):
        text = viewer.get(path).text
        assert viewer.get(path).status_code == 200
        assert 'method="post"' not in text.replace('action="/sign-out"', "").replace('<form method="post" >', "")


def test_hostile_names_are_text_everywhere(story: Story, populated: TestClient) -> None:
    run = story.platform.tracking.run("default", story.ids["hostile_run"])
    for path in (
        f"/experiments/{run.experiment_id}",
        f"/experiments/{run.experiment_id}?columns=chosen&column=param.p&column=tag.note",
        f"/compare?run={run.id}&run={story.ids['run']}&all=1",
        "/experiments",
        f"/experiments?q={quote(HOSTILE)}",
        f"/runs?filter={quote(HOSTILE)}",
        f"/runs/{run.id}?find={quote(HOSTILE)}&metric={quote(HOSTILE)}",
    ):
        text = populated.get(path).text
        assert "<script>alert" not in text, path
        assert Page(text).faults == [], path
