"""The rules of the house that a machine judges well; CONTRIBUTING.md has them in words.

Each rule is a pure function from text to findings, and each has an example that it must find:
a rule that can no longer fail is worse than none.
"""
