# SPDX-License-Identifier: BSL-1.0
"""Programs that take turns, and what may be said of the figures they give."""

import random
import subprocess


class Contestant:
    """A running program that plays a round for each line it is sent, and answers with figures; see
    rounds.hpp."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{command} does not start")

    def play(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        figures = [float(figure) for figure in self.process.stdout.readline().split()]
        if not figures:
            raise RuntimeError(f"{self.process.args} has ended")
        return figures

    def end(self):
        self.process.kill()
        self.process.wait()


def turns(names, rounds):
    """For each round the order in which they play: at random, so that nobody always finds the caches as the
    same other left them, and nobody twice in a row, who would find his own there: that is worth some
    hundredths."""
    chance = random.Random(1)
    order = list(names)
    for _ in range(rounds):
        last = order[-1]
        chance.shuffle(order)
        while order[0] == last and len(order) > 1:
            chance.shuffle(order)
        yield list(order)


def take_turns(commands, rounds):
    """The figures of each round of each of the commands, which are a dict by name: all of them play a round
    before any plays the next. They sit down three times, as new programs: where a program lies in memory may
    be luck, of some hundredths. The first round of a sitting does not count."""
    figures = {name: [] for name in commands}
    sittings = 3 if rounds >= 6 else 1
    for _ in range(sittings):
        contestants = {name: Contestant(command) for name, command in commands.items()}
        for i, order in enumerate(turns(contestants, rounds // sittings + 1)):
            for name in order:
                played = contestants[name].play()
                if i:
                    figures[name].append(played)
        for contestant in contestants.values():
            contestant.end()
    return figures


class Ratio:
    """How the least of our times compares with the least of theirs. The spread is of the same said of each
    third of the rounds, which is each sitting; a spread of more than a tenth is no measurement."""

    def __init__(self, ours, theirs, best=min):
        third = max(1, len(ours) // 3)
        thirds = [
            best(ours[i : i + third]) / best(theirs[i : i + third])
            for i in range(0, len(ours) - third + 1, third)
        ]
        self.value = best(ours) / best(theirs)
        self.low, self.high = min(self.value, *thirds), max(self.value, *thirds)
        self.is_noisy = self.high - self.low > 0.1 * self.value

    def __str__(self):
        spread = f"{self.low:.2f}–{self.high:.2f}"
        return f"too noisy ({spread})" if self.is_noisy else f"{self.value:.2f} ({spread})"


def ratios(figures, base="by_hand", field=0, best=min):
    """The ratio of each to `base` in one field of their figures."""
    column = {name: [figure[field] for figure in rounds] for name, rounds in figures.items()}
    return {name: Ratio(column[name], column[base], best) for name in figures if name != base}
