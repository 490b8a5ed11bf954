"""The spectral part of the accuracy report: against classical schedules, product by product."""

from __future__ import annotations

from itertools import islice

import numpy as np
from matplotlib.figure import Figure

import schedules
from accuracy_data import HELD_OUT, hostile, normal, residuals
from accuracy_fixed import learned
from curves import Missed, styles
from deepmatrixinversion import Inverter
from deepmatrixinversion.matrices.spectra import with_singular_values
from deepmatrixinversion.models.directory import read_weights
from deepmatrixinversion.spectral.compiled import guess as spectral_guess

ORDERS = {8: 20_000, 16: 10_000, 32: 3_000, 64: 1_000}
BUDGET = 20
GREEDY = (3, 3, 3, 3, 7)
"""Degrees of the minimal residual steps that the network is compared with."""
GREEDY_OPEN = (3, 3, 3, 60)
"""The same for the fewest products on average: the last step goes on as long as it takes."""


def norms(state: schedules.State) -> np.ndarray:
    """‖I - AX‖F of each matrix."""
    return np.linalg.norm(state.eigenvalues, axis=1)


def singular_values(A: np.ndarray) -> np.ndarray:
    """Of each matrix, never zero."""
    return np.maximum(np.linalg.svd(A, compute_uv=False), 1e-300)


def at_budget(r: np.ndarray, products: int) -> dict[str, np.ndarray]:
    """Residuals of the classical methods after at most so many products."""
    compositions = schedules.best_compositions(products)

    def last(states, most: int = products) -> np.ndarray:
        best = norms(next(iter([schedules.State(0, r)])))
        for state in islice(states, 60):
            if state.products > most:
                break
            best = norms(state)
        return best

    return {
        "Newton-Schulz": last(schedules.hyperpower(r, 2)),
        "third order": last(schedules.hyperpower(r, 3)),
        "hyperpower 5": last(schedules.hyperpower(r, 5)),
        "scaled Newton (exact interval)": last(schedules.scaled_newton(r)),
        "oracle Chebyshev": last(schedules.chebyshev(r, compositions[products])),
        "minimal residual (greedy)": last(schedules.minimal_residual(r, within(products))),
    }


def within(products: int, greedy: tuple[int, ...] = GREEDY) -> list[int]:
    """The greedy degrees, the last one cut so that the first residual and all of them fit."""
    degrees, left = [], products - 1
    for degree in (*greedy, *[max(greedy)] * 10):
        if left < 1:
            break
        degrees.append(min(degree, left))
        left -= degrees[-1]
    return degrees


def table(seed: int) -> list[str]:
    """Shares at 20 products, one set of weights for every order."""
    inverter = Inverter.from_pretrained("spectral")
    lines = ["| n | method | below 1 | below 0.1 | below 1e-3 |", "| --- | --- | --- | --- | --- |"]
    for n, k in ORDERS.items():
        A = normal(np.random.default_rng([seed, n]), k, n)
        r = schedules.first_residual(singular_values(A))
        *_, (_, fixed) = schedules.fixed(r, learned(n, seed, k))
        rows = {"fixed learned schedule": np.linalg.norm(fixed, axis=1)} | at_budget(r, BUDGET)
        rows["spectral"] = residuals(A, inverter.guess(A, max_products=BUDGET))
        for name, f in rows.items():
            shares = " | ".join(f"{100 * np.mean(f < t):.2f} %" for t in (1, 0.1, 1e-3))
            lines.append(f"| {n} | {name} | {shares} |")
        print(*lines[-8:], sep="\n", flush=True)
    return lines


def flops() -> list[str]:
    """What an answer within the budget costs, by order."""
    weights = read_weights(Inverter.from_pretrained("spectral").model, 1)
    network = 2 * sum(w.size for w in weights.values() if w.ndim == 2)
    parameters = sum(w.size for w in weights.values())
    lines = [
        f"`spectral` has {parameters:,} parameters. FLOPs a matrix, {BUDGET} products:\n",
        "| n | matrix products | learned part of spectral | share |",
        "| --- | --- | --- | --- |",
    ]
    for n in ORDERS:
        products = BUDGET * 2 * n**3
        lines.append(
            f"| {n} | {products:,} | {network:,} | {100 * network / (network + products):.1f} % |"
        )
    return lines


