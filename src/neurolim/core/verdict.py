"""Verdicts: what a measurement says of an expectation, and every rule by which it is judged.

A verdict is a value.  Tables, pages and reports read its fields; none of them parses its words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

#: Family-wise probability below which a deviation is not taken for chance.
CHANCE = 0.01
#: A test that needs more standard errors than this to disagree cannot be said to agree.
BLIND = 6.0
#: An interval of an order that is wider than this decides nothing.
WIDEST = 0.5


class Kind(StrEnum):
    """What a verdict comes to."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    UNDECIDED = "undecided"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Verdict:
    """What a measurement says of an expectation.

    Parameters
    ----------
    kind : agrees, disagrees, undecided (the measurement cannot tell), not judged (nothing expected)
    measured : the measured value; NaN where there is none
    low, high : its interval
    expected : what a statement, a theory or a bound says
    tolerance : the deviation that is let pass beyond the interval
    reason : why, in a few words
    relation : in which the measured value is to stand to the expected: =, >, >= or <=
    """

    kind: Kind
    measured: float = math.nan
    low: float = math.nan
    high: float = math.nan
    expected: float = math.nan
    tolerance: float = 0.0
    reason: str = ""
    relation: str = "="

    @property
    def expectation(self) -> str:
        """Return what is expected for readers, ``0.5`` or ``>= 0.5``, "" where nothing is."""
        if math.isnan(self.expected):
            return ""
        relation = "" if self.relation == "=" else f"{self.relation} "
        return f"{relation}{self.expected:.4g}"


def contains(
    measured: float,
    low: float,
    high: float,
    expected: float,
    tolerance: float = 0.0,
    widest: float = math.inf,
    missing: str = "nothing measured",
) -> Verdict:
    """Judge whether an interval contains what is expected.

    Parameters
    ----------
    measured, low, high : estimate and interval; NaN where there is none
    expected : NaN where nothing is expected
    tolerance : what may be missing
    widest : an interval wider than this decides nothing
    missing : the reason where there is no estimate
    """

    def verdict(kind: Kind, reason: str) -> Verdict:
        return Verdict(kind, measured, low, high, expected, tolerance, reason)

    if not math.isfinite(measured):
        return verdict(Kind.UNDECIDED, missing)
    if not (math.isfinite(low) and math.isfinite(high)):
        return verdict(Kind.UNDECIDED, "no finite interval")
    if high - low > widest:
        return verdict(Kind.UNDECIDED, f"interval wider than {widest:g}")
    if math.isnan(expected):
        return verdict(Kind.NOT_JUDGED, "nothing expected")
    if low <= expected <= high:
        return verdict(Kind.AGREES, f"contains {expected:g}")
    if low - tolerance <= expected <= high + tolerance:
        return verdict(Kind.AGREES, f"contains {expected:g} within {tolerance:g}")
    return verdict(Kind.DISAGREES, f"{'above' if low > expected else 'below'} {expected:g}")


def within(
    measured: float,
    expected: float,
    tolerance: float,
    error: float = 0.0,
    errors: float = 3.0,
    missing: str = "nothing measured",
    widest: float = math.inf,
) -> Verdict:
    """Judge whether a value is the expected one, but for a tolerance and some standard errors.

    Parameters
    ----------
    measured : estimate
    expected : NaN where nothing is expected
    tolerance : deviation that is let pass beside the noise
    error : standard error of the estimate
    errors : standard errors that are let pass
    missing : the reason where there is no estimate
    widest : agreement means nothing where a deviation beyond this is let pass
    """
    spread = errors * error if math.isfinite(error) else math.nan
    low, high = measured - spread, measured + spread

    def verdict(kind: Kind, reason: str) -> Verdict:
        return Verdict(kind, measured, low, high, expected, tolerance, reason)

    if not math.isfinite(measured):
        return verdict(Kind.UNDECIDED, missing)
    if math.isnan(expected):
        return verdict(Kind.NOT_JUDGED, "nothing expected")
    if not math.isfinite(error):
        return verdict(Kind.UNDECIDED, "no standard error")
    parts = [f"{tolerance:.3g}"] if tolerance > 0.0 or error == 0.0 else []
    parts += [f"{errors:.3g} standard errors"] if error > 0.0 else []
    allowed = " and ".join(parts)
    if abs(measured - expected) > tolerance + spread:
        return verdict(Kind.DISAGREES, f"off by more than {allowed}")
    if tolerance + spread > widest:
        return verdict(Kind.UNDECIDED, f"only a deviation beyond {tolerance + spread:.3g} counts")
    return verdict(Kind.AGREES, f"off by no more than {allowed}")


