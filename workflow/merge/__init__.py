"""The pull request gate: whether a pull request may be merged, judged by the base revision's code, policy and keys.

What the head revision brings is data: its files are read from git objects, never checked out, and nothing of it runs.

    pull_request.py  a pull request as values: people, commits, reviews, the base branch's rules
    revision.py      the files of a git revision, and what differs between two
    guarded.py       which files and which configuration cannot change together with a promotion (data)
    judging.py       both revisions of a stack, decided
    paths.py         rules of paths: what may stand where
    statements.py    rules of `approvals/`: statements are added, never changed
    promotion.py     rules of what is promoted
    withheld.py      rule of what was published and speaks against it, brought or not
    people.py        rules of requesters and reviews
    protection.py    rules of the base branch itself
    reasons.py       every reason, with advice
    gate.py          all rules together
    preview.py       what Pulumi would do, by the base's program, without credentials
    markdown.py      a value in a page of GitHub's: without markup, mentions or control characters
    report.py        the outcome, as text, JSON and check runs
    github.py        GitHub's REST API, the part that the gate needs
    app_token.py     a token of the gate's app
    fetching.py      the objects of both revisions and of the branches on which statements are published
    run.py           a run of the gate
    bringing.py      the same for an update: brought into the checkout that is deployed
    commands.py      `connector merge check`, `post` and `bring`
"""
