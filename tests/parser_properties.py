"""What holds for every text that an option can be given: a value, or a refusal by name."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as some

from advcli import parsing, registry
from advcli.data.class_names import class_index
from advcli.data.class_order import ClassOrder
from advcli.errors import UsageError
from advcli.model.model_choice import ModelChoice
from advcli.tasks.benchmark.gates import Least
from advcli.tasks.benchmark.request import Shard
from advcli.threat.spelling import spell_threat
from advcli.threat.threat import Norm

NORMS = ("linf", "l2", "l1")
# Importing a backbone takes seconds.
FAMILIES = ("attacks", "augmentations", "corruptions", "explainers", "modifiers", "schedules")

NUMBERS = some.one_of(
    some.floats().map(repr),
    some.integers().map(str),
    some.sampled_from([20, 400, 5000]).map(lambda digits: "9" * digits),
    some.tuples(some.integers(), some.integers()).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    some.sampled_from(["1e999", "-0", "1_0", "٣", "²", "0x1", "nan", "inf", "8/255", "1/0", "1e400/3", " 1 ", "½"]),
)
TEXTS = some.one_of(some.text(max_size=40), some.text("0123456789.,:;=-+/%@\"' smhxe", max_size=30), NUMBERS)
LISTS = some.lists(TEXTS, max_size=4).map(",".join)


@some.composite
def specs(draw: Callable[..., Any]) -> tuple[str, str]:
    """Draw a family and a spec of one of its components, with options that exist and values that may not."""
    family = draw(some.sampled_from(FAMILIES))
    name = draw(some.sampled_from(registry.names(family)))
    options = sorted(registry.options(family, name)) or ["none"]
    pairs = draw(some.lists(some.tuples(some.sampled_from(options), TEXTS), max_size=3))
    return family, f"{name}:{','.join(f'{key}={value}' for key, value in pairs)}" if pairs else name


def read(parser: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a parser reads, None where it refuses; any other error is a fault."""
    try:
        return parser(*arguments)
    except UsageError as error:
        assert error.message
        return None


def a_spec_is_built_or_refused(pair: tuple[str, str]) -> None:
    family, spec = pair
    read(registry.build, family, spec)
    assert registry.canonical(registry.canonical(spec)) == registry.canonical(spec)


def any_text_is_read_or_refused(text: str) -> None:
    for parser in (registry.canonical, parsing.read_list, parsing.read_range):
        read(parser, text)
    radius = read(parsing.read_radius, text)
    assert radius is None or math.isfinite(radius)
    _, radii = read(parsing.read_radii, text, NORMS) or (None, (0.0,))
    assert radii and all(map(math.isfinite, radii))
    severities = read(parsing.read_severities, text)
    assert severities is None or (severities and set(severities) <= {1, 2, 3, 4, 5})
    seconds = read(parsing.read_duration, text)
    assert seconds is None or 0 < seconds < math.inf
    least = read(Least.read, text)
    assert least is None or 0 <= least.accuracy <= 1
    shard = read(Shard.read, text)
    assert shard is None or 1 <= shard.number <= shard.of
    read(ModelChoice.read, f"model.keras:size={text[:150]}")
    read(class_index, ("cat", "dog"), text)
    assert set(ClassOrder.NATURAL.arrange(("10", text, "9"))) == {"10", text, "9"}


def lists_survive(items: list[str]) -> None:
    kept = tuple(item.strip() for item in items if item.strip())
    quoted = ",".join('"' + item.replace('"', '""') + '"' for item in items)
    assert parsing.read_list(quoted) == (kept if items else ())


def a_severity_survives(severities: set[int]) -> None:
    assert parsing.read_severities(",".join(map(str, severities))) == tuple(sorted(severities))


def a_time_survives(time: tuple[int, int, int]) -> None:
    hours, minutes, seconds = time
    found = read(parsing.read_duration, f"{hours}h{minutes}m{seconds}s")
    assert found == ((3600 * hours + 60 * minutes + seconds) or None)


def a_shard_survives(pair: tuple[int, int]) -> None:
    number, of = min(pair), max(pair)
    shard = Shard.read(f"{number}/{of}")
    assert (shard.number, shard.of) == (number, of)


def an_accuracy_survives(pair: tuple[str, float]) -> None:
    name, accuracy = pair
    assert Least.read(f"{name}={accuracy!r}") == Least(name, accuracy)


def a_spelled_radius_is_read_back(pair: tuple[str, int]) -> None:
    norm, steps = pair
    for eps in (steps / 255, round(steps / 255, 3)):
        name, radius = spell_threat(norm, eps).split()
        assert Norm(name.lower()) == norm
        assert math.isclose(parsing.read_radius(radius), eps, rel_tol=1e-3, abs_tol=5e-6)


PROPERTIES: Mapping[Callable[[Any], None], some.SearchStrategy[Any]] = {
    a_spec_is_built_or_refused: specs(),
    any_text_is_read_or_refused: some.one_of(TEXTS, LISTS),
    lists_survive: some.lists(some.text(some.characters(blacklist_characters="\0\r\n", codec="utf-8"), max_size=12)),
    a_severity_survives: some.sets(some.integers(1, 5), min_size=1),
    a_time_survives: some.tuples(*[some.integers(0, 10**6)] * 3),
    a_shard_survives: some.tuples(*[some.integers(1, 10**6)] * 2),
    an_accuracy_survives: some.tuples(some.from_regex("[a-z]{1,9}", fullmatch=True), some.floats(0, 1)),
    a_spelled_radius_is_read_back: some.tuples(some.sampled_from(NORMS), some.integers(0, 254)),
}


def check(holds: Callable[[Any], None], examples: int, number: int | None = None) -> None:
    """Try a property on so many texts: always the same, or those that follow from a number."""
    options = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=number is None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run = options(given(PROPERTIES[holds])(lambda value: holds(value)))
    (run if number is None else seed(number)(run))()
