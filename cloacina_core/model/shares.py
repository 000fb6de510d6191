"""How the slots of engines that serve many tenants are shared out. Pure."""

from collections.abc import Mapping


def shares(slots: int, demands: Mapping[str, int]) -> dict[str, int]:
    """Return how many slots each tenant is to have: max-min fair, and none idle that is wanted.

    Whoever wants less than an equal share of what is left has all it wants, the least first; the
    others divide the rest evenly (progressive filling: Bertsekas and Gallager, Data Networks, 6.5).
    Where not all that is left can be divided, those who want more have one more. The same demands
    are always answered in the same way.

    Args:
        slots: how many there are for all. Whoever wants any has one, so that nobody waits for the
            end of another's work: where more want some than there are, they are as many.
        demands: how many each tenant could use now.
    """
    given = dict.fromkeys(demands, 0)
    wanting = sorted((demand, name) for name, demand in demands.items() if demand > 0)
    left = capacity(slots, demands)
    for place, (demand, name) in enumerate(wanting):
        given[name] = min(demand, left // (len(wanting) - place))
        left -= given[name]
    return given


def capacity(slots: int, demands: Mapping[str, int]) -> int:
    """Return how many slots are used at most: so many as there are, or as tenants want some."""
    return max(slots, sum(demand > 0 for demand in demands.values()))
