"""Compares rules for rounds of a noisy device: which rounds count, on made-up and measured noise.

python tools/bench_rounds.py [CAMPAIGN ...]
"""

import argparse
import pathlib
import sys
from collections.abc import Callable, Sequence

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np

from jaxnas.hardware.measure import campaign_file, round_statistics

EPILOG = """\
Made-up noise: the mean absolute error of the latencies in percent after one scale, and the share
of programs within 2 % of the truth. A campaign (the folder of `jaxnas latency measure`): the share
of programs whose medians over two halves of the rounds agree within 5 % and their median
difference, as mean over random halves; the difference of twins."""
PROGRAMS, ROUNDS, DRAWS = 30, 60, 40
HALVES = 100  # random ones of a campaign

Rule = Callable[[np.ndarray], np.ndarray]  # f64[R, P] ms -> bool[R], the rounds that count


def every(rounds_ms: np.ndarray) -> np.ndarray:
    """All rounds count."""
    return np.ones(len(rounds_ms), bool)


def fastest(rounds_ms: np.ndarray) -> np.ndarray:
    """Rounds slower than 1.3 times the best and than the median round are left out."""
    factors = round_statistics.factors(rounds_ms)
    return factors <= max(1.3 * factors.min(), np.median(factors))


RULES: dict[str, Rule] = {
    "every round": every,
    "the fastest": fastest,
    "the product's": lambda rounds_ms: round_statistics.summarise(rounds_ms).used,
}


def _bursts(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Something else runs in a third of the rounds: half of their samples are slower."""
    noise = 0.01 * random.standard_normal((ROUNDS, PROGRAMS))
    hit = random.random((ROUNDS, PROGRAMS)) < 0.5 * (random.random((ROUNDS, 1)) < 0.33)
    return np.ones(ROUNDS), noise + hit * random.exponential(0.5, hit.shape)


def _drift(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A walk of the clock: rounds differ by half, their samples as in any other round."""
    walk = np.exp(np.cumsum(0.08 * random.standard_normal(ROUNDS)))
    return walk, 0.03 * random.standard_normal((ROUNDS, PROGRAMS))


def _slow_half(random: np.random.Generator, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """A half of the rounds takes twice as long; the noise of its samples is given."""
    slow = random.permutation(ROUNDS) < ROUNDS // 2
    spread = np.where(slow, noise, 0.03)[:, None]
    return 1.0 + slow, spread * random.standard_normal((ROUNDS, PROGRAMS))


# (relative slowness f64[R] of each round, log noise f64[R, P] of its samples) of a generator.
KINDS = {
    "quiet": lambda random: (np.ones(ROUNDS), 0.01 * random.standard_normal((ROUNDS, PROGRAMS))),
    "drift": _drift,
    "bursts": _bursts,
    "heavy tails": lambda random: (
        random.uniform(1, 2, ROUNDS), 0.03 * random.standard_t(2, (ROUNDS, PROGRAMS))
    ),
    "slow half": lambda random: _slow_half(random, 0.03),
    "slow half, twice as noisy": lambda random: _slow_half(random, 0.06),
    "slow half, ten times as noisy": lambda random: _slow_half(random, 0.3),
}  # fmt: skip


def made_up(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(rounds f64[R, P], true milliseconds f64[P]) of one kind of noise."""
    random = np.random.default_rng(seed)
    true = np.exp(random.uniform(-1, 2, PROGRAMS))
    slowness, noise = KINDS[kind](random)
    return true * slowness[:, None] * np.exp(noise), true


def error(rounds_ms: np.ndarray, true_ms: np.ndarray, rule: Rule) -> tuple[float, float]:
    """(mean absolute error in percent after one scale, share within 2 %)."""
    ratio = round_statistics.of_rounds(rounds_ms, rule(rounds_ms)).latency_ms / true_ms
    away = np.abs(ratio / np.median(ratio) - 1)
    return 100 * float(away.mean()), float(np.mean(away <= 0.02))


def halves(rounds_ms: np.ndarray, rule: Rule, seed: int = 0) -> tuple[float, float]:
    """(share within 5 %, median difference in percent) of random halves; each by the rule."""
    random, found = np.random.default_rng(seed), []
    for _ in range(HALVES):
        order = random.permutation(len(rounds_ms))
        parts = np.array_split(rounds_ms[order], 2)
        first, second = (round_statistics.of_rounds(p, rule(p)).latency_ms for p in parts)
        ratio = second / first
        away = np.abs(ratio / np.median(ratio) - 1)
        found.append((float(np.mean(away <= 0.05)), 100 * float(np.median(away))))
    share, away = np.mean(found, 0)
    return float(share), float(away)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line a kind of noise and rule, and a line a campaign and rule."""
    parser = argparse.ArgumentParser(
        prog="bench_rounds", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("campaigns", nargs="*", type=pathlib.Path, metavar="CAMPAIGN")
    given = parser.parse_args(arguments)
    for kind in KINDS:
        drawn = [made_up(kind, seed) for seed in range(DRAWS)]
        for name, rule in RULES.items():
            off, share = np.mean([error(*rounds, rule) for rounds in drawn], 0)
            kept = np.mean([rule(rounds).mean() for rounds, _ in drawn])
            print(
                f"{kind:30}  {name:14}  {kept:4.0%} kept  {off:.2f} % off  {share:.0%} within 2 %"
            )
    for folder in given.campaigns:
        raw = campaign_file.read(folder / campaign_file.RAW)
        for name, rule in RULES.items():
            used = rule(raw.rounds_ms)
            share, away = halves(raw.rounds_ms, rule)
            ms = round_statistics.of_rounds(raw.rounds_ms, used).latency_ms
            twins = round_statistics.differences(ms, campaign_file.pairs(raw))
            text = f"twins {np.median(twins):.2%}" if len(twins) else "no twins"
            print(
                f"{folder.name:30}  {name:14}  {used.mean():4.0%} kept  halves {share:.1%} within "
                f"5 %, {away:.2f} % apart; {text}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
