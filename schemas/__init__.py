"""What the product's words mean: pure models and rules, shared by every other package.

Nothing here reads a file, a clock or the environment. `README.md` beside this file is the glossary.
"""
