"""A whole study, the demo's grid with early stopping: ours against a plain PyTorch loop.

    python -m benchmarks.study [--realizations 1] [--json]

Both sides train every point of `examples/demo.toml` with the same protocol and evaluate it at the
same rates and passes.  Points take turns, so that both sides share what the machine does
meanwhile: for one point, ours trains as many realizations as there are cores at once, and PyTorch
one after another in one process.

That both give the same losses is tested: at every p_eval, the mean over the grid of the difference
of log loss, against its standard error [paired t-test]; the smallest of these probabilities times
their number is reported [Bonferroni], and below 0.01 the losses differ.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks import ours, parts, rivals
from criticality import Study
from criticality.base import Task

DEMO = Path(__file__).parent.parent / "examples" / "demo.toml"


def measure(realizations: int) -> list[parts.Row]:
    """Give the table: trainings an hour, their ratio, and whether losses are equal."""
    study = Study.from_toml(DEMO)
    tasks = study.tasks()

    def run_crew(point: list[Task]) -> list[np.ndarray]:
        found = ours.crew().map(ours.realization, point[: parts.CORES])
        return [result["loss"] for result in found]

    run_crew(tasks)  # compiles
    rivals.samples("train"), rivals.samples("test")
    seconds: dict[str, list[float]] = {"criticality": [], "PyTorch": []}
    differences = []
    points = [list(group) for _, group in itertools.groupby(tasks, key=lambda task: task.system)]
    for number, point in enumerate(points):
        system, mine, theirs = point[0].system, [], []
        work = rivals.Work(
            width=system.width, depth=system.depth, batch=system.batch_size, rate=system.p_train
        )

        def run_ours(point: list[Task] = point, mine: list = mine) -> None:
            mine.extend(run_crew(point))

        def run_theirs(
            system=system, work=work, number: int = number, theirs: list = theirs
        ) -> None:
            for r in range(realizations):
                loss, _ = rivals.plain_study(
                    work,
                    system.n_train,
                    system.n_validation,
                    system.p_eval,
                    system.passes,
                    seed=1000 * number + r,
                )
                theirs.append(loss)

        seconds["criticality"].append(parts.timed(run_ours) / parts.CORES)
        seconds["PyTorch"].append(parts.timed(run_theirs) / realizations)
        averages = [np.mean([np.log(loss.mean(1)) for loss in side], 0) for side in (mine, theirs)]
        differences.append(averages[0] - averages[1])
    p = stats.ttest_1samp(np.array(differences), 0).pvalue
    total = {name: math.fsum(values) for name, values in seconds.items()}
    rows = [
        parts.row(f"{name}, {len(points)} points", "trainings an hour", [3600 * len(points) / s])
        for name, s in total.items()
    ]
    ratio = total["PyTorch"] / total["criticality"]
    rows.append(parts.row("criticality against the PyTorch loop, whole study", "x", [ratio]))
    by_point = [b / a for a, b in zip(*seconds.values(), strict=True)]
    rows.append(parts.row("the same, by point", "x", by_point))
    for i in (0, len(study.system.p_eval) // 2, -1):
        values = [float(difference[i]) for difference in differences]
        mean, error = np.mean(values), stats.sem(values)
        name = f"difference of log loss at p_eval = {study.system.p_eval[i]:g}, by point"
        one = parts.row(name, "mean and standard error", values)
        rows.append(one | {"median": mean, "quartiles": [mean - error, mean + error]})
    least = min(1.0, float(p.min() * len(p)))
    rows.append(parts.row("least p of equal log loss, Bonferroni over p_eval", "1", [least]))
    return rows


def main() -> None:
    options = parts.arguments(__doc__, realizations=1)
    parts.report(measure(options.realizations), options.json)


if __name__ == "__main__":
    main()
