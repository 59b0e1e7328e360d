"""`leadstream import`: leads from files, and from Meta's export of a form."""
