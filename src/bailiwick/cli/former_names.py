"""Options that were called otherwise once: what people's scripts say goes on being understood, and no help tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from typer.core import TyperCommand

FORMER = {"--output": "--out", "--comment": "--reason"}
"""What an option is called now, by what it was."""


class FormerNames(TyperCommand):
    """A command that also knows its options by their former names."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As of any command, with what options are called now."""
        known = {name for param in self.params for name in param.opts}
        return super().parse_args(ctx, todays_names(args, known))


def todays_names(arguments: Sequence[str], known: set[str]) -> list[str]:
    """The arguments with each former name that the command does not itself know by that name as it is now."""
    former = {then: now for then, now in FORMER.items() if now in known and then not in known}
    before = list(takewhile(lambda argument: argument != "--", arguments))
    said = [argument.partition("=") for argument in before]
    return [*(former.get(name, name) + equals + value for name, equals, value in said), *arguments[len(before) :]]