def held_out(seed: int, n: int = 16, k: int = 2_000) -> list[str]:
    """Families that training never saw, at equal products."""
    inverter = Inverter.from_pretrained("spectral")
    lines = [
        "| family, n = 16 | median kappa | spectral: below 1 | below 1e-3 | scaled Newton "
        "| below 1e-3 | oracle Chebyshev | below 1e-3 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for index, (name, family) in enumerate(HELD_OUT.items()):
        A = family(np.random.default_rng([seed, 99, index]), k, n)
        sigma = singular_values(A)
        classical = at_budget(schedules.first_residual(sigma), BUDGET)
        rows = (
            residuals(A, inverter.guess(A, max_products=BUDGET)),
            classical["scaled Newton (exact interval)"],
            classical["oracle Chebyshev"],
        )
        shares = " | ".join(
            f"{100 * np.mean(f < 1):.2f} % | {100 * np.mean(f < 1e-3):.2f} %" for f in rows
        )
        kappa = np.median(sigma[:, 0] / sigma[:, -1])
        lines.append(f"| {name} | {kappa:.1e} | {shares} |")
        print(lines[-1], flush=True)
    return lines


def early_exit(seed: int) -> list[str]:
    """Mean products to a residual of 1e-3."""
    weights = read_weights(Inverter.from_pretrained("spectral").model, 1)
    lines = [
        "| n | spectral | minimal residual, degrees 3, 3, 3, 3, 7 | degrees 3, 3, 3, open "
        "| oracle Chebyshev |",
        "| --- | --- | --- | --- | --- |",
    ]
    for n, k in ((16, 3_000), (32, 1_500)):
        A = normal(np.random.default_rng([seed, 7, n]), k, n)
        S = A / np.linalg.norm(A, axis=(1, 2), keepdims=True)
        mine = spectral_guess(weights, S, max_products=60).products.mean()
        r = schedules.first_residual(singular_values(A))
        plain, opened, oracle = np.zeros(k), np.zeros(k), np.zeros(k)
        for products, degrees in schedules.best_compositions(60).items():
            *_, state = schedules.chebyshev(r, degrees)
            oracle = np.where((oracle == 0) & (norms(state) <= 1e-3), products, oracle)
            *_, state = schedules.minimal_residual(r, within(products))
            plain = np.where((plain == 0) & (norms(state) <= 1e-3), products, plain)
            *_, state = schedules.minimal_residual(r, within(products, GREEDY_OPEN))
            opened = np.where((opened == 0) & (norms(state) <= 1e-3), products, opened)
        means = " | ".join(f"{v.mean():.2f}" for v in (plain, opened, oracle))
        lines.append(f"| {n} | {mine:.2f} | {means} |")
        print(lines[-1], flush=True)
    return lines


def divergences(total: int, seed: int) -> str:
    """How often a guess ends worse than it began, or not finite, hostile matrices included."""
    worse = count = 0
    for name in ("feedback-3", "feedback-8", "spectral"):
        inverter = Inverter.from_pretrained(name)
        for n in [inverter.order] if inverter.order else [4, 16]:
            k = total // 4
            rng = np.random.default_rng([seed, 5, n])
            for start in range(0, k, 5_000):
                part = min(5_000, k - start)
                A = np.concatenate([hostile(rng, part // 2, n), normal(rng, part - part // 2, n)])
                X = inverter.guess(A)
                scale = np.linalg.norm(A, axis=(1, 2), keepdims=True)
                scale = np.where(scale > 0, scale, 1)
                S = A / scale
                begin = residuals(S, S.swapaxes(1, 2))
                end = residuals(S, X * scale)
                # The guess may be float32: its rounding, against S of norm 1, is allowed for.
                with np.errstate(over="ignore"):
                    slack = 2.0**-22 * n * (1 + np.linalg.norm(X * scale, axis=(1, 2)))
                worse += int((~(end <= begin + slack)).sum())
                count += part
    return f"Guesses worse than their start, or not finite: {worse} of {count:,} (aim 0)."


def by_products(seed: int, n: int = 32, k: int = 1_000) -> Figure:
    """Median residual and failures against products."""
    A = normal(np.random.default_rng([seed, 3, n]), k, n)
    r = schedules.first_residual(singular_values(A))
    inverter = Inverter.from_pretrained("spectral")
    budgets = range(2, 24)
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    curves: dict[str, list[np.ndarray]] = {}
    for products in budgets:
        for name, f in at_budget(r, products).items():
            curves.setdefault(name, []).append(f)
        curves.setdefault("spectral", []).append(
            residuals(A, inverter.guess(A, max_products=products))
        )
    missed = Missed(right, k)
    style = styles(curves, "spectral")
    for name, values in curves.items():
        left.semilogy(budgets, [np.median(f) for f in values], label=name, **style[name])
        missed.draw(budgets, [np.mean(f < 1e-3) for f in values], **style[name])
    flop = 2e-6 * n**3
    left.set(
        ylabel="median ‖I - AX‖F (dimensionless)",
        title=f"{k} normal matrices, n = {n}",
        ylim=(1e-12, 10),  # below, exact arithmetic goes on where float64 cannot
    )
    right.set(ylabel="share with ‖I - AX‖F >= 1e-3", title="not yet there")
    for axes in (left, right):
        axes.set_xlabel("matrix products of order n")
        axes.grid(alpha=0.3)
        top = axes.secondary_xaxis("top", functions=(lambda p: flop * p, lambda f: f / flop))
        top.set_xlabel("MFLOP in matrix products")
    left.legend(fontsize=9)
    return figure


def by_order(seed: int, k: int = 2_000) -> Figure:
    """Share at 1e-3 by order: 20 products for all but the networks of one order."""
    figure = Figure(figsize=(10.5, 5.5), layout="constrained")
    axes = figure.subplots()
    orders = [2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64]
    chosen = ("Newton-Schulz", "scaled Newton (exact interval)", "oracle Chebyshev")
    curves: dict[str, list[float]] = {}
    most = 0
    spectral = Inverter.from_pretrained("spectral")
    for n in orders:
        A = normal(np.random.default_rng([seed, 6, n]), max(200, k * 8 // max(n, 8)), n)
        most = max(most, len(A))
        r = schedules.first_residual(singular_values(A))
        rows = at_budget(r, BUDGET)
        *_, (_, fixed) = schedules.fixed(r, learned(n, seed, len(A)))
        rows = {name: rows[name] for name in chosen} | {
            "fixed learned schedule": np.linalg.norm(fixed, axis=1),
            "minimal residual (greedy)": rows["minimal residual (greedy)"],
            "spectral": residuals(A, spectral.guess(A, max_products=BUDGET)),
        }
        if n <= 8:
            rows["feedback-n (8 to 28 products, float32)"] = residuals(
                A, Inverter.from_pretrained(f"feedback-{n}").guess(A)
            )
        for name, f in rows.items():
            curves.setdefault(name, []).append(float(np.mean(f < 1e-3)))
    missed, style = Missed(axes, most), styles(curves, "spectral")
    for name, values in curves.items():
        missed.draw(orders[: len(values)], values, label=name, **style[name])
    axes.set(
        xscale="log",
        xlabel="order n",
        ylabel="share with ‖I - AX‖F >= 1e-3",
        title="Normal matrices, 20 products of order n",
    )
    axes.set_xticks(orders, [str(n) for n in orders])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=9)
    return figure


def by_condition(seed: int, n: int = 16, k: int = 6_000) -> Figure:
    """Share below 1e-3 at 20 products by condition number."""
    rng = np.random.default_rng([seed, 4])
    kappa = 10 ** rng.uniform(0, 5, k)
    t = np.sort(rng.random((k, n)), axis=1)
    t[:, 0], t[:, -1] = 0, 1
    A = with_singular_values(rng, kappa[:, None] ** -t)
    rows = at_budget(schedules.first_residual(singular_values(A)), BUDGET)
    rows["spectral"] = residuals(
        A, Inverter.from_pretrained("spectral").guess(A, max_products=BUDGET)
    )
    edges = np.logspace(0, 5, 21)
    which = np.digitize(kappa, edges) - 1
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    missed = Missed(axes, int(np.bincount(which).max()))
    style = styles(rows, "spectral")
    for name, f in rows.items():
        values = [np.mean(f[which == b] < 1e-3) for b in range(len(edges) - 1)]
        missed.draw(np.sqrt(edges[1:] * edges[:-1]), values, label=name, **style[name])
    axes.set(
        xscale="log",
        xlabel="condition number (2-norm, dimensionless)",
        ylabel="share with ‖I - AX‖F >= 1e-3",
        title=f"20 products, n = {n}, singular values log-uniform between 1/kappa and 1",
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)
    return figure
