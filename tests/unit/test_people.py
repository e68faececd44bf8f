"""The drivers of people, where nobody else sees what they do."""

import pytest

from emulators.world import User
from workflow.browser import Browser, Form, Page
from workflow.people import sign_in_to_microsoft

LOGIN = "https://login.example/common/login"
ASKED = Page(LOGIN, 200, "", forms=[Form(LOGIN, {"login": "", "passwd": ""})])
DONE = Page("https://visits.example/identity/done", 200, "")


@pytest.mark.anyio
@pytest.mark.parametrize(("answers", "passwords"), [([ASKED, DONE], [None, "secret"]), ([DONE], [None])])
async def test_a_password_is_typed_where_one_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, answers: list[Page], passwords: list[str | None]
) -> None:
    coming, typed = iter(answers), list[str | None]()

    async def submit(_: Browser, page: Page, form: Form, /, **fields: str) -> Page:
        typed.append(fields.get("passwd"))
        return next(coming)

    monkeypatch.setattr(Browser, "submit", submit)
    account = User.model_construct(user_principal_name="amara@lakeside.example", password="secret")
    picker = Page(LOGIN, 200, "", forms=[Form(LOGIN, {"login": account.user_principal_name})])
    assert await sign_in_to_microsoft(Browser.__new__(Browser), picker, account) is DONE
    assert typed == passwords
