"""How the files of each container are opened and read by ranges of rows, with what they claim checked."""
