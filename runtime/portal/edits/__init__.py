"""Edits of an organisation's connections: from a form to a proposal in the repository that holds the configuration."""
