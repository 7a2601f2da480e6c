"""Names of BPTK-Py's models that aren't supported: those of agents."""

from typing import NoReturn

from perdure.errors import Unsupported

__all__ = ["missing_attribute"]

_OF = {
    "agents": frozenset(
        {
            "agent", "agent_count", "agent_count_per_state", "agent_factories", "agent_ids", "agent_type_map",
            "agents", "begin_round", "broadcast_event", "configure", "configure_agents",
            "configure_properties", "create_agent", "create_agents", "delete_agent", "delete_agents",
            "end_round", "enqueue_event", "events", "get_property", "get_property_value", "next_agent",
            "next_agent_id", "properties", "random_agents", "random_events", "register_agent_factory",
            "reset", "run", "run_step", "set_property", "set_property_value", "set_scenario_manager",
            "statistics",
        }
    ),
}  # fmt: skip


def missing_attribute(owner: str, feature: str, name: str) -> NoReturn:
    """Raise the error for a missing attribute.

    Parameters
    ----------
    owner
        The class that lacks it.
    feature
        What the class lacks: ``"agents"``.
    name
        The attribute.

    Raises
    ------
    Unsupported
        If BPTK-Py has an attribute of that name for the feature.
    AttributeError
        Otherwise.
    """
    if name in _OF[feature]:
        raise Unsupported(what=f"{owner}.{name}", feature=feature)
    raise AttributeError(f"{owner!r} object has no attribute {name!r}")
