"""The arithmetic behind the table: a wrong median would make every row a lie."""

from tests.bench.contest import Metric, Row, compare
from tests.bench.results import render
from tests.bench.rounds import alternate, at_least, at_most, percentile, spread, warm_up


def test_warm_up_ends_when_two_rounds_in_a_row_agree() -> None:
    values = iter([100.0, 50.0, 96.0, 200.0, 210.0, 1.0])
    warm = warm_up(lambda: next(values), most=6)
    assert warm.steady
    assert warm.values == (100.0, 50.0, 96.0, 200.0, 210.0)


def test_warm_up_that_never_settles_is_bounded_and_says_so() -> None:
    values = iter([1.0, 2.0, 4.0, 8.0, 16.0])
    warm = warm_up(lambda: next(values), most=4)
    assert not warm.steady
    assert warm.values == (1.0, 2.0, 4.0, 8.0)


def test_both_sides_take_turns_at_going_first_and_keep_their_seats() -> None:
    played: list[str] = []

    def play(name: str) -> str:
        played.append(name)
        return name

    pairs = alternate(lambda: play("kafka"), lambda: play("ours"), 3)
    assert pairs == [("kafka", "ours")] * 3
    assert played == ["kafka", "ours", "ours", "kafka", "kafka", "ours"]


def test_the_ratio_is_the_median_of_pairs_not_of_medians() -> None:
    # The medians are 200 and 300 (1.5x), yet in two of three rounds nobody was faster.
    pairs = [
        ({"r": 100.0}, {"r": 300.0}),
        ({"r": 200.0}, {"r": 200.0}),
        ({"r": 900.0}, {"r": 900.0}),
    ]
    row = compare(Metric(key="r", title="t", unit="u", target=at_least(1.5)), pairs)
    assert row.ratio == spread([3.0, 1.0, 1.0])
    assert row.judged == 1.0
    assert row.verdict == "MISSED"


def test_verdicts() -> None:
    assert Row(title="t", target=at_least(1.5), judged=1.5).verdict == "met"
    assert Row(title="t", target=at_most(0.5), judged=0.5).verdict == "met"
    assert Row(title="t", target=at_most(0.5), judged=0.51).verdict == "MISSED"
    assert Row(title="t", target=None, judged=9.0).verdict == "reported"
    assert Row(title="t", target=at_most(9), judged=1.0, failure="it broke").verdict == "FAILED"


def test_a_failed_row_is_in_the_table_with_its_reason() -> None:
    text = render({}, [Row(title="fetch replay", failure="WrongAnswer: error code 3")], {})
    assert "| fetch replay |" in text
    assert "**FAILED**: WrongAnswer: error code 3" in text
    assert "1 FAILED" in text


def test_percentiles_of_few_values_are_their_largest() -> None:
    assert percentile([1.0, 2.0, 3.0], 0.99) == 3.0
    assert percentile(list(map(float, range(1000))), 0.99) == 990.0
