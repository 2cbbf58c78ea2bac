"""Request and response bodies of the routes for accounts, API keys and access tokens."""

import datetime as dt
import unicodedata
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    StrictBool,
    field_validator,
)

from imagesvc.accounts.models import ApiKey, User
from imagesvc.http.validation import WHOLE, without_null

Role = Literal["admin", "member"]
Scope = Literal["upload", "read", "links", "stats", "admin"]


def _trimmed(value: object) -> object:
    return unicodedata.normalize("NFC", value).strip() if isinstance(value, str) else value


def _printable(value: str) -> str:
    # format characters are invisible: names of two accounts could look equal
    if any(unicodedata.category(character)[0] == "C" or character in "\u2028\u2029" for character in value):
        raise ValueError("Control and invisible characters are not allowed")
    return value


AccountName = Annotated[str, BeforeValidator(_trimmed), Field(min_length=2, max_length=64), AfterValidator(_printable)]
KeyName = Annotated[str, BeforeValidator(_trimmed), Field(min_length=1, max_length=100), AfterValidator(_printable)]
Password = Annotated[
    SecretStr,
    Field(
        json_schema_extra={"minLength": 10},
        description="at least 10 characters; neither the account's name nor a common password",
    ),
]


class NewUser(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"account": "ann", "password": "a long sentence of my own", "role": "member"}]},
    )

    account: AccountName
    password: Password
    role: Role = "member"


class UserChanges(BaseModel):
    """Changes of an account. Its owner and admins set the password, admins the rest. Absent members stay unchanged."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"password": "another long sentence"}]})

    password: Password | None = Field(None, json_schema_extra=without_null)
    role: Role | None = Field(None, json_schema_extra=without_null)
    disabled: StrictBool | None = Field(None, json_schema_extra=without_null)

    @field_validator("*", mode="before")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("The value must not be null: leave the member out instead")
        return value


EXAMPLE_USER: dict[str, JsonValue] = {
    "id": "01995f4e-0000-7c3e-9a8d-0f8e5b7f1a01",
    "account": "ann",
    "role": "member",
    "disabled": False,
    "created_at": "2026-11-20T09:00:00Z",
}
EXAMPLE_KEY: dict[str, JsonValue] = {
    "id": "01995f4e-0000-7c3e-9a8d-0f8e5b7f1a02",
    "name": "till 4",
    "prefix": "ik_3ihQJY",
    "scopes": ["upload"],
    "created_at": "2026-11-20T09:00:00Z",
    "expires_at": "2027-11-20T09:00:00Z",
    "last_used_at": "2026-11-20T09:15:00Z",
}


class UserOut(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_USER]})

    id: UUID
    account: str
    role: Role
    disabled: bool
    created_at: dt.datetime

    @classmethod
    def of(cls, user: User) -> Self:
        return cls(
            id=user.id,
            account=user.account,
            role=user.role,
            disabled=user.disabled_at is not None,
            created_at=user.created_at,
        )


class Me(UserOut):
    """The caller's account, and the scopes of the credential."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_USER | {"scopes": ["read", "upload"]}]})

    scopes: list[str]


class TokenResponse(BaseModel):
    """The response of OAuth 2.0 to a login (RFC 6749, section 5.1)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"access_token": "<token>", "token_type": "bearer", "expires_in": 3600, "scope": "links read upload"}
            ]
        }
    )

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: Annotated[int, Field(description="seconds")]
    scope: Annotated[str, Field(description="scopes of the token, separated by spaces")]


class NewKey(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "till 4", "scopes": ["upload"], "expires_in": 31536000}]},
    )

    name: KeyName
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=20)]
    expires_in: (
        Annotated[
            int,
            Field(
                gt=0,
                le=100 * 366 * 86_400,
                description="seconds; without it, the key is valid until revoked",
            ),
            WHOLE,
        ]
        | None
    ) = None


class KeyOut(BaseModel):
    """An API key in a list: its first characters, without the key itself."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_KEY]})

    id: UUID
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    last_used_at: Annotated[dt.datetime | None, Field(description="to the minute")]

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        return cls.model_validate({name: getattr(key, name) for name in KeyOut.model_fields})


class CreatedKey(KeyOut):
    """A new API key. Only this response contains ``key``."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_KEY | {"key": "<key>"}]})

    key: str
