"""The ways in which a command ends badly without being wrong itself."""


class UserError(ValueError):
    """Settings or input that have to be changed; shown as one message without a traceback, exit status 2."""


class ConfigError(UserError):
    """A setting that cannot be used; the message names the key, the rule and the value."""


class DataError(UserError):
    """Input that cannot be read as it should; the message names file and line."""


class RunFailure(RuntimeError):
    """A run that cannot go on (a full disk, gradients that are never finite); shown without a traceback, exit status 1."""
