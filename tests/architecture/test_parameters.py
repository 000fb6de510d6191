"""Each parameter of each command and public function says what it names: a new one fails here."""

import inspect
from collections.abc import Iterator

import click
import pytest
from support.meanings import OF_COMMANDS, OF_FUNCTIONS, Given, Kind, of_argument, of_parameter
from support.surface import commands, functions, parameters_of


def untold() -> Iterator[str]:
    for words, command in commands().items():
        for parameter in command.params:
            try:
                of_parameter(words, parameter)
            except LookupError as error:
                yield str(error)
    for verb, function in functions().items():
        for argument in parameters_of(function):
            try:
                of_argument(verb, argument)
            except LookupError as error:
                yield str(error)


def test_every_parameter_says_what_it_names() -> None:
    assert list(untold()) == []


def test_a_parameter_that_is_not_in_the_table_is_noticed() -> None:
    with pytest.raises(LookupError, match="'thing' of 'runs show'"):
        of_parameter("runs show", click.Argument(["thing"]))
    with pytest.raises(LookupError, match="'thing' of 'attach'"):
        of_argument(
            "attach",
            inspect.Parameter("thing", inspect.Parameter.KEYWORD_ONLY, annotation=str),
        )


def test_the_longest_row_that_fits_counts() -> None:
    def named(words: str) -> Kind | Given:
        return of_parameter(words, click.Argument(["name"]))

    assert named("schedule show") is Kind.SCHEDULE
    assert named("schedule window remove") is Kind.WINDOW
    assert named("schedule enable") is Kind.DECLARED_SCHEDULE


def test_every_row_is_of_a_parameter_that_there_is() -> None:
    of_commands = {
        (words, str(parameter.name))
        for words, command in commands().items()
        for parameter in command.params
    }
    of_functions = {
        (verb.replace(".", " "), argument.name)
        for verb, function in functions().items()
        for argument in parameters_of(function)
    }

    def is_of(row: str, there: set[tuple[str, str]]) -> bool:
        words, _, name = row.rpartition(" ")
        return any(name == named and f"{of} ".startswith(words) for of, named in there)

    assert [row for row in OF_COMMANDS if not is_of(row, of_commands)] == []
    assert [row for row in OF_FUNCTIONS if not is_of(row.replace(".", " "), of_functions)] == []
