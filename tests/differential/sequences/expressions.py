"""Expressions and what comes of them: true, false or an error, and the words of that.

Each is a validation of a policy that only warns: what does not hold is in the answer's warnings.
"""

from isthmus.api.scheme import Manifest
from tests.differential.sequences.policies import (
    MAPS_RULE,
    POLICIES,
    binding,
    check,
    in_force,
    policy,
)
from tests.differential.sequences.rules import TYPES, WORDS
from tests.differential.steps import PODS, Reason, Sequence, Step, pod, post, sequence

LIBRARY = Reason(
    "a few functions that Kubernetes adds to CEL are missing or give another text: `list.indexOf`, `string(ip)`,"
    " `format.*`; a quantity, address or URL has type `map`",
    "the CEL library knows no types but its own, and lets nobody add to functions that it has",
)
NUMBERS = Reason(
    "numbers whose types are known to differ (`1 < 1.5`) are refused; those out of objects may be compared",
    "the CEL library leaves such comparisons out of its types",
)
POD = pod(
    "p",
    terminationGracePeriodSeconds=30,
    nodeSelector={"zone": "a"},
    containers=[
        {"name": "c", "image": "i:1", "ports": [{"containerPort": 80}, {"containerPort": 443}], "env": [{"name": "N"}]},
        {"name": "d", "image": "j", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}},
    ],
)
# What holds, what does not, and what cannot be said, in groups of a theme.
ALIKE: dict[str, tuple[str, ...]] = {
    "numbers": (
        "1 + 2 * 3 == 7 && 7 % 3 == 1 && -7 / 2 == -3 && -7 % 3 == -1",
        "1.5 + 1.5 == 3.0 && 7.0 / 2.0 == 3.5",
        "1u + 2u == 3u",
        "dyn(1) < 1.5 && dyn(2u) > 1",
        "dyn(1) == 1.0 && dyn(1u) == 1",
        "1 / 0 == 1",
        "9223372036854775807 + 1 == 0",
        "int('12') == 12 && double('1.5') == 1.5 && int(1.9) == 1",
        "0x10 == 16 && 1e3 == 1000.0",
    ),
    "objects": (
        "object.spec.terminationGracePeriodSeconds == 30",
        "object.spec.terminationGracePeriodSeconds < 30.5",
        "object.spec.containers[0].ports[1].containerPort == 443",
        "object.spec.containers[7].name == 'x'",
        "object.spec.nodeSelector.zone == 'a' && object.spec.nodeSelector['zone'] == 'a'",
        "object.spec.nodeSelector['none'] == 'a'",
        "object.spec.none == 'a'",
        "has(object.spec.nodeSelector) && !has(object.spec.none)",
        "oldObject == null",
    ),
    "optionals": (
        "object.spec.?none.orValue('d') == 'd'",
        "object.?spec.?nodeSelector.?zone.orValue('') == 'a'",
        "object.spec.nodeSelector[?'none'].hasValue()",
        "object.spec.containers[?1].optMap(c, c.name).orValue('') == 'd'",
        "optional.none().hasValue() || optional.of(1).value() == 1",
        "optional.none().value() == 1",
        "[?object.spec.?none].size() == 0",
        "{?'a': optional.none(), ?'b': optional.of('c')} == {'b': 'c'}",
    ),
    "macros": (
        "object.spec.containers.all(c, c.name.size() == 1)",
        "object.spec.containers.exists(c, has(c.ports) && c.ports.exists(p, p.containerPort == 80))",
        "object.spec.containers.exists_one(c, c.name == 'c')",
        "object.spec.containers.map(c, c.name) == ['c', 'd']",
        "object.spec.containers.filter(c, has(c.env)).size() == 1",
        "object.spec.containers.map(c, has(c.env), c.image) == ['i:1']",
        "object.spec.containers.all(c, c.none == 1)",
        "object.spec.containers.exists(c, c.none == 1 || c.name == 'd')",
        "object.spec.nodeSelector.all(k, k == 'zone')",
    ),
    "pairs": (
        "object.spec.nodeSelector.all(k, v, k == 'zone' && v == 'a')",
        "object.spec.nodeSelector.exists(k, v, v == 'b')",
        "object.spec.containers.all(i, c, i > 0 || c.name == 'c')",
        "object.spec.containers.existsOne(i, c, i == c.name.size())",
        "object.spec.containers.transformList(i, c, c.name + string(i)) == ['c0', 'd1']",
        "object.spec.containers.transformList(i, c, i > 0, c.name) == ['d']",
        "object.spec.nodeSelector.transformMap(k, v, k + v) == {'zone': 'zonea'}",
        "object.spec.nodeSelector.transformMap(k, v, v == 'b', v) == {}",
        "object.spec.nodeSelector.transformMapEntry(k, v, {v: k}) == {'a': 'zone'}",
        "object.spec.containers.transformMapEntry(i, c, {'a': i}) == {}",
        "{'a': 1}.all(k, v, [1, 2].exists(i, w, w == v && k == 'a'))",
        "object.spec.containers.all(i, c, c.none == 1)",
    ),
    "nulls": (
        "!has(oldObject.metadata)",
        "!has(oldObject.metadata.name)",
        "oldObject.?metadata.hasValue()",
        "oldObject.?metadata.?name.orValue('none') == 'none'",
        "oldObject.?metadata.labels.orValue({}) == {}",
        "oldObject[?'metadata'].hasValue()",
        "oldObject.metadata.name == 'x'",
        "oldObject == null && has(object.metadata) && object.?metadata.name.orValue('') == 'nulls'",
        "has(object.metadata.name.first)",
        "object.metadata.?name.?first.hasValue()",
        "object.metadata.name[?0].hasValue()",
        "has(object.spec.containers.first)",
        "object.spec.?containers.?first.hasValue()",
        "object.spec.?terminationGracePeriodSeconds.?first.hasValue()",
        "optional.of(null).?first.hasValue()",
    ),
    "logic": (
        "true || object.none == 1",
        "object.none == 1 || true",
        "false && object.none == 1",
        "object.none == 1 && false",
        "object.none == 1 || false",
        "true ? true : object.none == 1",
        "!(1 == 2) && (1 in [1, 2]) && !('b' in {'a': 1})",
        "'zone' in object.spec.nodeSelector && request.operation in ['CREATE', 'UPDATE']",
    ),
    "texts": (
        "'abc'.startsWith('ab') && 'abc'.endsWith('bc') && 'abc'.contains('b')",
        "'aBc'.lowerAscii() == 'abc' && 'aBc'.upperAscii() == 'ABC'",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && ['a', 'b'].join('-') == 'a-b'",
        "'abc'.substring(1) == 'bc' && 'abc'.substring(0, 1) == 'a' && ' a '.trim() == 'a'",
        "'abcabc'.indexOf('c') == 2 && 'abcabc'.lastIndexOf('c') == 5 && 'abc'.charAt(1) == 'b'",
        "'aXbX'.replace('X', 'y') == 'ayby' && 'aXbX'.replace('X', 'y', 1) == 'aybX'",
        "'abc'.matches('^[a-c]+$') && !'abd'.matches('^[a-c]+$')",
        "size('\\u00e9') == 1 && r'\\d'.size() == 2 && 'a' + 'b' == 'ab'",
        "'%s is %d'.format([object.metadata.name, dyn(3)]) == 'p is 3'",
    ),
    "searches": (
        "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
        "'1 2 3'.findAll('[0-9]') == ['1', '2', '3'] && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
    ),
    "lists": (
        "[1, 2, 3].sum() == 6 && [3, 1].min() == 1 && [3, 1].max() == 3",
        "[1, 2].isSorted() && !['b', 'a'].isSorted()",
        "object.spec.containers.map(c, size(c.?ports.orValue([]))).sum() == 2",
        "[].max() == 1",
        "[1] + [2] == [1, 2] && [1, 2] != [2, 1]",
        "sets.contains([1, 2], [1]) && sets.equivalent([1, 2], [2, 1]) && !sets.intersects([1], [2])",
        "[3, 1, 2].sort() == [1, 2, 3] && [1, 1].distinct() == [1] && [[1], [2]].flatten() == [1, 2]",
        "[1, 2, 3].slice(1, 2) == [2] && lists.range(2) == [0, 1] && [1, 2].reverse() == [2, 1]",
    ),
    "quantities": (
        "quantity(object.spec.containers[1].resources.limits.cpu).isLessThan(quantity('1'))",
        "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('1000m') == quantity('1')",
        "quantity('1').add(quantity('500m')).compareTo(quantity('1500m')) == 0",
        "quantity('2k').asInteger() == 2000 && quantity('1.5').asApproximateFloat() == 1.5",
        "!quantity('0.5').isInteger() && isQuantity('5Mi') && !isQuantity('5XY')",
        "quantity('1').sub(2).asInteger() == -1 && sign(quantity('-1')) == -1",
    ),
    "addresses": (
        "ip('10.0.0.1').family() == 4 && ip('::1').isLoopback() && !ip('10.0.0.1').isGlobalUnicast()",
        "isIP('fe80::1') && !isIP('1.2.3') && ip.isCanonical('::1') && !ip.isCanonical('0:0::1')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')",
        "cidr('10.1.2.3/8').ip() == ip('10.1.2.3') && cidr('fd00::/48').prefixLength() == 48 && !isCIDR('10.0.0')",
        "url('https://a.b:80/c?d=e').getHost() == 'a.b:80' && url('https://a.b:80/c?d=e').getQuery() == {'d': ['e']}",
        "url('https://a.b:80/c').getHostname() == 'a.b' && url('https://a.b:80/c').getEscapedPath() == '/c'",
        "isURL('https://a.b') && !isURL('a b') && url('https://a.b:80').getPort() == '80'",
    ),
    "versions": (
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.2.3').minor() == 2",
        "semver('1.0.0-alpha').compareTo(semver('1.0.0')) == -1 && isSemver('1.2.3') && !isSemver('1.2')",
        "semver('v1.2', true) == semver('1.2.0') && isSemver('v1', true)",
    ),
    "times": (
        "duration('1h') > duration('59m') && duration('90s').getMinutes() == 1",
        "timestamp('2024-02-29T12:30:00Z').getFullYear() == 2024 && timestamp('2024-02-29T12:00:00Z').getMonth() == 1",
        "timestamp('2024-01-01T00:00:00Z') + duration('24h') == timestamp('2024-01-02T00:00:00Z')",
        "timestamp(object.metadata.creationTimestamp) > timestamp('2020-01-01T00:00:00Z')",
        "timestamp('2024-01-01T23:30:00Z').getDate('+01:00') == 2 && duration('1m') < duration('61s')",
    ),
    "types": (
        "type(1) == int && type('a') == string && type([]) == list && type({}) == map && type(null) == null_type",
        "type(object.spec.terminationGracePeriodSeconds) == int && type(object.spec.containers) == list",
        "object.spec.containers == 'a'",
        "object.spec.terminationGracePeriodSeconds > 'a'",
        "object.spec.containers.startsWith('a')",
        "string(12) == '12' && string(true) == 'true' && bytes('a') == b'a' && bool('true')",
        "object.spec == object.spec && object.spec != object.metadata",
    ),
}
APART: tuple[tuple[str, Reason], ...] = (
    ("int('x') == 1", WORDS),
    ("duration('1' + 'x') == duration('1s')", WORDS),
)
REFUSED: tuple[tuple[str, Reason | None], ...] = (
    ("1 + 'a' == 2", None),
    ("undefined == 1", None),
    ("object.nofunction()", None),
    ("1 == 'a'", None),
    ("object.spec.", None),
    ("'a' + ", None),
    ("[1, 2", None),
    ("namespace == 'a'", None),
    ("object.all(x)", None),
    ("[1, 'a'].size() == 2", TYPES),
    ("1 < 1.5", NUMBERS),
    ("[1].indexOf(1) == 0", LIBRARY),
    ("string(ip('::1')) == '::1'", LIBRARY),
    ("!format.dns1123Label().validate('a').hasValue()", LIBRARY),
)
PODS_RULE: Manifest = MAPS_RULE | {"resources": ["pods"]}


