"""CEL itself: what expressions give, and the errors of those that give nothing (cel-go's texts)."""

from typing import Any

import pytest

from kubeherd.cluster.api.cel import engine
from kubeherd.cluster.api.cel.checker import types

ENVIRONMENT = engine.Environment(
    {"self": types.Type(types.Kind.STRUCT, "selfType1"), "any": types.DYN},
    {"selfType1": {"a": types.INT, "b": types.STRING, "__if__": types.STRING}},
)
SELF = {"a": 1, "b": "x", "__if__": "y"}


def run(source: str, **variables: Any) -> engine.Evaluated:
    program = engine.compiled(source, ENVIRONMENT)
    return program.run({"self": SELF, "any": None, **variables})


def problem(source: str) -> str:
    with pytest.raises(engine.Uncompilable) as raised:
        engine.compiled(source, ENVIRONMENT)
    return str(raised.value).removeprefix("compilation failed: ERROR: <input>:")


@pytest.mark.parametrize(
    "source",
    [
        "1 + 2 * 3 == 7 && -7 / 2 == -3 && -7 % 3 == -1 && 2u + 3u == 5u",
        "1 < 2.5 && 2u >= 1 && 3.0 <= 3u && -1 < 0u",
        "0x1F == 31 && 1e3 == 1000.0 && .5 < 1.0",
        r"'\x41\u00e9\101' == 'AéA' && r'\n' == '\\n' && b'\xff' == b'\377'",
        "'''a\nb'''.size() == 3 // a comment",
        "true || 1 / 0 == 1",
        "1 / 0 == 1 || true",
        "[1, 2, 3].exists(x, x / 0 == 1 || x == 3)",
        "[1, 2, 3].filter(x, x > 1).map(x, x * 2) == [4, 6]",
        "[1, 2].map(x, x > 1, x + 1) == [3] && [1, 2].existsOne(x, x == 2)",
        "[5, 6].all(i, v, v == i + 5) && {'a': 1}.exists(k, v, k == 'a' && v == 1)",
        "['a', 'b'].transformList(i, v, i > 0, v + 'x') == ['bx']",
        "{'a': 1, 'b': 2}.transformMap(k, v, v * 2) == {'a': 2, 'b': 4}",
        "['a'].transformMapEntry(i, v, {v: i}) == {'a': 0}",
        "[1, 2].all(x, [3].all(y, y == 3) && [1, 2].exists(x, x == 2) && x < 3)",
        "[[1, 2], [3]].map(x, x.map(y, y + 1)) == [[2, 3], [4]]",
        "self.?a.orValue(5) == 1 && self.if == 'y' && self.__if__ == 'y'",
        "!any.?b.hasValue() || true",
        "{'a': 1}[?'b'].or(optional.of(2)).value() == 2 && [1][?3] == optional.none()",
        "optional.of(1).optMap(x, x + 1) == optional.of(2)",
        "optional.of({'a': 1}).optFlatMap(m, m.?b) == optional.none()",
        "optional.ofNonZeroValue('').orValue('d') == 'd' && [?optional.none(), 1] == [1]",
        "has(self.a) && 'a' in {'a': 1} && 2 in [1, 2] && !(3 in [1, 2])",
        "type(1) == int && type(1u) == uint && type(type(1)) == type && type(null) == null_type",
        "int('12') == 12 && string(1.5) == '1.5' && double('1e2') == 100.0 && bool('true')",
        "string(bytes('é')) == 'é' && bytes('é').size() == 2",
        "timestamp('2020-02-29T01:02:03.5+01:00').getHours() == 0",
        "string(timestamp('2020-02-29T01:02:03.5+01:00')) == '2020-02-29T01:02:03.5+01:00'",
        "timestamp('2020-02-29T00:00:00Z').getDayOfYear('+01:00') == 59",
        "timestamp('2020-01-02T00:00:00Z') - timestamp('2020-01-01T00:00:00Z') == duration('24h')",
        "string(duration('1h30m')) == '5400s' && duration('90s').getMinutes() == 1",
        "dyn([1.0, 2.0]).sum() == 3.0 && dyn(1) == 1",
    ],
)
def test_an_expression_that_is_true(source: str) -> None:
    found = run(source)
    assert (found.value, found.failure) == (True, "")