def by_scores(
    largest: float,
    p_value: float,
    critical: float = 0.0,
    missing: str = "nothing to compare",
    share: float = 0.0,
) -> Verdict:
    """Judge the largest of many deviations by the probability that chance makes one as large.

    Parameters
    ----------
    largest : the largest deviation in standard errors; NaN where nothing is compared
    p_value : probability of one as large by chance, for all comparisons together
    critical : deviation from which one would have counted
    missing : the reason where nothing is compared
    share : the smallest standard error, as a share of the value, where what vanishes has to count
    """

    def verdict(kind: Kind, reason: str) -> Verdict:
        return Verdict(kind, largest, expected=0.0, reason=reason)

    if not math.isfinite(largest):
        return verdict(Kind.UNDECIDED, missing)
    if math.isnan(p_value):
        return verdict(Kind.UNDECIDED, "no probability: too few replicas")
    if p_value < CHANCE:
        return verdict(Kind.DISAGREES, f"{largest:.1f} standard errors, probability {p_value:.2g}")
    if math.isnan(critical) or math.isnan(share):
        return verdict(Kind.UNDECIDED, "unknown from which deviation one would have counted")
    if critical > BLIND:
        return verdict(
            Kind.UNDECIDED, f"only {critical:.3g} standard errors would count: more replicas"
        )
    if critical * share > 1.0:
        return verdict(Kind.UNDECIDED, "nothing at all would agree, too: more replicas")
    return verdict(Kind.AGREES, f"largest deviation {largest:.1f} standard errors")


def at_most(measured: float, bound: float, missing: str = "nothing measured") -> Verdict:
    """Judge whether a value keeps a bound that is proven to hold."""

    def verdict(kind: Kind, reason: str) -> Verdict:
        return Verdict(kind, measured, expected=bound, reason=reason, relation="<=")

    if not math.isfinite(measured):
        return verdict(Kind.UNDECIDED, missing)
    if math.isnan(bound):
        return verdict(Kind.NOT_JUDGED, "no bound proven")
    if measured <= bound:
        return verdict(Kind.AGREES, "below the bound")
    return verdict(Kind.DISAGREES, "above the bound")


def exceeds(
    measured: float,
    low: float,
    high: float,
    bound: float,
    missing: str = "nothing measured",
    relation: str = ">",
) -> Verdict:
    """Judge whether a value lies above a bound; undecided where its interval has the bound inside.

    Parameters
    ----------
    measured, low, high : estimate and interval; NaN where there is none
    bound : the value is to exceed it
    missing : the reason where there is no estimate
    relation : in which the statement puts the value to the bound, > or >=
    """

    def verdict(kind: Kind, reason: str) -> Verdict:
        return Verdict(kind, measured, low, high, bound, reason=reason, relation=relation)

    if not math.isfinite(measured):
        return verdict(Kind.UNDECIDED, missing)
    if math.isnan(bound):
        return verdict(Kind.NOT_JUDGED, "no bound proven")
    if not (math.isfinite(low) and math.isfinite(high)):
        return verdict(Kind.UNDECIDED, "no finite interval")
    if low > bound:
        return verdict(Kind.AGREES, f"above {bound:g}")
    if high < bound:
        return verdict(Kind.DISAGREES, f"below {bound:g}")
    return verdict(Kind.UNDECIDED, f"the interval contains {bound:g}")


def alike(p_value: float, unseen: float, missing: str = "nothing to compare") -> Verdict:
    """Judge whether two samples can be told apart; they agree where chance alone explains it.

    Parameters
    ----------
    p_value : probability of their largest deviation by chance, for all comparisons together
    unseen : the largest difference, as a share of what is compared, that chance can hide; beyond
        ``WIDEST`` nothing agrees
    missing : the reason where nothing is compared
    """
    if math.isnan(p_value):
        return Verdict(Kind.UNDECIDED, reason=missing)
    if p_value < CHANCE:
        return Verdict(Kind.DISAGREES, reason=f"differ, probability {p_value:.2g}")
    if not unseen <= WIDEST:
        return Verdict(Kind.UNDECIDED, reason=f"a difference of {unseen:.0%} would not be seen")
    return Verdict(Kind.AGREES, reason=f"can not be told apart, probability {p_value:.2g}")


def at_least(measured: float, bound: float, missing: str = "nothing measured") -> Verdict:
    """Judge whether a value reaches a bound that is proven to hold."""

    def verdict(kind: Kind, reason: str) -> Verdict:
        return Verdict(kind, measured, expected=bound, reason=reason, relation=">=")

    if not math.isfinite(measured):
        return verdict(Kind.UNDECIDED, missing)
    if math.isnan(bound):
        return verdict(Kind.NOT_JUDGED, "no bound proven")
    if measured >= bound:
        return verdict(Kind.AGREES, "above the bound")
    return verdict(Kind.DISAGREES, "below the bound")


def between(
    measured: float,
    low: float,
    high: float,
    least: float,
    most: float,
    tolerance: float = 0.0,
    widest: float = math.inf,
) -> Verdict:
    """Judge whether an interval reaches into the range between two bounds.

    Parameters
    ----------
    measured, low, high : estimate and interval
    least, most : the bounds, either may be infinite; what is expected is the upper, if finite
    tolerance : what may be missing
    widest : an interval that is wider than this decides nothing where a bound is inside
    """
    expected = most if math.isfinite(most) else least
    relation = "=" if least == most else "<=" if math.isfinite(most) else ">="

    def verdict(kind: Kind, reason: str) -> Verdict:
        return Verdict(kind, measured, low, high, expected, tolerance, reason, relation)

    if not (math.isfinite(low) and math.isfinite(high)):
        return verdict(Kind.UNDECIDED, "no finite interval")
    if low - tolerance > most:
        return verdict(Kind.DISAGREES, f"above {most:g}")
    if high + tolerance < least:
        return verdict(Kind.DISAGREES, f"below {least:g}")
    if high - low > widest and not least <= low <= high <= most:
        return verdict(Kind.UNDECIDED, f"interval wider than {widest:g}")
    return verdict(Kind.AGREES, "within the bounds")
