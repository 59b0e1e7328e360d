"""`leadstream backfill`: whole leads, read in bulk from Meta, go to `meta.leadgen.details`."""
