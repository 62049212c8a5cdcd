"""Names for runs that were given none: two words and a number, easy to say aloud."""

from __future__ import annotations

import secrets

ADJECTIVES = (
    "able airy amber bold brave bright calm clean clear crisp deft eager early exact fair fleet fresh gentle grand "
    "hardy honest keen kind lively loyal lucid merry mild neat noble open patient plain prime proud quick quiet rapid "
    "ready rich robust serene sharp silent smart smooth solid spry steady stout sunny swift tidy true vivid warm wise"
)
NOUNS = (
    "auk bear bee bison boar buck carp cat colt crab crane crow deer dove duck eagle elk emu falcon finch fish fox frog "
    "gnu goat goose grouse gull hare hawk hen heron horse ibis jay kite koi lark lion lynx mare mink mole moose moth "
    "mouse newt orca otter owl panda perch pike quail ram rook seal shark shrew smelt snail swan tern trout wolf wren"
)


def run_name() -> str:
    """Such as `keen-otter-412`; likely to be new, not promised to be."""
    return f"{secrets.choice(ADJECTIVES.split())}-{secrets.choice(NOUNS.split())}-{secrets.randbelow(1000)}"
