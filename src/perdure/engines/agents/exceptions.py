"""The exceptions of agent models, with BPTK-Py's names and messages, which programs may catch."""

__all__ = ["NotAnAgentException", "WrongTypeException"]


class WrongTypeException(Exception):
    """A value doesn't have the type of its property, or an argument isn't what the method takes."""


class NotAnAgentException(Exception):
    """A factory returned something other than an agent."""
