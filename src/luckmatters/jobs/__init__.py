"""Jobs: the verbs of the command line that compute."""
