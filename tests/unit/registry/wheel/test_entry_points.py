from cloacina_registry.wheel.entry_points import read_entry_points, target_problems

WHERE = "entry_points.txt"


def test_comments_blank_lines_and_windows_line_ends_are_read_over() -> None:
    text = "# ours\r\n\r\n[cloacina.workflows]\r\nnightly = acme.flows:nightly\r\n; end\r\n"

    read = read_entry_points(text, WHERE)

    assert read.workflows == {"nightly": "acme.flows:nightly"}
    assert read.problems == ()


def test_empty_sections_of_other_groups_are_tolerated() -> None:
    text = "[console_scripts]\n\n[gui_scripts]\n\n[cloacina.workflows]\nx = a:b\n"

    assert read_entry_points(text, WHERE).problems == ()


def test_a_section_named_default_lends_nothing_to_others() -> None:
    read = read_entry_points("[DEFAULT]\nx = os:system\n[cloacina.workflows]\ny = a:b\n", WHERE)

    assert read.workflows == {"y": "a:b"}
    assert [problem.kind for problem in read.problems] == ["entry-points"]


def test_a_foreign_group_is_told_once() -> None:
    text = "[cloacina.workflows]\nx = a:b\n[console_scripts]\na = a:a\nb = a:b\n"

    assert len(read_entry_points(text, WHERE).problems) == 1


def test_a_target_may_be_a_module_or_a_package() -> None:
    workflows = {"x": "a.b:c", "y": "a:d"}

    assert not list(target_problems(workflows, {"a/b.py": b"", "a/__init__.py": b""}, WHERE))
    assert len(list(target_problems(workflows, {"a/b/c.py": b""}, WHERE))) == 2
