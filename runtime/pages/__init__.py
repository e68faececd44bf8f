"""What people see: templates, static files, and how a page and a refusal become a response."""
