"""The one kind of error that is meant for the user's eyes: a single line that says what to do."""


class PipelineError(Exception):
    """Something the user can mend. The command lines print its text alone and exit with status 2."""
