"""`leadstream demo`: all of it on one machine, from a signed delivery to a lead, a replay and a reconciliation."""