@pytest.mark.parametrize(
    ("source", "failure"),
    [
        ("1 / 0 == 1", "division by zero"),
        ("1 % 0 == 1", "modulus by zero"),
        ("9223372036854775807 + 1 == 0", "integer overflow"),
        ("0u - 1u == 0u", "unsigned integer overflow"),
        ("[1][3] == 1", "index out of bounds: 3"),
        ("{'a': 1}.b == 1", "no such key: b"),
        ("any.x == 1", "no such overload"),
        ("any.startsWith('a')", "no such overload: startsWith(null_type, string)"),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("int('x') == 1", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("bool('x')", "type conversion error from 'string' to 'bool'"),
        ("[1, 2].exists(x, x / 0 == 1)", "division by zero"),
        ("{'a': 1, 'a': 2} == {'a': 1}", "Failed with repeated key: a"),
    ],
)
def test_an_expression_that_fails(source: str, failure: str) -> None:
    assert run(source).failure == failure


def test_an_evaluation_ends_when_it_has_cost_too_much() -> None:
    found = engine.compiled(
        "lists.range(1000).all(x, lists.range(1000).all(y, y >= 0))", ENVIRONMENT
    )
    stopped = found.run({}, limit=10_000)
    assert (stopped.stopped, stopped.failure) == (
        True,
        "operation cancelled: actual cost limit exceeded",
    )
    assert stopped.cost < 12_000


@pytest.mark.parametrize(
    "source",
    [
        "[[1]]" + ".map(x, x + x)" * 40 + "[0].size() > 0",
        "['a']" + ".map(x, x.replace('a', 'aaaaaaaaaa'))" * 20 + "[0].size() > 0",
        "[['a']]" + ".map(x, [x.join(), x.join(), x.join()])" * 30 + "[0].size() > 0",
    ],
)
def test_a_value_cannot_take_all_memory(source: str) -> None:
    found = run(source)
    assert found.stopped or "values of at most" in found.failure


def test_a_value_that_contains_one_twice_takes_no_time() -> None:
    deep = "[[dyn(1)]]" + ".map(x, [dyn(x), dyn(x)])" * 60
    assert run(f"{deep} == {deep}").value is True
    assert run(f"{deep}.indexOf([dyn(1)])").stopped
    assert "values of at most" in run(f"'%s'.format([dyn({deep})])").failure


EXPECTED = (
    "expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, "
    "NUM_UINT, STRING, BYTES, IDENTIFIER}"
)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("self.c == 1", "1:5: undefined field 'c'"),
        ("nobody", "1:1: undeclared reference to 'nobody' (in container '')"),
        ("self.a.x", "1:7: type 'int' does not support field selection"),
        ("1 + 'a'", "1:3: found no matching overload for '_+_' applied to '(int, string)'"),
        ("self.b.size(1)", "1:12: found no matching overload for 'size' applied to 'string.(int)'"),
        ("1 == 'a'", "1:3: found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.a && true", "1:5: expected type 'bool' but found 'int'"),
        ("[1, 'a']", "1:5: expected type 'int' but found 'string'"),
        (
            "self.a.all(x, true)",
            "1:5: expression of type 'int' cannot be range of a comprehension (must be list, map, "
            "or dynamic)",
        ),
        ("duration('x') == duration('1s')", "1:10: invalid duration argument"),
        ("self.b.matches(')')", "1:16: invalid matches argument"),
        ("'%d'.format(['a'])", "1:14: error during formatting: decimal clause can only be used on "
         "integers, was given string"),
        ("[1].all(1, true)", "1:9: argument must be a simple name"),
        ("has(self)", "1:5: invalid argument to has() macro"),
        ("package", "1:1: reserved identifier: package"),
        ("1 +", f"1:4: Syntax error: mismatched input '<EOF>' {EXPECTED}"),
        ("1)", "1:2: Syntax error: extraneous input ')' expecting <EOF>"),
        ("(1", "1:3: Syntax error: missing ')' at '<EOF>'"),
        ("a b", "1:3: Syntax error: extraneous input 'b' expecting <EOF>"),
        ("f(1 2)", "1:5: Syntax error: extraneous input '2' expecting ')'"),
        ("self.", "1:6: Syntax error: no viable alternative at input '.'"),
        ("self.true", "1:6: Syntax error: mismatched input 'true' expecting IDENTIFIER"),
        ("&& a", f"1:1: Syntax error: extraneous input '&&' {EXPECTED}"),
        ("99999999999999999999", "1:1: invalid int literal"),
        ("'abc", "1:1: Syntax error: token recognition error at: ''abc'"),
    ],
)  # fmt: skip
def test_the_errors_of_an_expression(source: str, found: str) -> None:
    assert problem(source).split("\n | ")[0] == found


def test_an_error_shows_its_line() -> None:
    assert problem("true &&\n  nobody").endswith("\n |   nobody\n | ..^")
