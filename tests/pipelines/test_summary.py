"""The last lines of a search: each figure stands in one place."""

from jaxnas.pipelines import summary

RESULT = {
    "top1": 0.9, "top5": 1.0, "loss": 0.1, "ece": 0.02, "parameters": 100, "macs": 1000,
    "latency_ms": 0.174,
}  # fmt: skip


def test_the_time_after_training_stands_with_the_target_if_there_is_one():
    alone = summary.comparison(RESULT, [], 100)
    assert alone[-1] == "latency          0.174 ms an image on this device"
    assert summary.comparison(RESULT, [], 100, {"targets": {"macs": {}}}) == alone
    assert summary.comparison(RESULT, [], 100, {"targets": {"ms": {}}}) == alone[:-1]


def test_three_times_of_one_network_are_one_answer_and_two_that_are_named():
    target = {
        "target": 0.2, "aim": 0.2, "predicted": 0.19, "interval": [0.18, 0.2], "measured": 0.196,
        "clock_ms": 0.174, "holds": True,
    }  # fmt: skip
    record = {"targets": {"ms": target}, "rounds": [{"noisy": []}], "refresh": None}
    assert summary.constraints(record, 0.178) == [
        "target    0.2 ms: 0.196 ms measured (-2.0%), it holds within 5 %, on the campaign's "
        "scale; this device is -11.2% against it now: 0.174 ms by the clock (-13.0%)",
        "          OUT OF DATE: this device is more than 5% off the campaign's speed; measure it "
        "again with `jaxnas latency measure`",
        "          predicted 0.19 ms, 90 % interval 0.18 to 0.2 ms; after training 0.178 ms by "
        "this device's clock, timed alone",
    ]
    del target["clock_ms"]  # of an older run
    assert len(summary.constraints(record, 0.178)) == 2
