"""Pages: from a person's token to one that lasts in META_PAGES_FILE, and to an app that hears of every lead."""
