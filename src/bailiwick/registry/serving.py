"""How versions are to be run where they are served, and what was measured of other forms of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import select

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.serving_setting import AS_SERVED, ServingSetting, check_setting, encode_setting, setting_of
from bailiwick.registry.arrivals import ArrivalVerbs
from bailiwick.registry.catalogue import remove_tag, write_tags
from bailiwick.registry.model import REPORT_TAG, SERVING_TAG, ModelVersion, check_digest, check_text
from bailiwick.registry.tables import version_tags


class ServingVerbs(ArrivalVerbs):
    """Both are kept as tags that nothing else may write, so that every client that reads tags sees them."""

    def set_serving(
        self, actor: Actor, model: str, number: int, setting: ServingSetting, *, reason: str = ""
    ) -> ModelVersion:
        """Have a version run like this wherever it is served, from now on; the setting `AS_SERVED` takes it back.

        It changes how fast answers are, never what they are. The same again changes nothing. Raises InvalidInput for a
        setting out of bounds, NotFound.
        """
        actor.require(Permission.ENDPOINTS_DEPLOY)
        check_setting(setting)
        check_text("A reason", reason)
        found = self.version(actor.workspace, model, number)
        if found.serving == setting:
            return found
        with self._records.change(actor, Permission.ENDPOINTS_DEPLOY) as change:
            before = self._locked(change, model, number).serving
            of = {"model": model, "number": number}
            if setting == AS_SERVED:
                remove_tag(change, version_tags, of, SERVING_TAG)
            else:
                write_tags(change, version_tags, of, {SERVING_TAG: encode_setting(setting)})
            for each in self._parts.served_by:
                each.setting_changed(change)
            told = {"before": encode_setting(before), "after": encode_setting(setting), "reason": reason}
            change.record("version.serving_set", f"version/{model}/{number}", **told)
        return self.version(actor.workspace, model, number)

    def servings(self, workspace: str, models: Collection[str]) -> Mapping[tuple[str, int], ServingSetting]:
        """Settings of the versions of some models, by (model, number); of those that have one."""
        here = (version_tags.c.workspace == workspace, version_tags.c.model.in_(sorted(models)))
        query = select(version_tags).where(*here, version_tags.c.key == SERVING_TAG)
        with self._records.read() as connection:
            rows = connection.execute(query).all() if models else ()
        return {(row.model, row.number): setting_of({SERVING_TAG: row.value}, SERVING_TAG) for row in rows}

    def keep_report(self, actor: Actor, model: str, number: int, report: str) -> ModelVersion:
        """Have a blob, by its digest, be the newest report of what was measured of a version's forms.

        The same again changes nothing. Raises NotFound.
        """
        actor.require(Permission.MODELS_WRITE)
        check_digest("Report", report)
        found = self.version(actor.workspace, model, number)
        if found.tags.get(REPORT_TAG) == report:
            return found
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            self._locked(change, model, number)
            write_tags(change, version_tags, {"model": model, "number": number}, {REPORT_TAG: report})
            change.record("version.optimised", f"version/{model}/{number}", report=report)
        return self.version(actor.workspace, model, number)
