"""The visit: our session around one appointment, who is in it, and the pages that show it."""
