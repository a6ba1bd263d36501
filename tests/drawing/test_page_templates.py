"""Templates of pages are compiled once per version of them, and for all processes."""

import jinja2
import pytest

from mechcheck.base.cache import CACHE_VARIABLE
from mechcheck.drawing.page import environment


def test_a_template_is_compiled_again_only_when_it_has_changed(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    template = tmp_path / "it.html.j2"
    template.write_text("one {{ x }}")
    assert environment(tmp_path).get_template("it.html.j2").render(x="<") == "one &lt;"

    def refuse(*_args, **_options):
        raise AssertionError("it is compiled already")

    with monkeypatch.context() as patched:
        patched.setattr(jinja2.Environment, "compile", refuse)
        assert environment(tmp_path).get_template("it.html.j2").render(x="<") == "one &lt;"
        template.write_text("two {{ x }}")
        with pytest.raises(AssertionError):
            environment(tmp_path).get_template("it.html.j2")
    assert environment(tmp_path).get_template("it.html.j2").render(x="<") == "two &lt;"


def test_pages_are_written_where_nothing_can_be_kept(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    (tmp_path / "it.html.j2").write_text("one {{ x }}")
    assert environment(tmp_path).get_template("it.html.j2").render(x=1) == "one 1"
