"""Write the next migration: the difference between a database at the newest revision and the tables that are declared.

    python tools/new_migration.py "add model cards"

Read what it wrote before committing it: a renamed column looks like one dropped and one added.
"""

from __future__ import annotations

import pkgutil
import re
import sys
import tempfile
import textwrap
from importlib import import_module
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext

import bailiwick
from bailiwick.store.database import Database, metadata
from bailiwick.store.migrate import VERSION_TABLE, migrate, newest_revision

_FILE = '''"""{title}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = {before!r}


def upgrade() -> None:  # budget: generated, one statement a table
    """Apply."""
{body}
'''

VERSIONS = Path(bailiwick.__file__).parent / "store" / "migrations" / "versions"


def load_tables() -> None:
    """Import every module that declares tables, so that `metadata` is complete."""
    for module in pkgutil.walk_packages(bailiwick.__path__, "bailiwick."):
        if module.name.rpartition(".")[2] in {"tables", "duties", "projects"}:
            import_module(module.name)


def difference() -> tuple[str, str]:
    """Python code of the upgrade and of the downgrade, on SQLite types that PostgreSQL shares."""
    load_tables()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/at_head.db")
        if any(VERSIONS.glob("[0-9]*.py")):
            migrate(database)
        with database.read() as connection:
            options = {
                "version_table": VERSION_TABLE,
                "compare_type": True,
                "include_object": lambda _item, name, *_: name != VERSION_TABLE,
            }
            context = MigrationContext.configure(connection, opts=options)
            script = produce_migrations(context, metadata)
        database.close()
    assert script.upgrade_ops is not None
    assert script.downgrade_ops is not None
    return render_python_code(script.upgrade_ops), render_python_code(script.downgrade_ops)


def main(message: str) -> None:
    """Write the file, or say that nothing has changed."""
    upgrade, _ = difference()
    if upgrade.strip() == "pass" or "op." not in upgrade:
        sys.exit("The declared tables are what the newest migration makes: nothing to write.")
    before = newest_revision() if any(VERSIONS.glob("[0-9]*.py")) else None
    number = f"{int(before or 0) + 1:04d}"
    path = VERSIONS / f"{number}_{re.sub(r'[^a-z0-9]+', '_', message.lower()).strip('_')}.py"
    body = textwrap.indent(
        textwrap.dedent(re.sub(r"^\s*# ###.*$", "", upgrade, flags=re.MULTILINE)).strip("\n"), "    "
    )
    path.write_text(
        _FILE.format(title=message[:1].upper() + message[1:], number=number, before=before, body=body), encoding="utf-8"
    )
    sys.stdout.write(f"Wrote {path}; read it before you commit it.\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else sys.exit(__doc__))
