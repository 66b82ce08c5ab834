"""The functions that Kubernetes adds to CEL; facts from the tests of k8s.io/apiserver/pkg/cel."""

import pytest

from kubeherd.cluster.api.cel import engine

ENVIRONMENT = engine.Environment({})


@pytest.mark.parametrize(
    "source",
    [
        # strings
        "'héllo'.charAt(1) == 'é' && 'hello'.charAt(5) == ''",
        "'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3",
        "'hello'.indexOf('l', 3) == 3",
        "'HeLLo é'.lowerAscii() == 'hello é' && 'é'.upperAscii() == 'é'",
        "'a-b-c'.replace('-', '', 1) == 'ab-c' && 'a,b,c'.split(',', 2) == ['a', 'b,c']",
        "'abc'.split('') == ['a', 'b', 'c'] && 'abc'.split('', 2) == ['a', 'bc']",
        "['a', 'b'].join('-') == 'a-b' && 'tacocat'.substring(4) == 'cat'",
        "'\\ta b\\n'.trim() == 'a b' && strings.quote('a\"') == '\"a\\\\\"\"'",
        "'%s %d %.2f %x %o %b'.format(['a', 1, 1.5, 255, 8, 5]) == 'a 1 1.50 ff 10 101'",
        "'%s'.format([[1, 'a', null]]) == '[1, \"a\", null]'",
        "'%s'.format([{'a': 1}]) == '{\"a\":1}'",
        "'%e'.format([3.14]) == '3.140000×10⁰⁰' && '100%%'.format([]) == '100%'",
        "'abc 123'.find('[0-9]+') == '123' && '1a2'.findAll('[0-9]', 1) == ['1']",
        # lists and sets
        "[1, 2, 2].isSorted() && ['b', 'a'].max() == 'b' && [3, 1].min() == 1 && [1, 2].sum() == 3",
        "[duration('1s'), duration('2s')].sum() == duration('3s')",
        "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(5) == -1",
        "[1, 2, 3].slice(1, 3) == [2, 3] && [[1], [2, 3]].flatten() == [1, 2, 3]",
        "[3, 1, 2].sort() == [1, 2, 3] && ['bb', 'a'].sortBy(x, size(x)) == ['a', 'bb']",
        "[1, 1, 2].distinct() == [1, 2] && [1, 2].reverse() == [2, 1] && lists.range(2) == [0, 1]",
        "[1, 2].first() == optional.of(1) && [1, 2].last().value() == 2",
        "sets.contains([1, 2], [2]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])",
        # quantities
        "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('50k') == quantity('50000')",
        "quantity('50k').add(20) == quantity('50020')",
        "quantity('50k').sub(50000).asInteger() == 0",
        "sign(quantity('-1')) == -1 && quantity('1500m').asApproximateFloat() == 1.5",
        "isQuantity('20Mi') && !isQuantity('20Mi ') && !quantity('1500m').isInteger()",
        "quantity('200M').compareTo(quantity('0.2G')) == 0",
        # addresses
        "ip('127.0.0.1').isLoopback() && ip('::1').family() == 6 && !isIP('::ffff:1.2.3.4')",
        "ip('fe80::1').isLinkLocalUnicast() && ip('8.8.8.8').isGlobalUnicast()",
        "ip.isCanonical('2001:db8::1') && !ip.isCanonical('2001:DB8::1')",
        "cidr('192.168.1.5/24').masked() == cidr('192.168.1.0/24') && isCIDR('10.0.0.0/8')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3')",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
        "cidr('10.0.0.0/8').prefixLength() == 8 && string(cidr('10.0.0.1/8').ip()) == '10.0.0.1'",
        "type(ip('::1')) == net.IP && type(cidr('::/1')) == net.CIDR",
        # URLs
        "url('https://a.b:80/x?k=1&k=2').getQuery() == {'k': ['1', '2']}",
        "url('https://[::1]:80/').getHostname() == '::1'",
        "url('https://a:80/').getHost() == 'a:80'",
        "url('https://a/b c').getEscapedPath() == '/b%20c'",
        "url('https://a/').getScheme() == 'https'",
        "isURL('/absolute/path') && !isURL('a/b') && !isURL('')",
        # versions
        "semver('1.0.0-beta').isLessThan(semver('1.0.0')) && !isSemver('1.0')",
        "isSemver('v1', true)",
        "semver('v01.1', true) == semver('1.1.0') && semver('1.2.3').minor() == 2",
        # formats
        "!format.dns1123Label().validate('my-name').hasValue()",
        "format.dns1123Label().validate('my_name').value().size() == 1",
        "format.named('uuid').value().validate('x').value() == ['does not match the UUID format']",
        "!format.named('unknown').hasValue()",
        "!format.dns1123LabelPrefix().validate('a-').hasValue()",
    ],
)  # fmt: skip
def test_a_function(source: str) -> None:
    found = engine.compiled(source, ENVIRONMENT).run({})
    assert (found.value, found.failure) == (True, "")


@pytest.mark.parametrize(
    ("source", "failure"),
    [
        ("'a'.charAt(2) == ''", "index out of range: 2"),
        ("'abc'.substring(2, 1) == ''", "invalid substring range. start: 2, end: 1"),
        ("[].min() == 1", "min called on empty list"),
        ("[1].slice(0, 2) == [1]", "cannot slice(0, 2), list is length 1"),
        (
            "quantity('x') == quantity('1')",
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("quantity('1500m').asInteger() == 1", "cannot convert value to integer"),
        (
            "ip('192.168.0.1.0').family() == 4",
            'IP Address "192.168.0.1.0" parse error during conversion from string: '
            'ParseAddr("192.168.0.1.0"): IPv4 address too long',
        ),
        (
            "ip('2001:db8:::68').family() == 6",
            'IP Address "2001:db8:::68" parse error during conversion from string: '
            'ParseAddr("2001:db8:::68"): each colon-separated field must have at least one digit '
            '(at ":68")',
        ),
        ("semver('1.0').major() == 1", "No Major.Minor.Patch elements found"),
        (
            "url('a b').getHost() == ''",
            'URL parse error during conversion from string: parse "a b": invalid URI for request',
        ),
        (
            "['a'].transformMapEntry(i, v, {'x': 1}).size() == 1 && "
            "['a', 'b'].transformMapEntry(i, v, {'x': 1}).size() == 1",
            "insert failed: key x already exists",
        ),
    ],
)
def test_a_function_that_fails(source: str, failure: str) -> None:
    assert engine.compiled(source, ENVIRONMENT).run({}).failure == failure
