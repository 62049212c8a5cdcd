"""Licences are those that packages state."""

from __future__ import annotations

from bailiwick.tracking.licences import installed_licences


def test_an_expression_is_taken_as_it_is_and_a_classifier_by_its_meaning() -> None:
    found = installed_licences(["bailiwick", "numpy", "sqlalchemy", "no-such-distribution"])
    assert found["bailiwick"] == "Apache-2.0"
    assert "BSD-3-Clause" in found["numpy"]
    assert found["sqlalchemy"] == "MIT"
    assert "no-such-distribution" not in found
