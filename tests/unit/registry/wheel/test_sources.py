import warnings

from cloacina_registry.wheel.sources import source_problems


def test_sources_that_parse_have_no_problem() -> None:
    files = {
        "a.py": b"x = 1\n",
        "b.py": b"",
        "c.py": b"\xef\xbb\xbf# -*- coding: utf-8 -*-\nname = '\xc3\xa9'\n",
        "data.txt": b"def",
    }

    assert not list(source_problems(files))


def test_what_the_compiler_only_warns_of_is_no_problem() -> None:
    before = list(warnings.filters)

    problems = list(source_problems({"a.py": b"x = '\\d'\ny = x is 3\n"}))

    assert problems == []
    assert list(warnings.filters) == before


def test_a_syntax_error_is_told_with_its_line() -> None:
    [problem] = source_problems({"a.py": b"x = 1\ndef f(:\n"})

    assert problem.where == "a.py"
    assert "line 2" in problem.message
