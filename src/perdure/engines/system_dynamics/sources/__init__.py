"""Sources: models from files of other programs, read into one form and built into models of this one."""
