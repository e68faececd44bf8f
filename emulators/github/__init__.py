"""GitHub's REST API (2022-11-28), the part that the portal and the pull request gate use, over real bare repositories.

Stricter than the service: an unknown property of a body or query is refused (422), a request without the API version,
the media type and a User-Agent too (400, 403), an app's JWT buys one installation token only (`jti` tells two of one
second apart), and two branches that changed one file conflict. What is not emulated is 404. Git itself is real: objects
and refs are a bare repository's, so a push to it is seen as GitHub sees one; pull requests, reviews and checks are in
memory and gone with the process.

    site.py             what exists: accounts, apps, installations, repositories with their rules and environments
    authentication.py   who calls: an app by JWT, an installation by token, a person by token; what they may
    requests.py         one request: its caller, its repository, its checked body; rate limits
    bodies.py           the properties that each body may have
    errors.py           GitHub's error bodies
    git.py              objects, refs and trees of a bare repository
    git_data.py         blobs, trees, commits, refs; contents
    pulls.py            pull requests, their files, commits and reviews
    merging.py          whether a pull request may be merged, and merging it
    checks.py           check runs, commit statuses; comments
    settings.py         the repository, its rules and environments, read
    app.py              the routes
"""
