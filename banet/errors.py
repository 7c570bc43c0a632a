"""What a user can do wrong, and what can fail beside the program: one line each, naming the thing and the remedy."""


class BanetError(Exception):
    """An expected error; the command line prints its one line, without a traceback."""

    exit_status = 2


class ConfigError(BanetError):
    """A configuration has an unknown, missing or mistyped key, or a value out of range."""


class DataError(BanetError):
    """A benchmark, archive, shard or image is missing, damaged or not what was expected."""


class ModelError(BanetError):
    """Weights or a model's configuration are missing, damaged or do not fit each other."""


class ResourceError(BanetError):
    """The machine or cluster has less than the run needs."""


class ServiceError(BanetError):
    """A server does not answer: nothing the user typed is wrong, so this is a failure (1) and not bad input (2)."""

    exit_status = 1
