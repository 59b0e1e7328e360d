"""Where leadstream runs, and the command line that assembles it."""
