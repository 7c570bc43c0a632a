"""Expected errors, from wrong input to failing services: one line each, with what is wrong and the remedy."""


class BanetError(Exception):
    """An expected error; the command line prints its one line, without a traceback."""

    exit_status = 2


class ConfigError(BanetError):
    """A configuration has an unknown, missing or mistyped key, or a value out of range."""


class DataError(BanetError):
    """A benchmark, archive, shard or image is missing, damaged or of the wrong kind."""


class ModelError(BanetError):
    """Weights or the configuration of a model are missing, damaged or do not match."""


class ResourceError(BanetError):
    """The machine or cluster lacks resources that the run needs."""


class ServiceError(BanetError):
    """A server does not answer: a failure (exit status 1) rather than bad input (2)."""

    exit_status = 1
