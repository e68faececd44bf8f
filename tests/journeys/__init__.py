"""Whole visits and days of work, through one running stack: a package, so that the stack ends with the last of them."""