def warned(name: str, *expressions: str) -> tuple[Manifest, Manifest]:
    """A policy that warns of those that do not hold, for the pod of its name."""
    condition = [{"name": "own", "expression": f"object.metadata.name == '{name}'"}]
    made = policy(name, *map(check, expressions), rules=[PODS_RULE], matchConditions=condition)
    return made, binding(name, "Warn")


def dry(name: str) -> Step:
    """Make the pod that a policy of that name looks at, for trial."""
    return post(f"{PODS}?dryRun=All", {**POD, "metadata": {"name": name}})


def _apart() -> tuple[Step, ...]:
    return tuple(dry(f"apart{at}").differing(reason, "headers.Warning") for at, (_, reason) in enumerate(APART))


def _refused(expression: str, reason: Reason | None) -> Step:
    step = post(f"{POLICIES}?dryRun=All", policy("r", check(expression)))
    return step.differing(reason, "body") if reason == WORDS else step.differing(reason) if reason else step


SEQUENCES: tuple[Sequence, ...] = (
    sequence(
        "expressions evaluate alike",
        *in_force(*(each for name, texts in ALIKE.items() for each in warned(name, *texts))),
        *(dry(name) for name in ALIKE),
    ),
    sequence(
        "expressions that evaluate apart",
        *in_force(*(each for at, (text, _) in enumerate(APART) for each in warned(f"apart{at}", text))),
        *_apart(),
    ),
    sequence("expressions that are refused", *(_refused(text, reason) for text, reason in REFUSED)),
)
