"""The errors that jetforge raises for a user's mistakes; the command line prints each as one line."""


class JetforgeError(Exception):
    """Base of every error that says what is wrong, where, and what to do about it."""


class DataError(JetforgeError):
    """Jets, files or datasets break a rule: the message names the file, the row and the rule."""


class RecipeError(JetforgeError):
    """A recipe or a setting is wrong: the message names the file, the line and the field."""


class TaggerError(JetforgeError):
    """A tagger's name, arguments or stored weights are wrong."""


class Interrupted(JetforgeError):
    """The work was asked to stop; what is finished is whole."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error of a library says, shortened, or its kind where it says nothing."""
    return str(error).strip().split("\n")[0][:120] or type(error).__name__
